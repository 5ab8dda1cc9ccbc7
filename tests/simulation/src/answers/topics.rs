//! Topics that came, went and changed, and producer ids.

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::{
    CreatePartitionsResponse, CreateTopicsResponse, DeleteTopicsResponse, IncrementalAlterConfigsResponse,
    InitProducerIdResponse,
};

use super::Answer;
use crate::model::{Fate, TopicState};
use crate::workload::*;

impl Workload {
    pub(super) fn create_answered(&mut self, answer: Answer<'_>, topic: usize) -> Result<(), String> {
        let answer: CreateTopicsResponse<'_> = answer.open(ApiKey::CreateTopics, CREATE_TOPICS)?;
        let data = answer
            .topics
            .first()
            .ok_or("a CreateTopics answer without its topic")?;
        if data.error_code != 0 {
            return self.refused("CreateTopics", data.error_code);
        }
        let TopicState::Creating(partitions) = self.model.topics[topic].state else {
            return Err("a topic is created twice".into());
        };
        if self.model.topics[topic].incarnation > 0 {
            self.eyes.mark("topic recreated");
        }
        self.model.created(topic, partitions as usize, data.topic_id)?;
        let known = &mut self.model.topics[topic];
        known.version += 1;
        known.configs = known.configs_asked.drain(..).collect();
        Ok(())
    }

    pub(super) fn delete_answered(&mut self, answer: Answer<'_>, topic: usize) -> Result<(), String> {
        let answer: DeleteTopicsResponse<'_> = answer.open(ApiKey::DeleteTopics, DELETE_TOPICS)?;
        let data = answer
            .responses
            .first()
            .ok_or("a DeleteTopics answer without its topic")?;
        if data.error_code != 0 {
            return self.refused("DeleteTopics", data.error_code);
        }
        self.eyes.mark("topic deleted");
        self.model.deleted(topic);
        // What is sent once more at this moment may come to be in the next topic of the name.
        let in_flight = self.clients.iter().flat_map(|client| &client.in_flight);
        for (_, asked) in in_flight {
            if let Asked::Produce {
                topic: of, batches, ..
            } = asked
                && *of == topic
            {
                for (_, number) in batches {
                    self.model.batches[*number as usize].fate = Fate::Open;
                }
            }
        }
        self.producers.retain(|(_, of), _| *of != topic);
        Ok(())
    }

    pub(super) fn grow_answered(
        &mut self,
        answer: Answer<'_>,
        topic: usize,
        count: usize,
    ) -> Result<(), String> {
        let answer: CreatePartitionsResponse<'_> =
            answer.open(ApiKey::CreatePartitions, CREATE_PARTITIONS)?;
        let data = answer
            .results
            .first()
            .ok_or("a CreatePartitions answer without its topic")?;
        if data.error_code != 0 {
            return self.refused("CreatePartitions", data.error_code);
        }
        let known = &mut self.model.topics[topic];
        if known.grown_to == Some(count) {
            self.eyes.mark("topic grown");
            known.grown_to = None;
            known.partitions.resize_with(count, Default::default);
        }
        Ok(())
    }

    pub(super) fn alter_answered(
        &mut self,
        answer: Answer<'_>,
        topic: usize,
        name: &'static str,
        value: String,
    ) -> Result<(), String> {
        let answer: IncrementalAlterConfigsResponse<'_> =
            answer.open(ApiKey::IncrementalAlterConfigs, ALTER_CONFIGS)?;
        let data = answer
            .responses
            .first()
            .ok_or("a config answer without its topic")?;
        if data.error_code == ErrorCode::UnknownTopicOrPartition as i16 && !self.live(topic) {
            return Ok(());
        }
        if data.error_code != 0 {
            return self.refused("IncrementalAlterConfigs", data.error_code);
        }
        let known = &mut self.model.topics[topic];
        // Of two changes under way nobody knows which is the later one.
        let own = known
            .configs_asked
            .iter()
            .position(|asked| *asked == (name, value.clone()));
        if let Some(own) = own {
            self.eyes.mark("config changed");
            if known
                .configs_asked
                .iter()
                .filter(|(other, _)| *other == name)
                .count()
                == 1
            {
                known.configs_asked.remove(own);
                known.configs.insert(name, value);
            }
        }
        Ok(())
    }

    pub(super) fn init_producer_id_answered(
        &mut self,
        answer: Answer<'_>,
        topic: usize,
    ) -> Result<(), String> {
        let client = answer.client;
        let answer: InitProducerIdResponse = answer.open(ApiKey::InitProducerId, INIT_PRODUCER_ID)?;
        if answer.error_code != 0 {
            self.producers.remove(&(client, topic));
            return self.refused("InitProducerId", answer.error_code);
        }
        if !self.model.producer_ids.insert(answer.producer_id) {
            return Err(format!("producer id {} is given out twice", answer.producer_id));
        }
        if let Some(producer) = self.producers.get_mut(&(client, topic)) {
            producer.id = Some(answer.producer_id);
        }
        Ok(())
    }
}

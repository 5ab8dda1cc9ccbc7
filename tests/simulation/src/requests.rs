//! The requests that clients send, one function each.
//!
//! Place: called by [`Workload::act`]; what is asked is noted in the model before it is sent.

use millstream_protocol::message::create_partitions::CreatePartitionsTopic;
use millstream_protocol::message::create_topics::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_protocol::message::delete_topics::DeleteTopicState;
use millstream_protocol::message::fetch::{FetchPartition, FetchTopic};
use millstream_protocol::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use millstream_protocol::message::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsTopic,
};
use millstream_protocol::message::produce::{PartitionProduceData, TopicProduceData};
use millstream_protocol::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, ProduceRequest,
};
use millstream_protocol::record::codec::Codec;

use crate::checker::{TIME, TIME_SPAN};
use crate::model::{Recipe, TopicState};
use crate::workload::*;

impl Workload {
    pub fn produce(&mut self, client: usize, topic: usize) {
        let deleting = self.model.topics[topic].state == TopicState::Deleting && self.prng.one_in(4);
        if !self.live(topic) && !deleting {
            return;
        }
        if self.prng.one_in(self.swarm.idempotent_one_in) {
            return self.produce_idempotent(client, topic);
        }
        let count = self.model.topics[topic].partitions.len();
        let first = self.prng.index(count);
        let mut batches = Vec::new();
        for place in 0..=self.prng.index(count.min(3)) {
            let partition = (first + place) % count;
            let recipe = self.recipe(topic, partition, None, self.clients[client].number);
            batches.push((partition, self.model.make(recipe)));
        }
        let acks = if self.prng.one_in(2) { -1 } else { 1 };
        let acks = if self.prng.one_in(self.swarm.unacknowledged_one_in) {
            0
        } else {
            acks
        };
        self.send_batches(client, topic, batches, acks, Kind::Plain);
    }

    pub fn produce_idempotent(&mut self, client: usize, topic: usize) {
        let (incarnation, count) = {
            let topic = &self.model.topics[topic];
            (topic.incarnation, topic.partitions.len())
        };
        let producer = self.producers.get(&(client, topic));
        if producer.is_none_or(|producer| producer.incarnation != incarnation) {
            let producer = Producer {
                incarnation,
                id: None,
                asked: false,
                flows: Vec::new(),
            };
            self.producers.insert((client, topic), producer);
        }
        let producer = self.producers.get_mut(&(client, topic)).expect("just made");
        let Some(id) = producer.id else {
            if !producer.asked {
                producer.asked = true;
                let request = InitProducerIdRequest::default();
                self.ask(
                    client,
                    &request,
                    INIT_PRODUCER_ID,
                    Asked::InitProducerId { topic },
                );
            }
            return;
        };
        producer.flows.resize_with(count, Flow::default);
        let partition = self.prng.index(count);
        let flow = &mut producer.flows[partition];
        if flow.stalled || flow.unresolved.len() >= IDEMPOTENT_IN_FLIGHT_MAX {
            return;
        }
        let sequence = flow.next;
        let recipe = self.recipe(topic, partition, Some((id, sequence)), 0);
        let records = recipe.times.len() as i32;
        let number = self.model.make(recipe);
        let flow = &mut self
            .producers
            .get_mut(&(client, topic))
            .expect("made above")
            .flows[partition];
        flow.next += records;
        flow.unresolved.push_back(number);
        flow.in_flight += 1;
        let acks = if self.prng.one_in(2) { -1 } else { 1 };
        self.send_batches(client, topic, vec![(partition, number)], acks, Kind::Idempotent);
    }

    /// Sends the first batch again of a flow that stalled and has no answer to wait for.
    pub fn send_again(&mut self, client: usize) -> bool {
        let topics = &self.model.topics;
        let mut found = None;
        for ((owner, topic), producer) in &mut self.producers {
            let current = topics[*topic].incarnation == producer.incarnation;
            if *owner != client || !current || topics[*topic].state != TopicState::Live {
                continue;
            }
            let flows = producer.flows.iter_mut().enumerate();
            for (partition, flow) in flows.filter(|(_, flow)| flow.stalled) {
                if flow.unresolved.is_empty() {
                    flow.stalled = false;
                } else if flow.in_flight == 0 {
                    found = Some((*topic, partition, flow.unresolved[0]));
                    flow.in_flight = 1;
                }
            }
            if found.is_some() {
                break;
            }
        }
        let Some((topic, partition, number)) = found else {
            return false;
        };
        if self.restarted {
            self.eyes.mark("batch sent again after a crash");
        }
        self.send_batches(client, topic, vec![(partition, number)], -1, Kind::Idempotent);
        true
    }

    /// Sends one of the last acknowledged batches of a producer again.
    pub fn duplicate(&mut self, client: usize, topic: usize) {
        if !self.live(topic) {
            return;
        }
        let incarnation = self.model.topics[topic].incarnation;
        let Some(producer) = self.producers.get(&(client, topic)) else {
            return;
        };
        if producer.incarnation != incarnation || producer.flows.is_empty() {
            return;
        }
        let partition = self.prng.index(producer.flows.len());
        let flow = &producer.flows[partition];
        if flow.settled.is_empty() || !flow.unresolved.is_empty() {
            return;
        }
        let place = self.prng.index(flow.settled.len());
        let (number, newest) = (flow.settled[place], place + 1 == flow.settled.len());
        self.send_batches(
            client,
            topic,
            vec![(partition, number)],
            -1,
            Kind::Duplicate { newest },
        );
    }

    pub fn recipe(
        &mut self,
        topic: usize,
        partition: usize,
        producer: Option<(i64, i32)>,
        connection: u64,
    ) -> Recipe {
        let bytes = match self.prng.next() {
            draw if draw.is_multiple_of(self.swarm.large_one_in) => self.prng.range(20 << 10, 120 << 10),
            draw if draw % 5 < 2 => self.prng.range(1 << 10, 8 << 10),
            _ => self.prng.range(10, 600),
        };
        let records = self.prng.range(1, 5);
        let codec = match self.prng.range(0, 10) {
            0 => Codec::Lz4,
            1 => Codec::Snappy,
            _ => Codec::None,
        };
        Recipe {
            codec,
            topic,
            partition,
            producer,
            connection,
            times: (0..records)
                .map(|_| TIME + self.prng.range(0, TIME_SPAN) as i64)
                .collect(),
            bytes: bytes as usize,
        }
    }

    pub fn send_batches(
        &mut self,
        client: usize,
        topic: usize,
        batches: Vec<(usize, u32)>,
        acks: i16,
        kind: Kind,
    ) {
        let name = self.model.topics[topic].name.clone();
        let raws: Vec<_> = batches
            .iter()
            .map(|(_, number)| self.model.batches[*number as usize].raw.clone())
            .collect();
        let request = ProduceRequest {
            acks,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: &name,
                partition_data: batches
                    .iter()
                    .zip(&raws)
                    .map(|((partition, _), raw)| PartitionProduceData {
                        index: *partition as i32,
                        records: Some(raw),
                    })
                    .collect(),
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        // Whatever a deletion that is under way makes of it.
        let version = if self.live(topic) {
            self.model.topics[topic].version
        } else {
            u32::MAX
        };
        let asked = Asked::Produce {
            topic,
            version,
            batches,
            kind,
        };
        self.ask(client, &request, PRODUCE, asked);
        if acks == 0 {
            // Nothing will be answered.
            self.clients[client].in_flight.pop_back();
            self.clients[client].is_silent = true;
        }
    }

    pub fn fetch(&mut self, client: usize, topic: usize) {
        if !self.live(topic) {
            return;
        }
        let partition = self.prng.index(self.model.topics[topic].partitions.len());
        let known = &self.model.topics[topic].partitions[partition];
        let (start, end_min) = (known.start_asked, known.end_min);
        let from = self.prng.range(start as u64, end_min as u64 + 1) as i64;
        let bytes_max = 1 << self.prng.range(6, 19);
        let name = self.model.topics[topic].name.clone();
        let request = FetchRequest {
            max_wait_ms: self.prng.range(0, 20) as i32,
            ..fetch_request(&name, partition, from, bytes_max)
        };
        let of = self.asked(topic, partition);
        let asked = Asked::Fetch { of, from, end_min };
        self.ask(client, &request, FETCH, asked);
    }

    pub fn list_offsets(&mut self, client: usize, topic: usize) {
        if !self.live(topic) {
            return;
        }
        let partition = self.prng.index(self.model.topics[topic].partitions.len());
        let known = &self.model.topics[topic].partitions[partition];
        let earliest = self.prng.one_in(2);
        let bound = if earliest {
            known.start_durable.max(known.start_told)
        } else {
            known.end_min
        };
        let name = self.model.topics[topic].name.clone();
        let at = match earliest {
            true => EARLIEST_TIMESTAMP,
            false => LATEST_TIMESTAMP,
        };
        let request = list_offsets_request(&name, partition, at);
        let of = self.asked(topic, partition);
        let asked = Asked::ListOffsets { of, earliest, bound };
        self.ask(client, &request, LIST_OFFSETS, asked);
    }

    pub fn list_offsets_by_time(&mut self, client: usize, topic: usize) {
        if !self.live(topic) {
            return;
        }
        let partition = self.prng.index(self.model.topics[topic].partitions.len());
        let at = TIME + self.prng.range(0, TIME_SPAN + 1000) as i64;
        let name = self.model.topics[topic].name.clone();
        let request = list_offsets_request(&name, partition, at);
        let asked = Asked::ListOffsetsByTime {
            of: self.asked(topic, partition),
            at,
            end_min: self.model.topics[topic].partitions[partition].end_min,
        };
        self.ask(client, &request, LIST_OFFSETS, asked);
    }

    fn asked(&self, topic: usize, partition: usize) -> PartitionAsked {
        PartitionAsked {
            topic,
            version: self.model.topics[topic].version,
            partition,
        }
    }

    pub fn delete_records(&mut self, client: usize, topic: usize) {
        if !self.live(topic) {
            return;
        }
        let partition = self.prng.index(self.model.topics[topic].partitions.len());
        let known = &mut self.model.topics[topic].partitions[partition];
        if known.end_min <= known.start_asked {
            return;
        }
        let before = self
            .prng
            .range(known.start_asked as u64, known.end_min as u64 + 1) as i64;
        known.start_asked = before;
        self.model.topics[topic].trims += 1;
        let name = self.model.topics[topic].name.clone();
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: &name,
                partitions: vec![DeleteRecordsPartition {
                    partition_index: partition as i32,
                    offset: before,
                }],
            }],
            timeout_ms: TIMEOUT_MS,
        };
        let of = self.asked(topic, partition);
        let asked = Asked::DeleteRecords { of, before };
        self.ask(client, &request, DELETE_RECORDS, asked);
    }

    pub fn create(&mut self, client: usize, index: usize) {
        if self.model.topics[index].state != TopicState::Absent {
            return;
        }
        let partitions = self.prng.range(1, self.swarm.partitions_max + 1) as u32;
        let mut configs: Vec<(&'static str, String)> = Vec::new();
        if self.prng.one_in(self.swarm.retention_one_in) {
            configs.push(("retention.bytes", self.prng.range(10_000, 200_000).to_string()));
            configs.push(("segment.ms", self.prng.range(1, 2_000).to_string()));
        } else if self.prng.one_in(3) {
            configs.push(("segment.ms", self.prng.range(1, 2_000).to_string()));
            if self.prng.one_in(2) {
                configs.push(("retention.ms", self.prng.range(1, 5_000).to_string()));
            }
        }
        if self.prng.one_in(6) {
            configs.push(("message.timestamp.type", "LogAppendTime".into()));
        }
        let topic = &mut self.model.topics[index];
        topic.state = TopicState::Creating(partitions);
        topic.version += 1;
        configs
            .iter()
            .for_each(|(name, value)| topic.note_config(name, value));
        topic.configs_asked = configs.clone();
        let name = topic.name.clone();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: &name,
                num_partitions: partitions as i32,
                replication_factor: 1,
                configs: configs
                    .iter()
                    .map(|(name, value)| CreatableTopicConfig {
                        name,
                        value: Some(value),
                    })
                    .collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: TIMEOUT_MS,
            ..CreateTopicsRequest::default()
        };
        self.ask(client, &request, CREATE_TOPICS, Asked::Create { topic: index });
    }

    pub fn delete(&mut self, client: usize, index: usize) {
        let topic = &mut self.model.topics[index];
        // What is still to be answered could be about the next topic of the name.
        let is_asked = topic.grown_to.is_some() || topic.trims > 0 || !topic.configs_asked.is_empty();
        if topic.state != TopicState::Live || is_asked {
            return;
        }
        topic.state = TopicState::Deleting;
        topic.version += 1;
        let name = topic.name.clone();
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(&name),
                ..DeleteTopicState::default()
            }],
            timeout_ms: TIMEOUT_MS,
            ..DeleteTopicsRequest::default()
        };
        self.ask(client, &request, DELETE_TOPICS, Asked::Delete { topic: index });
    }

    pub fn grow(&mut self, client: usize, index: usize) {
        let topic = &mut self.model.topics[index];
        if topic.state != TopicState::Live
            || topic.grown_to.is_some()
            || topic.partitions.len() >= PARTITIONS_MAX
        {
            return;
        }
        let count = topic.partitions.len() + 1;
        topic.grown_to = Some(count);
        let name = topic.name.clone();
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: &name,
                count: count as i32,
                assignments: None,
            }],
            timeout_ms: TIMEOUT_MS,
            ..CreatePartitionsRequest::default()
        };
        self.ask(
            client,
            &request,
            CREATE_PARTITIONS,
            Asked::Grow { topic: index, count },
        );
    }

    pub fn alter(&mut self, client: usize, index: usize) {
        if !self.live(index) {
            return;
        }
        let (name, value) = match self.prng.range(0, 5) {
            3 => ("retention.ms", self.prng.range(1, 20_000).to_string()),
            4 => (
                "message.timestamp.type",
                ["CreateTime", "LogAppendTime"][self.prng.index(2)].to_string(),
            ),
            0 => ("segment.ms", self.prng.range(1, 3_000).to_string()),
            1 => ("retention.bytes", self.prng.range(10_000, 300_000).to_string()),
            _ => (
                "max.message.bytes",
                self.prng.range(200_000, 2_000_000).to_string(),
            ),
        };
        let topic = &mut self.model.topics[index];
        topic.note_config(name, &value);
        topic.configs_asked.push((name, value.clone()));
        let topic_name = topic.name.clone();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: &topic_name,
                configs: vec![AlterableConfig {
                    name,
                    config_operation: 0,
                    value: Some(&value),
                }],
            }],
            validate_only: false,
        };
        let asked = Asked::Alter {
            topic: index,
            name,
            value: value.clone(),
        };
        self.ask(client, &request, ALTER_CONFIGS, asked);
    }
}

/// Asks one partition for records, at once.
pub fn fetch_request(name: &str, partition: usize, from: i64, bytes_max: i32) -> FetchRequest<'_> {
    FetchRequest {
        min_bytes: 1,
        max_bytes: bytes_max,
        topics: vec![FetchTopic {
            topic: name,
            partitions: vec![FetchPartition {
                partition: partition as i32,
                fetch_offset: from,
                partition_max_bytes: bytes_max,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// Asks one partition for the offset that belongs to a time, or to one of the values that stand for its ends.
pub fn list_offsets_request(name: &str, partition: usize, at: i64) -> ListOffsetsRequest<'_> {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name,
            partitions: vec![ListOffsetsPartition {
                partition_index: partition as i32,
                timestamp: at,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    }
}

const IDEMPOTENT_IN_FLIGHT_MAX: usize = 3;
const PARTITIONS_MAX: usize = 8;

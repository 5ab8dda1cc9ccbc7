//! What answers prove, and which of them no broker may give.
//!
//! Place: called by [`Workload::listen`] with each answer as it comes.

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::fetch::PartitionData;
use millstream_protocol::message::{
    CreatePartitionsResponse, CreateTopicsResponse, DeleteRecordsResponse, DeleteTopicsResponse,
    FetchResponse, IncrementalAlterConfigsResponse, InitProducerIdResponse, ListOffsetsResponse,
    ProduceResponse, Records,
};

use crate::client::open;
use crate::model::{Fate, TopicState};
use crate::swarm::Trouble;
use crate::workload::*;

impl Workload {
    pub fn answered(
        &mut self,
        client: usize,
        correlation: i32,
        asked: Asked,
        frame: &[u8],
    ) -> Result<(), String> {
        let answer = Answer {
            client,
            correlation,
            frame,
        };
        match asked {
            asked @ Asked::Produce { .. } => self.produce_answered(answer, asked),
            asked @ Asked::Fetch { .. } => self.fetch_answered(answer, asked),
            Asked::FetchInSession(asked) => self.session_answered(client, (correlation, frame), asked),
            asked @ Asked::ListOffsets { .. } => self.list_offsets_answered(answer, asked),
            asked @ Asked::ListOffsetsByTime { .. } => self.found_by_time(answer, asked),
            asked @ Asked::DeleteRecords { .. } => self.delete_records_answered(answer, asked),
            Asked::Create { topic } => self.create_answered(answer, topic),
            Asked::Delete { topic } => self.delete_answered(answer, topic),
            Asked::Grow { topic, count } => self.grow_answered(answer, topic, count),
            Asked::Alter { topic, name, value } => self.alter_answered(answer, topic, name, value),
            Asked::InitProducerId { topic } => self.init_producer_id_answered(answer, topic),
        }
    }

    fn produce_answered(&mut self, answer: Answer<'_>, asked: Asked) -> Result<(), String> {
        let Answer {
            client,
            correlation,
            frame,
        } = answer;
        let Asked::Produce {
            topic,
            version,
            batches,
            kind,
        } = asked
        else {
            unreachable!("dispatched above")
        };
        let (found, answer) = open::<ProduceResponse<'_>>(frame, ApiKey::Produce, PRODUCE)?;
        expect(found, correlation)?;
        let answers: Vec<_> = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .collect();
        if answers.len() != batches.len() {
            return Err("a produce answer with other partitions than were asked for".into());
        }
        for (partition, number) in batches {
            let Some(answer) = answers.iter().find(|answer| answer.index == partition as i32) else {
                return Err("a produce answer without a partition that was asked for".into());
            };
            let outcome = (answer.error_code, answer.base_offset);
            self.produced(client, topic, version, partition, number, kind, outcome)?;
        }
        Ok(())
    }

    fn fetch_answered(&mut self, answer: Answer<'_>, asked: Asked) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let Asked::Fetch {
            topic,
            version,
            partition,
            from,
            end_min,
        } = asked
        else {
            unreachable!("dispatched above")
        };
        let (found, answer) = open::<FetchResponse<'_>>(frame, ApiKey::Fetch, FETCH)?;
        expect(found, correlation)?;
        let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let data = partitions.next().ok_or("a fetch answer without its partition")?;
        let asked = FetchAsked {
            version,
            from,
            end_min,
            is_alone: true,
        };
        self.fetched((topic, partition), asked, data).map(drop)
    }

    /// One partition's part of a fetch; tells where to read next.
    pub fn fetched(
        &mut self,
        (topic, partition): (usize, usize),
        asked: FetchAsked,
        data: &PartitionData<'_>,
    ) -> Result<i64, String> {
        let FetchAsked {
            version,
            from,
            end_min,
            is_alone,
        } = asked;
        let bytes = match data.records {
            Records::Bytes(bytes) => bytes,
            _ => &[],
        };
        let (batches, next) = self.model.read(topic, partition, from, bytes)?;
        if self.model.topics[topic].version != version {
            return Ok(from);
        }
        let retains = self.model.topics[topic].retained_min.is_some();
        // A read that stopped in the middle is told as an error, and the next one goes well.
        let may_refuse = self.model.may_refuse(topic, partition) || self.swarm.trouble == Trouble::Shortage;
        let known = &mut self.model.topics[topic].partitions[partition];
        known.start_told = known.start_told.max(data.log_start_offset);
        let (start_asked, known_end) = (known.start_asked, known.end_min.max(known.start_asked));
        let name = format!("{}-{partition}", self.model.topics[topic].name);
        match ErrorCode::from_code(data.error_code) {
            Some(ErrorCode::None) => {}
            // The answer does not say where the log starts: a client begins anew at what it knows to be there.
            Some(ErrorCode::OffsetOutOfRange) if from < start_asked || retains => {
                return Ok(known_end);
            }
            Some(ErrorCode::KafkaStorageError | ErrorCode::OffsetOutOfRange) if self.model.hurt => {
                self.eyes.mark("partition refused after an error");
                return Ok(from);
            }
            Some(ErrorCode::KafkaStorageError) if may_refuse => return Ok(from),
            // What was behind the damage is forgotten.
            Some(ErrorCode::OffsetOutOfRange) if self.model.may_refuse(topic, partition) => return Ok(from),
            _ => {
                return Err(format!(
                    "{name}: a fetch from {from} is refused: {}",
                    data.error_code
                ));
            }
        }
        // Of a partition that has lost its end, what lies before is served.
        let has_end = !self.model.may_refuse(topic, partition);
        if data.high_watermark < end_min && has_end {
            let high = data.high_watermark;
            return Err(format!(
                "{name}: the high watermark is {high}, {end_min} was acknowledged before"
            ));
        }
        if is_alone && batches.is_empty() && from < data.high_watermark && !self.model.hurt {
            return Err(format!(
                "{name}: nothing is served at {from} below {}",
                data.high_watermark
            ));
        }
        for (number, base) in batches {
            self.model.place(number, base)?;
        }
        let known = &mut self.model.topics[topic].partitions[partition];
        known.end_min = known.end_min.max(data.high_watermark);
        Ok(next)
    }

    /// The first record of a time or a later one. Of records that came while it was looked for nobody knows.
    fn found_by_time(&mut self, answer: Answer<'_>, asked: Asked) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let Asked::ListOffsetsByTime {
            topic,
            version,
            partition,
            at,
            end_min,
        } = asked
        else {
            unreachable!("dispatched above")
        };
        let (found, answer) = open::<ListOffsetsResponse<'_>>(frame, ApiKey::ListOffsets, LIST_OFFSETS)?;
        expect(found, correlation)?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let data = partitions
            .next()
            .ok_or("a ListOffsets answer without its partition")?;
        let of = &self.model.topics[topic];
        if of.version != version || self.model.hurt {
            return Ok(());
        }
        let name = &of.name;
        let (offset, time) = (data.offset, data.timestamp);
        if data.error_code != 0 {
            let may_refuse =
                self.model.may_refuse(topic, partition) || self.swarm.trouble == Trouble::Shortage;
            return match may_refuse {
                true => Ok(()),
                false => Err(format!(
                    "{name}-{partition}: time {at} is not looked up: {}",
                    data.error_code
                )),
            };
        }
        if offset >= 0 && time < at {
            return Err(format!(
                "{name}-{partition}: time {at} is found at {offset}, of {time}"
            ));
        }
        let known = &of.partitions[partition];
        // Where nothing was found, what was there when it was asked for counts, otherwise what lies before.
        let before = if offset < 0 { end_min } else { offset };
        for (base, number) in &known.placed {
            let batch = &self.model.batches[*number as usize];
            if of.stamps && batch.seen_in.get() != of.incarnation {
                // Nobody knows what time it has.
                continue;
            }
            let records = (*base..).zip(batch.times_seen());
            for (place, its) in records {
                if place == offset && its != time {
                    return Err(format!(
                        "{name}-{partition}: time {at} is found at {offset}, of {time}, which has {its}"
                    ));
                }
                let is_there = place >= known.start_asked && of.retained_min.is_none();
                let is_missed = its >= at && place < before && is_there;
                if is_missed && !self.model.may_refuse(topic, partition) {
                    return Err(format!(
                        "{name}-{partition}: time {at} is found at {offset}, {place} has {its}"
                    ));
                }
            }
        }
        if offset >= 0 {
            self.eyes.mark("record found by its time");
        }
        Ok(())
    }

    fn list_offsets_answered(&mut self, answer: Answer<'_>, asked: Asked) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let Asked::ListOffsets {
            topic,
            version,
            partition,
            earliest,
            bound,
        } = asked
        else {
            unreachable!("dispatched above")
        };
        let (found, answer) = open::<ListOffsetsResponse<'_>>(frame, ApiKey::ListOffsets, LIST_OFFSETS)?;
        expect(found, correlation)?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let data = partitions
            .next()
            .ok_or("a ListOffsets answer without its partition")?;
        if self.model.topics[topic].version != version || self.model.hurt {
            return Ok(());
        }
        if data.error_code != 0 && self.model.may_refuse(topic, partition) {
            return Ok(());
        }
        let retains = self.model.topics[topic].retained_min.is_some();
        let known = &mut self.model.topics[topic].partitions[partition];
        let right = match earliest {
            true => data.offset >= bound && (retains || data.offset <= known.start_asked),
            false => data.offset >= bound,
        };
        if data.error_code != 0 || !right {
            let (offset, error) = (data.offset, data.error_code);
            let what = if earliest { "start" } else { "end" };
            return Err(format!(
                "topic {topic}-{partition}: its {what} is {offset}, not {bound}: {error}"
            ));
        }
        match earliest {
            true => known.start_told = known.start_told.max(data.offset),
            false => known.end_min = known.end_min.max(data.offset),
        }
        Ok(())
    }

    fn delete_records_answered(&mut self, answer: Answer<'_>, asked: Asked) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let Asked::DeleteRecords {
            topic,
            version,
            partition,
            before,
        } = asked
        else {
            unreachable!("dispatched above")
        };
        let (found, answer) =
            open::<DeleteRecordsResponse<'_>>(frame, ApiKey::DeleteRecords, DELETE_RECORDS)?;
        expect(found, correlation)?;
        self.model.topics[topic].trims -= 1;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let data = partitions
            .next()
            .ok_or("a DeleteRecords answer without its partition")?;
        if self.model.topics[topic].version != version {
            return Ok(());
        }
        if data.error_code != 0 {
            return match self.excused_at(data.error_code, topic, partition) {
                true => Ok(()),
                false => Err(format!(
                    "topic {topic}-{partition}: DeleteRecords before {before}: {}",
                    data.error_code
                )),
            };
        }
        if data.low_watermark < before {
            return Err(format!(
                "records before {before} are deleted, the log starts at {}",
                data.low_watermark
            ));
        }
        self.eyes.mark("records deleted");
        let known = &mut self.model.topics[topic].partitions[partition];
        known.start_durable = known.start_durable.max(before);
        Ok(())
    }

    fn create_answered(&mut self, answer: Answer<'_>, topic: usize) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let (found, answer) = open::<CreateTopicsResponse<'_>>(frame, ApiKey::CreateTopics, CREATE_TOPICS)?;
        expect(found, correlation)?;
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

    fn delete_answered(&mut self, answer: Answer<'_>, topic: usize) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let (found, answer) = open::<DeleteTopicsResponse<'_>>(frame, ApiKey::DeleteTopics, DELETE_TOPICS)?;
        expect(found, correlation)?;
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

    fn grow_answered(&mut self, answer: Answer<'_>, topic: usize, count: usize) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let (found, answer) =
            open::<CreatePartitionsResponse<'_>>(frame, ApiKey::CreatePartitions, CREATE_PARTITIONS)?;
        expect(found, correlation)?;
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

    fn alter_answered(
        &mut self,
        answer: Answer<'_>,
        topic: usize,
        name: &'static str,
        value: String,
    ) -> Result<(), String> {
        let Answer {
            correlation, frame, ..
        } = answer;
        let (found, answer) = open::<IncrementalAlterConfigsResponse<'_>>(
            frame,
            ApiKey::IncrementalAlterConfigs,
            ALTER_CONFIGS,
        )?;
        expect(found, correlation)?;
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

    fn init_producer_id_answered(&mut self, answer: Answer<'_>, topic: usize) -> Result<(), String> {
        let Answer {
            client,
            correlation,
            frame,
        } = answer;
        let (found, answer) =
            open::<InitProducerIdResponse>(frame, ApiKey::InitProducerId, INIT_PRODUCER_ID)?;
        expect(found, correlation)?;
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

    #[expect(clippy::too_many_arguments, reason = "a request, and its answer")]
    fn produced(
        &mut self,
        client: usize,
        topic: usize,
        version: u32,
        partition: usize,
        number: u32,
        kind: Kind,
        (error, base): (i16, i64),
    ) -> Result<(), String> {
        let is_current = self.model.topics[topic].version == version;
        if let Kind::Duplicate { newest } = kind {
            return match is_current {
                true => self.duplicate_answered(number, newest, error, base),
                false => Ok(()),
            };
        }
        if kind == Kind::Idempotent
            && let Some(producer) = self.producers.get_mut(&(client, topic))
            && let Some(flow) = producer.flows.get_mut(partition)
        {
            let place = flow.unresolved.iter().position(|other| *other == number);
            flow.in_flight = flow.in_flight.saturating_sub(1);
            let was_first = place == Some(0);
            if error == 0
                && let Some(place) = place
            {
                flow.unresolved.remove(place);
                flow.settled.push_back(number);
                if flow.settled.len() > 5 {
                    flow.settled.pop_front();
                }
            } else {
                flow.stalled = true;
                let out_of_order = error == ErrorCode::OutOfOrderSequenceNumber as i16;
                if out_of_order && is_current && (!was_first || self.model.may_refuse(topic, partition)) {
                    // It came after one that was refused.
                    return Ok(());
                }
            }
        }
        if error == 0 {
            self.acknowledged += 1;
        }
        match error {
            0 if is_current => self.model.place(number, base),
            _ if !is_current => Ok(()),
            error if self.excused_at(error, topic, partition) => Ok(()),
            error => {
                let name = &self.model.topics[topic].name;
                Err(format!("{name}-{partition}: batch {number} is refused: {error}"))
            }
        }
    }

    fn duplicate_answered(&mut self, number: u32, newest: bool, error: i16, base: i64) -> Result<(), String> {
        let batch = &self.model.batches[number as usize];
        let (topic, partition) = (batch.topic, batch.partition);
        let Fate::Placed { base: known, .. } = batch.fate else {
            return Ok(());
        };
        let known_error = [
            ErrorCode::DuplicateSequenceNumber,
            ErrorCode::OutOfOrderSequenceNumber,
        ]
        .iter()
        .any(|code| *code as i16 == error);
        match error {
            0 if base == known => {
                self.eyes.mark(match self.restarted {
                    true => "duplicate recognised after a restart",
                    false => "duplicate recognised",
                });
                Ok(())
            }
            _ if known_error && (!newest || self.model.may_refuse(topic, partition)) => Ok(()),
            error if error != 0 && self.excused_at(error, topic, partition) => Ok(()),
            _ => Err(format!(
                "batch {number} at {known} is sent again, and answered with {base}, error {error}"
            )),
        }
    }

    /// A request about topics that the controller did not carry out: the next start tells what is true.
    fn refused(&self, what: &str, error: i16) -> Result<(), String> {
        match self.excused(error) {
            true => Ok(()),
            false => Err(format!("{what} is refused: {error}")),
        }
    }

    /// As [`Workload::excused`], and what one that lied about this partition does.
    fn excused_at(&self, error: i16, topic: usize, partition: usize) -> bool {
        // What was behind the damage is forgotten.
        let of_the_log = [
            ErrorCode::KafkaStorageError,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::OffsetOutOfRange,
        ];
        let is_of_the_log = of_the_log.iter().any(|code| *code as i16 == error);
        self.excused(error) || is_of_the_log && self.model.may_refuse(topic, partition)
    }

    /// What a full, failing or slow device excuses.
    fn excused(&self, error: i16) -> bool {
        match ErrorCode::from_code(error) {
            // A journal that is short of room may refuse, as long as it refuses nothing for ever.
            Some(ErrorCode::NotEnoughReplicas) => true,
            Some(ErrorCode::RequestTimedOut) => self.swarm.trouble != Trouble::None,
            // The metadata log found no descriptor.
            Some(
                ErrorCode::KafkaStorageError
                | ErrorCode::BrokerNotAvailable
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotController,
            ) if self.swarm.trouble == Trouble::Shortage && self.eyes.starved() > self.starved => true,
            Some(
                ErrorCode::KafkaStorageError
                | ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::BrokerNotAvailable
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotController,
            ) => self.model.hurt || self.swarm.trouble == Trouble::FullDisk,
            _ => false,
        }
    }
}

/// What was asked of a partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchAsked {
    /// Of the topic.
    pub version: u32,
    pub from: i64,
    /// Where the log ended at least.
    pub end_min: i64,
    /// No other partition was asked for besides.
    pub is_alone: bool,
}

/// An answer as it came.
#[derive(Clone, Copy)]
struct Answer<'a> {
    client: usize,
    /// Of the request that was next.
    correlation: i32,
    frame: &'a [u8],
}

fn expect(found: i32, next: i32) -> Result<(), String> {
    match found == next {
        true => Ok(()),
        false => Err(format!("answer {found} came, {next} was next")),
    }
}

//! Batches that were acknowledged or refused, and what fetches bring.

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::fetch::PartitionData;
use millstream_protocol::message::{FetchResponse, ProduceResponse, Records};

use super::Answer;
use crate::model::Fate;
use crate::swarm::Trouble;
use crate::workload::*;

impl Workload {
    pub(super) fn produce_answered(
        &mut self,
        answer: Answer<'_>,
        (topic, version): (usize, u32),
        batches: Vec<(usize, u32)>,
        kind: Kind,
    ) -> Result<(), String> {
        let client = answer.client;
        let answer: ProduceResponse<'_> = answer.open(ApiKey::Produce, PRODUCE)?;
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
            let of = PartitionAsked {
                topic,
                version,
                partition,
            };
            self.produced(client, of, number, kind, outcome)?;
        }
        Ok(())
    }

    fn produced(
        &mut self,
        client: usize,
        of: PartitionAsked,
        number: u32,
        kind: Kind,
        (error, base): (i16, i64),
    ) -> Result<(), String> {
        let PartitionAsked {
            topic,
            version,
            partition,
        } = of;
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

    pub(super) fn fetch_answered(
        &mut self,
        answer: Answer<'_>,
        of: PartitionAsked,
        from: i64,
        end_min: i64,
    ) -> Result<(), String> {
        let PartitionAsked {
            topic,
            version,
            partition,
        } = of;
        let answer: FetchResponse<'_> = answer.open(ApiKey::Fetch, FETCH)?;
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

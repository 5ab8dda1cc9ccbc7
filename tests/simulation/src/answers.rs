//! What answers prove, and which of them no broker may give.
//!
//! Place: called by [`Workload::listen`] with each answer as it comes.

mod offsets;
mod records;
mod topics;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::Decode;

use crate::client::open;
use crate::swarm::Trouble;
use crate::workload::*;

pub use records::FetchAsked;

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
            Asked::Produce {
                topic,
                version,
                batches,
                kind,
            } => self.produce_answered(answer, (topic, version), batches, kind),
            Asked::Fetch { of, from, end_min } => self.fetch_answered(answer, of, from, end_min),
            Asked::FetchInSession(asked) => self.session_answered(client, (correlation, frame), asked),
            Asked::ListOffsets { of, earliest, bound } => {
                self.list_offsets_answered(answer, of, earliest, bound)
            }
            Asked::ListOffsetsByTime { of, at, end_min } => self.found_by_time(answer, of, at, end_min),
            Asked::DeleteRecords { of, before } => self.delete_records_answered(answer, of, before),
            Asked::Create { topic } => self.create_answered(answer, topic),
            Asked::Delete { topic } => self.delete_answered(answer, topic),
            Asked::Grow { topic, count } => self.grow_answered(answer, topic, count),
            Asked::Alter { topic, name, value } => self.alter_answered(answer, topic, name, value),
            Asked::InitProducerId { topic } => self.init_producer_id_answered(answer, topic),
        }
    }

    /// A request about topics that the controller did not carry out: the next start tells what is true.
    pub(super) fn refused(&self, what: &str, error: i16) -> Result<(), String> {
        let is_late = error == ErrorCode::RequestTimedOut as i16;
        // That is what the controller says that has no room, or that has stopped.
        let had_room = self.swarm.trouble == Trouble::FullDisk && !self.model.hurt && !self.is_full();
        match self.excused(error) && !(is_late && had_room) {
            true => Ok(()),
            false => Err(format!("{what} is refused: {error}")),
        }
    }

    /// As [`Workload::excused`], and what one that lied about this partition does.
    pub(super) fn excused_at(&self, error: i16, topic: usize, partition: usize) -> bool {
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
            // What was sent behind something that was refused.
            Some(ErrorCode::OutOfOrderSequenceNumber) => {
                self.model.hurt || self.swarm.trouble == Trouble::FullDisk
            }
            Some(
                ErrorCode::KafkaStorageError
                | ErrorCode::BrokerNotAvailable
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotController,
            ) => self.model.hurt || self.is_full(),
            _ => false,
        }
    }
}

/// An answer as it came.
#[derive(Clone, Copy)]
struct Answer<'a> {
    client: usize,
    /// Of the request that was next.
    correlation: i32,
    frame: &'a [u8],
}

impl<'a> Answer<'a> {
    fn open<T: Decode<'a>>(self, api: ApiKey, version: i16) -> Result<T, String> {
        let (found, answer) = open(self.frame, api, version)?;
        match found == self.correlation {
            true => Ok(answer),
            false => Err(format!("answer {found} came, {} was next", self.correlation)),
        }
    }
}

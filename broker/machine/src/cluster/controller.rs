//! What decides about the cluster: what a request changes, as records, or why it changes nothing. One file a
//! kind of request beside this one.
//!
//! Place: the controller's thread decides on the latest image, makes the records durable, and answers when
//! every shard holds the image with them.
//!
//! Invariants: deciding changes nothing and draws nothing at random: new ids are handed in. Items of a
//! request are decided one after the other, each on the image that those before it leave. Refusals carry
//! Kafka 4.3's codes and, as far as they mean something for one broker, its words.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::BrokerId;

use super::image::{ClusterImage, TopicImage};
use super::record::MetadataRecord;
use crate::config::settings::BrokerSettings;
use crate::limits::ClusterLimits;

/// What decisions are made on.
#[derive(Clone, Copy, Debug)]
pub struct Controller<'a> {
    pub image: &'a ClusterImage,
    pub settings: &'a BrokerSettings,
    pub limits: &'a ClusterLimits,
    /// The only broker there is.
    pub broker: BrokerId,
}

/// What was decided about a request: records to commit together, and an answer for each of its items, in
/// their order. For a request that only asks whether it could be carried out, the records are not to be
/// committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<T> {
    pub records: Vec<MetadataRecord>,
    pub answers: Vec<Result<T, Refusal>>,
}

/// Why an item is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// Empty where the code says it all.
    pub message: String,
}

impl<'a> Controller<'a> {
    /// The next block of producer ids; they belong to whoever commits the record.
    pub fn allocate_producer_ids(&self) -> MetadataRecord {
        let first = self.image.next_producer_id();
        MetadataRecord::ProducerIdBlock {
            first,
            count: self.limits.producer_id_block,
        }
    }

    /// Whether the cluster may hold so many more.
    pub(super) fn check_room(&self, topics: u32, partitions: u64) -> Result<(), Refusal> {
        let ClusterLimits {
            topics_max,
            partitions_max,
            ..
        } = *self.limits;
        let (live, deleted) = (self.image.topic_count() as u64, self.image.deleted_count() as u64);
        let message = if live + u64::from(topics) > topics_max.into() {
            format!("The cluster may not have more than {topics_max} topics (max.topics).")
        } else if topics > 0 && live + deleted >= 2 * u64::from(topics_max) {
            format!("{deleted} deleted topics still have files: too many for another topic (max.topics).")
        } else if self.image.partition_count() + partitions > partitions_max {
            format!(
                "The cluster may not have more than {partitions_max} partitions: max.partitions, or as many as \
                 memory has room for."
            )
        } else {
            return Ok(());
        };
        Err(refuse(ErrorCode::PolicyViolation, message))
    }

    /// Whether what clients name and configure may take `after` bytes where it took `before`. What shrinks may always.
    pub(super) fn check_metadata_bytes(&self, before: u64, after: u64) -> Result<(), Refusal> {
        let max = self.limits.metadata_bytes_max;
        if after <= before || self.image.metadata_bytes() - before + after <= max {
            return Ok(());
        }
        let message = format!(
            "Names and configurations of all topics may not take more than {max} bytes (max.metadata.bytes)."
        );
        Err(refuse(ErrorCode::PolicyViolation, message))
    }

    pub(super) fn known_topic(&self, name: &str) -> Result<&'a TopicImage, Refusal> {
        let unknown = || refuse(ErrorCode::UnknownTopicOrPartition, String::new());
        self.image
            .topic_by_name(name)
            .map(AsRef::as_ref)
            .ok_or_else(unknown)
    }
}

/// Whether a partition may lie on these brokers: on exactly this one, the only one that there is.
pub fn check_replicas(broker: BrokerId, replicas: &[i32]) -> Result<(), Refusal> {
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let message = match sorted[..] {
        [only] if only == broker.get() => return Ok(()),
        [] => "The manual partition assignment includes an empty replica list.".to_string(),
        _ => match sorted.iter().find(|replica| **replica != broker.get()) {
            Some(stranger) => format!(
                "The manual partition assignment includes broker {stranger}, but no such broker is registered."
            ),
            None => {
                format!("The manual partition assignment includes the broker {broker} more than once.")
            }
        },
    };
    Err(refuse(ErrorCode::InvalidReplicaAssignment, message))
}

/// Decides items one after the other, each on the image that those before it leave.
pub(super) struct Decider<'a, T> {
    image: ClusterImage,
    asked: Controller<'a>,
    pub decision: Decision<T>,
}

impl<'a, T> Decider<'a, T> {
    pub fn new(controller: &Controller<'a>) -> Self {
        let decision = Decision {
            records: Vec::new(),
            answers: Vec::new(),
        };
        Self {
            image: controller.image.clone(),
            asked: *controller,
            decision,
        }
    }

    pub fn controller(&self) -> Controller<'_> {
        Controller {
            image: &self.image,
            ..self.asked
        }
    }

    pub fn push(&mut self, answer: Result<(T, MetadataRecord), Refusal>) {
        self.push_all(answer.map(|(answer, record)| (answer, Some(record))));
    }

    pub fn push_all(&mut self, answer: Result<(T, Option<MetadataRecord>), Refusal>) {
        self.decision.answers.push(answer.map(|(answer, record)| {
            if let Some(record) = record {
                self.image = self.image.apply(core::slice::from_ref(&record));
                self.decision.records.push(record);
            }
            answer
        }));
    }
}

pub(super) fn refuse(code: ErrorCode, message: impl Into<String>) -> Refusal {
    Refusal {
        code,
        message: message.into(),
    }
}

/// What occurs more than once.
pub(super) fn duplicates<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeSet<K> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for key in keys {
        if let Some(key) = seen.replace(key) {
            twice.insert(key);
        }
    }
    twice
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// What a controller is made of.
    pub struct World {
        pub image: ClusterImage,
        pub settings: BrokerSettings,
        pub limits: ClusterLimits,
    }

    impl World {
        pub fn new(records: &[MetadataRecord]) -> Self {
            let image = ClusterImage::empty().apply(records);
            Self {
                image,
                settings: BrokerSettings::new(),
                limits: ClusterLimits::default(),
            }
        }

        pub fn controller(&self) -> Controller<'_> {
            let Self {
                image,
                settings,
                limits,
            } = self;
            Controller {
                image,
                settings,
                limits,
                broker: BrokerId::new(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::World;
    use super::*;

    #[test]
    fn producer_ids_come_in_blocks_that_do_not_overlap() {
        let mut world = World::new(&[]);
        for block in 0..3 {
            let record = world.controller().allocate_producer_ids();
            let MetadataRecord::ProducerIdBlock { first, count } = record else {
                panic!("a block of ids")
            };
            assert_eq!((first.get(), count), (block * 1_000, 1_000));
            world.image = world.image.apply(&[record]);
        }
    }
}

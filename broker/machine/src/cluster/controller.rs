//! Decisions about topics: what a request changes, as records, or why it changes nothing.
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
use millstream_protocol::types::{BrokerId, TopicId};

use super::image::{ClusterImage, TopicImage};
use super::record::MetadataRecord;
use super::{alter_configs, topic_name};
use crate::config::map::ConfigMap;
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

/// A topic to create. -1 asks for the default.
#[derive(Clone, Copy, Debug)]
pub struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    pub replication_factor: i16,
    /// Brokers by partition; empty lets the controller choose.
    pub assignments: &'a [(i32, &'a [i32])],
    pub configs: &'a [(&'a str, Option<&'a str>)],
}

/// A topic as it was, or would be, created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: TopicId,
    pub partitions: u32,
    pub replication_factor: i16,
    /// The topic's own ones.
    pub configs: ConfigMap,
}

/// A topic to delete, by exactly one of the two.
#[derive(Clone, Copy, Debug)]
pub struct DeleteTopic<'a> {
    pub name: Option<&'a str>,
    /// [`TopicId::ZERO`] where the name is given.
    pub id: TopicId,
}

/// A topic to give more partitions.
#[derive(Clone, Copy, Debug)]
pub struct GrowTopic<'a> {
    pub name: &'a str,
    /// How many it is to have in all.
    pub partitions: i32,
    /// Brokers of the new partitions; `None` lets the controller choose.
    pub assignments: Option<&'a [&'a [i32]]>,
}

impl<'a> Controller<'a> {
    /// Decides on new topics; `new_id` draws an id that no topic ever had.
    pub fn create_topics(
        &self,
        topics: &[NewTopic<'_>],
        new_id: &mut dyn FnMut() -> TopicId,
    ) -> Decision<CreatedTopic> {
        let wanted = topics
            .iter()
            .map(|topic| i64::from(self.partitions_of(topic).max(0)))
            .sum::<i64>();
        if wanted > self.limits.partitions_per_request_max.into() {
            let excessive = refuse(
                ErrorCode::PolicyViolation,
                "Excessively large number of partitions per request.",
            );
            return Decision {
                records: Vec::new(),
                answers: topics.iter().map(|_| Err(excessive.clone())).collect(),
            };
        }
        let duplicates = duplicates(topics.iter().map(|topic| topic.name));
        let mut decider = Decider::new(self);
        for topic in topics {
            let answer = if duplicates.contains(topic.name) {
                Err(refuse(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                decider.controller().create_topic(topic, new_id)
            };
            decider.push(answer);
        }
        decider.decision
    }

    /// Whether a topic that a client asks for may be created on the way, and with what.
    pub fn auto_create_topic(
        &self,
        name: &str,
        new_id: &mut dyn FnMut() -> TopicId,
    ) -> Decision<CreatedTopic> {
        if !self.settings.is_on("auto.create.topics.enable") {
            let unknown = Refusal {
                code: ErrorCode::UnknownTopicOrPartition,
                message: String::new(),
            };
            return Decision {
                records: Vec::new(),
                answers: [Err(unknown)].to_vec(),
            };
        }
        let by_default = NewTopic {
            name,
            partitions: -1,
            replication_factor: -1,
            assignments: &[],
            configs: &[],
        };
        self.create_topics(&[by_default], new_id)
    }

    /// Decides on deletions; an answer is the deleted topic.
    pub fn delete_topics(&self, topics: &[DeleteTopic<'_>]) -> Decision<(TopicId, String)> {
        let names = duplicates(topics.iter().filter_map(|topic| topic.name));
        let ids = duplicates(topics.iter().map(|topic| topic.id).filter(|id| !id.is_zero()));
        let given_ids: BTreeSet<_> = topics.iter().map(|topic| topic.id).collect();
        let mut decider = Decider::new(self);
        for topic in topics {
            let by_name = topic.name.and_then(|name| self.image.topic_by_name(name));
            let answer = if topic.name.is_some_and(|name| names.contains(name)) {
                Err(refuse(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else if ids.contains(&topic.id) {
                Err(refuse(ErrorCode::InvalidRequest, "Duplicate topic id."))
            } else if by_name.is_some_and(|known| given_ids.contains(&known.id) && topic.id.is_zero()) {
                let message = "The provided topic name maps to an ID that was already supplied.";
                Err(refuse(ErrorCode::InvalidRequest, message))
            } else {
                decider.controller().delete_topic(topic)
            };
            decider.push(answer);
        }
        decider.decision
    }

    /// Decides on more partitions.
    pub fn create_partitions(&self, topics: &[GrowTopic<'_>]) -> Decision<()> {
        let duplicates = duplicates(topics.iter().map(|topic| topic.name));
        let mut decider = Decider::new(self);
        let mut new_partitions = 0;
        for topic in topics {
            let answer = if duplicates.contains(topic.name) {
                Err(refuse(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                decider.controller().grow_topic(topic, &mut new_partitions)
            };
            decider.push(answer);
        }
        decider.decision
    }

    /// The next block of producer ids; they belong to whoever commits the record.
    pub fn allocate_producer_ids(&self) -> MetadataRecord {
        let first = self.image.next_producer_id();
        MetadataRecord::ProducerIdBlock {
            first,
            count: self.limits.producer_id_block,
        }
    }

    fn create_topic(
        &self,
        topic: &NewTopic<'_>,
        new_id: &mut dyn FnMut() -> TopicId,
    ) -> Result<(CreatedTopic, MetadataRecord), Refusal> {
        self.check_name(topic.name)?;
        let configs = self.check_configs(topic.configs)?;
        let partitions = self.check_partitions(topic)?;
        self.check_room(1, partitions.into())?;
        let id = new_id();
        let record = MetadataRecord::TopicCreated {
            id,
            name: topic.name.to_string(),
            partitions,
            configs: configs.clone(),
        };
        Ok((
            CreatedTopic {
                id,
                partitions,
                replication_factor: REPLICAS,
                configs,
            },
            record,
        ))
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if name == METADATA_TOPIC {
            let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return Err(Refusal {
                code: ErrorCode::InvalidRequest,
                message,
            });
        }
        if self.image.topic_by_name(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal {
                code: ErrorCode::TopicAlreadyExists,
                message,
            });
        }
        let invalid = |message| Refusal {
            code: ErrorCode::InvalidTopicException,
            message,
        };
        topic_name::check(name).map_err(invalid)?;
        match self.image.colliding_name(name) {
            Some(known) => Err(invalid(format!(
                "Topic '{name}' collides with existing topic: {known}"
            ))),
            None => Ok(()),
        }
    }

    fn check_configs(&self, configs: &[(&str, Option<&str>)]) -> Result<ConfigMap, Refusal> {
        let nulls: Vec<_> = configs
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| *name)
            .collect();
        if !nulls.is_empty() {
            let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
            return Err(Refusal {
                code: ErrorCode::InvalidConfig,
                message,
            });
        }
        let set = configs
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), (*value)?.to_string())));
        let configs: ConfigMap = set.collect();
        alter_configs::check_topic_configs(&configs, self.limits)?;
        Ok(configs)
    }

    /// How many partitions the topic gets.
    fn check_partitions(&self, topic: &NewTopic<'_>) -> Result<u32, Refusal> {
        if !topic.assignments.is_empty() {
            return self.check_assignments(topic);
        }
        if topic.replication_factor == 0 || topic.replication_factor < -1 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(refuse(ErrorCode::InvalidReplicationFactor, message));
        }
        let partitions = match u32::try_from(self.partitions_of(topic)) {
            Ok(partitions) if partitions > 0 => partitions,
            _ => {
                let message = "Number of partitions was set to an invalid non-positive value.";
                return Err(refuse(ErrorCode::InvalidPartitions, message));
            }
        };
        let replicas = match topic.replication_factor {
            -1 => self.settings.number("default.replication.factor"),
            factor => factor.into(),
        };
        if replicas != i64::from(REPLICAS) {
            let message = format!(
                "Unable to replicate the partition {replicas} time(s): The target replication factor of {replicas} \
                 cannot be reached because only 1 broker(s) are registered."
            );
            return Err(Refusal {
                code: ErrorCode::InvalidReplicationFactor,
                message,
            });
        }
        Ok(partitions)
    }

    fn check_assignments(&self, topic: &NewTopic<'_>) -> Result<u32, Refusal> {
        let needs_default =
            |what| format!("A manual partition assignment was specified, but {what} was not set to -1.");
        if topic.replication_factor != -1 {
            return Err(refuse(
                ErrorCode::InvalidRequest,
                &needs_default("replication factor"),
            ));
        }
        if topic.partitions != -1 {
            return Err(refuse(ErrorCode::InvalidRequest, &needs_default("numPartitions")));
        }
        let invalid = |message: String| Refusal {
            code: ErrorCode::InvalidReplicaAssignment,
            message,
        };
        let mut partitions = BTreeSet::new();
        for (partition, brokers) in topic.assignments {
            if !partitions.insert(*partition) {
                return Err(invalid(format!(
                    "Found multiple manual partition assignments for partition {partition}"
                )));
            }
            self.check_replicas(brokers)?;
        }
        if !partitions.iter().copied().eq(0..partitions.len() as i32) {
            return Err(invalid(
                "partitions should be a consecutive 0-based integer sequence".to_string(),
            ));
        }
        Ok(partitions.len() as u32)
    }

    /// One partition's brokers: exactly this one.
    fn check_replicas(&self, brokers: &[i32]) -> Result<(), Refusal> {
        let mut sorted = brokers.to_vec();
        sorted.sort_unstable();
        let message = match sorted[..] {
            [only] if only == self.broker.get() => return Ok(()),
            [] => "The manual partition assignment includes an empty replica list.".to_string(),
            _ => match sorted.iter().find(|broker| **broker != self.broker.get()) {
                Some(stranger) => format!(
                    "The manual partition assignment includes broker {stranger}, but no such broker is registered."
                ),
                None => format!(
                    "The manual partition assignment includes the broker {} more than once.",
                    self.broker
                ),
            },
        };
        Err(Refusal {
            code: ErrorCode::InvalidReplicaAssignment,
            message,
        })
    }

    /// Whether the cluster may hold so many more.
    fn check_room(&self, topics: u32, partitions: u64) -> Result<(), Refusal> {
        let ClusterLimits {
            topics_max,
            partitions_max,
            ..
        } = *self.limits;
        let message = if self.image.topic_count() as u64 + u64::from(topics) > topics_max.into() {
            format!("The cluster may not have more than {topics_max} topics.")
        } else if self.image.partition_count() + partitions > partitions_max {
            format!("The cluster may not have more than {partitions_max} partitions.")
        } else {
            return Ok(());
        };
        Err(Refusal {
            code: ErrorCode::PolicyViolation,
            message,
        })
    }

    fn delete_topic(&self, topic: &DeleteTopic<'_>) -> Result<((TopicId, String), MetadataRecord), Refusal> {
        if !self.settings.is_on("delete.topic.enable") {
            return Err(refuse(
                ErrorCode::TopicDeletionDisabled,
                "Topic deletion is disabled.",
            ));
        }
        let known: &TopicImage = match (topic.name, topic.id.is_zero()) {
            (Some(_), false) => {
                let message = "You may not specify both topic name and topic id.";
                return Err(refuse(ErrorCode::InvalidRequest, message));
            }
            (None, true) => {
                return Err(refuse(
                    ErrorCode::InvalidRequest,
                    "Neither topic name nor id were specified.",
                ));
            }
            (Some(name), true) => self.known_topic(name)?,
            (None, false) => {
                let unknown = || Refusal {
                    code: ErrorCode::UnknownTopicId,
                    message: String::new(),
                };
                self.image.topic(topic.id).ok_or_else(unknown)?
            }
        };
        Ok((
            (known.id, known.name.to_string()),
            MetadataRecord::TopicDeleted { id: known.id },
        ))
    }

    fn grow_topic(
        &self,
        topic: &GrowTopic<'_>,
        new_partitions: &mut u32,
    ) -> Result<((), MetadataRecord), Refusal> {
        let known = self.known_topic(topic.name)?;
        let present = i64::from(known.partitions);
        let added = i64::from(topic.partitions) - present;
        if added <= 0 {
            let message = if added == 0 {
                format!("Topic already has {present} partition(s).")
            } else {
                format!(
                    "The topic {} currently has {present} partition(s); {} would not be an increase.",
                    topic.name, topic.partitions
                )
            };
            return Err(Refusal {
                code: ErrorCode::InvalidPartitions,
                message,
            });
        }
        let added = u32::try_from(added).expect("a positive difference of counts");
        if let Some(assignments) = topic.assignments {
            if assignments.len() != added as usize {
                let message = format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                );
                return Err(Refusal {
                    code: ErrorCode::InvalidReplicaAssignment,
                    message,
                });
            }
            assignments
                .iter()
                .try_for_each(|brokers| self.check_replicas(brokers))?;
        }
        if new_partitions.saturating_add(added) > self.limits.partitions_per_request_max {
            let message = "Excessively large number of partitions per request.";
            return Err(refuse(ErrorCode::PolicyViolation, message));
        }
        self.check_room(0, added.into())?;
        *new_partitions += added;
        Ok((
            (),
            MetadataRecord::PartitionsAdded {
                id: known.id,
                partitions: known.partitions + added,
            },
        ))
    }

    fn known_topic(&self, name: &str) -> Result<&'a TopicImage, Refusal> {
        let unknown = || Refusal {
            code: ErrorCode::UnknownTopicOrPartition,
            message: String::new(),
        };
        self.image
            .topic_by_name(name)
            .map(AsRef::as_ref)
            .ok_or_else(unknown)
    }

    fn partitions_of(&self, topic: &NewTopic<'_>) -> i32 {
        match (topic.assignments.len(), topic.partitions) {
            (0, -1) => i32::try_from(self.settings.number("num.partitions")).expect("an INT"),
            (0, partitions) => partitions,
            (assigned, _) => i32::try_from(assigned).unwrap_or(i32::MAX),
        }
    }
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

pub(super) fn refuse(code: ErrorCode, message: &str) -> Refusal {
    Refusal {
        code,
        message: message.to_string(),
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

/// One broker holds one replica of everything.
const REPLICAS: i16 = 1;
/// Kafka's own metadata log: a topic there, none here, and no name for one in either.
const METADATA_TOPIC: &str = "__cluster_metadata";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::topic_created;
    use std::vec;

    struct World {
        image: ClusterImage,
        settings: BrokerSettings,
        limits: ClusterLimits,
    }

    impl World {
        fn new(records: &[MetadataRecord]) -> Self {
            let image = ClusterImage::empty().apply(records);
            Self {
                image,
                settings: BrokerSettings::new(),
                limits: ClusterLimits::default(),
            }
        }

        fn controller(&self) -> Controller<'_> {
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

        fn create(&self, topics: &[NewTopic<'_>]) -> Decision<CreatedTopic> {
            let mut number = 100;
            self.controller().create_topics(topics, &mut || {
                number += 1;
                TopicId::new([number; 16])
            })
        }
    }

    fn topic(name: &str) -> NewTopic<'_> {
        NewTopic {
            name,
            partitions: -1,
            replication_factor: -1,
            assignments: &[],
            configs: &[],
        }
    }

    /// One topic in a cluster that has `here` and `a.b`; what it is refused with, or its partitions.
    #[track_caller]
    fn check(topic: NewTopic<'_>, expect: Result<u32, (ErrorCode, &str)>) {
        let world = World::new(&[topic_created(1, "here", 3), topic_created(2, "a.b", 3)]);
        let decision = world.create(&[topic]);
        let found = decision.answers[0].as_ref().map(|created| created.partitions);
        assert_eq!(
            found.map_err(|refusal| (refusal.code, refusal.message.as_str())),
            expect
        );
        assert_eq!(decision.records.len(), usize::from(expect.is_ok()));
    }

    #[test]
    fn topics_get_defaults_and_ids_that_were_handed_in() {
        let mut world = World::new(&[]);
        world.settings.set("num.partitions", "4").unwrap();
        let decision = world.create(&[
            topic("a"),
            NewTopic {
                partitions: 2,
                ..topic("b")
            },
        ]);
        let ids: Vec<_> = decision
            .answers
            .iter()
            .map(|answer| answer.as_ref().unwrap().id)
            .collect();
        assert_eq!(ids, [TopicId::new([101; 16]), TopicId::new([102; 16])]);
        let image = world.image.apply(&decision.records);
        let partitions = |name| image.topic_by_name(name).unwrap().partitions;
        assert_eq!((partitions("a"), partitions("b")), (4, 2));
    }

    #[test]
    fn names_must_be_legal_and_free() {
        check(topic("new"), Ok(1));
        check(
            topic("here"),
            Err((ErrorCode::TopicAlreadyExists, "Topic 'here' already exists.")),
        );
        let collides = "Topic 'a_b' collides with existing topic: a.b";
        check(topic("a_b"), Err((ErrorCode::InvalidTopicException, collides)));
        let illegal = "Topic name is invalid: '.' is not allowed";
        check(topic("."), Err((ErrorCode::InvalidTopicException, illegal)));
        let internal = "Creation of internal topic __cluster_metadata is prohibited.";
        check(
            topic("__cluster_metadata"),
            Err((ErrorCode::InvalidRequest, internal)),
        );
    }

    #[test]
    fn a_request_does_not_contradict_itself() {
        let world = World::new(&[]);
        let decision = world.create(&[topic("a"), topic("x.y"), topic("a"), topic("x_y")]);
        let codes: Vec<_> = decision
            .answers
            .iter()
            .map(|answer| answer.as_ref().err().map(|refusal| refusal.code))
            .collect();
        let (twice, collides) = (
            Some(ErrorCode::InvalidRequest),
            Some(ErrorCode::InvalidTopicException),
        );
        assert_eq!(codes, [twice, None, twice, collides]);
    }

    #[test]
    fn one_broker_holds_one_replica() {
        check(
            NewTopic {
                replication_factor: 1,
                ..topic("new")
            },
            Ok(1),
        );
        let unable = "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be \
                      reached because only 1 broker(s) are registered.";
        let code = ErrorCode::InvalidReplicationFactor;
        check(
            NewTopic {
                replication_factor: 3,
                ..topic("new")
            },
            Err((code, unable)),
        );
        let positive = "Replication factor must be larger than 0, or -1 to use the default value.";
        check(
            NewTopic {
                replication_factor: 0,
                ..topic("new")
            },
            Err((code, positive)),
        );
        check(
            NewTopic {
                replication_factor: -2,
                ..topic("new")
            },
            Err((code, positive)),
        );
    }

    #[test]
    fn partitions_are_positive_and_not_too_many() {
        let positive = "Number of partitions was set to an invalid non-positive value.";
        check(
            NewTopic {
                partitions: 0,
                ..topic("new")
            },
            Err((ErrorCode::InvalidPartitions, positive)),
        );
        check(
            NewTopic {
                partitions: -2,
                ..topic("new")
            },
            Err((ErrorCode::InvalidPartitions, positive)),
        );
        check(
            NewTopic {
                partitions: 10_000,
                ..topic("new")
            },
            Ok(10_000),
        );
        let excessive = "Excessively large number of partitions per request.";
        let many = NewTopic {
            partitions: 10_001,
            ..topic("new")
        };
        check(many, Err((ErrorCode::PolicyViolation, excessive)));
    }

    #[test]
    fn the_cluster_has_bounds() {
        let mut world = World::new(&[topic_created(1, "here", 3)]);
        world.limits.partitions_max = 5;
        let wide = world.create(&[NewTopic {
            partitions: 3,
            ..topic("a")
        }]);
        assert_eq!(
            wide.answers[0].as_ref().unwrap_err().code,
            ErrorCode::PolicyViolation
        );
        assert!(
            world
                .create(&[NewTopic {
                    partitions: 2,
                    ..topic("a")
                }])
                .answers[0]
                .is_ok()
        );
        world.limits.topics_max = 2;
        let answers = world.create(&[topic("a"), topic("b")]).answers;
        assert!(answers[0].is_ok());
        assert_eq!(answers[1].as_ref().unwrap_err().code, ErrorCode::PolicyViolation);
    }

    #[test]
    fn assignments_name_this_broker_for_partitions_from_0() {
        let assigned = |assignments| NewTopic {
            assignments,
            ..topic("new")
        };
        check(assigned(&[(1, &[1]), (0, &[1])]), Ok(2));
        let invalid = |message| Err((ErrorCode::InvalidReplicaAssignment, message));
        check(
            assigned(&[(0, &[1]), (0, &[1])]),
            invalid("Found multiple manual partition assignments for partition 0"),
        );
        check(
            assigned(&[(0, &[1]), (2, &[1])]),
            invalid("partitions should be a consecutive 0-based integer sequence"),
        );
        check(
            assigned(&[(0, &[])]),
            invalid("The manual partition assignment includes an empty replica list."),
        );
        check(
            assigned(&[(0, &[1, 5])]),
            invalid("The manual partition assignment includes broker 5, but no such broker is registered."),
        );
        check(
            assigned(&[(0, &[1, 1])]),
            invalid("The manual partition assignment includes the broker 1 more than once."),
        );
        let counted = NewTopic {
            partitions: 1,
            ..assigned(&[(0, &[1])])
        };
        let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        check(counted, Err((ErrorCode::InvalidRequest, message)));
        let factor = NewTopic {
            replication_factor: 1,
            ..assigned(&[(0, &[1])])
        };
        let message =
            "A manual partition assignment was specified, but replication factor was not set to -1.";
        check(factor, Err((ErrorCode::InvalidRequest, message)));
    }

    #[test]
    fn configs_are_checked_before_anything_is_created() {
        let configured = |configs| NewTopic {
            configs,
            ..topic("new")
        };
        check(
            configured(&[("retention.ms", Some("5")), ("cleanup.policy", Some("compact"))]),
            Ok(1),
        );
        let invalid = |message| Err((ErrorCode::InvalidConfig, message));
        check(
            configured(&[("nope", Some("5"))]),
            invalid("Unknown topic config name: nope"),
        );
        check(
            configured(&[("retention.ms", None), ("segment.ms", None)]),
            invalid("Null value not supported for topic configs: retention.ms,segment.ms"),
        );
        check(
            configured(&[("retention.ms", Some("x"))]),
            invalid("Invalid value x for configuration retention.ms: Not a number of type LONG"),
        );
    }

    #[test]
    fn topics_are_created_on_the_way_where_that_is_wanted() {
        let mut world = World::new(&[]);
        let mut id = || TopicId::new([9; 16]);
        assert!(world.controller().auto_create_topic("a", &mut id).answers[0].is_ok());
        let bad = world.controller().auto_create_topic("a b", &mut id);
        assert_eq!(
            bad.answers[0].as_ref().unwrap_err().code,
            ErrorCode::InvalidTopicException
        );
        world.settings.set("auto.create.topics.enable", "false").unwrap();
        let off = world.controller().auto_create_topic("a", &mut id);
        assert_eq!(
            off.answers[0].as_ref().unwrap_err().code,
            ErrorCode::UnknownTopicOrPartition
        );
        assert_eq!(off.records, []);
    }

    #[test]
    fn topics_are_deleted_by_name_or_id() {
        let world = World::new(&[
            topic_created(1, "a", 1),
            topic_created(2, "b", 1),
            topic_created(3, "c", 1),
        ]);
        let id = |number| TopicId::new([number; 16]);
        let by_name = |name| DeleteTopic {
            name: Some(name),
            id: TopicId::ZERO,
        };
        let by_id = |number| DeleteTopic {
            name: None,
            id: id(number),
        };
        let delete = |topics: &[DeleteTopic<'_>]| {
            let decision = world.controller().delete_topics(topics);
            decision
                .answers
                .into_iter()
                .map(|answer| answer.map_err(|refusal| refusal.code))
                .collect::<Vec<_>>()
        };
        let deleted = |number, name: &str| Ok((id(number), name.to_string()));
        let invalid = Err(ErrorCode::InvalidRequest);
        assert_eq!(
            delete(&[by_name("a"), by_id(2)]),
            [deleted(1, "a"), deleted(2, "b")]
        );
        let unknown = [
            Err(ErrorCode::UnknownTopicOrPartition),
            Err(ErrorCode::UnknownTopicId),
        ];
        assert_eq!(delete(&[by_name("z"), by_id(9)]), unknown);
        assert_eq!(
            delete(&[by_name("a"), by_name("a"), by_id(2), by_id(2)]),
            vec![invalid.clone(); 4]
        );
        assert_eq!(
            delete(&[by_name("c"), by_id(3)]),
            [invalid.clone(), deleted(3, "c")]
        );
        let both = DeleteTopic {
            name: Some("a"),
            id: id(2),
        };
        let neither = DeleteTopic {
            name: None,
            id: TopicId::ZERO,
        };
        assert_eq!(delete(&[both, neither]), [invalid.clone(), invalid]);
        let mut world = World::new(&[topic_created(1, "a", 1)]);
        world.settings.set("delete.topic.enable", "false").unwrap();
        let off = world.controller().delete_topics(&[by_name("a")]);
        assert_eq!(
            off.answers[0].as_ref().unwrap_err().code,
            ErrorCode::TopicDeletionDisabled
        );
    }

    #[test]
    fn partitions_grow_and_never_shrink() {
        let world = World::new(&[topic_created(1, "a", 3)]);
        let grow = |partitions, assignments| {
            let topic = GrowTopic {
                name: "a",
                partitions,
                assignments,
            };
            let decision = world.controller().create_partitions(&[topic]);
            decision.answers[0]
                .clone()
                .map_err(|refusal| (refusal.code, refusal.message))
                .map(|()| decision.records)
        };
        let id = TopicId::new([1; 16]);
        assert_eq!(
            grow(5, None),
            Ok(vec![MetadataRecord::PartitionsAdded { id, partitions: 5 }])
        );
        let refused = |code, message: &str| Err((code, message.to_string()));
        assert_eq!(
            grow(3, None),
            refused(ErrorCode::InvalidPartitions, "Topic already has 3 partition(s).")
        );
        let shrink = "The topic a currently has 3 partition(s); 2 would not be an increase.";
        assert_eq!(grow(2, None), refused(ErrorCode::InvalidPartitions, shrink));
        assert!(grow(4, Some(&[&[1]])).is_ok());
        let few = "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.";
        assert_eq!(
            grow(5, Some(&[&[1]])),
            refused(ErrorCode::InvalidReplicaAssignment, few)
        );
        assert_eq!(
            grow(4, Some(&[&[7]])).unwrap_err().0,
            ErrorCode::InvalidReplicaAssignment
        );
        assert_eq!(grow(10_004, None).unwrap_err().0, ErrorCode::PolicyViolation);
        let unknown = GrowTopic {
            name: "z",
            partitions: 2,
            assignments: None,
        };
        let answers = world.controller().create_partitions(&[unknown]).answers;
        assert_eq!(
            answers[0].as_ref().unwrap_err().code,
            ErrorCode::UnknownTopicOrPartition
        );
    }

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

//! Decisions on new topics, asked for or made on the way.
//!
//! Place: as [`super::controller`]. Invariants: a topic that is created has a name that no other has or can be
//! taken for, configurations that were accepted as a whole, and partitions that the cluster has room for.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TopicId;

use super::controller::{Controller, Decider, Decision, Refusal, check_replicas, duplicates, refuse};
use super::internal_topic::OFFSETS_TOPIC;
use super::record::MetadataRecord;
use super::{config_rules, topic_name};
use crate::config::map::ConfigMap;

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

impl Controller<'_> {
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
        if name == OFFSETS_TOPIC {
            return self.create_offsets_topic(new_id);
        }
        if !self.settings.is_on("auto.create.topics.enable") {
            let unknown = refuse(ErrorCode::UnknownTopicOrPartition, String::new());
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

    fn create_topic(
        &self,
        topic: &NewTopic<'_>,
        new_id: &mut dyn FnMut() -> TopicId,
    ) -> Result<(CreatedTopic, MetadataRecord), Refusal> {
        self.check_name(topic.name)?;
        let configs = self.check_configs(topic.configs)?;
        let partitions = self.check_partitions(topic)?;
        self.check_room(1, partitions.into())?;
        self.check_metadata_bytes(0, topic.name.len() as u64 + configs.metadata_bytes())?;
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
            return Err(refuse(ErrorCode::InvalidRequest, message));
        }
        if self.image.topic_by_name(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(refuse(ErrorCode::TopicAlreadyExists, message));
        }
        let invalid = |message: String| refuse(ErrorCode::InvalidTopicException, message);
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
            return Err(refuse(ErrorCode::InvalidConfig, message));
        }
        let set = configs
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), (*value)?.to_string())));
        let configs: ConfigMap = set.collect();
        config_rules::check_topic_configs(&configs, self.limits)?;
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
            return Err(refuse(ErrorCode::InvalidReplicationFactor, message));
        }
        Ok(partitions)
    }

    fn check_assignments(&self, topic: &NewTopic<'_>) -> Result<u32, Refusal> {
        let needs_default =
            |what| format!("A manual partition assignment was specified, but {what} was not set to -1.");
        if topic.replication_factor != -1 {
            return Err(refuse(
                ErrorCode::InvalidRequest,
                needs_default("replication factor"),
            ));
        }
        if topic.partitions != -1 {
            return Err(refuse(ErrorCode::InvalidRequest, needs_default("numPartitions")));
        }
        let invalid = |message: String| refuse(ErrorCode::InvalidReplicaAssignment, message);
        let mut partitions = BTreeSet::new();
        for (partition, brokers) in topic.assignments {
            if !partitions.insert(*partition) {
                return Err(invalid(format!(
                    "Found multiple manual partition assignments for partition {partition}"
                )));
            }
            check_replicas(self.broker, brokers)?;
        }
        if !partitions.iter().copied().eq(0..partitions.len() as i32) {
            return Err(invalid(
                "partitions should be a consecutive 0-based integer sequence".to_string(),
            ));
        }
        Ok(partitions.len() as u32)
    }

    fn partitions_of(&self, topic: &NewTopic<'_>) -> i32 {
        match (topic.assignments.len(), topic.partitions) {
            (0, -1) => i32::try_from(self.settings.number("num.partitions")).expect("an INT"),
            (0, partitions) => partitions,
            (assigned, _) => i32::try_from(assigned).unwrap_or(i32::MAX),
        }
    }
}

/// One broker holds one replica of everything.
const REPLICAS: i16 = 1;
/// Kafka's own metadata log: a topic there, none here, and no name for one in either.
const METADATA_TOPIC: &str = "__cluster_metadata";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::controller::testing::World;
    use crate::limits::CONFIG_ENTRY_BYTES;
    use crate::testing::topic_created;

    fn create(world: &World, topics: &[NewTopic<'_>]) -> Decision<CreatedTopic> {
        let mut number = 100;
        world.controller().create_topics(topics, &mut || {
            number += 1;
            TopicId::new([number; 16])
        })
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
        let decision = create(&world, &[topic]);
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
        let decision = create(
            &world,
            &[
                topic("a"),
                NewTopic {
                    partitions: 2,
                    ..topic("b")
                },
            ],
        );
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
        let decision = create(&world, &[topic("a"), topic("x.y"), topic("a"), topic("x_y")]);
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
        let wide = create(
            &world,
            &[NewTopic {
                partitions: 3,
                ..topic("a")
            }],
        );
        assert_eq!(
            wide.answers[0].as_ref().unwrap_err().code,
            ErrorCode::PolicyViolation
        );
        assert!(
            create(
                &world,
                &[NewTopic {
                    partitions: 2,
                    ..topic("a")
                }]
            )
            .answers[0]
                .is_ok()
        );
        world.limits.topics_max = 2;
        let answers = create(&world, &[topic("a"), topic("b")]).answers;
        assert!(answers[0].is_ok());
        assert_eq!(answers[1].as_ref().unwrap_err().code, ErrorCode::PolicyViolation);
    }

    /// Names count as configurations do.
    #[test]
    fn names_and_configurations_of_all_topics_are_bounded() {
        let mut world = World::new(&[topic_created(1, "here", 3)]);
        let long = format!("{}5", " ".repeat(1_000));
        let configs = [("segment.ms", Some(long.as_str()))];
        let with_configs = |name| NewTopic {
            configs: &configs,
            ..topic(name)
        };
        world.limits.metadata_bytes_max = world.image.metadata_bytes() + 2 + 10 + 1_001 + CONFIG_ENTRY_BYTES;
        let code = |world: &World, new| {
            create(world, &[new])
                .answers
                .remove(0)
                .err()
                .map(|refusal| refusal.code)
        };
        assert_eq!(code(&world, with_configs("ab")), None);
        assert_eq!(
            code(&world, with_configs("abc")),
            Some(ErrorCode::PolicyViolation)
        );
        world.limits.metadata_bytes_max = world.image.metadata_bytes() + 2;
        assert_eq!(code(&world, topic("abc")), Some(ErrorCode::PolicyViolation));
        let image = world.image.apply(&[MetadataRecord::TopicDeleted {
            id: TopicId::new([1; 16]),
        }]);
        world.image = image;
        assert_eq!(
            code(&world, topic("abc")),
            Some(ErrorCode::PolicyViolation),
            "its files are still there"
        );
        world.image = world.image.apply(&[MetadataRecord::TopicPurged {
            id: TopicId::new([1; 16]),
        }]);
        assert_eq!(code(&world, topic("abc")), None);
    }

    #[test]
    fn topics_that_are_being_deleted_are_bounded() {
        let mut world = World::new(&[]);
        world.limits.topics_max = 2;
        for round in 0..4 {
            let name = format!("t{round}");
            assert!(create(&world, &[topic(&name)]).answers[0].is_ok());
            let id = TopicId::new([round; 16]);
            let records = [
                topic_created(round, &name, 1),
                MetadataRecord::TopicDeleted { id },
            ];
            world.image = world.image.apply(&records);
        }
        let refused = create(&world, &[topic("more")]).answers.remove(0).unwrap_err();
        assert_eq!(refused.code, ErrorCode::PolicyViolation);
        let id = TopicId::new([2; 16]);
        world.image = world.image.apply(&[MetadataRecord::TopicPurged { id }]);
        assert!(create(&world, &[topic("more")]).answers[0].is_ok());
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
}

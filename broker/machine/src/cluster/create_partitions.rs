//! Decisions on more partitions for topics that exist: their number only grows.
//!
//! Place: as [`super::controller`].

use alloc::format;

use millstream_protocol::error::ErrorCode;

use super::controller::{Controller, Decider, Decision, Refusal, check_replicas, duplicates, refuse};
use super::internal_topic::OFFSETS_TOPIC;
use super::record::MetadataRecord;

/// A topic to give more partitions.
#[derive(Clone, Copy, Debug)]
pub struct GrowTopic<'a> {
    pub name: &'a str,
    /// How many it is to have in all.
    pub partitions: i32,
    /// Brokers of the new partitions; `None` lets the controller choose.
    pub assignments: Option<&'a [&'a [i32]]>,
}

impl Controller<'_> {
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

    fn grow_topic(
        &self,
        topic: &GrowTopic<'_>,
        new_partitions: &mut u32,
    ) -> Result<((), MetadataRecord), Refusal> {
        let known = self.known_topic(topic.name)?;
        if topic.name == OFFSETS_TOPIC {
            let message =
                format!("Groups would lose what they committed: {OFFSETS_TOPIC} keeps its partitions.");
            return Err(refuse(ErrorCode::InvalidPartitions, message));
        }
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
            return Err(refuse(ErrorCode::InvalidPartitions, message));
        }
        let added = u32::try_from(added).expect("a positive difference of counts");
        if let Some(assignments) = topic.assignments {
            if assignments.len() != added as usize {
                let message = format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                );
                return Err(refuse(ErrorCode::InvalidReplicaAssignment, message));
            }
            assignments
                .iter()
                .try_for_each(|brokers| check_replicas(self.broker, brokers))?;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::controller::testing::World;
    use crate::testing::topic_created;
    use millstream_protocol::types::TopicId;
    use std::string::ToString;
    use std::vec;

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
}

//! Decisions on deletions, by name or by id.
//!
//! Place: as [`super::controller`].

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TopicId;

use super::controller::{Controller, Decider, Decision, Refusal, duplicates, refuse};
use super::image::TopicImage;
use super::record::MetadataRecord;

/// A topic to delete, by exactly one of the two.
#[derive(Clone, Copy, Debug)]
pub struct DeleteTopic<'a> {
    pub name: Option<&'a str>,
    /// [`TopicId::ZERO`] where the name is given.
    pub id: TopicId,
}

impl Controller<'_> {
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
            (Some(name), true) => self.known_topic(name).map_err(|refusal| Refusal {
                message: format!("There is no topic '{name}'."),
                ..refusal
            })?,
            (None, false) => {
                let message = format!("There is no topic with the id {}.", topic.id);
                let unknown = || refuse(ErrorCode::UnknownTopicId, message);
                self.image.topic(topic.id).ok_or_else(unknown)?
            }
        };
        Ok((
            (known.id, known.name.to_string()),
            MetadataRecord::TopicDeleted { id: known.id },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::controller::testing::World;
    use crate::testing::topic_created;
    use std::vec;
    use std::vec::Vec;

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
}

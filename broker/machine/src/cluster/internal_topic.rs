//! Topics that the broker keeps for itself: clients read them and may not write to them.
//!
//! Place: Metadata shows them as internal, the owner of a partition refuses writes to them, and the controller creates
//! the offsets topic when a group first needs it.
//! Invariant: the offsets topic keeps the number of partitions that it was created with: a group's place among them
//! follows from it.

use alloc::string::ToString;

use millstream_protocol::types::TopicId;

use super::controller::{Controller, Decision};
use super::create_topics::{CreatedTopic, NewTopic};

/// What groups are written to: their members, and the offsets that they committed.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Whether the broker alone writes to this topic. The names are Kafka's.
pub fn is_internal(name: &str) -> bool {
    [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"].contains(&name)
}

impl Controller<'_> {
    /// Decides on the offsets topic: with the settings that are its own, whoever asks for it.
    pub(super) fn create_offsets_topic(&self, new_id: &mut dyn FnMut() -> TopicId) -> Decision<CreatedTopic> {
        let setting = |name| self.settings.number(name);
        let segment_bytes = setting("offsets.topic.segment.bytes").to_string();
        let topic = NewTopic {
            name: OFFSETS_TOPIC,
            partitions: i32::try_from(setting("offsets.topic.num.partitions")).expect("an INT"),
            // Of one broker there is one replica, whatever the setting says.
            replication_factor: 1,
            assignments: &[],
            configs: &[
                ("cleanup.policy", Some("compact")),
                ("compression.type", Some("producer")),
                ("segment.bytes", Some(&segment_bytes)),
            ],
        };
        self.create_topics(&[topic], new_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::controller::testing::World;

    #[test]
    fn the_offsets_topic_is_made_as_its_settings_say() {
        let mut world = World::new(&[]);
        for (name, value) in [
            ("auto.create.topics.enable", "false"),
            ("num.partitions", "7"),
            ("offsets.topic.num.partitions", "12"),
            ("offsets.topic.segment.bytes", "2000000"),
            ("offsets.topic.replication.factor", "3"),
        ] {
            world.settings.set(name, value).unwrap();
        }
        let id = TopicId::new([1; 16]);
        let decision = world.controller().auto_create_topic(OFFSETS_TOPIC, &mut || id);
        let created = decision.answers[0].as_ref().unwrap();
        assert_eq!((created.partitions, created.replication_factor), (12, 1));
        let configs: alloc::vec::Vec<_> = created.configs.iter().collect();
        assert_eq!(
            configs,
            [
                ("cleanup.policy", "compact"),
                ("compression.type", "producer"),
                ("segment.bytes", "2000000"),
            ]
        );
    }
}

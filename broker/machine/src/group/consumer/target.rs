//! The target: what each member is to have, for one epoch of the group.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TopicId;

use super::super::turn::Turn;
use super::assignor::{Assignor, Subscriber};
use super::heartbeat::Refusal;
use super::record::{
    ConsumerRecord, GroupEpoch, MemberSubscription, PARTITION_BYTES as PARTITION_RECORD_BYTES, Partitions,
    TargetEpoch,
};
use super::{ConsumerGroup, ConsumerMember, PARTITION_BYTES};
use crate::cluster::image::ClusterImage;

impl ConsumerGroup {
    /// The next epoch begins where a member wants other topics, or the topics are not what they were.
    pub(super) fn hold_against_image(&mut self, wants_other: bool, turn: &mut Turn) {
        let is_news = self.resolve_expressions(turn);
        if !wants_other && !is_news && self.seen_image == turn.image.records() {
            return;
        }
        self.seen_image = turn.image.records();
        let metadata_hash = self.metadata_hash(turn.image);
        if wants_other || metadata_hash != self.epoch.map_or(0, |it| it.metadata_hash) {
            self.next_epoch(metadata_hash, turn);
        }
    }

    /// True where members' expressions match other topics than before. Nobody is asked where none has one.
    fn resolve_expressions(&mut self, turn: &Turn) -> bool {
        if self.patterned == 0 && self.expressions.is_empty() {
            return false;
        }
        let patterns = self.members.values().filter_map(|it| it.subscription.pattern());
        self.expressions.resolve(patterns, turn.image, turn.now.monotonic)
    }

    pub(super) fn next_epoch(&mut self, metadata_hash: i64, turn: &mut Turn) {
        let epoch = self.group_epoch().checked_add(1).unwrap_or(1);
        self.emit(
            ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash })),
            turn,
        );
    }

    /// Makes the target for the group's epoch, if that has none and the last one is old enough.
    pub(super) fn assign_if_due(&mut self, turn: &mut Turn) -> Result<(), Refusal> {
        let epoch = self.group_epoch();
        if self.target_epoch() >= epoch {
            return Ok(());
        }
        let interval = turn
            .consumer_times(&self.group_id)
            .assignment_interval
            .as_millis() as i64;
        let last = self.target_epoch.map(|it| it.timestamp.get());
        if last.is_some_and(|last| turn.now.wall.get() - last < interval) {
            return Ok(());
        }
        let (members, topics) = self.subscribers(turn.image);
        let shares = self.preferred_assignor().assign(&members, &topics);
        self.check_shares(&shares, turn)?;
        for (member, share) in members.iter().zip(shares) {
            let is_new = self.members[&member.member_id].target.is_none();
            if is_new || share != *member.before {
                let record = ConsumerRecord::Target(Arc::clone(&member.member_id), Some(Arc::new(share)));
                self.emit(record, turn);
            }
        }
        let timestamp = turn.now.wall;
        self.emit(
            ConsumerRecord::TargetEpoch(Some(TargetEpoch { epoch, timestamp })),
            turn,
        );
        Ok(())
    }

    /// Whether shares can be kept and written: each goes into two records, with as much as the member gives up.
    fn check_shares(&self, shares: &[Partitions], turn: &Turn) -> Result<(), Refusal> {
        let longest = shares.iter().map(Partitions::len).max().unwrap_or(0);
        if longest * 2 * PARTITION_RECORD_BYTES > turn.settings.group_record_bytes_max {
            let message = format!("A member would have {longest} partitions, more than a record can hold.");
            return Err((ErrorCode::UnknownServerError, message));
        }
        let held = self
            .members
            .values()
            .map(|it| it.target().len() + 2 * it.current().partitions().count());
        let needed = 3 * shares.iter().map(Partitions::len).sum::<usize>();
        let growth = needed.saturating_sub(held.sum()) as u64 * PARTITION_BYTES;
        if growth > turn.room {
            let message = String::from("The coordinator has no room for the group's assignment.");
            return Err((ErrorCode::CoordinatorNotAvailable, message));
        }
        Ok(())
    }

    /// What most members ask for.
    pub(super) fn preferred_assignor(&self) -> Assignor {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(name) = member.subscription.server_assignor.as_deref() {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.into_iter().rev().max_by_key(|&(_, count)| count);
        most.and_then(|(name, _)| Assignor::find(name))
            .unwrap_or(Assignor::ALL[0])
    }

    /// Changes with every topic that is subscribed to: made, deleted, or with more partitions. 0 without topics.
    pub fn metadata_hash(&self, image: &ClusterImage) -> i64 {
        let subscriptions = self.members.values().map(|member| &member.subscription);
        let names: BTreeSet<&Arc<str>> = subscriptions.flat_map(|it| self.names_of(it)).collect();
        let topics = names.into_iter().filter_map(|name| image.topic_by_name(name));
        let mut hash = 0u64;
        for topic in topics {
            let id = u128::from_be_bytes(topic.id.get());
            for word in [id as u64, (id >> 64) as u64, u64::from(topic.partitions)] {
                hash = mixed(hash ^ word);
            }
        }
        hash as i64
    }

    fn subscribers(&self, image: &ClusterImage) -> (Vec<Subscriber>, BTreeMap<TopicId, u32>) {
        let mut topics = BTreeMap::new();
        let members = self.members.iter().map(|(member_id, member)| {
            let wanted = self.topics_of(&member.subscription, image);
            topics.extend(wanted.iter().map(|(&id, &partitions)| (id, partitions)));
            Subscriber {
                member_id: Arc::clone(member_id),
                instance_id: member.subscription.instance_id.clone(),
                topics: wanted.into_keys().collect(),
                before: ConsumerMember::shared_target(member),
            }
        });
        (members.collect(), topics)
    }
}

impl ConsumerGroup {
    /// The topics that a member wants and that there are, with how many partitions each has.
    pub(super) fn topics_of(
        &self,
        subscription: &MemberSubscription,
        image: &ClusterImage,
    ) -> BTreeMap<TopicId, u32> {
        let topics = self
            .names_of(subscription)
            .filter_map(|name| image.topic_by_name(name));
        topics.map(|topic| (topic.id, topic.partitions)).collect()
    }
}

impl ConsumerMember {
    fn shared_target(&self) -> Arc<Partitions> {
        self.target.clone().unwrap_or_default()
    }
}

/// The last step of splitmix64, which is never zero but for zero.
fn mixed(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

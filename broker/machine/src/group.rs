//! Consumer groups: the coordinator of one partition of `__consumer_offsets` and the groups in it.
//!
//! Place: driven only by the broker's coordinator runtime, on the shard that owns the partition. The call order is
//! [`GroupCoordinator::new`], [`GroupCoordinator::replay`] for every record of the partition,
//! [`GroupCoordinator::loaded`]; then [`GroupCoordinator::handle`] for each request and
//! [`GroupCoordinator::expire`] whenever [`GroupCoordinator::next_deadline`] has come. The cluster's topics and
//! groups' configurations come by [`GroupCoordinator::set_image`], before `loaded` and whenever they change.
//!
//! What a call changes, it changes at once. Its records have to be appended in their order, and its replies, like all
//! that come after them, held until those records are durable: then nobody sees what a crash takes away. Where an
//! append fails, the coordinator is dropped, and another one loaded.
//!
//! Invariants: the generation of a group only grows; a ticket is answered exactly once, at once or later; what was
//! emitted as records so far, replayed, gives the durable state; memory stays below
//! [`GroupSettings::state_bytes_max`]; equal calls give equal effects.

mod answer;
mod classic;
mod commit;
mod consumer;
mod delete;
mod describe;
mod dispatch;
mod embedded;
mod fetch;
mod join;
mod leave;
mod member;
mod members;
mod migration;
mod offsets;
mod pending;
mod rebalance;
mod record;
mod request;
mod retention;
mod session;
mod settings;
mod snapshot;
mod state;
mod static_member;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod topics;
mod turn;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::cluster::image::ClusterImage;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{TimestampMs, TopicId};

pub use answer::*;
pub use consumer::check_pattern;
pub use consumer::record::{
    ClassicMember, ConsumerRecord, CurrentAssignment, GroupEpoch, MemberState, MemberSubscription,
    PartitionEpochs, Partitions, TargetEpoch, TopicPartition,
};
pub use member::MemberProtocol;
pub use record::{CommittedOffset, GroupMember, GroupMetadata, GroupRecord};
pub use request::*;
pub use settings::{ConsumerTimes, GroupSettings, MigrationPolicy};
pub use snapshot::SnapshotCursor;
pub use state::GroupState;

use classic::ClassicGroup;
use consumer::ConsumerGroup;
use offsets::{OffsetKey, Offsets};
use retention::Retention;
use timers::{TimerKind, Timers};
use topics::Topics;
use turn::Turn;

/// The groups of one offsets partition.
#[derive(Debug)]
pub struct GroupCoordinator {
    settings: GroupSettings,
    groups: BTreeMap<Arc<str>, Group>,
    topics: Topics,
    timers: Timers,
    retention: Retention,
    image: Arc<ClusterImage>,
    /// The sum over the groups.
    live_bytes: u64,
}

/// Both clocks as of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub monotonic: Instant,
    pub wall: TimestampMs,
}

/// What the shell answers a request by, once; the coordinator only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What the shell has to do after a call: append the records, and when they are durable give the replies.
#[derive(Debug, Default)]
pub struct Effects {
    /// In the order in which they are appended.
    pub records: Vec<GroupRecord>,
    pub replies: Vec<(Ticket, GroupAnswer)>,
}

/// A topic that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedTopic<'a> {
    pub name: &'a str,
    pub id: TopicId,
}

/// A group as its members know it, and what was committed under its name.
#[derive(Debug)]
struct Group {
    /// Empty and without a record where `consumer` is there.
    classic: ClassicGroup,
    /// There once a member spoke the consumer protocol, as long as one does (KIP-848); others may be classic.
    consumer: Option<ConsumerGroup>,
    offsets: Offsets,
}

impl Ticket {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

impl GroupCoordinator {
    pub fn new(settings: GroupSettings) -> Self {
        Self {
            settings,
            groups: BTreeMap::new(),
            topics: Topics::default(),
            timers: Timers::default(),
            retention: Retention::default(),
            image: Arc::new(ClusterImage::empty()),
            live_bytes: 0,
        }
    }

    /// `group.consumer.assignment.interval.ms` as it is now.
    pub fn set_assignment_interval(&mut self, interval: Duration) {
        self.settings.consumer.assignment_interval = interval;
    }

    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// All its groups may take so many bytes from now on. More than that they may take already: then nothing is added.
    pub fn set_state_bytes_max(&mut self, bytes: u64) {
        self.settings.state_bytes_max = bytes;
    }

    /// Topics or groups' configurations changed: what members of the consumer protocol are to have and to be told
    /// follows with their next heartbeats, as in Kafka.
    pub fn set_image(&mut self, image: Arc<ClusterImage>) {
        self.image = image;
    }

    /// Takes in one record of the partition, in the log's order. Only before [`Self::loaded`].
    pub fn replay(&mut self, record: GroupRecord) {
        assert!(
            self.retention.due.is_none(),
            "records are replayed before the coordinator is loaded"
        );
        let group_id = Arc::clone(record.group_id());
        let mut group = self.groups.remove(&group_id).unwrap_or_else(|| {
            let group = Group::new(&group_id, None);
            self.live_bytes += group.bytes();
            group
        });
        self.live_bytes -= group.bytes();
        group.replay(record, &mut self.topics);
        if !group.is_forgotten() {
            self.live_bytes += group.bytes();
            self.groups.insert(group_id, group);
        }
    }

    /// Everything was replayed: the members are there again, and time counts from here on.
    pub fn loaded(&mut self, now: Now, effects: &mut Effects) {
        let group_ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            self.with_group(&group_id, now, effects, |group, turn| group.load(turn));
        }
        self.retention.due = Some(now.monotonic + self.settings.offsets_retention_check_interval);
    }

    /// Takes a request. Its answer comes with `effects` of this call or, for one that has to wait, of a later one.
    pub fn handle(&mut self, now: Now, ticket: Ticket, request: GroupRequest, effects: &mut Effects) {
        if let Some(answer) = self.dispatch(now, ticket, request, effects) {
            effects.replies.push((ticket, answer));
        }
    }

    /// When [`Self::expire`] has to be called next; `None` as long as nothing waits for time to pass.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.timers.next(), self.retention.due];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due. May leave some of it for the next call, and then [`Self::next_deadline`] is still past.
    pub fn expire(&mut self, now: Now, effects: &mut Effects) {
        for _ in 0..TIMERS_PER_CALL {
            let Some(timer) = self.timers.pop_due(now.monotonic) else {
                break;
            };
            let handled = self.with_group(&timer.group_id, now, effects, |group, turn| {
                group.expire(&timer.kind, turn);
            });
            assert!(handled.is_some(), "a timer of a group that is gone");
        }
        self.expire_offsets(now, effects);
    }

    /// Drops the offsets of topics that were deleted, with tombstones.
    pub fn forget_topics(&mut self, deleted: &[DeletedTopic], effects: &mut Effects) {
        for topic in deleted {
            let Some(name) = self.topics.find(topic.name) else {
                continue;
            };
            for group in self.groups.values_mut() {
                self.live_bytes -= group.bytes();
                group.forget_topic(&mut self.topics, &name, topic.id, effects);
                self.live_bytes += group.bytes();
            }
        }
    }

    /// What the state takes in bytes: no less than its memory, and no less than the records of its snapshot.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Lets `act` work on a group and counts what it changed; `None` where there is no such group.
    fn with_group<R>(
        &mut self,
        group_id: &str,
        now: Now,
        effects: &mut Effects,
        act: impl FnOnce(&mut Group, &mut Turn) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(group_id)?;
        let before = group.bytes();
        let mut turn = Turn {
            now,
            settings: &self.settings,
            timers: &mut self.timers,
            topics: &mut self.topics,
            effects,
            image: &self.image,
            room: self.settings.state_bytes_max.saturating_sub(self.live_bytes),
        };
        let result = act(group, &mut turn);
        self.live_bytes += group.bytes();
        self.live_bytes -= before;
        Some(result)
    }

    /// A group that was not there; false where there is no room for it.
    fn create(&mut self, group_id: &str, now: Now) -> bool {
        let group = Group::new(&group_id.into(), Some(now.wall));
        let live_bytes = self.live_bytes + group.bytes();
        let has_room = live_bytes <= self.settings.state_bytes_max;
        if has_room {
            self.live_bytes = live_bytes;
            self.groups.insert(Arc::clone(&group.classic.group_id), group);
        }
        has_room
    }

    /// A group that ended.
    fn remove(&mut self, group_id: &str) {
        if let Some(group) = self.groups.remove(group_id) {
            self.live_bytes -= group.bytes();
        }
    }
}

impl Group {
    fn new(group_id: &Arc<str>, state_since: Option<TimestampMs>) -> Self {
        Self {
            classic: ClassicGroup::new(group_id, state_since),
            consumer: None,
            offsets: Offsets::default(),
        }
    }

    fn bytes(&self) -> u64 {
        let consumer = self.consumer.as_ref().map_or(0, ConsumerGroup::bytes);
        self.classic.bytes() + consumer + self.offsets.bytes()
    }

    fn is_empty(&self) -> bool {
        self.classic.is_empty() && self.consumer.as_ref().is_none_or(ConsumerGroup::is_empty)
    }

    fn uses_consumer_protocol(&self) -> bool {
        self.consumer.is_some() || self.classic.uses_consumer_protocol()
    }

    /// Of which topics the offsets are neither deleted nor expired.
    fn keeps_offsets(&self) -> impl Fn(&str) -> bool + '_ {
        let classic = self.classic.keeps_offsets();
        move |topic| match &self.consumer {
            Some(consumer) => consumer.is_subscribed_to(topic),
            None => classic(topic),
        }
    }

    fn load(&mut self, turn: &mut Turn) {
        match &mut self.consumer {
            Some(consumer) => consumer.load(turn),
            None => self.classic.load(turn),
        }
    }

    fn expire(&mut self, kind: &TimerKind, turn: &mut Turn) {
        match &mut self.consumer {
            Some(consumer) => {
                let member_id = consumer.timer_fired(kind);
                self.fence(&[member_id], turn);
            }
            None => self.classic.expire(kind, turn),
        }
    }

    /// The group is over, and has no members.
    fn end(&mut self, turn: &mut Turn) {
        self.classic.end(turn);
        if let Some(mut consumer) = self.consumer.take() {
            consumer.end(turn);
        }
    }

    /// Whether nothing of it is durable.
    fn is_forgotten(&self) -> bool {
        self.classic.durable().is_none() && self.consumer.is_none() && self.offsets.is_empty()
    }

    fn replay(&mut self, record: GroupRecord, topics: &mut Topics) {
        match record {
            GroupRecord::Group { value, .. } => self.classic.set_durable(value),
            GroupRecord::Offset {
                topic,
                partition,
                value: Some(value),
                ..
            } => {
                self.offsets.set(topics, &topic, partition, value);
            }
            GroupRecord::Offset { topic, partition, .. } => {
                self.offsets.remove(topics, &(topic, partition));
            }
            GroupRecord::Consumer { record, .. } => {
                let group_id = &self.classic.group_id;
                let consumer = self.consumer.get_or_insert_with(|| ConsumerGroup::new(group_id));
                consumer.apply(record);
                self.consumer.take_if(|consumer| consumer.is_forgotten());
            }
        }
    }

    /// Its durable state, but for its offsets.
    fn own_records(&self) -> impl Iterator<Item = GroupRecord> + '_ {
        let group_id = || Arc::clone(&self.classic.group_id);
        let classic = self.classic.durable().map(|value| GroupRecord::Group {
            group_id: group_id(),
            value: Some(Arc::clone(value)),
        });
        let consumer = self.consumer.iter().flat_map(ConsumerGroup::records);
        classic
            .into_iter()
            .chain(consumer.map(move |record| GroupRecord::Consumer {
                group_id: group_id(),
                record,
            }))
    }

    fn offset_record(&self, key: &OffsetKey, value: Option<CommittedOffset>) -> GroupRecord {
        GroupRecord::Offset {
            group_id: Arc::clone(&self.classic.group_id),
            topic: Arc::clone(&key.0),
            partition: key.1,
            value,
        }
    }

    /// Drops what was committed for the topic under this id or under none: offsets of a new topic of that name stay.
    fn forget_topic(&mut self, topics: &mut Topics, name: &Arc<str>, id: TopicId, effects: &mut Effects) {
        let offsets = self.offsets.of_topic(name);
        let gone: Vec<OffsetKey> = offsets
            .filter(|(_, value)| value.topic_id.is_zero() || value.topic_id == id)
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.offsets.remove(topics, &key);
            effects.records.push(self.offset_record(&key, None));
        }
    }
}

/// Timers that one call of [`GroupCoordinator::expire`] handles.
const TIMERS_PER_CALL: usize = 1024;

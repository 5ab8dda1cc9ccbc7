//! Consumer groups: the coordinator of one partition of `__consumer_offsets` and the groups in it.
//!
//! Place: driven only by the broker's coordinator runtime, on the shard that owns the partition. The call order is
//! [`GroupCoordinator::new`], [`GroupCoordinator::replay`] for every record of the partition,
//! [`GroupCoordinator::loaded`]; then [`GroupCoordinator::handle`] for each request and
//! [`GroupCoordinator::expire`] whenever [`GroupCoordinator::next_deadline`] has come.
//!
//! What a call changes, it changes at once. Its records have to be appended in their order, and its replies, like all
//! that come after them, held until those records are durable: then nobody sees what a crash takes away. Where an
//! append fails, the coordinator is dropped, and another one loaded.
//!
//! Invariants: the generation of a group only grows; a ticket is answered exactly once, at once or later; what was
//! emitted as records so far, replayed, gives the durable state; memory stays below
//! [`GroupSettings::state_bytes_max`]; equal calls give equal effects.

mod answer;
mod offsets;
mod record;
mod request;
mod settings;
mod snapshot;
mod state;
mod topics;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Instant;
use millstream_protocol::types::{TimestampMs, TopicId};

pub use answer::*;
pub use record::{CommittedOffset, GroupMember, GroupMetadata, GroupRecord};
pub use request::*;
pub use settings::GroupSettings;
pub use snapshot::SnapshotCursor;
pub use state::GroupState;

use offsets::{OffsetKey, Offsets};
use topics::Topics;

/// The groups of one offsets partition.
#[derive(Debug)]
pub struct GroupCoordinator {
    settings: GroupSettings,
    groups: BTreeMap<Arc<str>, Group>,
    topics: Topics,
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

#[derive(Debug)]
struct Group {
    group_id: Arc<str>,
    /// The last record of the group itself, `None` where there is none or a tombstone.
    durable: Option<Arc<GroupMetadata>>,
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
            live_bytes: 0,
        }
    }

    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// Takes in one record of the partition, in the log's order. Only before [`Self::loaded`].
    pub fn replay(&mut self, record: GroupRecord) {
        let group_id = Arc::clone(record.group_id());
        let group = self.groups.entry(Arc::clone(&group_id)).or_insert_with(|| {
            let group = Group::new(&group_id);
            self.live_bytes += group.bytes();
            group
        });
        let before = group.bytes();
        match record {
            GroupRecord::Offset {
                topic,
                partition,
                value: Some(value),
                ..
            } => group.offsets.set(&mut self.topics, &topic, partition, value),
            GroupRecord::Offset { topic, partition, .. } => {
                group.offsets.remove(&mut self.topics, &(topic, partition));
            }
            GroupRecord::Group { value, .. } => group.durable = value,
        }
        self.live_bytes += group.bytes();
        self.live_bytes -= before;
        if group.is_forgotten() {
            self.live_bytes -= group.bytes();
            self.groups.remove(&group_id);
        }
    }

    /// Everything was replayed: from here on time counts.
    pub fn loaded(&mut self, _now: Now, _effects: &mut Effects) {}

    /// Takes a request. Its answer comes with `effects` of this call or, for one that has to wait, of a later one.
    pub fn handle(&mut self, _now: Now, ticket: Ticket, request: GroupRequest, effects: &mut Effects) {
        let refusal = request.refused(ErrorCode::CoordinatorNotAvailable);
        effects.replies.push((ticket, refusal));
    }

    /// When [`Self::expire`] has to be called next; `None` as long as nothing waits for time to pass.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Does what is due. May leave some of it for the next call, and then [`Self::next_deadline`] is still past.
    pub fn expire(&mut self, _now: Now, _effects: &mut Effects) {}

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
}

impl Group {
    fn new(group_id: &Arc<str>) -> Self {
        Self {
            group_id: Arc::clone(group_id),
            durable: None,
            offsets: Offsets::default(),
        }
    }

    fn bytes(&self) -> u64 {
        let durable = self.durable.as_ref().map_or(0, |it| it.bytes());
        GROUP_BYTES + self.group_id.len() as u64 + durable + self.offsets.bytes()
    }

    /// Whether nothing of it is durable.
    fn is_forgotten(&self) -> bool {
        self.durable.is_none() && self.offsets.is_empty()
    }

    /// Its durable state behind `after`, each record with the key from which the next one follows.
    fn records_after(
        &self,
        after: Option<&OffsetKey>,
    ) -> impl Iterator<Item = (Option<OffsetKey>, GroupRecord)> {
        let is_first = after.is_none();
        let group = self.durable.iter().filter(move |_| is_first);
        let group = group.map(|value| {
            let group_id = Arc::clone(&self.group_id);
            let value = Some(Arc::clone(value));
            (None, GroupRecord::Group { group_id, value })
        });
        let offsets = self.offsets.after(after);
        group.chain(offsets.map(|(key, value)| {
            let value = Some(value.clone());
            (Some(key.clone()), self.offset_record(key, value))
        }))
    }

    fn offset_record(&self, key: &OffsetKey, value: Option<CommittedOffset>) -> GroupRecord {
        GroupRecord::Offset {
            group_id: Arc::clone(&self.group_id),
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

/// What a group takes beside its texts, members and offsets.
const GROUP_BYTES: u64 = 512;

//! The coordinators of one shard and where each stands.
//! Invariant: what a machine decides is collected at once: its records wait for the turn's append, and its replies for
//! them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_log::PartitionKey;
use millstream_machine::group::{Effects, GroupCoordinator, GroupRecord, GroupSettings, Ticket};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{Offset, PartitionIndex, TopicId};
use millstream_storage::LogId;

use super::loading::Loading;
use super::serving::{Asker, GroupOrigin};
use super::snapshots::Snapshot;
use super::{Answered, weight};
use crate::limits::APPEND_PAUSE;
use crate::shard::slab::{Key, Slab};

/// See the module's page.
pub struct Coordinators {
    pub(super) settings: GroupSettings,
    /// Of the offsets topic, `None` while there is none.
    pub(super) topic: Option<TopicId>,
    partitions: BTreeMap<PartitionIndex, Coordinator>,
    /// Who has asked a machine and was not answered yet.
    pub(super) askers: Slab<Asker>,
    deadlines: BTreeSet<(Instant, PartitionIndex)>,
    /// With something to append or to answer.
    pub(super) touched: BTreeSet<PartitionIndex>,
    /// To be loaded; the first few of them are.
    pub(super) load_queue: VecDeque<PartitionIndex>,
    /// The broker ends: nothing more is decided.
    pub(super) closed: bool,
    /// What all groups take, and what of it the shard's memory is charged.
    pub(super) state_bytes: u64,
    pub(super) charged_bytes: u64,
    /// Of answers that wait for the log.
    pub(super) reply_bytes: u64,
    /// The most that they may take.
    reply_bytes_max: u64,
    /// Kept for its memory.
    effects: Effects,
}

/// One partition's coordinator.
pub(super) struct Coordinator {
    pub key: PartitionKey,
    pub log: LogId,
    pub stage: Stage,
    /// Its place among the deadlines.
    armed: Option<Instant>,
}

pub(super) enum Stage {
    Loading(Box<Loading>),
    Ready(Box<Ready>),
    /// It could not be loaded, or its records not be appended: it is loaded anew at that moment.
    Failed(Instant),
}

/// A coordinator that decides.
pub(super) struct Ready {
    pub machine: GroupCoordinator,
    /// Records that the log has not taken yet, those of one decision together.
    pub records: VecDeque<Vec<GroupRecord>>,
    /// Replies that wait for these.
    pub replies: Vec<Reply>,
    /// Since when the log takes nothing, for want of room.
    pub refused_since: Option<Instant>,
    /// Replies by the end of the log that must be durable before them.
    pub held: VecDeque<(Offset, Vec<Reply>)>,
    /// The log's end after the last append.
    pub appended: Offset,
    /// Bytes of the log from its start.
    pub log_bytes: u64,
    pub snapshot: Option<Snapshot>,
    /// What its state was last seen to take.
    pub state_bytes: u64,
    /// When it has something to do that no deadline of the machine tells.
    pub again_at: Option<Instant>,
}

/// An answer on its way.
pub(super) struct Reply {
    pub to: GroupOrigin,
    pub answer: Answered,
}

impl Coordinators {
    /// At most `askers_max` requests wait for an answer.
    pub fn new(settings: GroupSettings, askers_max: usize) -> Self {
        Self {
            settings,
            topic: None,
            partitions: BTreeMap::new(),
            askers: Slab::new(askers_max),
            deadlines: BTreeSet::new(),
            touched: BTreeSet::new(),
            load_queue: VecDeque::new(),
            closed: false,
            state_bytes: 0,
            charged_bytes: 0,
            reply_bytes: 0,
            reply_bytes_max: settings.state_bytes_max,
            effects: Effects::default(),
        }
    }

    /// What all groups of the shard take.
    pub fn state_bytes(&self) -> u64 {
        self.state_bytes
    }

    /// When there is something to do by time alone; the past where it has begun.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        // Answers of storage's own turn were collected after the coordinators'.
        let touched = (!self.touched.is_empty()).then_some(Instant::ZERO);
        // The disk had too much to do, or tells when it has read.
        let loads = (!self.load_queue.is_empty()).then(|| now + Duration::from(APPEND_PAUSE));
        let due = self.deadlines.first().map(|(at, _)| *at);
        [touched, loads, due].into_iter().flatten().min()
    }

    pub(super) fn get_mut(&mut self, index: PartitionIndex) -> Option<&mut Coordinator> {
        self.partitions.get_mut(&index)
    }

    /// A coordinator that decides, with its log.
    pub(super) fn ready(&mut self, index: PartitionIndex) -> Option<(LogId, &mut Ready)> {
        match self.partitions.get_mut(&index)? {
            Coordinator {
                log,
                stage: Stage::Ready(ready),
                ..
            } => Some((*log, ready)),
            _ => None,
        }
    }

    pub(super) fn indexes(&self) -> Vec<PartitionIndex> {
        self.partitions.keys().copied().collect()
    }

    pub(super) fn insert(&mut self, key: PartitionKey, log: LogId, stage: Stage) {
        let coordinator = Coordinator {
            key,
            log,
            stage,
            armed: None,
        };
        self.partitions.insert(key.partition, coordinator);
        self.arm(key.partition);
    }

    /// Puts it into another stage; gives the one that it was in.
    pub(super) fn set_stage(&mut self, index: PartitionIndex, stage: Stage) -> Option<Stage> {
        let coordinator = self.partitions.get_mut(&index)?;
        let before = std::mem::replace(&mut coordinator.stage, stage);
        self.arm(index);
        Some(before)
    }

    pub(super) fn remove(&mut self, index: PartitionIndex) {
        if let Some(coordinator) = self.partitions.remove(&index)
            && let Some(at) = coordinator.armed
        {
            self.deadlines.remove(&(at, index));
        }
        self.touched.remove(&index);
        self.load_queue.retain(|queued| *queued != index);
    }

    /// Lets a machine decide, and collects what it has decided.
    pub(super) fn decide(
        &mut self,
        index: PartitionIndex,
        call: impl FnOnce(&mut GroupCoordinator, &mut Effects),
    ) {
        let mut effects = std::mem::take(&mut self.effects);
        let of_others = self.state_bytes;
        let state_bytes_max = self.settings.state_bytes_max;
        if let Some((_, ready)) = self.ready(index) {
            let of_others = of_others - ready.state_bytes;
            ready
                .machine
                .set_state_bytes_max(state_bytes_max.saturating_sub(of_others));
            call(&mut ready.machine, &mut effects);
            ready.state_bytes = ready.machine.live_bytes();
            let state_bytes = of_others + ready.state_bytes;
            if !effects.records.is_empty() {
                ready.records.push_back(std::mem::take(&mut effects.records));
            }
            self.state_bytes = state_bytes;
            self.collect_replies(index, &mut effects);
            self.touched.insert(index);
            self.arm(index);
        }
        self.effects = effects;
    }

    fn collect_replies(&mut self, index: PartitionIndex, effects: &mut Effects) {
        for (ticket, answer) in effects.replies.drain(..) {
            let Some(Asker { to, .. }) = self.askers.remove(key_of(ticket)) else {
                continue;
            };
            let mut answer = Ok(answer);
            if self.reply_bytes + weight::of(&answer) as u64 > self.reply_bytes_max {
                answer = Err(ErrorCode::CoordinatorNotAvailable);
            }
            self.reply_bytes += weight::of(&answer) as u64;
            if let Some((_, ready)) = self.ready(index) {
                ready.replies.push(Reply { to, answer });
            }
        }
    }

    /// Who waits for an answer of this partition's machine, and waits no longer.
    pub(super) fn take_askers(&mut self, index: PartitionIndex) -> Vec<GroupOrigin> {
        let is_its = |key: &Key| {
            self.askers
                .get(*key)
                .is_some_and(|asker| asker.partition == index)
        };
        let keys: Vec<Key> = self.askers.keys().filter(is_its).collect();
        keys.into_iter()
            .filter_map(|key| Some(self.askers.remove(key)?.to))
            .collect()
    }

    /// Those whose moment has come, each once.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<PartitionIndex> {
        let due: Vec<PartitionIndex> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, index)| *index)
            .collect();
        for index in &due {
            if let Some(coordinator) = self.partitions.get_mut(index)
                && let Some(at) = coordinator.armed.take()
            {
                self.deadlines.remove(&(at, *index));
            }
        }
        due
    }

    /// Gives a coordinator its place among the deadlines.
    pub(super) fn arm(&mut self, index: PartitionIndex) {
        let closed = self.closed;
        let Some(coordinator) = self.partitions.get_mut(&index) else {
            return;
        };
        let at = match &coordinator.stage {
            Stage::Loading(_) => None,
            Stage::Ready(ready) if closed => ready.again_at,
            Stage::Ready(ready) => [ready.machine.next_deadline(), ready.again_at]
                .into_iter()
                .flatten()
                .min(),
            Stage::Failed(again) => Some(*again),
        };
        if at == coordinator.armed {
            return;
        }
        if let Some(before) = std::mem::replace(&mut coordinator.armed, at) {
            self.deadlines.remove(&(before, index));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, index));
        }
    }
}

impl Ready {
    /// `end` is the log's, which holds so many bytes.
    pub fn new(machine: GroupCoordinator, end: Offset, log_bytes: u64) -> Self {
        Self {
            machine,
            records: VecDeque::new(),
            replies: Vec::new(),
            refused_since: None,
            held: VecDeque::new(),
            appended: end,
            log_bytes,
            snapshot: None,
            state_bytes: 0,
            again_at: None,
        }
    }

    /// Every answer that waits for records.
    pub fn into_replies(self) -> impl Iterator<Item = Reply> {
        let held = self.held.into_iter().flat_map(|(_, replies)| replies);
        held.chain(self.replies)
    }
}

/// The name by which a machine knows who asked.
pub(super) fn ticket_of(asker: Key) -> Ticket {
    Ticket::new(asker.to_bits())
}

fn key_of(ticket: Ticket) -> Key {
    Key::from_bits(ticket.get())
}

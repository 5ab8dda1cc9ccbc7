//! A group of the classic protocol, in which the members join, one of them assigns, and all fetch their share.
//!
//! Place: this file holds what the phases share; each phase has a file of its own: [`join`](super::join),
//! [`static_member`](super::static_member), [`rebalance`](super::rebalance), [`sync`](super::sync),
//! [`session`](super::session), [`leave`](super::leave).
//!
//! Invariants: [`ClassicState::Empty`] has no members, [`ClassicState::CompletingRebalance`] and
//! [`ClassicState::Stable`] have some, a leader and a protocol; a JoinGroup is parked only in
//! [`ClassicState::PreparingRebalance`], a SyncGroup only in [`ClassicState::CompletingRebalance`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TimestampMs;

use super::Ticket;
use super::answer::{GroupAnswer, JoinAnswer, JoinedMember, SyncAnswer};
use super::member::Member;
use super::members::Members;
use super::pending::Pending;
use super::rebalance::InitialDelay;
use super::record::{GroupMetadata, GroupRecord};
use super::state::ClassicState;
use super::subscription::{CONSUMER, Subscriptions};
use super::timers::{Slot, TimerKind};
use super::turn::Turn;

#[derive(Debug)]
pub(super) struct ClassicGroup {
    pub group_id: Arc<str>,
    pub state: ClassicState,
    /// When it came to this state.
    pub state_since: Option<TimestampMs>,
    /// `None` while it never had members.
    pub protocol_type: Option<Arc<str>>,
    /// What the members of this generation chose.
    pub protocol_name: Option<Arc<str>>,
    pub generation: i32,
    pub leader: Option<Arc<str>>,
    pub members: Members,
    pub pending: Pending,
    /// Of this generation.
    pub subscriptions: Subscriptions,
    /// While the first rebalance of an empty group waits for more members.
    pub initial_delay: Option<InitialDelay>,
    pub join_timer: Slot,
    pub sync_timer: Slot,
    /// The group's last record, `None` where there is none or a tombstone.
    durable: Option<Arc<GroupMetadata>>,
    durable_bytes: u64,
}

impl ClassicGroup {
    /// An empty group.
    pub fn new(group_id: &Arc<str>, state_since: Option<TimestampMs>) -> Self {
        Self {
            group_id: Arc::clone(group_id),
            state: ClassicState::Empty,
            state_since,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: Members::default(),
            pending: Pending::default(),
            subscriptions: Subscriptions::Unknown,
            initial_delay: None,
            join_timer: None,
            sync_timer: None,
            durable: None,
            durable_bytes: 0,
        }
    }

    /// Comes to be what its last record says, when all were replayed.
    pub fn load(&mut self, turn: &mut Turn) {
        let Some(durable) = self.durable.clone() else {
            return;
        };
        let protocol_type = &durable.protocol_type;
        self.protocol_type = (!protocol_type.is_empty()).then(|| Arc::clone(protocol_type));
        self.protocol_name = durable.protocol.clone();
        self.generation = durable.generation;
        self.leader = durable.leader.clone();
        self.state_since = durable.current_state_timestamp;
        if durable.members.is_empty() {
            return self.read_subscriptions();
        }
        self.state = ClassicState::Stable;
        let protocol = self.protocol_name.get_or_insert_with(|| "".into());
        for member in &durable.members {
            let instance_id = member.group_instance_id.as_deref();
            let is_twice = instance_id.is_some_and(|id| self.members.of_instance(id).is_some());
            if !is_twice && !self.members.contains(&member.member_id) {
                self.members.insert(Member::loaded(member, protocol));
            }
        }
        for member_id in self.members.ids_where(|_| true) {
            self.heard_of(&member_id, turn);
        }
        self.read_subscriptions();
        if self.members.len() > turn.settings.group_max_size as usize {
            self.prepare_rebalance(turn);
        }
    }

    /// What it takes in memory and as a record: no less than either.
    pub fn bytes(&self) -> u64 {
        let fixed = GROUP_BYTES + self.group_id.len() as u64;
        fixed + self.durable_bytes + self.pending.bytes() + self.members.bytes()
    }

    pub fn durable(&self) -> Option<&Arc<GroupMetadata>> {
        self.durable.as_ref()
    }

    /// Takes what a record says for what is durable.
    pub fn set_durable(&mut self, metadata: Option<Arc<GroupMetadata>>) {
        self.durable_bytes = metadata.as_ref().map_or(0, |it| it.bytes());
        self.durable = metadata;
    }

    pub fn is_empty(&self) -> bool {
        self.state == ClassicState::Empty
    }

    pub fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    pub fn turn_to(&mut self, state: ClassicState, turn: &Turn) {
        self.state = state;
        self.state_since = Some(turn.now.wall);
    }

    pub fn read_subscriptions(&mut self) {
        let (kind, protocol) = (self.protocol_type.as_deref(), self.protocol_name.as_deref());
        self.subscriptions = Subscriptions::of(kind, protocol, &self.members);
    }

    /// Whether it is this member, and no newer one has its instance id.
    pub fn check_member(&self, member_id: &str, group_instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = group_instance_id {
            match self.members.of_instance(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if **owner != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// The record that the group as it is would have.
    pub fn metadata(&self) -> GroupMetadata {
        let protocol = self.protocol_name.as_deref().unwrap_or("");
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since,
            members: self
                .members
                .iter()
                .map(|member| member.record(protocol))
                .collect(),
        }
    }

    /// Writes the record of the group, or with `None` its tombstone.
    pub fn write(&mut self, metadata: Option<GroupMetadata>, turn: &mut Turn) {
        self.set_durable(metadata.map(Arc::new));
        turn.effects.records.push(GroupRecord::Group {
            group_id: Arc::clone(&self.group_id),
            value: self.durable.clone(),
        });
    }

    /// Takes out a member or a pending one. What it waits for is answered UNKNOWN_MEMBER_ID, and another member leads
    /// where it led.
    pub fn remove(&mut self, member_id: &str, turn: &mut Turn) {
        if let Some((member_id, mut slot)) = self.pending.remove(member_id) {
            let kind = TimerKind::Session(member_id);
            turn.timers.disarm(&mut slot, &self.group_id, kind);
        }
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        let kind = TimerKind::Session(Arc::clone(&member.member_id));
        turn.timers.disarm(&mut member.session, &self.group_id, kind);
        if let Some(ticket) = member.parked_join {
            let refusal = JoinAnswer::refusal(ErrorCode::UnknownMemberId, "".into());
            turn.answer(ticket, GroupAnswer::Join(refusal));
        }
        if let Some(ticket) = member.parked_sync {
            let refusal = SyncAnswer::refusal(ErrorCode::UnknownMemberId);
            turn.answer(ticket, GroupAnswer::Sync(refusal));
        }
        if self.is_leader(member_id) {
            let next = self.members.iter().next();
            self.leader = next.map(|member| Arc::clone(&member.member_id));
        }
    }

    /// The group is over, and has no members: writes a tombstone for its record, if it has one.
    pub fn end(&mut self, turn: &mut Turn) {
        while let Some((member_id, mut slot)) = self.pending.pop() {
            let kind = TimerKind::Session(member_id);
            turn.timers.disarm(&mut slot, &self.group_id, kind);
        }
        if self.durable.is_some() {
            self.write(None, turn);
        }
    }

    /// One of the group's timers is due.
    pub fn expire(&mut self, kind: &TimerKind, turn: &mut Turn) {
        match kind {
            TimerKind::Session(member_id) => {
                self.pending.timer_fired(member_id);
                if let Some(member) = self.members.get_mut(member_id) {
                    member.session = None;
                }
                self.expire_session(member_id, turn);
            }
            TimerKind::Revocation(_) | TimerKind::Rejoin(_) | TimerKind::MemberSync(_) => {
                panic!("{kind:?} in a classic group")
            }
            TimerKind::Join => {
                self.join_timer = None;
                self.expire_join(turn);
            }
            TimerKind::Sync => {
                self.sync_timer = None;
                self.expire_sync(turn);
            }
        }
    }

    /// Of which topics the offsets are neither deleted nor expired: those that the members subscribe to.
    pub fn keeps_offsets(&self) -> impl Fn(&str) -> bool + '_ {
        let subscribed = self.subscriptions.topics();
        let unknown = self.uses_consumer_protocol();
        move |topic| {
            subscribed
                .as_ref()
                .map_or(unknown, |topics| topics.contains(topic))
        }
    }

    /// What a member is told that has joined this generation.
    pub fn join_answer(&self, member_id: &Arc<str>) -> JoinAnswer {
        let is_leader = self.is_leader(member_id);
        JoinAnswer {
            error: ErrorCode::None,
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_else(|| "".into()),
            skip_assignment: false,
            member_id: Arc::clone(member_id),
            members: if is_leader {
                self.joined_members()
            } else {
                Vec::new()
            },
        }
    }

    /// What a member is told that has synced with this generation.
    pub fn sync_answer(&self, member: &Member) -> SyncAnswer {
        SyncAnswer {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: Arc::clone(member.assignment()),
        }
    }

    /// Lets a JoinGroup wait. One of the same member that waited already was overtaken: whoever sent it, if still
    /// there, joins again.
    pub fn park_join(&mut self, member_id: &str, ticket: Ticket, turn: &mut Turn) {
        if let Some(overtaken) = self.members.park_join(member_id, ticket) {
            let refusal = JoinAnswer::refusal(ErrorCode::RebalanceInProgress, member_id.into());
            turn.answer(overtaken, GroupAnswer::Join(refusal));
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or("");
        let members = self.members.iter().map(|member| JoinedMember {
            member_id: Arc::clone(&member.member_id),
            group_instance_id: member.group_instance_id.clone(),
            metadata: Arc::clone(member.metadata(protocol).expect("all know the chosen protocol")),
        });
        members.collect()
    }
}

/// What a group takes beside its texts, members and offsets.
const GROUP_BYTES: u64 = 640;

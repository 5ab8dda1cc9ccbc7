//! A group of the consumer protocol (KIP-848): the coordinator assigns, and each member moves to what it is to have by
//! itself, giving up before others take over.
//!
//! Place: its parts are [`heartbeat`], the one request of a member; [`target`], what all are to have, by an
//! [`assignor`]; [`reconcile`], one member's next step towards it; [`leave`], how members go; [`classic_member`], how
//! members that speak the classic protocol are served beside the others.
//!
//! Everything of it is durable: records alone change it, by [`ConsumerGroup::emit`] now and by
//! [`ConsumerGroup::apply`] again on a load.
//!
//! Invariants: a partition is owned by one member at most; epochs only grow; a member's epoch is at most the target's.

mod assignor;
mod classic_member;
mod describe;
mod expressions;
mod heartbeat;
mod leave;
mod reconcile;
pub(super) mod record;
mod target;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(super) use heartbeat::Refusal;

use super::record::GroupRecord;
use super::state::GroupState;
use super::timers::Slot;
#[cfg(test)]
use super::timers::TimerKind;
use super::turn::Turn;
use expressions::Expressions;
pub use expressions::check as check_pattern;
use record::{
    ClassicMember, ConsumerRecord, CurrentAssignment, GroupEpoch, MemberState, MemberSubscription,
    Partitions, TargetEpoch, TopicPartition,
};

#[derive(Debug)]
pub(super) struct ConsumerGroup {
    pub group_id: Arc<str>,
    epoch: Option<GroupEpoch>,
    target_epoch: Option<TargetEpoch>,
    members: BTreeMap<Arc<str>, ConsumerMember>,
    /// Member ids by instance id.
    instances: BTreeMap<Arc<str>, Arc<str>>,
    /// Who has a partition, or is giving it up.
    owners: BTreeMap<TopicPartition, Arc<str>>,
    expressions: Expressions,
    /// How many members subscribe by an expression.
    patterned: usize,
    /// The image of the cluster that the subscriptions were last held against.
    seen_image: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct ConsumerMember {
    subscription: Arc<MemberSubscription>,
    target: Option<Arc<Partitions>>,
    current: Option<Arc<CurrentAssignment>>,
    /// When it has to be heard of.
    session: Slot,
    /// When it has to have given up what it is to give up.
    revocation: Slot,
    /// When it has to have joined again, where it speaks the classic protocol and was told to.
    rejoin: Slot,
    /// When it has to have asked for its assignment, where it speaks the classic protocol and has joined.
    sync: Slot,
}

impl ConsumerGroup {
    pub fn new(group_id: &Arc<str>) -> Self {
        Self {
            group_id: Arc::clone(group_id),
            epoch: None,
            target_epoch: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            owners: BTreeMap::new(),
            expressions: Expressions::default(),
            patterned: 0,
            seen_image: 0,
            bytes: GROUP_BYTES,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether no record of it is left.
    pub fn is_forgotten(&self) -> bool {
        self.epoch.is_none() && self.target_epoch.is_none() && self.members.is_empty()
    }

    /// No less than it takes in memory, nor than its records.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.expressions.bytes()
    }

    pub fn state(&self) -> GroupState {
        let target_epoch = self.target_epoch();
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.group_epoch() > target_epoch {
            GroupState::Assigning
        } else if self
            .members
            .values()
            .all(|member| member.current().is_at(target_epoch))
        {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Whether a member reads the topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        let subscriptions = self.members.values().map(|member| &member.subscription);
        let mut names = subscriptions.flat_map(|it| self.names_of(it));
        names.any(|name| **name == *topic)
    }

    /// Everything was replayed: sessions and revocations begin anew.
    pub fn load(&mut self, turn: &mut Turn) {
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            self.heard_of(&member_id, turn);
            let member = &self.members[&member_id];
            if member.has_to_revoke() && member.classic().is_some() {
                self.expect_rejoin(&member_id, turn);
            } else if member.has_to_revoke() {
                self.time_revocation(&member_id, turn);
            }
        }
    }

    /// Changes the group, for now and for ever.
    fn emit(&mut self, record: ConsumerRecord, turn: &mut Turn) {
        turn.effects.records.push(GroupRecord::Consumer {
            group_id: Arc::clone(&self.group_id),
            record: record.clone(),
        });
        self.apply(record);
    }

    /// Takes in what a record says.
    pub fn apply(&mut self, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(value) => self.epoch = value,
            ConsumerRecord::TargetEpoch(value) => self.target_epoch = value,
            ConsumerRecord::Member(member_id, value) => self.apply_member(member_id, value),
            ConsumerRecord::Target(member_id, value) => {
                self.change(&member_id, value.is_some(), |member| member.target = value);
            }
            ConsumerRecord::Current(member_id, value) => {
                self.disown(&member_id);
                self.change(&member_id, value.is_some(), |member| member.current = value);
                self.own(&member_id);
            }
        }
    }

    /// Its durable state, as records in an order in which they can be applied.
    pub fn records(&self) -> impl Iterator<Item = ConsumerRecord> + '_ {
        let epochs = [
            self.epoch.map(|value| ConsumerRecord::Epoch(Some(value))),
            self.target_epoch
                .map(|value| ConsumerRecord::TargetEpoch(Some(value))),
        ];
        let members = self.members.iter().flat_map(|(member_id, member)| {
            let id = || Arc::clone(member_id);
            let subscription = Some(Arc::clone(&member.subscription));
            [
                Some(ConsumerRecord::Member(id(), subscription)),
                member
                    .target
                    .clone()
                    .map(|it| ConsumerRecord::Target(id(), Some(it))),
                member
                    .current
                    .clone()
                    .map(|it| ConsumerRecord::Current(id(), Some(it))),
            ]
        });
        epochs.into_iter().chain(members).flatten()
    }

    #[cfg(test)]
    pub fn timers(&self) -> impl Iterator<Item = (Slot, TimerKind)> + '_ {
        self.members.iter().flat_map(|(id, member)| {
            [
                (member.session, TimerKind::Session(Arc::clone(id))),
                (member.revocation, TimerKind::Revocation(Arc::clone(id))),
                (member.rejoin, TimerKind::Rejoin(Arc::clone(id))),
                (member.sync, TimerKind::MemberSync(Arc::clone(id))),
            ]
        })
    }

    /// What always holds.
    #[cfg(test)]
    pub fn check(&self) {
        let mut owned = BTreeMap::new();
        for (id, member) in &self.members {
            let current = member.current();
            for partition in current.partitions() {
                let other = owned.insert(*partition, Arc::clone(id));
                assert_eq!(other, None, "{partition:?} is owned by {id} too");
            }
            assert!(
                current.member_epoch <= self.target_epoch(),
                "a member is ahead of the target"
            );
            assert!(member.session.is_some(), "an immortal member");
            let is_classic = member.classic().is_some();
            assert_eq!(
                member.has_to_revoke() && !is_classic,
                member.revocation.is_some(),
                "time to revoke"
            );
            assert!(is_classic || member.rejoin.is_none() && member.sync.is_none());
        }
        assert_eq!(self.owners, owned, "who owns what");
        assert!(self.target_epoch() <= self.group_epoch());
        let bytes: u64 = self.members.iter().map(|(id, member)| member.bytes(id)).sum();
        assert_eq!(self.bytes, GROUP_BYTES + bytes, "bytes");
        let patterned = self
            .members
            .values()
            .filter(|it| it.subscription.pattern().is_some());
        assert_eq!(self.patterned, patterned.count(), "members with an expression");
        assert!(
            self.classic_members().count() == 0 || self.common_protocol().is_some(),
            "classic members without a protocol in common"
        );
    }

    /// The topics that a member wants, by their names and by its expression; there may be none of that name, and one
    /// may come twice.
    fn names_of<'a>(&'a self, subscription: &'a MemberSubscription) -> impl Iterator<Item = &'a Arc<str>> {
        let pattern = subscription.pattern();
        let matched = pattern.map_or(&[][..], |pattern| self.expressions.topics(pattern));
        subscription.topic_names.iter().chain(matched)
    }

    pub fn group_epoch(&self) -> i32 {
        self.epoch.map_or(FIRST_EPOCH, |it| it.epoch)
    }

    pub fn target_epoch(&self) -> i32 {
        self.target_epoch.map_or(0, |it| it.epoch)
    }

    fn apply_member(&mut self, member_id: Arc<str>, value: Option<Arc<MemberSubscription>>) {
        let Some(subscription) = value else {
            self.disown(&member_id);
            if let Some(member) = self.members.remove(&member_id) {
                self.bytes -= member.bytes(&member_id);
                self.patterned -= usize::from(member.subscription.pattern().is_some());
                self.forget_instance(&member_id, member.subscription.instance_id.as_ref());
            }
            return;
        };
        let known = self.members.get(&member_id).map(|it| &it.subscription);
        self.patterned += usize::from(subscription.pattern().is_some());
        self.patterned -= usize::from(known.is_some_and(|it| it.pattern().is_some()));
        let before = known.and_then(|it| it.instance_id.clone());
        self.forget_instance(&member_id, before.as_ref());
        if let Some(instance_id) = &subscription.instance_id {
            self.instances
                .insert(Arc::clone(instance_id), Arc::clone(&member_id));
        }
        self.change(&member_id, true, |member| member.subscription = subscription);
    }

    /// Changes a member, which comes to be where `creates`.
    fn change(&mut self, member_id: &Arc<str>, creates: bool, change: impl FnOnce(&mut ConsumerMember)) {
        if creates && !self.members.contains_key(member_id) {
            let member = ConsumerMember::default();
            self.bytes += member.bytes(member_id);
            self.members.insert(Arc::clone(member_id), member);
        }
        if let Some(member) = self.members.get_mut(member_id) {
            self.bytes -= member.bytes(member_id);
            change(member);
            self.bytes += member.bytes(member_id);
        }
    }

    fn forget_instance(&mut self, member_id: &str, instance_id: Option<&Arc<str>>) {
        let Some(instance_id) = instance_id else { return };
        if self
            .instances
            .get(instance_id)
            .is_some_and(|owner| **owner == *member_id)
        {
            self.instances.remove(instance_id);
        }
    }

    fn disown(&mut self, member_id: &str) {
        let Some(member) = self.members.get(member_id) else {
            return;
        };
        for partition in member.current().partitions() {
            if self
                .owners
                .get(partition)
                .is_some_and(|owner| **owner == *member_id)
            {
                self.owners.remove(partition);
            }
        }
    }

    fn own(&mut self, member_id: &Arc<str>) {
        let Some(member) = self.members.get(member_id) else {
            return;
        };
        for partition in member.current().partitions() {
            self.owners.insert(*partition, Arc::clone(member_id));
        }
    }
}

impl ConsumerMember {
    /// A member that was never given anything has epoch 0.
    fn current(&self) -> &CurrentAssignment {
        const NOTHING: &CurrentAssignment = &CurrentAssignment::NOTHING;
        self.current.as_deref().unwrap_or(NOTHING)
    }

    /// Whether there is a time by which it has to have given something up; none while it is away.
    fn has_to_revoke(&self) -> bool {
        let current = self.current();
        current.state == MemberState::UnrevokedPartitions && current.member_epoch != heartbeat::AWAY_EPOCH
    }

    /// `None` where it speaks the consumer protocol.
    fn classic(&self) -> Option<&ClassicMember> {
        self.subscription.classic.as_ref()
    }

    fn target(&self) -> &Partitions {
        const NOTHING: &Partitions = &BTreeSet::new();
        self.target.as_deref().unwrap_or(NOTHING)
    }

    fn bytes(&self, member_id: &str) -> u64 {
        let partitions = self.target().len() + 2 * self.current().partitions().count();
        MEMBER_BYTES
            + 3 * member_id.len() as u64
            + self.subscription.bytes()
            + partitions as u64 * PARTITION_BYTES
    }
}

/// Of a group that nothing was written of yet.
const FIRST_EPOCH: i32 = 1;
/// What a group takes beside its members.
const GROUP_BYTES: u64 = 512;
/// What a member takes beside its texts and partitions, in memory and in three records.
const MEMBER_BYTES: u64 = 1024;
/// What a partition takes in one place where it is kept.
const PARTITION_BYTES: u64 = 64;

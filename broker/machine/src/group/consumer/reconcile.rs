//! One member's step from what it has to what it is to have: it gives up first, and takes only what nobody has.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use millstream_protocol::types::TopicId;

use super::super::timers::TimerKind;
use super::super::turn::Turn;
use super::ConsumerGroup;
use super::record::{
    ConsumerRecord, CurrentAssignment, MemberState, PartitionEpochs, Partitions, TopicPartition,
};

/// What a step depends on.
struct Step<'a> {
    current: &'a CurrentAssignment,
    target: &'a Partitions,
    target_epoch: i32,
    /// The topics that the member wants.
    wanted: BTreeSet<TopicId>,
    /// What the member says that it has; `None` where it did not say.
    owned: Option<&'a Partitions>,
    wants_other: bool,
    /// Whether some member has the partition.
    has_owner: &'a dyn Fn(&TopicPartition) -> bool,
}

impl ConsumerGroup {
    pub(super) fn reconcile(
        &mut self,
        member_id: &Arc<str>,
        owned: Option<&Partitions>,
        wants_other: bool,
        turn: &mut Turn,
    ) {
        let member = &self.members[member_id];
        let (current, target_epoch) = (member.current(), self.target_epoch());
        if !wants_other && current.is_at(target_epoch) {
            return;
        }
        let step = Step {
            current,
            target: member.target(),
            target_epoch,
            wanted: self
                .topics_of(&member.subscription, turn.image)
                .into_keys()
                .collect(),
            owned,
            wants_other,
            has_owner: &|partition| self.owners.contains_key(partition),
        };
        let next = step.next();
        if next != *current {
            let record = ConsumerRecord::Current(Arc::clone(member_id), Some(Arc::new(next)));
            self.emit(record, turn);
            self.time_revocation(member_id, turn);
        }
    }

    /// The member has its whole time from now on to give up what it is to give up. Who speaks the classic protocol is
    /// told to join again, and has the time from then on.
    pub(super) fn time_revocation(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let kind = TimerKind::Revocation(Arc::clone(member_id));
        if member.has_to_revoke() && member.classic().is_none() {
            let due = turn.in_ms(member.subscription.rebalance_timeout_ms);
            turn.timers.arm(&mut member.revocation, due, &self.group_id, kind);
        } else {
            turn.timers.disarm(&mut member.revocation, &self.group_id, kind);
        }
    }
}

impl Step<'_> {
    fn next(&self) -> CurrentAssignment {
        let current = self.current;
        match current.state {
            MemberState::Stable if current.member_epoch != self.target_epoch => self.towards_target(),
            MemberState::UnrevokedPartitions if self.still_has(&current.pending_revocation) => {
                if self.wants_other {
                    self.without_unwanted()
                } else {
                    current.clone()
                }
            }
            MemberState::Stable if self.wants_other => self.without_unwanted(),
            MemberState::Stable => current.clone(),
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => self.towards_target(),
        }
    }

    fn still_has(&self, partitions: &PartitionEpochs) -> bool {
        self.owned
            .is_none_or(|owned| owned.iter().any(|it| partitions.contains_key(it)))
    }

    /// Gives up what the member does not want any more, without going on to another epoch.
    fn without_unwanted(&self) -> CurrentAssignment {
        let (assigned, unwanted): (PartitionEpochs, PartitionEpochs) = self
            .current
            .assigned
            .clone()
            .into_iter()
            .partition(|(it, _)| self.wanted.contains(&it.0));
        if unwanted.is_empty() {
            return self.current.clone();
        }
        let mut pending_revocation = self.current.pending_revocation.clone();
        pending_revocation.extend(unwanted);
        let next = CurrentAssignment {
            previous_epoch: self.current.member_epoch,
            assigned,
            ..self.current.clone()
        };
        if !self.still_has(&pending_revocation) {
            return next;
        }
        CurrentAssignment {
            state: MemberState::UnrevokedPartitions,
            pending_revocation,
            ..next
        }
    }

    fn towards_target(&self) -> CurrentAssignment {
        let is_target = |it: &TopicPartition| self.target.contains(it) && self.wanted.contains(&it.0);
        let (mut assigned, to_revoke): (PartitionEpochs, PartitionEpochs) = self
            .current
            .assigned
            .clone()
            .into_iter()
            .partition(|(it, _)| is_target(it));
        if !to_revoke.is_empty() && self.still_has(&to_revoke) {
            return CurrentAssignment {
                member_epoch: self.current.member_epoch,
                previous_epoch: self.current.member_epoch,
                state: MemberState::UnrevokedPartitions,
                assigned,
                pending_revocation: to_revoke,
            };
        }
        let mut state = MemberState::Stable;
        for partition in self.target.iter().filter(|it| is_target(it)) {
            let was_given_up = self.current.pending_revocation.contains_key(partition);
            if assigned.contains_key(partition) {
                continue;
            } else if (self.has_owner)(partition) && !was_given_up {
                state = MemberState::UnreleasedPartitions;
            } else {
                assigned.insert(*partition, self.target_epoch);
            }
        }
        CurrentAssignment {
            member_epoch: self.target_epoch,
            previous_epoch: self.current.member_epoch,
            state,
            assigned,
            pending_revocation: PartitionEpochs::new(),
        }
    }
}

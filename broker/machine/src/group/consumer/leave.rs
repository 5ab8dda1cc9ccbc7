//! Members go: by themselves, by an administrator, or since they were not heard of or gave nothing up in time.

use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::super::answer::{ConsumerHeartbeatAnswer, LeaveAnswer};
use super::super::request::{ConsumerHeartbeatRequest, LeaveRequest, LeavingMember};
use super::super::timers::TimerKind;
use super::super::turn::Turn;
use super::ConsumerGroup;
use super::heartbeat::{AWAY_EPOCH, Refusal};
use super::record::{ConsumerRecord, CurrentAssignment, PartitionEpochs};

impl ConsumerGroup {
    /// A heartbeat that says so. The answer, and who is to be fenced then.
    pub fn leave(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<(ConsumerHeartbeatAnswer, Option<Arc<str>>), Refusal> {
        let member_id: Arc<str> = request.member_id.as_str().into();
        match &request.instance_id {
            Some(instance_id) => {
                let owner = self.instances.get(&**instance_id);
                self.check_instance(owner, &member_id, instance_id)?;
            }
            None if !self.members.contains_key(&member_id) => return Err(self.unknown(&member_id)),
            None => {}
        }
        let is_away = request.member_epoch == AWAY_EPOCH;
        if is_away {
            self.go_away(&member_id, turn);
        }
        let answer = ConsumerHeartbeatAnswer {
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            ..ConsumerHeartbeatAnswer::to(&self.group_id, Arc::clone(&member_id), turn)
        };
        Ok((answer, (!is_away).then_some(member_id)))
    }

    /// LeaveGroup, by which classic members leave and administrators remove any. The answer, and who is to be fenced.
    pub fn find_leaving(&self, request: LeaveRequest) -> (LeaveAnswer, Vec<Arc<str>>) {
        let mut leaving = Vec::new();
        let members = request.members.into_iter().map(|member| {
            let found = self.find(&member);
            let error = found.as_ref().map_or_else(|error| *error, |_| ErrorCode::None);
            leaving.extend(found);
            member.answered(error)
        });
        let answer = LeaveAnswer {
            error: ErrorCode::None,
            members: members.collect(),
        };
        leaving.sort();
        leaving.dedup();
        (answer, leaving)
    }

    /// One of a member's timers is due: its time is over.
    pub fn timer_fired(&mut self, kind: &TimerKind) -> Arc<str> {
        let (TimerKind::Session(member_id)
        | TimerKind::Revocation(member_id)
        | TimerKind::Rejoin(member_id)
        | TimerKind::MemberSync(member_id)) = kind
        else {
            panic!("{kind:?} in a consumer group");
        };
        let member = self.members.get_mut(member_id).expect("a timer of a member");
        let slot = match kind {
            TimerKind::Revocation(_) => &mut member.revocation,
            TimerKind::Rejoin(_) => &mut member.rejoin,
            TimerKind::MemberSync(_) => &mut member.sync,
            _ => &mut member.session,
        };
        *slot = None;
        Arc::clone(member_id)
    }

    /// Takes members out; who is left gets their partitions in the next epoch.
    pub fn fence(&mut self, member_ids: &[Arc<str>], turn: &mut Turn) {
        for member_id in member_ids {
            self.remove_member(member_id, turn);
        }
        let metadata_hash = self.metadata_hash(turn.image);
        self.next_epoch(metadata_hash, turn);
    }

    /// The group is over: its members are members of a classic group from now on.
    pub fn dissolve(&mut self, turn: &mut Turn) {
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            self.remove_member(&member_id, turn);
        }
        self.end(turn);
    }

    /// The group is over, and has no members: tombstones for what is left of it.
    pub fn end(&mut self, turn: &mut Turn) {
        assert!(self.is_empty(), "a group with members ends");
        if self.target_epoch.is_some() {
            self.emit(ConsumerRecord::TargetEpoch(None), turn);
        }
        if self.epoch.is_some() {
            self.emit(ConsumerRecord::Epoch(None), turn);
        }
    }

    pub(super) fn remove_member(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let (had_current, had_target) = (member.current.is_some(), member.target.is_some());
        let id = || Arc::clone(member_id);
        for (slot, kind) in [
            (&mut member.session, TimerKind::Session(id())),
            (&mut member.revocation, TimerKind::Revocation(id())),
            (&mut member.rejoin, TimerKind::Rejoin(id())),
            (&mut member.sync, TimerKind::MemberSync(id())),
        ] {
            turn.timers.disarm(slot, &self.group_id, kind);
        }
        if had_current {
            self.emit(ConsumerRecord::Current(id(), None), turn);
        }
        if had_target {
            self.emit(ConsumerRecord::Target(id(), None), turn);
        }
        self.emit(ConsumerRecord::Member(id(), None), turn);
    }

    /// A static member keeps its place until its session is over.
    fn go_away(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let current = self.members[member_id].current();
        let assigned = current.assigned.keys().map(|partition| (*partition, 0));
        let away = CurrentAssignment {
            member_epoch: AWAY_EPOCH,
            assigned: assigned.collect(),
            pending_revocation: PartitionEpochs::new(),
            ..current.clone()
        };
        self.emit(
            ConsumerRecord::Current(Arc::clone(member_id), Some(Arc::new(away))),
            turn,
        );
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let kind = TimerKind::Revocation(Arc::clone(member_id));
        turn.timers.disarm(&mut member.revocation, &self.group_id, kind);
    }

    fn find(&self, member: &LeavingMember) -> Result<Arc<str>, ErrorCode> {
        let Some(instance_id) = &member.group_instance_id else {
            let known = self.members.get_key_value(&*member.member_id);
            return known
                .map(|(id, _)| Arc::clone(id))
                .ok_or(ErrorCode::UnknownMemberId);
        };
        let owner = self
            .instances
            .get(&**instance_id)
            .ok_or(ErrorCode::UnknownMemberId)?;
        if !member.member_id.is_empty() && **owner != *member.member_id {
            return Err(ErrorCode::FencedInstanceId);
        }
        Ok(Arc::clone(owner))
    }
}

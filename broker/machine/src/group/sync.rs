//! SyncGroup: the leader brings the assignment, the others fetch theirs.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::Ticket;
use super::answer::{GroupAnswer, SyncAnswer};
use super::classic::ClassicGroup;
use super::request::{MemberAssignment, SyncRequest};
use super::state::ClassicState;
use super::timers::TimerKind;
use super::turn::Turn;

impl ClassicGroup {
    pub fn sync(&mut self, ticket: Ticket, request: SyncRequest, turn: &mut Turn) {
        if let Err(error) = self.sync_checked(ticket, request, turn) {
            turn.answer(ticket, GroupAnswer::Sync(SyncAnswer::refusal(error)));
        }
    }

    fn sync_checked(
        &mut self,
        ticket: Ticket,
        request: SyncRequest,
        turn: &mut Turn,
    ) -> Result<(), ErrorCode> {
        self.check_sync(&request)?;
        match self.state {
            ClassicState::Empty => return Err(ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            ClassicState::CompletingRebalance | ClassicState::Stable => {}
        }
        let member_id = request.member_id.as_str();
        self.members.synced(member_id);
        if self.members.all_synced() {
            let kind = TimerKind::Sync;
            turn.timers.disarm(&mut self.sync_timer, &self.group_id, kind);
        }
        let member = self.members.get_mut(member_id).expect("checked");
        if self.state == ClassicState::CompletingRebalance {
            let overtaken = member.parked_sync.replace(ticket);
            if let Some(ticket) = overtaken {
                let refusal = SyncAnswer::refusal(ErrorCode::RebalanceInProgress);
                turn.answer(ticket, GroupAnswer::Sync(refusal));
            }
            if self.is_leader(member_id) {
                self.assign(&request.assignments, turn);
            }
        } else {
            let member = self.members.get(member_id).expect("checked");
            let answer = self.sync_answer(member);
            turn.answer(ticket, GroupAnswer::Sync(answer));
        }
        Ok(())
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        if self.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differ(&request.protocol_type, &self.protocol_type)
            || differ(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Gives every member its share and makes the group stable, if its record can be written; else all join again.
    fn assign(&mut self, assignments: &[MemberAssignment], turn: &mut Turn) {
        let assignments = assignments.iter();
        let mut shares: BTreeMap<&str, &[u8]> =
            assignments.map(|it| (&*it.member_id, &*it.assignment)).collect();
        let added = shares.iter().filter(|(id, _)| self.members.contains(id));
        let added: usize = added.map(|(_, share)| share.len()).sum();
        if let Some(error) = self.refuses_to_grow(added, turn) {
            self.drop_assignments(error, turn);
            return self.prepare_rebalance(turn);
        }
        for member_id in self.members.ids_where(|_| true) {
            let share = shares.remove(&*member_id).unwrap_or(&[]);
            self.members.assign(&member_id, share.into());
        }
        self.turn_to(ClassicState::Stable, turn);
        let metadata = self.metadata();
        self.write(Some(metadata), turn);
        for member_id in self.members.ids_where(|it| it.parked_sync.is_some()) {
            let member = self.members.get_mut(&member_id).expect("one of the members");
            let ticket = member.parked_sync.take().expect("chosen for it");
            let member = self.members.get(&member_id).expect("one of the members");
            let answer = self.sync_answer(member);
            turn.answer(ticket, GroupAnswer::Sync(answer));
            self.heard_of(&member_id, turn);
        }
    }

    /// Why so many bytes of assignments cannot be kept, with the codes that Kafka has for a failed append.
    fn refuses_to_grow(&self, added: usize, turn: &Turn) -> Option<ErrorCode> {
        let held: usize = self.members.iter().map(|it| it.assignment().len()).sum();
        if self.metadata().record_bytes() - held + added > turn.settings.group_record_bytes_max {
            Some(ErrorCode::UnknownServerError)
        } else if 2 * (added.saturating_sub(held)) as u64 > turn.room {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else {
            None
        }
    }

    /// The sync timer is due, and its slot empty: who did not ask for its assignment is out.
    pub(super) fn expire_sync(&mut self, turn: &mut Turn) {
        for member_id in self.members.ids_where(|it| it.owes_sync) {
            self.remove(&member_id, turn);
        }
        self.prepare_rebalance(turn);
    }
}

/// A name that one of both sides does not know is no contradiction.
fn differ(requested: &Option<String>, known: &Option<Arc<str>>) -> bool {
    match (requested, known) {
        (Some(requested), Some(known)) => **requested != **known,
        _ => false,
    }
}

//! LeaveGroup: members go, or are sent away by an administrator.

use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::answer::LeaveAnswer;
use super::classic::ClassicGroup;
use super::request::{LeaveRequest, LeavingMember};
use super::turn::Turn;

impl ClassicGroup {
    pub fn leave(&mut self, request: LeaveRequest, turn: &mut Turn) -> LeaveAnswer {
        let mut members = Vec::with_capacity(request.members.len());
        let mut somebody_left = false;
        for member in request.members {
            let error = match self.let_go(&member, turn) {
                Ok(()) => ErrorCode::None,
                Err(error) => error,
            };
            somebody_left |= error == ErrorCode::None;
            members.push(member.answered(error));
        }
        if somebody_left && !self.is_empty() {
            self.rebalance_or_complete_join(turn);
        }
        LeaveAnswer {
            error: ErrorCode::None,
            members,
        }
    }

    fn let_go(&mut self, member: &LeavingMember, turn: &mut Turn) -> Result<(), ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        if member.member_id.is_empty() {
            let owner = instance_id.and_then(|id| self.members.of_instance(id));
            let owner = owner.cloned().ok_or(ErrorCode::UnknownMemberId)?;
            self.remove(&owner, turn);
            return Ok(());
        }
        if !self.pending.contains(&member.member_id) {
            self.check_member(&member.member_id, instance_id)?;
        }
        self.remove(&member.member_id, turn);
        Ok(())
    }
}

//! Heartbeat, and what happens when it stays away.

use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::classic::ClassicGroup;
use super::request::HeartbeatRequest;
use super::state::GroupState;
use super::timers::TimerKind;
use super::turn::Turn;

impl ClassicGroup {
    pub fn heartbeat(&mut self, request: &HeartbeatRequest, turn: &mut Turn) -> Result<(), ErrorCode> {
        let member_id = request.member_id.as_str();
        self.check_member(member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => {
                self.heard_of(member_id, turn);
                Err(ErrorCode::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.heard_of(member_id, turn);
                Ok(())
            }
        }
    }

    /// The member's session lasts its whole time from now on.
    pub(super) fn heard_of(&mut self, member_id: &str, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let due = turn.in_ms(member.session_timeout_ms);
        let kind = TimerKind::Session(Arc::clone(&member.member_id));
        turn.timers.arm(&mut member.session, due, &self.group_id, kind);
    }

    /// The session of a member, or the time of a pending one, is over, and its slot empty.
    pub(super) fn expire_session(&mut self, member_id: &str, turn: &mut Turn) {
        if self
            .members
            .get(member_id)
            .is_some_and(|member| member.is_kept_waiting())
        {
            return;
        }
        let was_pending = self.pending.contains(member_id);
        self.remove(member_id, turn);
        match self.state {
            GroupState::PreparingRebalance if self.have_all_joined() => self.complete_join(turn),
            GroupState::CompletingRebalance | GroupState::Stable if !was_pending => {
                self.prepare_rebalance(turn)
            }
            _ => {}
        }
    }
}

//! Heartbeat, and what happens when it stays away.

use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::classic::ClassicGroup;
use super::request::HeartbeatRequest;
use super::state::ClassicState;
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
            ClassicState::Empty => Err(ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => {
                self.heard_of(member_id, turn);
                Err(ErrorCode::RebalanceInProgress)
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
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
            ClassicState::PreparingRebalance if self.have_all_joined() => self.complete_join(turn),
            ClassicState::CompletingRebalance | ClassicState::Stable if !was_pending => {
                self.prepare_rebalance(turn)
            }
            _ => {}
        }
    }
}

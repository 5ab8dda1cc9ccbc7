//! Static members (KIP-345): a client that comes back under its instance id takes over the place that it had, with a
//! new member id, and where its protocols let the group go on as it is, nobody else notices.

use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::Ticket;
use super::answer::{GroupAnswer, JoinAnswer, SyncAnswer};
use super::classic::ClassicGroup;
use super::request::JoinRequest;
use super::state::ClassicState;
use super::timers::TimerKind;
use super::turn::Turn;

impl ClassicGroup {
    /// The member `old_id` comes back as `new_id`.
    pub(super) fn replace_static(
        &mut self,
        old_id: &Arc<str>,
        new_id: Arc<str>,
        ticket: Ticket,
        request: &JoinRequest,
        turn: &mut Turn,
    ) {
        let leader_before = self.leader.clone();
        self.rename_static(old_id, &new_id, turn);
        self.update_member(&new_id, request);
        match self.state {
            ClassicState::Stable if self.members.select_protocol() == self.protocol_name => {
                let metadata = self.metadata();
                self.write(Some(metadata), turn);
                let answer = self.took_over(&new_id, leader_before, request);
                turn.answer(ticket, GroupAnswer::Join(answer));
            }
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                self.park_join(&new_id, ticket, turn);
                self.prepare_rebalance(turn);
            }
            ClassicState::PreparingRebalance => {
                self.park_join(&new_id, ticket, turn);
                self.complete_join_if_all_are_there(turn);
            }
            ClassicState::Empty => panic!("members in a group that has none"),
        }
    }

    /// What the old client still waits for is answered FENCED_INSTANCE_ID.
    fn rename_static(&mut self, old_id: &Arc<str>, new_id: &Arc<str>, turn: &mut Turn) {
        let mut member = self.members.remove(old_id).expect("the owner of an instance id");
        let fenced = ErrorCode::FencedInstanceId;
        if let Some(ticket) = member.parked_join.take() {
            let refusal = JoinAnswer::refusal(fenced, Arc::clone(old_id));
            turn.answer(ticket, GroupAnswer::Join(refusal));
        }
        if let Some(ticket) = member.parked_sync.take() {
            turn.answer(ticket, GroupAnswer::Sync(SyncAnswer::refusal(fenced)));
        }
        let kind = TimerKind::Session(Arc::clone(old_id));
        turn.timers.disarm(&mut member.session, &self.group_id, kind);
        let due = turn.in_ms(member.session_timeout_ms);
        let kind = TimerKind::Session(Arc::clone(new_id));
        turn.timers.arm(&mut member.session, due, &self.group_id, kind);
        member.member_id = Arc::clone(new_id);
        member.is_new = false;
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(new_id));
        }
        self.members.insert(member);
    }

    /// What a member is told that took over a place in a group that goes on. A leader that cannot be told to skip the
    /// assignment (KIP-814) is told of the leader that it was before, so that it takes itself for a follower.
    fn took_over(
        &self,
        new_id: &Arc<str>,
        leader_before: Option<Arc<str>>,
        request: &JoinRequest,
    ) -> JoinAnswer {
        let mut answer = self.join_answer(new_id);
        if request.supports_skipping_assignment {
            answer.skip_assignment = self.is_leader(new_id);
        } else {
            answer.leader = leader_before.unwrap_or_else(|| "".into());
            answer.members.clear();
        }
        answer
    }
}

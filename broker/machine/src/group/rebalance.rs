//! The rebalance: everybody joins again, and when all have, or time is up, the next generation begins.

use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Duration;

use super::answer::{GroupAnswer, SyncAnswer};
use super::classic::ClassicGroup;
use super::state::ClassicState;
use super::timers::TimerKind;
use super::turn::Turn;

/// The first rebalance of an empty group waits, and longer as long as members keep coming, so that a fleet that starts
/// is not rebalanced once for each of its members.
#[derive(Debug)]
pub(super) struct InitialDelay {
    span: Duration,
    /// How much longer the group may wait in all.
    remaining: Duration,
    /// Whether somebody came since the timer was armed.
    pub member_added: bool,
}

impl ClassicGroup {
    /// After members came, went or changed.
    pub(super) fn rebalance_or_complete_join(&mut self, turn: &mut Turn) {
        match self.state {
            ClassicState::PreparingRebalance => self.complete_join_if_all_are_there(turn),
            ClassicState::Empty | ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.prepare_rebalance(turn);
            }
        }
    }

    /// From every state but [`ClassicState::PreparingRebalance`].
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn) {
        if self.state == ClassicState::CompletingRebalance {
            self.drop_assignments(ErrorCode::RebalanceInProgress, turn);
        }
        self.members.forgive_syncs();
        let kind = TimerKind::Sync;
        turn.timers.disarm(&mut self.sync_timer, &self.group_id, kind);
        let is_initial = self.is_empty();
        self.turn_to(ClassicState::PreparingRebalance, turn);
        if is_initial {
            self.delay_first_rebalance(turn);
        } else if self.have_all_joined() {
            self.complete_join(turn);
        } else {
            self.arm_join_timer(turn);
        }
    }

    pub(super) fn have_all_joined(&self) -> bool {
        self.members.joined() == self.members.len() && self.pending.is_empty()
    }

    /// The first rebalance waits for its time even if all are there.
    pub(super) fn complete_join_if_all_are_there(&mut self, turn: &mut Turn) {
        let prepares = self.state == ClassicState::PreparingRebalance;
        if prepares && self.initial_delay.is_none() && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    /// The join timer is due, and its slot empty.
    pub(super) fn expire_join(&mut self, turn: &mut Turn) {
        let Some(delay) = &mut self.initial_delay else {
            return self.complete_join(turn);
        };
        if !delay.member_added || delay.remaining.is_zero() {
            return self.complete_join(turn);
        }
        let span = turn.settings.initial_rebalance_delay.min(delay.remaining);
        *delay = InitialDelay {
            span,
            remaining: minus(delay.remaining, delay.span),
            member_added: false,
        };
        let due = turn.now.monotonic + span;
        turn.timers
            .arm(&mut self.join_timer, due, &self.group_id, TimerKind::Join);
    }

    /// Begins the next generation with who joined. Dynamic members that did not are out; static ones keep their place.
    pub(super) fn complete_join(&mut self, turn: &mut Turn) {
        let kind = TimerKind::Join;
        turn.timers.disarm(&mut self.join_timer, &self.group_id, kind);
        for member_id in self.members.ids_where(|it| !it.has_joined() && !it.is_static()) {
            self.remove(&member_id, turn);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            return self.arm_join_timer(turn);
        }
        self.initial_delay = None;
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.protocol_name = self.members.select_protocol();
        self.read_subscriptions();
        if self.members.is_empty() {
            self.turn_to(ClassicState::Empty, turn);
            let metadata = self.metadata();
            self.write(Some(metadata), turn);
            return;
        }
        assert!(
            self.protocol_name.is_some(),
            "members without a protocol in common"
        );
        self.turn_to(ClassicState::CompletingRebalance, turn);
        for member_id in self.members.ids_where(|_| true) {
            if let Some(ticket) = self.members.take_join(&member_id) {
                let answer = self.join_answer(&member_id);
                turn.answer(ticket, GroupAnswer::Join(answer));
            }
            self.heard_of(&member_id, turn);
            let member = self.members.get_mut(&member_id).expect("one of the members");
            member.is_new = false;
        }
        self.members.expect_syncs();
        let due = turn.in_ms(self.members.rebalance_timeout_ms());
        turn.timers
            .arm(&mut self.sync_timer, due, &self.group_id, TimerKind::Sync);
    }

    /// Takes the assignments away and tells who waits for one why.
    pub(super) fn drop_assignments(&mut self, error: ErrorCode, turn: &mut Turn) {
        for member_id in self.members.ids_where(|_| true) {
            self.members.assign(&member_id, Arc::new([]));
            let member = self.members.get_mut(&member_id).expect("one of the members");
            if let Some(ticket) = member.parked_sync.take() {
                turn.answer(ticket, GroupAnswer::Sync(SyncAnswer::refusal(error)));
                self.heard_of(&member_id, turn);
            }
        }
    }

    fn delay_first_rebalance(&mut self, turn: &mut Turn) {
        let span = turn.settings.initial_rebalance_delay;
        let longest = turn.in_ms(self.members.rebalance_timeout_ms()) - turn.now.monotonic;
        self.initial_delay = Some(InitialDelay {
            span,
            remaining: minus(longest, span),
            member_added: false,
        });
        let due = turn.now.monotonic + span;
        turn.timers
            .arm(&mut self.join_timer, due, &self.group_id, TimerKind::Join);
    }

    fn arm_join_timer(&mut self, turn: &mut Turn) {
        let due = turn.in_ms(self.members.rebalance_timeout_ms());
        turn.timers
            .arm(&mut self.join_timer, due, &self.group_id, TimerKind::Join);
    }

    /// A leader that did not join is no leader of this generation. False where nobody joined.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &Arc<str>| self.members.get(id).is_some_and(|it| it.has_joined());
        if !self.leader.as_ref().is_some_and(joined) {
            let Some(next) = self.members.iter().find(|it| it.has_joined()) else {
                return false;
            };
            self.leader = Some(Arc::clone(&next.member_id));
        }
        true
    }
}

fn minus(span: Duration, less: Duration) -> Duration {
    Duration::from_nanos(span.as_nanos().saturating_sub(less.as_nanos()))
}

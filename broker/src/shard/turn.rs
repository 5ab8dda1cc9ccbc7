//! The shard's turn: completions in, everything that follows from them, submissions out.
//!
//! ```text
//! completions ─► connections (bytes → frames) ─► handlers ─► partitions ─► answers
//! mail of other shards, of the controller ───────────┘            │
//! deadlines due ──────────────────────────────────────────────────┘
//! storage's turn (one round) · mail out · sends joined, receives armed ─► the caller enters the ring once
//! ```
//! Place: called by [`super::host`] on a core, and by tests on a simulated ring; a plain function of its completions.
//! Invariants: no turn waits; what exceeds the turn's budget is carried over, connection by connection in turn; large
//! frames and answers are moved in every other turn at most while there is something small to do.

use std::mem;

use millstream_protocol::time::{Duration, Instant};
use millstream_ring::{Completion, Ring};
use millstream_storage::Now;

use super::mailbox::ShardId;
use super::state::{Lifecycle, Shard};
use super::token::Tag;
use crate::limits::{
    BYTES_PER_SHARED_TURN, BYTES_PER_TURN, COLD_BYTES_PER_SHARED_TURN, COLD_BYTES_PER_TURN, LITTLE_BYTES,
    LITTLE_REMEMBERED, MESSAGES_PER_TURN, SWEEP_INTERVAL,
};

/// What a shard wants after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More work waits: enter the ring without waiting and turn again.
    Busy,
    /// Nothing to do before this moment, unless something comes.
    Wait(Instant),
    /// The shard has shut down: everything is flushed and closed.
    Finished,
}

impl Shard {
    /// One turn. `completions` is emptied.
    pub fn turn(&mut self, ring: &mut impl Ring, now: Now, completions: &mut Vec<Completion>) -> Next {
        self.now = now;
        self.counters.turns += 1;
        for completion in completions.drain(..) {
            self.complete(ring, completion);
        }
        self.choose_whose_turn_it_is();
        self.partitions.logs.look_at_most(match self.is_shared() {
            true => COLD_BYTES_PER_SHARED_TURN,
            false => COLD_BYTES_PER_TURN,
        });
        self.handle_events();
        self.read_mail(ring);
        self.serve_ready_connections();
        self.handle_deadlines(ring);
        let loads_left = self.load_coordinators();
        self.drive_coordinators();
        self.drive_storage(ring);
        self.heed_congestion();
        let mail_left = self.mail.flush(ring);
        self.submit_dirty_connections(ring);
        self.advance_shutdown();
        self.next(mail_left || loads_left)
    }

    fn complete(&mut self, ring: &mut impl Ring, completion: Completion) {
        match Tag::of(completion.token) {
            None => self
                .partitions
                .complete(completion, ring, self.now, &mut self.events),
            Some(Tag::Accept(listener)) => self.accepted(ring, listener, completion),
            Some(Tag::Receive(connection)) => self.received(connection, completion.result),
            Some(Tag::Send(connection)) => self.sent(connection, completion.result),
            Some(Tag::Close(connection)) => self.closed(connection),
            Some(Tag::Discard) => {}
        }
    }

    /// Where there is something for those with little, it goes ahead in a turn of its own, short enough that they need
    /// not wait for more of what is much than is done already; every other turn is everybody's.
    fn choose_whose_turn_it_is(&mut self) {
        let little =
            self.is_shared() && (!self.ready.is_empty() || !self.events.is_empty() || self.mail.has_mail());
        self.much_waits = little && !self.much_waits;
    }

    /// A request of so many bytes came.
    pub(super) fn note_request(&mut self, bytes: usize) {
        if bytes <= LITTLE_BYTES {
            self.little_seen = Some(self.now.monotonic);
        }
    }

    /// Somebody with little is about: turns are short for their sake.
    pub(super) fn is_shared(&self) -> bool {
        let lately = |at| self.now.monotonic.saturating_since(at) < Duration::from(LITTLE_REMEMBERED);
        self.little_seen.is_some_and(lately)
    }

    fn read_mail(&mut self, ring: &mut impl Ring) {
        let mut budget = MESSAGES_PER_TURN;
        let own = self.id;
        for from in (0..self.table.shards()).map(ShardId).filter(|from| *from != own) {
            while budget > 0 {
                let Some(message) = self.mail.receive(from) else {
                    break;
                };
                budget -= 1;
                self.handle_peer_message(ring, from, message);
            }
        }
        while let Some(message) = self.controller.receive() {
            self.handle_controller_message(ring, message);
        }
    }

    /// Looks at the connections that had input, each within its own budget, until the turn's is used up: first at those
    /// with little, then at those with more, of which one at least is served unless they wait for the next turn.
    fn serve_ready_connections(&mut self) {
        let mut bytes = 0;
        let bytes_max = match self.is_shared() {
            true => BYTES_PER_SHARED_TURN,
            false => BYTES_PER_TURN,
        };
        for _ in 0..self.ready.len() {
            if bytes >= bytes_max {
                break;
            }
            let Some(connection) = self.ready.pop_front() else {
                break;
            };
            bytes += self.serve(connection);
        }
        if self.much_waits {
            return;
        }
        for _ in 0..self.ready_with_much.len() {
            let Some(connection) = self.ready_with_much.pop_front() else {
                break;
            };
            bytes += self.serve(connection);
            if bytes >= bytes_max {
                break;
            }
        }
    }

    fn handle_deadlines(&mut self, ring: &mut impl Ring) {
        self.expire_waits();
        self.expire_coordinators();
        self.unmute_connections();
        if self.now.monotonic >= self.next_sweep {
            self.next_sweep = self.now.monotonic + Duration::from(SWEEP_INTERVAL);
            self.sweep(ring);
            self.heed_quiet(ring);
            self.forget_silent_clients();
        }
    }

    fn drive_storage(&mut self, ring: &mut impl Ring) {
        self.partitions.turn(ring, self.now, &mut self.events);
        self.handle_events();
    }

    fn handle_events(&mut self) {
        let mut events = mem::take(&mut self.events);
        for event in events.drain(..) {
            self.handle_log_event(event);
        }
        self.events = events;
    }

    fn next(&self, left: bool) -> Next {
        if self.lifecycle == Lifecycle::Stopped {
            return Next::Finished;
        }
        let has_input = !self.ready.is_empty() || !self.ready_with_much.is_empty();
        let has_output = !self.sends_waiting.is_empty() || !self.receives_waiting.is_empty();
        if left || has_input || has_output || !self.events.is_empty() || self.mail.has_mail() {
            return Next::Busy;
        }
        // Another shard's room comes back without a word.
        let congestion = (!self.congested.is_empty()).then(|| self.now.monotonic + CONGESTION_STEP);
        let deadlines = [
            self.partitions.next_deadline(),
            self.coordinators.next_deadline(self.now.monotonic),
            self.shutdown_deadline(),
            self.muted.first().map(|(until, _)| *until),
            congestion,
        ];
        let next = deadlines
            .into_iter()
            .flatten()
            .fold(self.next_sweep, Instant::min);
        if next <= self.now.monotonic {
            Next::Busy
        } else {
            Next::Wait(next)
        }
    }
}

/// How often a shard that holds writes back looks for room.
const CONGESTION_STEP: Duration = Duration::from_millis(1);

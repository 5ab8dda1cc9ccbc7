//! The orderly end of a shard: no new connections, what is in progress is answered, the logs are flushed and marked
//! clean.
//! Invariant: nothing is appended after the logs were told to end; a client that does not read cannot hold it up.

use millstream_protocol::time::{Duration, Instant};
use millstream_ring::{Op, Ring};

use super::slab::Key;
use super::state::{Lifecycle, Shard};
use super::token::Tag;
use crate::limits::DRAIN_DEADLINE;
use crate::server::connection::Phase;

impl Shard {
    /// Begins the end. What is in progress is answered; parked fetches with what there is.
    pub(crate) fn begin_shutdown(&mut self, ring: &mut impl Ring) {
        if self.lifecycle != Lifecycle::Running {
            return;
        }
        self.lifecycle = Lifecycle::Draining;
        self.drain_until = self.now.monotonic + Duration::from(DRAIN_DEADLINE);
        // The entries stay: an accept may still complete.
        for listening in &self.listening {
            ring.submit(
                Tag::Discard.token(),
                Op::CloseSocket {
                    socket: listening.socket,
                },
            );
        }
        self.close_coordinators();
        let connections: Vec<Key> = self.connections.keys().collect();
        for key in connections {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            if connection.phase == Phase::Open {
                connection.phase = Phase::Draining;
            }
            let waiting = connection.waiting_call;
            self.mark_dirty(key);
            if let Some(call) = waiting {
                self.answer_fetch_now(call);
            }
        }
    }

    /// Goes one step on where the present one is done.
    pub(super) fn advance_shutdown(&mut self) {
        match self.lifecycle {
            Lifecycle::Running | Lifecycle::Stopped => {}
            Lifecycle::Draining => {
                let overdue = self.now.monotonic >= self.drain_until;
                if overdue {
                    let left: Vec<Key> = self.connections.keys().collect();
                    left.into_iter().for_each(|key| self.abort(key));
                }
                if self.connections.is_empty() && self.table.is_drained() || overdue {
                    self.lifecycle = Lifecycle::Flushing;
                    self.partitions.logs.begin_shutdown();
                }
            }
            Lifecycle::Flushing => {
                if self.partitions.logs.is_quiet() {
                    self.lifecycle = Lifecycle::Stopped;
                }
            }
        }
    }

    /// When the end must go on by time alone.
    pub(super) fn shutdown_deadline(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Running | Lifecycle::Stopped => None,
            Lifecycle::Draining => Some(self.drain_until),
            Lifecycle::Flushing => Some(self.now.monotonic + Duration::from_millis(1)),
        }
    }
}

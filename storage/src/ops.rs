//! Operations in flight on the ring: a slot for each, named by the token that comes back.
//!
//! Place: every file operation of the crate is submitted through [`Ops::submit`].
//! Invariant: a token's top bit says that it is ours; its generation says that the slot was not used again.

use millstream_protocol::time::Instant;
use millstream_ring::{Completion, Op, Ring, Token};

use crate::checkpointer::CheckpointOp;
use crate::journal::JournalOp;
use crate::rescue::RescueOp;
use crate::segment_files::FileOp;

/// What a completion means, and to which part of the shard's storage.
pub(crate) enum Meaning {
    Journal(JournalOp),
    Checkpoint(CheckpointOp),
    File(FileOp),
    Rescue(RescueOp),
}

/// The ring, and the book of what is in flight on it.
pub(crate) struct Io<'a, R> {
    pub(crate) ring: &'a mut R,
    pub(crate) ops: &'a mut Ops,
}

impl<R: Ring> Io<'_, R> {
    pub(crate) fn submit(&mut self, meaning: Meaning, op: Op) {
        self.ops.submit(self.ring, meaning, op);
    }
}

/// The operations in flight, each with what its completion means.
pub(crate) struct Ops {
    slots: Vec<Slot>,
    free: Vec<u32>,
    in_flight: usize,
}

struct Slot {
    generation: u32,
    meaning: Option<Meaning>,
    /// When [`Ops::oldest`] first met what is in flight.
    met: Option<Instant>,
}

impl Ops {
    pub(crate) fn new() -> Ops {
        Ops {
            slots: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
        }
    }

    /// Hands `op` to the ring; its completion will mean `meaning`.
    pub(crate) fn submit(&mut self, ring: &mut impl Ring, meaning: Meaning, op: Op) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                meaning: None,
                met: None,
            });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 operations in flight")
        });
        let slot = &mut self.slots[index as usize];
        assert!(slot.meaning.is_none());
        (slot.meaning, slot.met) = (Some(meaning), None);
        self.in_flight += 1;
        ring.submit(token(slot.generation, index), op);
    }

    /// What this completion means. Panics on a token that is not in flight: the ring answers each once.
    pub(crate) fn take(&mut self, completion: &Completion) -> Meaning {
        assert!(is_storage_token(completion.token));
        let index = completion.token.0 as u32;
        let slot = &mut self.slots[index as usize];
        assert!(
            token(slot.generation, index) == completion.token,
            "a completion of an operation long done"
        );
        let meaning = slot.meaning.take().expect("an operation completes once");
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(index);
        self.in_flight -= 1;
        meaning
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Since when the oldest operation has been in flight that is none of the journal's, as far as this was asked
    /// before: to ask once a second costs less than a clock for every operation.
    pub(crate) fn oldest(&mut self, now: Instant) -> Option<Instant> {
        let others = self
            .slots
            .iter_mut()
            .filter(|slot| !matches!(slot.meaning, None | Some(Meaning::Journal(_))));
        others.map(|slot| *slot.met.get_or_insert(now)).min()
    }
}

/// Whether a completion belongs to storage; the broker's own tokens leave the top bit clear.
#[must_use]
pub fn is_storage_token(token: Token) -> bool {
    token.0 & STORAGE_BIT != 0
}

fn token(generation: u32, index: u32) -> Token {
    Token(STORAGE_BIT | u64::from(generation) << 32 | u64::from(index))
}

const STORAGE_BIT: u64 = 1 << 63;
const GENERATION_MASK: u32 = (1 << 31) - 1;

//! What lies in the ring beyond the end of a chain: rounds that were written after it, if there are any.
//!
//! Place: the boot of `millstream-storage` feeds it the ring from the chain's end on; what it found goes to
//! [`super::Replay::chain_ended`].
//!
//! A chain that ends because power went is followed by what the ring held before: rounds of its last time round, or
//! the zeros that it was made of. One that ends because a round was damaged is followed by newer rounds. These would
//! lie right behind the damaged round, so nothing newer is there once more of the old was seen in one piece than a
//! round can be long (a round that did not fit before the ring's end leaves a gap there, which is shorter). Whatever
//! is neither an intact old round nor untouched proves nothing, and the look goes on, at most once round the ring.
//!
//! Invariant: a newer round with an intact header is found, unless more than two rounds' length before it turned
//! into intact old rounds again.

use alloc::vec::Vec;

use crate::id::JournalIdentity;
use crate::layout::BLOCK;
use crate::round::{ChainPoint, Round, RoundHeader, newest_settled};

/// See the module's page.
#[derive(Debug)]
pub struct Beyond {
    journal: JournalIdentity,
    ring_bytes: u64,
    end: ChainPoint,
    /// So much of the old in one piece ends the look; `None` to look at all of the ring.
    enough: Option<u64>,
    /// The ring was never filled to its end, so that zeros are old. `None` until the first block told.
    is_virgin: Option<bool>,
    at: u64,
    /// Bytes of the ring not looked at yet.
    left: u64,
    /// Bytes of the old in one piece before `at`.
    old: u64,
    headers: Vec<(u64, RoundHeader)>,
}

/// What a step of [`Beyond`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Call again with at least `len` bytes of the ring from `at` on.
    Need {
        at: u64,
        len: u64,
    },
    Done,
}

impl Beyond {
    /// `round_bytes_max` is the largest round that may be in this ring, in bytes; `None` to look at every block, where
    /// the chain's beginning itself is in doubt.
    pub fn new(
        journal: JournalIdentity,
        ring_bytes: u64,
        end: ChainPoint,
        round_bytes_max: Option<u64>,
    ) -> Self {
        Self {
            journal,
            ring_bytes,
            end,
            enough: round_bytes_max.map(|bytes| 2 * bytes),
            is_virgin: None,
            at: end.position,
            left: ring_bytes,
            old: 0,
            headers: Vec::new(),
        }
    }

    /// Looks at `bytes`, which lie in the ring from `at` on. A block that cannot be read is given as anything but
    /// zeros.
    pub fn step(&mut self, at: u64, bytes: &[u8]) -> Look {
        loop {
            if self.at + BLOCK > self.ring_bytes {
                (self.at, self.old) = (0, 0);
            }
            if self.left == 0 || self.enough.is_some_and(|enough| self.old >= enough) {
                return Look::Done;
            }
            let wanted = match self.is_virgin {
                Some(_) => self.at,
                None => 0,
            };
            let from = wanted.checked_sub(at).unwrap_or(u64::MAX);
            let here = usize::try_from(from)
                .ok()
                .and_then(|from| bytes.get(from..))
                .filter(|here| here.len() as u64 >= BLOCK);
            let Some(here) = here else {
                return Look::Need {
                    at: wanted,
                    len: BLOCK,
                };
            };
            if self.is_virgin.is_none() {
                let first = newest_settled(self.journal, here).map(|header| header.sequence.get());
                self.is_virgin = Some(self.end.sequence.get() == 1 || first == Some(1));
            } else if let Some(len) = self.look(here) {
                return Look::Need { at: self.at, len };
            }
        }
    }

    /// Whether nothing has been written over yet: the ring begins with the journal's first round, or has none.
    pub fn is_virgin(&self) -> bool {
        self.is_virgin == Some(true)
    }

    /// All headers of this journal that were met, with their places.
    pub fn into_headers(self) -> Vec<(u64, RoundHeader)> {
        self.headers
    }

    /// Looks at the block at `self.at`, or at the round that begins there; tells how many bytes that takes if they
    /// are not there.
    fn look(&mut self, here: &[u8]) -> Option<u64> {
        let block = &here[..BLOCK as usize];
        let Some(header) = newest_settled(self.journal, block) else {
            let is_old = self.is_virgin == Some(true) && block == [0; BLOCK as usize];
            self.pass(BLOCK, is_old);
            return None;
        };
        let len = header.padded_len();
        let is_newer = header.sequence >= self.end.sequence;
        if is_newer || self.at + len > self.ring_bytes {
            // What follows a damaged round is wanted whole.
            if header.sequence > self.end.sequence {
                self.enough = None;
            }
            self.headers.push((self.at, header));
            self.pass(BLOCK, false);
            return None;
        }
        if len > here.len() as u64 {
            return Some(len);
        }
        self.headers.push((self.at, header));
        match Round::decode(here) {
            Ok(_) => self.pass(len, true),
            Err(_) => self.pass(BLOCK, false),
        }
        None
    }

    fn pass(&mut self, len: u64, is_old: bool) {
        self.old = if is_old { self.old + len } else { 0 };
        self.at += len;
        self.left = self.left.saturating_sub(len);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::id::{Incarnation, JournalId, RoundSequence};
    use crate::record::Record;
    use crate::round::RoundBuilder;
    use crate::testing::{NOW, key};

    const JOURNAL: JournalIdentity = JournalIdentity {
        id: JournalId::new(1),
        nonce: 77,
    };
    const BLOCKS: u64 = 64;
    const ROUND_BLOCKS_MAX: u64 = 4;

    struct Ring {
        bytes: Vec<u8>,
        chain: ChainPoint,
        /// Where each round lies, and its length.
        places: Vec<(u64, u64)>,
    }

    impl Ring {
        fn new() -> Self {
            Self {
                bytes: vec![0; (BLOCKS * BLOCK) as usize],
                chain: ChainPoint::first(JOURNAL),
                places: Vec::new(),
            }
        }

        /// Rounds of so many blocks each.
        fn rounds(&mut self, blocks: &[u64]) {
            for &blocks in blocks {
                let fill = vec![9; (blocks - 1) as usize * BLOCK as usize + 100];
                let mut builder = RoundBuilder::new(vec![0; (ROUND_BLOCKS_MAX * BLOCK) as usize]);
                let record = Record::Tail {
                    partition: key(0),
                    segment: crate::SegmentId::new(1),
                    position: crate::FilePosition::ZERO,
                    bytes: &fill,
                    batches: &[],
                };
                builder.push(&record).unwrap();
                let settled = self.chain.sequence.previous();
                let sealed = builder.finish(JOURNAL, Incarnation::new(1), self.chain, settled, NOW);
                let len = sealed.header.padded_len();
                let at = self.chain.place(len, BLOCKS * BLOCK);
                self.bytes[at as usize..][..len as usize].copy_from_slice(&sealed.buffer[..len as usize]);
                self.places.push((at, len));
                self.chain = ChainPoint::after(&sealed.header, at);
            }
        }

        /// The chain as it ends before round `index`, whose bytes are overwritten, and those of the `more` after it.
        fn lose(&mut self, index: usize, more: usize, with: u8) -> ChainPoint {
            let (before, len) = self.places[index - 1];
            let header = RoundHeader::decode(&self.bytes[before as usize..]).unwrap();
            for (at, len) in &self.places[index..=index + more] {
                self.bytes[*at as usize..][..*len as usize].fill(with);
            }
            assert_eq!(header.padded_len(), len);
            ChainPoint::after(&header, before)
        }

        /// The sequences found beyond `end`, and how many blocks were looked at.
        fn look(&self, end: ChainPoint, round_bytes_max: Option<u64>) -> (Vec<u64>, usize) {
            let mut beyond = Beyond::new(JOURNAL, BLOCKS * BLOCK, end, round_bytes_max);
            let mut seen = alloc::collections::BTreeSet::new();
            let mut look = beyond.step(0, &[]);
            while let Look::Need { at, len } = look {
                seen.extend(at / BLOCK..(at + len) / BLOCK);
                look = beyond.step(at, &self.bytes[at as usize..(at + len) as usize]);
            }
            let headers = beyond.into_headers();
            let newer = headers
                .iter()
                .filter(|(_, header)| header.sequence >= end.sequence);
            (
                newer.map(|(_, header)| header.sequence.get()).collect(),
                seen.len(),
            )
        }
    }

    const MAX: Option<u64> = Some(ROUND_BLOCKS_MAX * BLOCK);
    const ENOUGH: usize = 2 * ROUND_BLOCKS_MAX as usize;

    #[test]
    fn an_end_is_proven_by_little_of_the_ring() {
        let mut ring = Ring::new();
        assert_eq!(
            ring.look(ring.chain, MAX),
            (vec![], ENOUGH),
            "nothing was ever written"
        );
        ring.rounds(&[2, 3, 4]);
        let (newer, blocks) = ring.look(ring.chain, MAX);
        assert_eq!(newer, []);
        assert!(
            blocks <= ENOUGH + 1,
            "zeros of a ring not filled yet: {blocks} blocks"
        );
        ring.rounds(&[4; 20]);
        let (newer, blocks) = ring.look(ring.chain, MAX);
        assert_eq!(newer, []);
        assert!(
            blocks <= ENOUGH + 2 * ROUND_BLOCKS_MAX as usize,
            "old rounds: {blocks} blocks"
        );
    }

    #[test]
    fn rounds_behind_lost_ones_are_found_wherever_they_lie() {
        for with in [0, 0xaa] {
            // Of the first time round; the last one before the ring's end; of later times.
            for (rounds, lost) in [(9, 3), (26, 18), (26, 19), (26, 20), (26, 21), (60, 50)] {
                for more in [0, 3] {
                    let mut ring = Ring::new();
                    let lens: Vec<u64> = (0..rounds).map(|round| 2 + round % 3).collect();
                    ring.rounds(&lens);
                    let end = ring.lose(lost, more, with);
                    // Zeros are untouched space to a ring that was never filled, but no more than two rounds of them.
                    if rounds == 9 && with == 0 && more > 0 {
                        continue;
                    }
                    let all = |from: u64| (from..=rounds).collect::<Vec<u64>>();
                    let mut newer = ring.look(end, MAX).0;
                    newer.sort_unstable();
                    newer.retain(|sequence| *sequence > lost as u64 + 1 + more as u64);
                    assert_eq!(
                        newer,
                        all(lost as u64 + 2 + more as u64),
                        "{lost} of {rounds}, {more}, {with}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_torn_round_still_says_what_it_knew() {
        let mut ring = Ring::new();
        ring.rounds(&[2; 40]);
        let (at, _) = ring.places[39];
        ring.bytes[at as usize + 4000] ^= 1;
        let (before, _) = ring.places[38];
        let header = RoundHeader::decode(&ring.bytes[before as usize..]).unwrap();
        let end = ChainPoint::after(&header, before);
        assert_eq!(ring.look(end, MAX).0, [40]);
    }

    #[test]
    fn everything_is_looked_at_where_the_beginning_is_in_doubt() {
        let mut ring = Ring::new();
        ring.rounds(&[3; 50]);
        assert_eq!(ring.look(ring.chain, None).1, BLOCKS as usize);
        assert_eq!(RoundSequence::new(51), ring.chain.sequence);
    }
}

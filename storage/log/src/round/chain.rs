//! How rounds follow each other through the ring, and how a reader follows them.

use super::{Round, RoundHeader};
use crate::crc::crc32c;
use crate::id::{Incarnation, JournalIdentity, RoundSequence};
use crate::layout::BLOCK;

/// Where a chain of rounds goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPoint {
    /// The next round's.
    pub sequence: RoundSequence,
    /// Where in the ring the next round is put if it fits before the ring's end. A multiple of the block
    /// size; may equal the ring's length.
    pub position: u64,
    /// The CRC of the round before.
    pub previous_crc: u32,
}

impl ChainPoint {
    /// A journal's first round: the CRC to go on from is derived from the nonce.
    pub fn first(journal: JournalIdentity) -> Self {
        Self {
            sequence: RoundSequence::new(1),
            position: 0,
            previous_crc: crc32c(&journal.nonce.to_le_bytes()),
        }
    }

    /// Where a round of `padded_len` bytes goes in a ring of `ring_bytes`.
    pub fn place(&self, padded_len: u64, ring_bytes: u64) -> u64 {
        assert!(padded_len <= ring_bytes, "the round is larger than the ring");
        if self.position + padded_len <= ring_bytes {
            self.position
        } else {
            0
        }
    }

    /// The point after `round`, which was put at `at`.
    pub fn after(round: &RoundHeader, at: u64) -> Self {
        Self {
            sequence: round.sequence.next(),
            position: at + round.padded_len(),
            previous_crc: round.crc,
        }
    }
}

/// Follows a journal's chain from a known point. The shell feeds it the ring's bytes.
#[derive(Clone, Debug)]
pub struct RoundReader {
    journal: JournalIdentity,
    ring_bytes: u64,
    next: ChainPoint,
    /// Rounds from `raised_at` on carry at least `raised_to`: an older one is a stale one.
    raised_at: RoundSequence,
    raised_to: Incarnation,
    incarnation: Incarnation,
    /// Where the next round is looked for now.
    at: u64,
}

/// What a step of [`RoundReader`] found.
#[derive(Debug)]
pub enum Step<'a> {
    /// Call again with at least `len` bytes of the ring from `at` on.
    Need { at: u64, len: u64 },
    /// The next round of the chain, which lies at `at`.
    Round { round: Round<'a>, at: u64 },
    /// The chain ends before this point.
    End(ChainPoint),
}

impl RoundReader {
    /// `raised_at` and `raised_to` are as the checkpoint has them; `ring_bytes` is the file's length.
    pub fn new(
        journal: JournalIdentity,
        ring_bytes: u64,
        from: ChainPoint,
        raised_at: RoundSequence,
        raised_to: Incarnation,
    ) -> Self {
        let at = if from.position + BLOCK <= ring_bytes {
            from.position
        } else {
            0
        };
        Self {
            journal,
            ring_bytes,
            next: from,
            raised_at,
            raised_to,
            incarnation: Incarnation::default(),
            at,
        }
    }

    /// Looks at `bytes`, which lie in the ring from `at` on (any `at` and any length: what is missing is
    /// asked for).
    pub fn step<'a>(&mut self, at: u64, bytes: &'a [u8]) -> Step<'a> {
        loop {
            if self.at + BLOCK > self.ring_bytes {
                return Step::End(self.next);
            }
            let Some(from) = self
                .at
                .checked_sub(at)
                .filter(|&from| from + BLOCK <= bytes.len() as u64)
            else {
                return Step::Need {
                    at: self.at,
                    len: BLOCK,
                };
            };
            let here = &bytes[from as usize..];
            if let Some(header) = self.candidate(here) {
                if header.padded_len() > here.len() as u64 {
                    return Step::Need {
                        at: self.at,
                        len: header.padded_len(),
                    };
                }
                if let Ok(round) = Round::decode(here) {
                    let found = self.at;
                    self.accept(&round.header);
                    return Step::Round { round, at: found };
                }
            }
            // A round that did not fit before the ring's end went to its start.
            if self.at == 0 {
                return Step::End(self.next);
            }
            self.at = 0;
        }
    }

    /// The header at the start of `block` if the round that follows it may be the next one, which lies at the ring's
    /// start only if it did not fit before the end: elsewhere it is one that the device put there.
    fn candidate(&self, block: &[u8]) -> Option<RoundHeader> {
        let header = RoundHeader::decode(block).ok()?;
        let raised = if header.sequence >= self.raised_at {
            self.raised_to
        } else {
            Incarnation::default()
        };
        let continues = header.journal == self.journal
            && self.follows(&header, raised)
            && self.at + header.padded_len() <= self.ring_bytes
            && self.next.place(header.padded_len(), self.ring_bytes) == self.at;
        continues.then_some(header)
    }

    /// A stale round has another sequence, another predecessor, or an incarnation that is gone.
    fn follows(&self, header: &RoundHeader, raised: Incarnation) -> bool {
        header.sequence == self.next.sequence
            && header.previous_crc == self.next.previous_crc
            && header.incarnation >= self.incarnation.max(raised)
    }

    fn accept(&mut self, header: &RoundHeader) {
        self.incarnation = header.incarnation;
        self.next = ChainPoint::after(header, self.at);
        self.at = if self.next.position + BLOCK <= self.ring_bytes {
            self.next.position
        } else {
            0
        };
    }
}

/// The largest settled round and the headers, by their place, that a scan of every block of a ring finds.
///
/// `block` is any block of the ring. A header counts if it is whole and names this journal; its round may be
/// torn or stale: what it says is settled stays true.
pub fn newest_settled(journal: JournalIdentity, block: &[u8]) -> Option<RoundHeader> {
    RoundHeader::decode(block)
        .ok()
        .filter(|header| header.journal == journal)
}

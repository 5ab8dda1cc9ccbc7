//! A round: one journal write, one group commit.
//!
//! ```text
//! ring file   │ round 7 ......│pad│ round 8 ..│pad│ (no room: round 9 starts at 0) │
//! round       │ header 80 │ record │ record │ … │ zeros to the block's end │
//! ```
//!
//! Invariants: a round starts at a block and lies in one piece; it names its journal (id and secret nonce),
//! its incarnation and its sequence, and its CRC goes on from that of the round before. So neither a stale
//! round nor a batch that looks like one continues a chain. The header's own CRC proves what it says is
//! settled even where the body is torn.

use core::ops::DerefMut;

use millstream_protocol::types::TimestampMs;

use crate::codec::{Fill, FormatError, Put, Take};
use crate::crc::{crc32c, crc32c_append};
use crate::id::{Incarnation, JournalId, JournalIdentity, RoundSequence};
use crate::layout::BLOCK;
use crate::limits::ROUND_BYTES_MAX;
use crate::record::{Record, Scratch};

/// What a round says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundHeader {
    pub journal: JournalIdentity,
    pub incarnation: Incarnation,
    pub sequence: RoundSequence,
    /// All rounds up to this one had completed when this round was closed, their direct writes included.
    pub settled: RoundSequence,
    /// The wall clock when the round was closed.
    pub written_at: TimestampMs,
    /// Header and records, without the padding.
    pub length: u32,
    pub record_count: u32,
    pub previous_crc: u32,
    /// Of this round, going on from `previous_crc`.
    pub crc: u32,
}

impl RoundHeader {
    pub const LEN: usize = 80;

    /// Reads the header at the start of a block; its own CRC must match. Says nothing about the records.
    pub fn decode(block: &[u8]) -> Result<Self, FormatError> {
        let mut take = Take::new(block.get(..Self::LEN).ok_or(FormatError::Short)?);
        if take.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        if take.u32()? != crc32c(&block[CHECKED_FROM..CRC_AT]) {
            return Err(FormatError::Checksum);
        }
        let version = take.u32()?;
        if version > VERSION {
            return Err(FormatError::NewerVersion(version));
        }
        let header = Self {
            journal: JournalIdentity {
                id: JournalId::new(take.u64()?),
                nonce: take.u64()?,
            },
            incarnation: take.incarnation()?,
            sequence: take.sequence()?,
            settled: take.sequence()?,
            written_at: take.timestamp()?,
            length: take.u32()?,
            record_count: take.u32()?,
            previous_crc: take.u32()?,
            crc: take.u32()?,
        };
        if (header.length as usize) < Self::LEN || header.padded_len() > ROUND_BYTES_MAX {
            return Err(FormatError::Field("round length"));
        }
        if header.settled >= header.sequence {
            return Err(FormatError::Field("settled round"));
        }
        Ok(header)
    }

    /// The bytes that the round takes in the ring.
    pub fn padded_len(&self) -> u64 {
        u64::from(self.length).next_multiple_of(BLOCK)
    }

    fn encode(&self, out: &mut Fill<'_>) {
        out.put(&MAGIC);
        out.u32(0);
        out.u32(VERSION);
        out.u64(self.journal.id.get());
        out.u64(self.journal.nonce);
        out.u64(self.incarnation.get());
        out.u64(self.sequence.get());
        out.u64(self.settled.get());
        out.i64(self.written_at.get());
        out.u32(self.length);
        out.u32(self.record_count);
        out.u32(self.previous_crc);
    }
}

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

/// Collects the records of one round in a buffer of the caller's (aligned memory, its length the capacity).
#[derive(Debug)]
pub struct RoundBuilder<B> {
    buffer: B,
    len: usize,
    records: u32,
}

/// The round does not fit the record any more; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundFull;

/// A closed round, to be written in one piece: the first `header.padded_len()` bytes of `buffer`.
#[derive(Debug)]
pub struct SealedRound<B> {
    pub buffer: B,
    pub header: RoundHeader,
}

impl<B: DerefMut<Target = [u8]>> RoundBuilder<B> {
    /// `buffer` may hold anything; its length must be a multiple of the block size, [`ROUND_BYTES_MAX`] at
    /// most.
    pub fn new(buffer: B) -> Self {
        let capacity = buffer.len() as u64;
        assert!(
            capacity > 0 && capacity.is_multiple_of(BLOCK),
            "a round's buffer is made of blocks"
        );
        assert!(capacity <= ROUND_BYTES_MAX, "a round's buffer is bounded");
        Self {
            buffer,
            len: RoundHeader::LEN,
            records: 0,
        }
    }

    /// Bytes that records may still take.
    pub fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    pub fn record_count(&self) -> u32 {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The bytes that the round would take in the ring if it were closed now.
    pub fn padded_len(&self) -> u64 {
        (self.len as u64).next_multiple_of(BLOCK)
    }

    pub fn push(&mut self, record: &Record<'_>) -> Result<(), RoundFull> {
        let len = record.encoded_len();
        if len > self.room() {
            return Err(RoundFull);
        }
        let mut fill = Fill {
            bytes: &mut self.buffer,
            at: self.len,
        };
        record.encode(&mut fill);
        assert_eq!(fill.at, self.len + len, "a record's length was foretold wrongly");
        self.len = fill.at;
        self.records += 1;
        Ok(())
    }

    /// Moves what was collected into a larger buffer.
    pub fn grow(self, mut larger: B) -> Self {
        larger[RoundHeader::LEN..self.len].copy_from_slice(&self.buffer[RoundHeader::LEN..self.len]);
        let mut grown = Self::new(larger);
        (grown.len, grown.records) = (self.len, self.records);
        grown
    }

    /// Closes the round. The round's place is [`ChainPoint::place`] of its padded length.
    pub fn finish(
        mut self,
        journal: JournalIdentity,
        incarnation: Incarnation,
        chain: ChainPoint,
        settled: RoundSequence,
        now: TimestampMs,
    ) -> SealedRound<B> {
        assert!(settled < chain.sequence, "a round cannot settle itself");
        let padded_len = self.padded_len() as usize;
        let mut header = RoundHeader {
            journal,
            incarnation,
            sequence: chain.sequence,
            settled,
            written_at: now,
            length: u32::try_from(self.len).expect("rounds are bounded"),
            record_count: self.records,
            previous_crc: chain.previous_crc,
            crc: 0,
        };
        let bytes = &mut self.buffer[..padded_len];
        bytes[self.len..].fill(0);
        header.encode(&mut Fill { bytes, at: 0 });
        let header_crc = crc32c(&bytes[CHECKED_FROM..CRC_AT]);
        bytes[HEADER_CRC_AT..CHECKED_FROM].copy_from_slice(&header_crc.to_le_bytes());
        header.crc = round_crc(header.previous_crc, &bytes[..self.len]);
        bytes[CRC_AT..RoundHeader::LEN].copy_from_slice(&header.crc.to_le_bytes());
        SealedRound {
            buffer: self.buffer,
            header,
        }
    }
}

/// A round whose CRC matched.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    pub header: RoundHeader,
    /// The records' bytes.
    body: &'a [u8],
}

impl<'a> Round<'a> {
    /// Reads the round at the start of `bytes`, which may be longer. The CRC is checked; whether the round
    /// continues a chain is not.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let header = RoundHeader::decode(bytes)?;
        let bytes = bytes.get(..header.length as usize).ok_or(FormatError::Short)?;
        if round_crc(header.previous_crc, bytes) != header.crc {
            return Err(FormatError::Checksum);
        }
        Ok(Self {
            header,
            body: &bytes[RoundHeader::LEN..],
        })
    }

    pub fn records(&self) -> Records<'a> {
        Records {
            take: Take::new(self.body),
            left: self.header.record_count,
            scratch: Scratch::default(),
        }
    }
}

/// The records of a round, in order. Each borrows the reader, so that lists are decoded into memory used
/// again.
#[derive(Debug)]
pub struct Records<'a> {
    take: Take<'a>,
    left: u32,
    scratch: Scratch,
}

impl Records<'_> {
    /// `None` after the last. After an error the reader is spent.
    #[expect(clippy::should_implement_trait, reason = "a record borrows the reader")]
    pub fn next(&mut self) -> Option<Result<Record<'_>, FormatError>> {
        if self.left == 0 {
            let end = self.take.end();
            self.take = Take::new(&[]);
            return end.err().map(Err);
        }
        self.left -= 1;
        let record = Record::decode(&mut self.take, &mut self.scratch);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
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

    /// The header at the start of `block` if the round that follows it may be the next one.
    fn candidate(&self, block: &[u8]) -> Option<RoundHeader> {
        let header = RoundHeader::decode(block).ok()?;
        let raised = if header.sequence >= self.raised_at {
            self.raised_to
        } else {
            Incarnation::default()
        };
        let continues = header.journal == self.journal
            && header.sequence == self.next.sequence
            && header.previous_crc == self.next.previous_crc
            && header.incarnation >= self.incarnation.max(raised)
            && self.at + header.padded_len() <= self.ring_bytes;
        continues.then_some(header)
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

fn round_crc(previous_crc: u32, bytes: &[u8]) -> u32 {
    crc32c_append(
        crc32c_append(previous_crc, &bytes[..CRC_AT]),
        &bytes[RoundHeader::LEN..],
    )
}

const MAGIC: [u8; 8] = *b"MSTROUND";
const VERSION: u32 = 1;
const HEADER_CRC_AT: usize = 8;
const CHECKED_FROM: usize = 12;
const CRC_AT: usize = 76;

const _: () = assert!(CRC_AT + 4 == RoundHeader::LEN);

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use millstream_protocol::types::{LeaderEpoch, Offset};

    use super::*;
    use crate::testing::{NOW, damage_is_seen, key, stamp, stored, summary, survives_changes};
    use crate::{FilePosition, SegmentId, StoredBatch};

    const JOURNAL: JournalIdentity = JournalIdentity {
        id: JournalId::new(2),
        nonce: 99,
    };

    fn batches() -> [StoredBatch; 2] {
        let mut first = stored(summary(3, 0, 5), 10, &[1; 70]);
        first.summary.producer = Some(stamp(4, 1, i32::MAX, 3));
        first.summary.transactional = true;
        let mut second = stored(summary(1, 0, 6), 13, &[2; 30]);
        (second.summary.control, second.summary.max_timestamp) = (true, None);
        [first, second]
    }

    /// One record of every kind.
    fn every_record<'a>(batches: &'a [StoredBatch], segments: &'a [SegmentId]) -> Vec<Record<'a>> {
        let (partition, segment) = (key(1), SegmentId::new(7));
        let (position, offset) = (FilePosition::new(8192), Offset::new(10));
        vec![
            Record::Tail {
                partition,
                segment,
                position,
                bytes: &[7; 100],
                batches,
            },
            Record::Extent {
                partition,
                segment,
                position,
                length: 4096,
                crc: 1,
                batches: &[],
            },
            Record::Seal {
                partition,
                segment,
                byte_end: position,
                end_offset: offset,
                successor: SegmentId::new(8),
            },
            Record::Epoch {
                partition,
                epoch: LeaderEpoch::new(3),
                start_offset: offset,
            },
            Record::LogStart { partition, offset },
            Record::Opened {
                partition,
                segment,
                base_offset: offset,
            },
            Record::Removed { partition },
            Record::Dropped {
                partition,
                segments,
                log_start: offset,
            },
            Record::Settle,
        ]
    }

    fn sealed(records: &[Record<'_>]) -> Vec<u8> {
        let mut builder = RoundBuilder::new(vec![0xee; 4 * BLOCK as usize]);
        records.iter().for_each(|record| builder.push(record).unwrap());
        let sealed = builder.finish(
            JOURNAL,
            Incarnation::new(1),
            ChainPoint::first(JOURNAL),
            RoundSequence::new(0),
            NOW,
        );
        sealed.buffer[..sealed.header.padded_len() as usize].to_vec()
    }

    #[test]
    fn every_record_reads_back_and_damage_is_seen() {
        let (batches, segments) = (batches(), [SegmentId::new(1), SegmentId::new(2)]);
        let written = every_record(&batches, &segments);
        let bytes = sealed(&written);
        let round = Round::decode(&bytes).unwrap();
        let mut records = round.records();
        for expected in &written {
            assert_eq!(records.next().unwrap().unwrap(), *expected);
        }
        assert!(records.next().is_none());
        let used = round.header.length as usize;
        assert!(
            bytes[used..].iter().all(|&byte| byte == 0),
            "padding is zero whatever the buffer held"
        );
        assert_eq!(bytes, include_bytes!("../fixtures/v1/round"));
        damage_is_seen(&bytes, used, |bytes| {
            Round::decode(bytes).map(|round| round.header)
        });
    }

    #[test]
    fn records_that_pass_their_checksum_by_accident_do_no_harm() {
        let (batches, segments) = (batches(), [SegmentId::new(1), SegmentId::new(2)]);
        let bytes = sealed(&every_record(&batches, &segments));
        let header = RoundHeader::decode(&bytes).unwrap();
        survives_changes(&bytes[RoundHeader::LEN..header.length as usize], |body| {
            let mut records = Round { header, body }.records();
            while let Some(record) = records.next() {
                record?;
            }
            Ok::<(), FormatError>(())
        });
    }

    #[test]
    fn a_full_round_takes_nothing_and_a_larger_one_takes_over() {
        let mut builder = RoundBuilder::new(vec![0; BLOCK as usize]);
        let bytes = vec![5; 3000];
        let record = Record::Tail {
            partition: key(0),
            segment: SegmentId::new(1),
            position: FilePosition::ZERO,
            bytes: &bytes,
            batches: &[],
        };
        builder.push(&record).unwrap();
        assert_eq!(builder.push(&record), Err(RoundFull));
        assert_eq!(builder.record_count(), 1);
        let mut builder = builder.grow(vec![0; 2 * BLOCK as usize]);
        builder.push(&record).unwrap();
        let zero = RoundSequence::new(0);
        let sealed = builder.finish(
            JOURNAL,
            Incarnation::new(1),
            ChainPoint::first(JOURNAL),
            zero,
            NOW,
        );
        let mut records = Round::decode(&sealed.buffer).unwrap().records();
        assert_eq!(records.next(), Some(Ok(record)));
        assert_eq!(records.next(), Some(Ok(record)));
    }

    #[test]
    fn a_reader_asks_for_what_it_needs() {
        let bytes = vec![5; 9000];
        let record = Record::Tail {
            partition: key(0),
            segment: SegmentId::new(1),
            position: FilePosition::ZERO,
            bytes: &bytes,
            batches: &[],
        };
        let ring = sealed(&[record]);
        let ring_bytes = 16 * BLOCK;
        let one = Incarnation::new(1);
        let mut reader = RoundReader::new(
            JOURNAL,
            ring_bytes,
            ChainPoint::first(JOURNAL),
            RoundSequence::new(1),
            one,
        );
        assert!(matches!(reader.step(0, &[]), Step::Need { at: 0, len: BLOCK }));
        assert!(
            matches!(reader.step(0, &ring[..BLOCK as usize]), Step::Need { at: 0, len } if len == 3 * BLOCK)
        );
        assert!(matches!(reader.step(0, &ring), Step::Round { at: 0, .. }));
        assert!(matches!(reader.step(0, &ring), Step::Need { at, .. } if at == 3 * BLOCK));
        let rest = vec![0; BLOCK as usize];
        assert!(
            matches!(reader.step(3 * BLOCK, &rest), Step::Need { at: 0, .. }),
            "then at the ring's start"
        );
        assert!(matches!(reader.step(0, &ring), Step::End(point) if point.sequence == RoundSequence::new(2)));
    }

    #[test]
    fn a_round_of_another_nonce_is_no_part_of_the_chain() {
        let bytes = sealed(&[Record::Settle]);
        let (zero, one) = (RoundSequence::new(0), Incarnation::new(1));
        let from = ChainPoint::first(JOURNAL);
        let ended = |journal| {
            let mut reader = RoundReader::new(journal, BLOCK, from, zero, one);
            matches!(reader.step(0, &bytes), Step::End(_))
        };
        assert!(!ended(JOURNAL));
        assert!(ended(JournalIdentity { nonce: 98, ..JOURNAL }));
        assert!(ended(JournalIdentity {
            id: JournalId::new(3),
            ..JOURNAL
        }));
    }
}

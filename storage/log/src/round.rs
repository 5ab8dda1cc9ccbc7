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

mod builder;
mod chain;
mod header;

use crate::codec::{FormatError, Take};
use crate::planted::{self, Bug};
use crate::record::{Record, Scratch};

pub use builder::{RoundBuilder, RoundFull, SealedRound};
pub use chain::{ChainPoint, RoundReader, Step, newest_settled};
pub use header::RoundHeader;

use header::round_crc;

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
        if round_crc(header.previous_crc, bytes) != header.crc && !planted::has(Bug::RoundCrcSkipped) {
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use millstream_protocol::types::{LeaderEpoch, Offset};

    use super::*;
    use crate::id::{Incarnation, JournalId, JournalIdentity, RoundSequence};
    use crate::layout::BLOCK;
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

    fn tail(bytes: &[u8]) -> Record<'_> {
        Record::Tail {
            partition: key(0),
            segment: SegmentId::new(1),
            position: FilePosition::ZERO,
            bytes,
            batches: &[],
        }
    }

    /// The first round of the journal.
    fn close(builder: RoundBuilder<Vec<u8>>) -> SealedRound<Vec<u8>> {
        let from = ChainPoint::first(JOURNAL);
        builder.finish(JOURNAL, Incarnation::new(1), from, RoundSequence::new(0), NOW)
    }

    fn sealed(records: &[Record<'_>]) -> Vec<u8> {
        let mut builder = RoundBuilder::new(vec![0xee; 4 * BLOCK as usize]);
        records.iter().for_each(|record| builder.push(record).unwrap());
        let sealed = close(builder);
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
        let record = tail(&bytes);
        builder.push(&record).unwrap();
        assert_eq!(builder.push(&record), Err(RoundFull));
        assert_eq!(builder.record_count(), 1);
        let mut builder = builder.grow(vec![0; 2 * BLOCK as usize]);
        builder.push(&record).unwrap();
        let sealed = close(builder);
        let mut records = Round::decode(&sealed.buffer).unwrap().records();
        assert_eq!(records.next(), Some(Ok(record)));
        assert_eq!(records.next(), Some(Ok(record)));
    }

    #[test]
    fn a_reader_asks_for_what_it_needs() {
        let bytes = vec![5; 9000];
        let record = tail(&bytes);
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
    fn a_round_at_the_rings_start_follows_only_if_it_had_to_go_there() {
        let (bytes, first) = (sealed(&[Record::Settle]), ChainPoint::first(JOURNAL));
        let follows = |position, ring_bytes| {
            let from = ChainPoint { position, ..first };
            let mut reader = RoundReader::new(
                JOURNAL,
                ring_bytes,
                from,
                RoundSequence::new(0),
                Incarnation::new(1),
            );
            let mut step = reader.step(0, &bytes);
            if matches!(step, Step::Need { at, .. } if at == position) {
                step = reader.step(position, &[0; BLOCK as usize]);
            }
            if matches!(step, Step::Need { at: 0, .. }) {
                step = reader.step(0, &bytes);
            }
            matches!(step, Step::Round { at: 0, .. })
        };
        assert!(follows(0, 2 * BLOCK));
        assert!(follows(2 * BLOCK, 2 * BLOCK));
        assert!(!follows(BLOCK, 2 * BLOCK), "there was room for it");
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

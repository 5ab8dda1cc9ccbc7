//! One shard's checkpoint: every partition's state, and from where the journal is still needed.
//!
//! Place: two slot files per journal; a generation goes to slot `generation % 2`, so that a torn write leaves
//! the other one.
//! Invariants: an entry holds the state after all rounds up to its `as_of`, and the slot is written only once
//! those rounds are settled; entries may have different `as_of`s, so that a large checkpoint is collected in
//! steps. A partition that was there when collecting began and has no entry was deleted meanwhile; one that
//! came later is opened by a round from the ring's tail on.

use alloc::vec::Vec;

use millstream_protocol::types::TimestampMs;

use crate::codec::{Fill, FormatError, Put, Take};
use crate::crc::{crc32c, crc32c_append};
use crate::id::{Incarnation, JournalId, JournalIdentity, RoundSequence, SegmentId};
use crate::layout::BLOCK;
use crate::limits::{CHECKPOINT_BYTES_MAX, PARTITIONS_MAX, UNLINKS_MAX};
use crate::partition::PartitionState;
use crate::planted::{self, Bug};
use crate::recovery::{Damage, DamageReason};
use crate::round::ChainPoint;

/// What a checkpoint says of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointHead {
    /// The higher one of two slots counts.
    pub generation: u64,
    pub journal: JournalIdentity,
    /// The journal file's length; 0 for a retired journal.
    pub ring_bytes: u64,
    /// Of the run that wrote this.
    pub incarnation: Incarnation,
    /// Rounds from this one on carry at least `incarnation`.
    pub raised_at: RoundSequence,
    /// The oldest round that is needed: the lowest floor of all partitions, and no higher than the round
    /// after the one at which collecting began.
    pub tail: ChainPoint,
    /// Written by an orderly shutdown: nothing follows in the journal.
    pub clean: bool,
    /// The journal is drained and belongs to no shard any more; its files may be deleted, this one last.
    pub retired: bool,
    pub written_at: TimestampMs,
}

/// One partition in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEntry {
    pub state: PartitionState,
    /// `state` holds the records of all rounds up to this one.
    pub as_of: RoundSequence,
    /// Rounds from this one on hold bytes that the segment files may lack.
    pub floor: RoundSequence,
    /// Why the partition is not served, if it is not.
    pub damage: Option<Damage>,
}

/// A checkpoint as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub head: CheckpointHead,
    pub entries: Vec<PartitionEntry>,
    /// Segments that left their manifests but whose files may still be there.
    pub unlinks: Vec<SegmentId>,
}

/// Collects a checkpoint, partition by partition.
#[derive(Clone, Debug)]
pub struct CheckpointBuilder {
    bytes: Vec<u8>,
    crc: u32,
    entries: u32,
}

/// The checkpoint would be larger than a slot may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointTooLarge;

impl CheckpointBuilder {
    /// `capacity` is a guess at the size in bytes, as the last checkpoint's.
    pub fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.max(HEAD_LEN));
        bytes.resize(HEAD_LEN, 0);
        Self {
            bytes,
            crc: 0,
            entries: 0,
        }
    }

    /// Adds a partition. All records applied to `state` are in rounds up to `as_of`, which are closed. Not
    /// for a deleted one.
    pub fn add(
        &mut self,
        state: &PartitionState,
        as_of: RoundSequence,
        floor: RoundSequence,
        damage: Option<Damage>,
    ) {
        let from = self.bytes.len();
        self.bytes.u64(as_of.get());
        self.bytes.u64(floor.get());
        match damage {
            None => self.bytes.u8(0),
            Some(damage) => {
                self.bytes.u8(damage.reason.code());
                self.bytes.i64(damage.at.get());
            }
        }
        state.encode(&mut self.bytes);
        self.crc = crc32c_append(self.crc, &self.bytes[from..]);
        self.entries += 1;
    }

    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The slot's bytes, zero-padded to a multiple of the block size.
    pub fn finish(
        mut self,
        head: &CheckpointHead,
        unlinks: &[SegmentId],
    ) -> Result<Vec<u8>, CheckpointTooLarge> {
        let from = self.bytes.len();
        self.bytes.count(unlinks.len());
        unlinks.iter().for_each(|segment| self.bytes.u64(segment.get()));
        self.crc = crc32c_append(self.crc, &self.bytes[from..]);
        let length = self.bytes.len() as u64;
        if length > CHECKPOINT_BYTES_MAX
            || self.entries as usize > PARTITIONS_MAX
            || unlinks.len() > UNLINKS_MAX
        {
            return Err(CheckpointTooLarge);
        }
        self.bytes.resize(length.next_multiple_of(BLOCK) as usize, 0);
        let (bytes, _) = self.bytes.split_at_mut(HEAD_LEN);
        let mut out = Fill { bytes, at: 0 };
        out.put(&MAGIC);
        out.u32(0);
        out.u32(VERSION);
        out.u64(length);
        out.u32(self.crc);
        out.u32(self.entries);
        encode_head(head, &mut out);
        assert_eq!(out.at, HEAD_USED, "the head's length is fixed");
        let crc = crc32c(&bytes[CHECKED_FROM..]);
        bytes[HEAD_CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        Ok(self.bytes)
    }
}

impl Checkpoint {
    /// Reads one slot; `bytes` may be longer than what was written.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (head, length, body_crc, entry_count) = decode_head(bytes)?;
        let body = bytes.get(HEAD_LEN..length as usize).ok_or(FormatError::Short)?;
        if crc32c(body) != body_crc {
            return Err(FormatError::Checksum);
        }
        let mut take = Take::new(body);
        if entry_count > PARTITIONS_MAX || entry_count > body.len() / ENTRY_LEN_MIN {
            return Err(FormatError::Field("partition count"));
        }
        let mut entries = Vec::with_capacity(entry_count);
        for _ in 0..entry_count {
            entries.push(PartitionEntry::decode(&mut take)?);
        }
        let count = take.count(8, UNLINKS_MAX, "pending unlinks")?;
        let mut unlinks = Vec::with_capacity(count);
        for _ in 0..count {
            unlinks.push(SegmentId::new(take.u64()?));
        }
        take.end()?;
        Ok(Self {
            head,
            entries,
            unlinks,
        })
    }

    /// The bytes that a slot holds, told by its first block.
    pub fn length(first_block: &[u8]) -> Result<u64, FormatError> {
        decode_head(first_block).map(|(_, length, _, _)| length)
    }

    /// The slot of a generation.
    pub fn slot(generation: u64) -> usize {
        match planted::has(Bug::OneCheckpointSlot) {
            true => 1,
            false => (generation % 2) as usize,
        }
    }

    /// The newer one of two slots, of which one may be damaged or missing.
    pub fn newest(
        a: Result<Self, FormatError>,
        b: Result<Self, FormatError>,
    ) -> Result<Self, (FormatError, FormatError)> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok(if a.head.generation >= b.head.generation {
                a
            } else {
                b
            }),
            (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(only),
            (Err(a), Err(b)) => Err((a, b)),
        }
    }
}

impl PartitionEntry {
    fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let as_of = take.sequence()?;
        let floor = take.sequence()?;
        let damage = match take.u8()? {
            0 => None,
            code => {
                let reason = DamageReason::from_code(code).ok_or(FormatError::Field("damage reason"))?;
                Some(Damage {
                    at: take.offset("damaged offset")?,
                    reason,
                })
            }
        };
        Ok(Self {
            state: PartitionState::decode(take)?,
            as_of,
            floor,
            damage,
        })
    }
}

fn encode_head(head: &CheckpointHead, out: &mut impl Put) {
    out.u64(head.generation);
    out.u64(head.journal.id.get());
    out.u64(head.journal.nonce);
    out.u64(head.ring_bytes);
    out.u64(head.incarnation.get());
    out.u64(head.raised_at.get());
    out.u64(head.tail.sequence.get());
    out.u64(head.tail.position);
    out.u32(head.tail.previous_crc);
    out.u32((u32::from(head.clean) * CLEAN) | (u32::from(head.retired) * RETIRED));
    out.i64(head.written_at.get());
}

/// The head, the slot's length in bytes, the CRC of what follows the head, and the number of entries.
fn decode_head(bytes: &[u8]) -> Result<(CheckpointHead, u64, u32, usize), FormatError> {
    let bytes = bytes.get(..HEAD_LEN).ok_or(FormatError::Short)?;
    let mut take = Take::new(bytes);
    if take.array()? != MAGIC {
        return Err(FormatError::Magic);
    }
    if take.u32()? != crc32c(&bytes[CHECKED_FROM..]) {
        return Err(FormatError::Checksum);
    }
    let version = take.u32()?;
    if version > VERSION {
        return Err(FormatError::NewerVersion(version));
    }
    let length = take.u64()?;
    if length < HEAD_LEN as u64 || length > CHECKPOINT_BYTES_MAX {
        return Err(FormatError::Field("checkpoint length"));
    }
    let body_crc = take.u32()?;
    let entries = take.u32()? as usize;
    let generation = take.u64()?;
    let journal = JournalIdentity {
        id: JournalId::new(take.u64()?),
        nonce: take.u64()?,
    };
    let ring_bytes = take.u64()?;
    let incarnation = take.incarnation()?;
    let raised_at = take.sequence()?;
    let tail = ChainPoint {
        sequence: take.sequence()?,
        position: take.u64()?,
        previous_crc: take.u32()?,
    };
    if !ring_bytes.is_multiple_of(BLOCK) || !tail.position.is_multiple_of(BLOCK) || tail.position > ring_bytes
    {
        return Err(FormatError::Field("ring position"));
    }
    let flags = take.u32()?;
    if flags & !(CLEAN | RETIRED) != 0 {
        return Err(FormatError::Field("checkpoint flags"));
    }
    let written_at = take.timestamp()?;
    let (clean, retired) = (flags & CLEAN != 0, flags & RETIRED != 0);
    let head = CheckpointHead {
        generation,
        journal,
        ring_bytes,
        incarnation,
        raised_at,
        tail,
        clean,
        retired,
        written_at,
    };
    Ok((head, length, body_crc, entries))
}

const MAGIC: [u8; 8] = *b"MSTCHKPT";
const VERSION: u32 = 1;
const HEAD_CRC_AT: usize = 8;
const CHECKED_FROM: usize = 12;
/// What the fields take; the rest of the head is zero.
const HEAD_USED: usize = 112;
const HEAD_LEN: usize = 128;
const CLEAN: u32 = 1;
const RETIRED: u32 = 2;
/// An entry of a partition without epochs, producers and segments.
const ENTRY_LEN_MIN: usize = 8 + 8 + 1 + 20 + 8 + 8 + 4 + 4 + 4 + 4;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use millstream_protocol::types::{LeaderEpoch, Offset};

    use super::*;
    use crate::record::Record;
    use crate::testing::{NOW, damage_is_seen, key, stamp, stored, summary, survives_changes};
    use crate::{FilePosition, StoredBatch};

    fn head(generation: u64) -> CheckpointHead {
        let journal = JournalIdentity {
            id: JournalId::new(3),
            nonce: 4,
        };
        CheckpointHead {
            generation,
            journal,
            ring_bytes: 64 * BLOCK,
            incarnation: Incarnation::new(5),
            raised_at: RoundSequence::new(6),
            tail: ChainPoint {
                sequence: RoundSequence::new(7),
                position: 8 * BLOCK,
                previous_crc: 9,
            },
            clean: true,
            retired: false,
            written_at: NOW,
        }
    }

    /// A partition with everything: producers, an open and a closed transaction, epochs, a sealed segment
    /// with a sidecar.
    fn partition(number: i32) -> PartitionState {
        let mut state = PartitionState::new(key(number));
        let ids = [
            SegmentId::new(1 + 100 * number as u64),
            SegmentId::new(2 + 100 * number as u64),
        ];
        let apply = |state: &mut PartitionState, record: &Record<'_>| state.apply(record, NOW).unwrap();
        let record = state.open_record(ids[0]);
        apply(&mut state, &record);
        let record = state.epoch_record(LeaderEpoch::new(2)).unwrap();
        apply(&mut state, &record);
        let mut batches: [StoredBatch; 4] = core::array::from_fn(|index| {
            let mut batch = stored(summary(1, 0, 50), index as i64, &[index as u8; 100]);
            batch.summary.producer = Some(stamp(index as i64 % 2, 1, index as i32 / 2, 1));
            batch.summary.transactional = index < 2;
            batch
        });
        batches[2].summary.control = true;
        let position = FilePosition::ZERO;
        for (index, &segment) in ids.iter().enumerate() {
            let batches = &batches[2 * index..2 * index + 2];
            let tail = Record::Tail {
                partition: key(number),
                segment,
                position,
                bytes: &[0; 200],
                batches,
            };
            apply(&mut state, &tail);
            if index == 0 {
                let record = state.roll_record(ids[1]);
                apply(&mut state, &record);
            }
        }
        state.sidecar_written(ids[0]);
        state.unload_index(ids[0]);
        state.written_to(ids[0], FilePosition::new(200));
        let record = Record::LogStart {
            partition: key(number),
            offset: Offset::new(1),
        };
        apply(&mut state, &record);
        state.flushed_to(Offset::new(4));
        state
    }

    fn encoded(generation: u64, partitions: i32) -> Vec<u8> {
        let mut builder = CheckpointBuilder::new(0);
        for number in 0..partitions {
            let damage = (number == 1).then_some(Damage {
                at: Offset::new(4),
                reason: DamageReason::Segment,
            });
            builder.add(
                &partition(number),
                RoundSequence::new(8),
                RoundSequence::new(7),
                damage,
            );
        }
        builder.finish(&head(generation), &[SegmentId::new(77)]).unwrap()
    }

    #[test]
    fn it_reads_back_and_damage_is_seen() {
        let bytes = encoded(1, 2);
        let length = Checkpoint::length(&bytes[..BLOCK as usize]).unwrap() as usize;
        let read = Checkpoint::decode(&bytes).unwrap();
        assert_eq!(read.head, head(1));
        assert_eq!(read.unlinks, [SegmentId::new(77)]);
        let states: Vec<_> = read.entries.iter().map(|entry| entry.state.clone()).collect();
        assert_eq!(states, [partition(0), partition(1)]);
        assert!(read.entries[0].damage.is_none() && read.entries[1].damage.is_some());
        assert_eq!(bytes, include_bytes!("../fixtures/v1/checkpoint"));
        damage_is_seen(&bytes, length, Checkpoint::decode);
    }

    #[test]
    fn partitions_that_pass_their_checksum_by_accident_do_no_harm() {
        let mut bytes = vec![];
        partition(0).encode(&mut bytes);
        survives_changes(&bytes, |bytes| PartitionState::decode(&mut Take::new(bytes)));
    }

    #[test]
    fn a_torn_slot_leaves_the_older_one() {
        let decode = |bytes: &[u8]| Checkpoint::decode(bytes);
        let (old, mut new) = (encoded(1, 1), encoded(2, 1));
        let newest = Checkpoint::newest(decode(&new), decode(&old)).unwrap();
        assert_eq!(newest.head.generation, 2);
        new[200] ^= 1;
        let newest = Checkpoint::newest(decode(&new), decode(&old)).unwrap();
        assert_eq!(newest.head.generation, 1);
        assert!(Checkpoint::newest(decode(&new), decode(&[])).is_err());
        assert_ne!(Checkpoint::slot(1), Checkpoint::slot(2));
    }
}

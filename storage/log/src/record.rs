//! The facts that a journal's rounds carry. The same values change a partition's state live and in recovery.

use alloc::vec::Vec;

use millstream_protocol::types::{LeaderEpoch, Offset};

use crate::batch::{PLAIN_LEN, StoredBatch};
use crate::codec::{FormatError, KEY_LEN, Put, Take};
use crate::id::{FilePosition, PartitionKey, SegmentId};
use crate::limits::{RECORD_BATCHES_MAX, SEGMENTS_MAX};

/// One fact about one partition.
///
/// In [`Self::Tail`] and [`Self::Extent`] `batches` are those that *end* within the record's bytes; a batch
/// may begin in an earlier record of the same round. One append's records are all in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Bytes that only the journal holds. `position` is the segment's recorded end, or a block's start at or
    /// below it: then the record is an image of the whole block and repeats its recorded bytes (which must
    /// not differ).
    Tail {
        partition: PartitionKey,
        segment: SegmentId,
        position: FilePosition,
        bytes: &'a [u8],
        batches: &'a [StoredBatch],
    },
    /// Whole blocks that were written to the segment directly, from its recorded end, which is aligned here.
    Extent {
        partition: PartitionKey,
        segment: SegmentId,
        position: FilePosition,
        /// A multiple of the block size.
        length: u64,
        /// CRC-32C of the written bytes, starting from [`crate::salt`] of the segment.
        crc: u32,
        batches: &'a [StoredBatch],
    },
    /// The segment ends at `byte_end` with offsets below `end_offset`; what was recorded beyond is cut off,
    /// never to be written with other bytes. The log goes on in `successor`, which is empty.
    Seal {
        partition: PartitionKey,
        segment: SegmentId,
        byte_end: FilePosition,
        end_offset: Offset,
        successor: SegmentId,
    },
    /// Offsets from `start_offset` on belong to `epoch`, until a higher epoch begins.
    Epoch {
        partition: PartitionKey,
        epoch: LeaderEpoch,
        start_offset: Offset,
    },
    /// Nothing below `offset` is served any more.
    LogStart { partition: PartitionKey, offset: Offset },
    /// The partition's log begins, empty, at `base_offset` in `segment`.
    Opened {
        partition: PartitionKey,
        segment: SegmentId,
        base_offset: Offset,
    },
    /// The partition is deleted with all its segments. Its key never comes back.
    Removed { partition: PartitionKey },
    /// The first segments of the manifest, in order, are deleted; the log starts no lower than `log_start`.
    Dropped {
        partition: PartitionKey,
        segments: &'a [SegmentId],
        log_start: Offset,
    },
    /// Says nothing: the round's header tells what is settled.
    Settle,
}

impl Record<'_> {
    /// `None` only for [`Self::Settle`].
    pub fn partition(&self) -> Option<PartitionKey> {
        match *self {
            Self::Tail { partition, .. }
            | Self::Extent { partition, .. }
            | Self::Seal { partition, .. }
            | Self::Epoch { partition, .. }
            | Self::LogStart { partition, .. }
            | Self::Opened { partition, .. }
            | Self::Removed { partition }
            | Self::Dropped { partition, .. } => Some(partition),
            Self::Settle => None,
        }
    }

    /// The exact number of bytes that this record takes in a round.
    pub fn encoded_len(&self) -> usize {
        let body = match self {
            Self::Tail { bytes, batches, .. } => KEY_LEN + 8 + 8 + batches_len(batches) + 4 + bytes.len(),
            Self::Extent { batches, .. } => KEY_LEN + 8 + 8 + 8 + 4 + batches_len(batches),
            Self::Seal { .. } => KEY_LEN + 8 + 8 + 8 + 8,
            Self::Epoch { .. } => KEY_LEN + 4 + 8,
            Self::LogStart { .. } => KEY_LEN + 8,
            Self::Opened { .. } => KEY_LEN + 8 + 8,
            Self::Removed { .. } => KEY_LEN,
            Self::Dropped { segments, .. } => KEY_LEN + 8 + 4 + 8 * segments.len(),
            Self::Settle => 0,
        };
        1 + body
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        match *self {
            Self::Tail {
                partition,
                segment,
                position,
                bytes,
                batches,
            } => {
                out.u8(TAIL);
                out.key(partition);
                out.u64(segment.get());
                out.u64(position.get());
                encode_batches(batches, out);
                out.count(bytes.len());
                out.put(bytes);
            }
            Self::Extent {
                partition,
                segment,
                position,
                length,
                crc,
                batches,
            } => {
                out.u8(EXTENT);
                out.key(partition);
                out.u64(segment.get());
                out.u64(position.get());
                out.u64(length);
                out.u32(crc);
                encode_batches(batches, out);
            }
            Self::Seal {
                partition,
                segment,
                byte_end,
                end_offset,
                successor,
            } => {
                out.u8(SEAL);
                out.key(partition);
                out.u64(segment.get());
                out.u64(byte_end.get());
                out.i64(end_offset.get());
                out.u64(successor.get());
            }
            Self::Epoch {
                partition,
                epoch,
                start_offset,
            } => {
                out.u8(EPOCH);
                out.key(partition);
                out.i32(epoch.get());
                out.i64(start_offset.get());
            }
            Self::LogStart { partition, offset } => {
                out.u8(LOG_START);
                out.key(partition);
                out.i64(offset.get());
            }
            Self::Opened {
                partition,
                segment,
                base_offset,
            } => {
                out.u8(OPENED);
                out.key(partition);
                out.u64(segment.get());
                out.i64(base_offset.get());
            }
            Self::Removed { partition } => {
                out.u8(REMOVED);
                out.key(partition);
            }
            Self::Dropped {
                partition,
                segments,
                log_start,
            } => {
                out.u8(DROPPED);
                out.key(partition);
                out.i64(log_start.get());
                out.count(segments.len());
                segments.iter().for_each(|segment| out.u64(segment.get()));
            }
            Self::Settle => out.u8(SETTLE),
        }
    }

    /// Reads one record; `scratch` holds its lists.
    pub(crate) fn decode<'s, 'a: 's>(
        take: &mut Take<'a>,
        scratch: &'s mut Scratch,
    ) -> Result<Record<'s>, FormatError> {
        let record = match take.u8()? {
            TAIL => {
                let (partition, segment) = (take.key()?, take.segment()?);
                let position = take.position("tail position")?;
                decode_batches(take, &mut scratch.batches)?;
                let len = take.u32()? as usize;
                let bytes = take.bytes(len)?;
                Record::Tail {
                    partition,
                    segment,
                    position,
                    bytes,
                    batches: &scratch.batches,
                }
            }
            EXTENT => {
                let (partition, segment) = (take.key()?, take.segment()?);
                let position = take.position("extent position")?;
                let length = take.position("extent length")?;
                if !position.is_aligned() || !length.is_aligned() {
                    return Err(FormatError::Field("extent alignment"));
                }
                let crc = take.u32()?;
                decode_batches(take, &mut scratch.batches)?;
                Record::Extent {
                    partition,
                    segment,
                    position,
                    length: length.get(),
                    crc,
                    batches: &scratch.batches,
                }
            }
            SEAL => Record::Seal {
                partition: take.key()?,
                segment: take.segment()?,
                byte_end: take.position("seal byte end")?,
                end_offset: take.offset("seal end offset")?,
                successor: take.segment()?,
            },
            EPOCH => Record::Epoch {
                partition: take.key()?,
                epoch: LeaderEpoch::checked(take.i32()?).ok_or(FormatError::Field("epoch"))?,
                start_offset: take.offset("epoch start")?,
            },
            LOG_START => Record::LogStart {
                partition: take.key()?,
                offset: take.offset("log start")?,
            },
            OPENED => Record::Opened {
                partition: take.key()?,
                segment: take.segment()?,
                base_offset: take.offset("base offset")?,
            },
            REMOVED => Record::Removed {
                partition: take.key()?,
            },
            DROPPED => {
                let partition = take.key()?;
                let log_start = take.offset("log start")?;
                let count = take.count(8, SEGMENTS_MAX, "dropped segments")?;
                scratch.segments.clear();
                for _ in 0..count {
                    scratch.segments.push(take.segment()?);
                }
                Record::Dropped {
                    partition,
                    segments: &scratch.segments,
                    log_start,
                }
            }
            SETTLE => Record::Settle,
            _ => return Err(FormatError::Field("record kind")),
        };
        Ok(record)
    }
}

/// Lists of a decoded record, used again for the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    batches: Vec<StoredBatch>,
    segments: Vec<SegmentId>,
}

impl Take<'_> {
    pub(crate) fn segment(&mut self) -> Result<SegmentId, FormatError> {
        self.u64().map(SegmentId::new)
    }
}

fn batches_len(batches: &[StoredBatch]) -> usize {
    4 + batches.iter().map(StoredBatch::encoded_len).sum::<usize>()
}

fn encode_batches(batches: &[StoredBatch], out: &mut impl Put) {
    assert!(
        batches.len() <= RECORD_BATCHES_MAX,
        "too many batches in one record"
    );
    out.count(batches.len());
    batches.iter().for_each(|batch| batch.encode(out));
}

fn decode_batches(take: &mut Take<'_>, batches: &mut Vec<StoredBatch>) -> Result<(), FormatError> {
    let count = take.count(PLAIN_LEN, RECORD_BATCHES_MAX, "batch count")?;
    batches.clear();
    batches.reserve(count);
    for _ in 0..count {
        batches.push(StoredBatch::decode(take)?);
    }
    Ok(())
}

const TAIL: u8 = 1;
const EXTENT: u8 = 2;
const SEAL: u8 = 3;
const EPOCH: u8 = 4;
const LOG_START: u8 = 5;
const OPENED: u8 = 6;
const REMOVED: u8 = 7;
const DROPPED: u8 = 8;
const SETTLE: u8 = 9;

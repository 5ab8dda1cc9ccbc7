//! Every bound of this crate, with the reason for its size.

use crate::layout::BLOCK;

/// Entries of one segment's sparse index. Past it the interval between entries doubles: a segment of 1 GiB
/// ends with an entry per 2 to 4 MiB, and no index takes more than 16 KiB of memory.
pub const INDEX_RUNS_MAX: usize = 512;
/// The interval that a new segment's index starts with, in bytes.
pub const INDEX_INTERVAL_MIN: u64 = 4 * BLOCK;

/// Batches that a producer may repeat and have recognised; Kafka's clients rely on five.
pub const PRODUCER_BATCHES: usize = 5;
/// Producers that one partition remembers. Beyond it one that has been idle gives way to a new one; where
/// none has, the new one is refused with a retriable error: state that a retry may need is never dropped to
/// make room.
pub const PRODUCERS_MAX: usize = 10_000;
/// Memory of one producer in one partition: its last batches and its place in the tree.
pub const PRODUCER_BYTES: u64 = 512;
/// How long a producer must have been silent before it may give way, in milliseconds: far beyond the two
/// minutes for which clients retry by default.
pub const PRODUCER_IDLE_MS: i64 = 15 * 60 * 1000;

/// Leader epochs that a partition's history keeps; where it is full the oldest one is forgotten.
pub const EPOCHS_MAX: usize = 4096;
/// Segments that one partition may have; an append that needs one more is refused.
pub const SEGMENTS_MAX: usize = 1 << 20;

/// A round's length on disk, padding included.
pub const ROUND_BYTES_MAX: u64 = 64 << 20;
/// Batches in one record.
pub const RECORD_BATCHES_MAX: usize = 1 << 20;
/// Bytes of one checkpoint slot.
pub const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;
/// Partitions in one checkpoint.
pub const PARTITIONS_MAX: usize = 1 << 20;
/// Segment files that wait for deletion in one checkpoint.
pub const UNLINKS_MAX: usize = 1 << 20;

/// Times that a directory can be opened: segment ids hold 24 bits of it.
pub const INCARNATIONS_MAX: u64 = (1 << 24) - 1;

/// A segment's data, in bytes: positions stay below it, which the offset index packs into 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = (1 << 32) - (64 << 20) - BLOCK;

const _: () = assert!(INDEX_RUNS_MAX.is_power_of_two());
const _: () = assert!(ROUND_BYTES_MAX.is_multiple_of(BLOCK));
const _: () = assert!(SEGMENT_BYTES_MAX.is_multiple_of(BLOCK));

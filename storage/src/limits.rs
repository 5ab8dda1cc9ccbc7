//! Bounds of a shard's storage. Every queue, buffer and count of this crate has one of these.

/// Bytes of a disk block as this crate sees it: everything written or read is made of these.
pub const BLOCK: u64 = 4096;

/// All journals of a broker together, so that a replay fits a second.
pub const JOURNALS_BYTES_MAX: u64 = 512 << 20;

/// The journal of one shard, unless there are so many shards that their sum passes the bound.
pub const JOURNAL_BYTES_DEFAULT: u64 = 128 << 20;

/// A journal's size is a multiple of this.
pub const JOURNAL_GRAIN: u64 = 64 << 10;

/// The smallest journal: a few rounds of a few blocks.
pub const JOURNAL_BYTES_MIN: u64 = 256 << 10;

/// The largest round, in any journal.
pub const ROUND_BYTES_MAX: u64 = 4 << 20;

/// The largest round in a journal of `ring_bytes`: a checkpoint can always free some of the ring while others wait,
/// and a start knows how far it must look for a round behind a damaged one.
pub const fn round_bytes_max(ring_bytes: u64) -> u64 {
    let share = ring_bytes / 8;
    if share < ROUND_BYTES_MAX {
        share
    } else {
        ROUND_BYTES_MAX
    }
}

/// Bytes of a partition in one round from which on its full blocks go straight to the segment.
pub const DIRECT_WRITE_BYTES_MIN_DEFAULT: u64 = 128 << 10;

/// Bytes of direct writes in one round, but for a batch that passes it: whoever waits for the round waits for them. All
/// that a round may have where nobody with little came lately: another shard of the same disk may have somebody.
pub const DIRECT_BYTES_PER_ROUND_MAX: u64 = 4 << 20;
/// The least of it that a round may have, however long the disk takes.
pub const DIRECT_BYTES_PER_ROUND_MIN: u64 = 256 << 10;

/// Bytes of one write into a segment. Larger ones delay the commits beside them.
pub const SEGMENT_WRITE_BYTES_MAX: u64 = 256 << 10;

/// Bytes of write-behind in flight when the journal runs full; while it does not, one piece is. Commits wait for what
/// the disk does at the time: with a megabyte at once the 99th percentile at a steady 50 MB/s was ten times that of a
/// bare loop.
pub const WRITE_BEHIND_BYTES_MAX: u64 = 8 << 20;

/// The least that write-behind takes of a long run of bytes at once, for a journal of `ring_bytes`: so little that the
/// ring is freed bit by bit.
pub const fn write_behind_piece_bytes(ring_bytes: u64) -> u64 {
    let share = (ring_bytes / 64).next_multiple_of(BLOCK);
    if share < SEGMENT_WRITE_BYTES_MAX {
        share
    } else {
        SEGMENT_WRITE_BYTES_MAX
    }
}

/// How exactly a run of bytes that only the journal holds knows which round carried what: where it was written up to
/// such a mark, the journal before that round is free.
pub const RUN_MARK_BYTES: u64 = 16 << 10;

/// Dirty partitions that a turn looks at for write-behind. Each may cost ten microseconds, where a file is to be made;
/// a turn comes with every completion, so that a disk is kept busy all the same.
pub const WRITE_BEHIND_LOOKS: usize = 8;
/// Entries of the cache that a turn looks at for room.
pub const CACHE_LOOKS: usize = 64;

/// Partitions that one step of a checkpoint looks at, and bytes after which it stops.
pub const CHECKPOINT_STEP: usize = 32;
/// See [`CHECKPOINT_STEP`].
pub const CHECKPOINT_STEP_BYTES: usize = 32 << 10;
/// Space that each slot of a checkpoint has from the beginning, in bytes, so that a start on a disk that others filled
/// to the last block can say what it cut. More partitions than it holds need space of the disk's own.
pub const CHECKPOINT_RESERVE: u64 = 256 << 10;

/// Memory of one shard for recently appended batches.
pub const CACHE_BYTES_DEFAULT: u64 = 256 << 20;

/// Bytes accepted and not yet in a segment: what the journal can hold and what direct writes may have in
/// flight.
pub const DIRTY_BYTES_MAX_DEFAULT: u64 = 256 << 20;

/// Producers that all partitions of a shard remember together; one that writes to three partitions counts three times.
pub const PRODUCERS_MAX_DEFAULT: usize = 100_000;

/// Free space below which appends are refused. It covers all that was accepted and not yet allocated.
pub const FREE_SPACE_BYTES_MIN_DEFAULT: u64 = 1 << 30;

/// Segment files that a shard keeps open.
pub const OPEN_SEGMENTS_MAX_DEFAULT: usize = 4096;

/// Open files that a turn looks at for one whose descriptor another file may have.
pub const DESCRIPTOR_LOOKS: usize = 64;

/// Sidecar indexes being written or read at one time, beyond the segment files that are open.
pub const SIDECARS_IN_FLIGHT_MAX: usize = 16;
/// Of these, the ones being written.
pub const SIDECARS_SAVED_AT_ONCE: usize = 8;
/// Logs that a turn looks at for indexes to be written.
pub const SIDECAR_LOOKS: usize = 64;

/// Memory of one shard for indexes of sealed segments that have a sidecar: some hundred of the largest. Reads
/// that wait may go beyond it for a turn.
pub const INDEX_BYTES_DEFAULT: u64 = 8 << 20;

/// Bytes of a segment that one step of the rebuild of its index reads and checks: within 100 µs, also where every
/// batch has one small record.
pub const REBUILD_BYTES: u64 = 32 << 10;

/// The smallest and the largest piece of memory that holds appended batches.
pub const CHUNK_BYTES_MIN: u64 = 4 << 10;
/// See [`CHUNK_BYTES_MIN`].
pub const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// Memory of dropped chunks that one shard keeps for the next ones: enough for the turns between a drop and the growth
/// that follows.
pub const SPARE_BYTES_MAX: u64 = 16 << 20;

/// A chunk filled faster than this is followed by one twice as large, one filled slower by one half as
/// large.
pub const CHUNK_FAST_NS: u64 = 1_000_000_000;
/// See [`CHUNK_FAST_NS`].
pub const CHUNK_SLOW_NS: u64 = 10_000_000_000;

/// The first and the largest step by which a segment's space is reserved ahead of its writes.
pub const RESERVE_BYTES_MIN: u64 = 64 << 10;
/// See [`RESERVE_BYTES_MIN`].
pub const RESERVE_BYTES_MAX: u64 = 64 << 20;

/// Cold bytes are read in aligned pieces of this size. A flush waits for the piece that the disk is at: beside one
/// of these it took 0.20 ms, beside one of four times the size 0.37, and 0.11 alone (fio, 4 KiB written at a time).
pub const COLD_PIECE_BYTES: u64 = 64 << 10;

/// Pieces that a shard asks the disk for at a time: enough to keep it busy. While somebody waits for flushes, all
/// shards together have no more than this, and mostly far fewer.
pub const COLD_PIECES_AT_ONCE: usize = 64;

/// Pieces read ahead of a reader that goes on where it stopped.
pub const READ_AHEAD_PIECES: u64 = 16;

/// What a try of a read costs of a turn's share, beside the bytes that it checks.
pub const COLD_LOOK_BYTES: u64 = 8 << 10;

/// A round of no more bytes, and without direct writes, says what the disk makes it wait.
pub const SMALL_ROUND_BYTES: u64 = 64 << 10;

/// Reads of cold bytes that wait at one time; more are refused.
pub const COLD_READS_MAX: usize = 4096;

/// An idle journal notes what is settled after this long.
pub const SETTLE_AFTER_NS: u64 = 20_000_000;

/// A partition that was not written to for this long has its partial block written, and its memory freed.
pub const IDLE_AFTER_NS: u64 = 5_000_000_000;

/// How often retention is looked at, and when first (Kafka's `log.retention.check.interval.ms` and
/// `log.initial.task.delay.ms`).
pub const RETENTION_EVERY_NS_DEFAULT: u64 = 300_000_000_000;
/// See [`RETENTION_EVERY_NS_DEFAULT`].
pub const RETENTION_FIRST_AFTER_NS_DEFAULT: u64 = 30_000_000_000;

/// A round that the disk does not finish within this is told of, and again whenever it has taken twice as long.
pub const STALL_TOLD_AFTER_NS: u64 = 2_000_000_000;

/// How often the free space of the disk is asked for, and whether retention is due.
pub const HOUSEKEEPING_EVERY_NS: u64 = 1_000_000_000;
/// Logs that one turn looks at for that.
pub const HOUSEKEEPING_STEP: usize = 16;

const _: () = assert!(JOURNAL_BYTES_DEFAULT.is_multiple_of(JOURNAL_GRAIN));
const _: () = assert!(JOURNAL_BYTES_MIN.is_multiple_of(JOURNAL_GRAIN));
const _: () = assert!(CHUNK_BYTES_MIN.is_multiple_of(BLOCK) && CHUNK_BYTES_MAX.is_multiple_of(BLOCK));
const _: () = assert!(SEGMENT_WRITE_BYTES_MAX.is_multiple_of(BLOCK));
const _: () = assert!(REBUILD_BYTES.is_multiple_of(BLOCK));
const _: () = assert!(SIDECARS_SAVED_AT_ONCE < SIDECARS_IN_FLIGHT_MAX);
const _: () = assert!(COLD_PIECE_BYTES.is_multiple_of(BLOCK));
const _: () = assert!(FREE_SPACE_BYTES_MIN_DEFAULT > DIRTY_BYTES_MAX_DEFAULT);

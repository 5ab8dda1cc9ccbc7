//! The shard's storage: logs of many partitions over one journal, driven by turns and completions.
//!
//! Place: between the shard's loop (which owns the ring and the clock) and `millstream-log` (which
//! decides). No async, no thread, no clock: the ring and `now` come with each call.
//!
//! ```text
//! append ─► chunks in memory ─► round in the journal ─► durable ─► write-behind ─► segment ─► checkpoint
//!                │                (many bytes: straight to the segment, beside the round)
//! read ◄─────────┴──────────────── or the segment, checked
//! ```
//!
//! Invariants: accepted, durable and in the segment are three things, in this order; what a power cut
//! leaves is told by checkpoint and journal alone (`storage/log`).

#![forbid(unsafe_code)]

mod append;
mod batch_walk;
pub mod boot;
mod checkpointer;
mod chunks;
mod cold_pieces;
mod commit;
mod dirty_runs;
mod disk_share;
mod error;
mod event;
mod fence;
mod housekeeping;
mod indexes;
mod journal;
pub mod limits;
mod log_table;
mod ops;
mod options;
mod pace;
mod partition_log;
mod producer_count;
mod reads;
mod rescue;
mod rounds;
mod segment_files;
mod shard_logs;
mod spare;
mod stall;
mod status;
mod turned_away;
mod write_behind;

pub use boot::{Booted, DirectoryLock, KnownTopics, TopicFate, open};
pub use error::{AppendError, DeleteRecordsError, OpenError, ReadError};
pub use event::{
    Appended, FoundTime, LogEvent, LogId, Now, Offsets, ReadId, ReadOutcome, SpaceReport, SpaceState,
    StallReport, Stalled, TimeOutcome,
};
pub use ops::is_storage_token;
pub use options::StorageOptions;
pub use shard_logs::{Room, ShardLogs, shard_of};
pub use status::StorageStatus;

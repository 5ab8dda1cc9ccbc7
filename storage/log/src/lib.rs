//! The log as a machine: what is known of a partition, what to do next, and every byte that lies on disk.
//!
//! Place: driven by `millstream-storage`, which owns the files; above it nobody knows this crate's formats.
//! Invariants: no file, clock, thread or randomness; a decision is a plan and changes nothing; state changes
//! only by applying a [`Record`], live and in recovery alike; a decoder of damaged bytes returns an error and
//! takes no more memory than the bytes it was given justify.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod append_plan;
mod batch;
mod block;
mod checkpoint;
mod codec;
mod config;
mod crc;
mod id;
mod identity;
mod index;
pub mod layout;
mod leader_epochs;
pub mod limits;
mod offsets;
mod partition;
pub mod planted;
mod producers;
mod read_plan;
mod rebuild;
mod record;
mod recovery;
mod retention;
mod round;
mod segment;
mod segment_check;
mod segment_header;
mod sidecar;
#[cfg(test)]
mod testing;

pub use append_plan::{AppendDecision, AppendError, AppendPlan, Place, RollReason};
pub use batch::StoredBatch;
pub use checkpoint::{Checkpoint, CheckpointBuilder, CheckpointHead, CheckpointTooLarge, PartitionEntry};
pub use codec::FormatError;
pub use config::{LogConfig, TimestampType};
pub use crc::{combine, crc32c, crc32c_append, salt};
pub use id::{
    FilePosition, Incarnation, JournalId, JournalIdentity, PartitionKey, RoundSequence, SegmentId, SegmentIds,
};
pub use identity::Identity;
pub use index::{IndexRun, SparseIndex};
pub use leader_epochs::{EpochStart, LeaderEpochs};
pub use offsets::{FlushedOffset, LogEndOffset, LogStartOffset, Offsets};
pub use partition::{ApplyError, PartitionState};
pub use producers::{KnownProducer, Producers, SequenceError, Verdict};
pub use read_plan::{Piece, ReadError, ReadPlan, TimePlan};
pub use rebuild::{IndexRebuild, RebuildDamage};
pub use record::Record;
pub use recovery::{
    Beyond, ChainEnd, Cut, Damage, DamageReason, DirtyRun, ExtentCheck, Look, Recovered, RecoveredJournal,
    RecoveredPartition, Replay, ReplayError, RunMemory,
};
pub use retention::{Choice, RetentionReason};
pub use round::{
    ChainPoint, Records, Round, RoundBuilder, RoundFull, RoundHeader, RoundReader, SealedRound, Step,
    newest_settled,
};
pub use segment::Segment;
pub use segment_check::{BadBytes, BadRange, SegmentCheck};
pub use segment_header::SegmentHeader;
pub use sidecar::Sidecar;

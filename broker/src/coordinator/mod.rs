//! Consumer groups: the shell around the group machine.
//!
//! ```text
//! handlers ─► asking ─► the shard that owns the group's offsets partition ─► serving ─► machine ─► records, replies
//!     ▲                                                                                              │
//!     └── answers, held until everything appended before them is durable ◄── appending, one batch a turn
//! ```
//! Place: one coordinator for each partition of `__consumer_offsets`, on the shard that owns the partition; `loading`
//! reads the partition when the broker starts, `snapshots` keeps it from growing without end.
//! Invariants: whoever asks is answered exactly once; nobody is told anything that a crash could take away; nothing
//! waits for the disk within a turn.

mod appending;
pub mod asking;
mod consumer_record;
mod coordinators;
mod loading;
pub mod record;
mod serving;
pub mod settings;
mod snapshots;
mod weight;

pub use coordinators::Coordinators;
pub use serving::GroupOrigin;

use millstream_machine::group::GroupAnswer;
use millstream_protocol::error::ErrorCode;

/// What a group says, or why nobody could be asked.
pub type Answered = Result<GroupAnswer, ErrorCode>;

//! The shard's ring: the only door of a shard to files and sockets.
//!
//! Operations are submitted with the caller's [`Token`] and come back as [`Completion`]s; there is no async
//! here, no task and no clock. [`Ring`] has two implementations that one contract suite holds together:
//! [`uring::UringRing`], an io_uring owned by one thread, and `SimRing` (feature `sim`), a seeded
//! machine in memory with power cuts, torn sectors and unreliable peers.
//!
//! Place: below `storage` and `broker`; it knows no other room.
//!
//! Invariants:
//! - Whatever an operation needs (buffers, names, addresses) is owned by it until its completion.
//! - [`SocketId`] and [`FileId`] carry a generation: a late operation or completion never reaches a
//!   descriptor that was reused.
//! - All bytes that the kernel reads are immutable while shared ([`Slice`]); all bytes that it writes have
//!   one owner ([`AlignedBuf`], [`RecvBuf`], a `Vec`).

mod buffer;
mod commit;
mod error;
pub mod limits;
#[cfg(all(loom, test))]
mod models;
mod op;
mod ring;
mod rules;
#[cfg(feature = "sim")]
pub mod simulated;
mod sync;
mod table;
pub mod uring;
mod waker;

pub use buffer::{AlignedBuf, AppendBuf, BLOCK, RecvBuf, Slice};
pub use commit::Commit;
pub use error::{IoError, IoErrorKind};
pub use op::{
    AllocateMode, Completion, DetachedFile, DetachedSocket, DiskSpace, Done, Entry, FileId, Op, OpenOptions,
    SocketId, Token,
};
pub use ring::{ReceiveBuffers, Ring, Wait};
pub use waker::Waker;

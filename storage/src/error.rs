//! What can go wrong, one enum per operation.
//!
//! Place: returned by [`crate::ShardLogs`] and [`crate::boot`]; the broker maps each to a Kafka error code
//! in its one table. Invariant: every variant that a client may retry says so in its doc; nothing is
//! retried inside this crate.

use core::fmt;

use millstream_log::{AppendError as AppendRefusal, SequenceError};
use millstream_protocol::types::Offset;

/// Why an append was not accepted. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// The partition's own rules refuse it: sequence, producer epoch, size.
    Refused(AppendRefusal),
    /// The handle is of a log that was deleted.
    UnknownLog,
    /// A segment of the partition failed; it takes nothing until it was repaired.
    Fenced,
    /// The shard's journal failed; no partition of the shard takes appends until a restart. Reads go on.
    WritesStopped,
    /// The disk is full or below its free-space threshold. Retriable: recovers by itself when space
    /// returns.
    NoSpace,
    /// Too many bytes wait for the disk already. Retriable.
    Busy,
}

impl AppendError {
    /// The same batch may be taken later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(AppendRefusal::Sequence(SequenceError::TooManyProducers)) => true,
            Self::Refused(_) | Self::UnknownLog => false,
            Self::Fenced | Self::WritesStopped | Self::NoSpace | Self::Busy => true,
        }
    }
}

/// Why a read served nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The offset lies outside of the log.
    OutOfRange {
        /// First offset of the log, inclusive.
        start: Offset,
        /// The log's end, exclusive.
        end: Offset,
    },
    /// The handle is of a log that was deleted.
    UnknownLog,
    /// The bytes asked for are damaged or their file is unreadable; they are never served.
    Fenced {
        /// First offset that cannot be served.
        at: Offset,
    },
    /// The device refused the read. Retriable: the next read asks the device again.
    Device {
        /// The operating system's error number.
        errno: i32,
    },
    /// Too many reads of cold bytes wait already. Retriable.
    Busy,
}

/// Why the front of a log could not be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteRecordsError {
    /// Beyond the log's flushed end, or negative.
    OutOfRange,
    /// The handle is of a log that was deleted.
    UnknownLog,
    /// See [`AppendError::Fenced`].
    Fenced,
    /// See [`AppendError::WritesStopped`].
    WritesStopped,
}

/// Why a data directory could not be opened. Each says in its text what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// Another process holds the directory.
    Locked {
        /// The lock file.
        path: String,
    },
    /// The directory was written by a newer version of Millstream.
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// Nothing in it is Millstream's. Only a look says so: a start makes a data directory of it.
    NotADirectory {
        /// The directory.
        path: String,
    },
    /// The identity file is not one of ours, or damaged.
    BadIdentity {
        /// What is wrong with it.
        what: String,
    },
    /// The metadata lacks its end, and no power cut can have taken it: the directory was closed in good order.
    MetadataLost,
    /// A file operation failed.
    Io {
        /// What was being done to which file.
        what: String,
        /// The operating system's error number.
        errno: i32,
    },
    /// The file system does not take direct writes (tmpfs, some network file systems).
    NoDirectIo {
        /// The directory.
        path: String,
    },
    /// Both checkpoint slots of a journal are unreadable, or a journal that a checkpoint needs is missing.
    Damaged {
        /// Which file and why.
        what: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked { path } => {
                write!(
                    f,
                    "another process uses this data directory (it holds {path}); stop it or choose another"
                )
            }
            OpenError::NewerFormat { found, known } => write!(
                f,
                "the data directory has format {found}, this program knows formats up to {known}: \
                 start the newer version that wrote it"
            ),
            OpenError::NotADirectory { path } => {
                write!(
                    f,
                    "{path} is not a data directory of millstream; name one with --data-dir"
                )
            }
            OpenError::BadIdentity { what } => {
                write!(
                    f,
                    "the data directory's identity file cannot be used: {what}. It never changes: put back the one of \
                     any backup of this directory, and nothing is lost"
                )
            }
            OpenError::MetadataLost => f.write_str(
                "the end of the cluster's metadata cannot be read, and the directory was closed in good order: what it \
                 said was acknowledged",
            ),
            OpenError::Io { what, errno } => write!(f, "{what}: error {errno}"),
            OpenError::NoDirectIo { path } => write!(
                f,
                "{path} is on a file system without direct I/O (tmpfs?): choose a directory on ext4 or XFS"
            ),
            OpenError::Damaged { what } => write!(
                f,
                "the data directory is damaged: {what}. Restore it from a backup, or move it away and start with an \
                 empty one; `millstream log verify` tells what of it can be read"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

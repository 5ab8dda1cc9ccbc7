//! The words of a ring: operations in, completions out.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::buffer::{AlignedBuf, RecvBuf, Slice};
use crate::error::IoError;

/// The caller's name of an operation; comes back with its completion, unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A listening or connected socket of one ring. An id that outlives its socket is refused with `EBADF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// An open file of one ring. An id that outlives its file is refused with `EBADF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// The table slot, dense from zero and used again after the close: an index for a caller's own table.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What a ring can be asked to do.
///
/// Operations of one socket or file are not ordered among each other: who needs order waits for the completion.
/// Positions and lengths are in bytes.
#[derive(Debug)]
pub enum Op {
    /// Accepts connections until the listener is closed or `more` is false: then submit it again.
    Accept { listener: SocketId },
    /// Receives into a buffer of the ring's pool, taken only when bytes are there. At most one in flight a socket.
    RecvPooled { socket: SocketId },
    /// Receives into the spare capacity of `buf`, at most `limit` bytes (> 0, within the spare capacity);
    /// completes with what is there.
    RecvInto {
        socket: SocketId,
        buf: Vec<u8>,
        limit: usize,
    },
    /// Sends all slices in order, as one vectored message. Completes when all bytes are in the socket, or with
    /// fewer after an error, or when there are more than [`crate::limits::PIECES_MAX`] slices. At most one in
    /// flight a socket.
    Send { socket: SocketId, slices: Vec<Slice> },
    /// Ends the sending direction.
    Shutdown { socket: SocketId },
    /// Cancels what is in flight on the socket, waits for it and closes. The cancelled operations complete
    /// first, each with its own token. From the call on the id is stale for new operations.
    CloseSocket { socket: SocketId },

    /// Reads up to `len` bytes into the front of `buf`; fewer at the end of the file. For a direct file `at` and
    /// `len` are multiples of [`crate::BLOCK`].
    Read {
        file: FileId,
        at: u64,
        buf: AlignedBuf,
        len: usize,
    },
    /// Writes all slices one after another from `at` on. `durable`: complete only when these bytes (and what is
    /// needed to read them) survive a power cut; no other write is covered. For a direct file all is aligned to
    /// [`crate::BLOCK`]. Check the length of what was written.
    Write {
        file: FileId,
        at: u64,
        slices: Vec<Slice>,
        durable: bool,
    },
    /// Makes writes of this file that *completed* before the submission durable, with its size and extents.
    /// After an error the file is poisoned: fence it.
    Datasync { file: FileId },

    /// Opens (or creates) a file. `direct` on a file system that cannot is `Unsupported`.
    OpenFile { path: PathBuf, options: OpenOptions },
    /// Waits for what is in flight on the file and closes. From the call on the id is stale for new operations.
    CloseFile { file: FileId },
    /// Reserves space for `at..at + len` and makes the file at least that long. Durable after a `Datasync`.
    Allocate {
        file: FileId,
        at: u64,
        len: u64,
        mode: AllocateMode,
    },
    /// Cuts or extends (with a hole) the file to `len` bytes.
    Truncate { file: FileId, len: u64 },
    /// Asks for the length of the file.
    FileSize { file: FileId },
    /// Renames over whatever `to` was. Durable after a `SyncDir` of the directory (of both, if they differ).
    Rename { from: PathBuf, to: PathBuf },
    /// Removes the name of a file; who has it open goes on using it.
    Unlink { path: PathBuf },
    /// Makes one directory.
    MakeDir { path: PathBuf },
    /// Makes the names in a directory durable.
    SyncDir { path: PathBuf },
    /// Lists a directory, sorted by name.
    List { path: PathBuf },
}

/// How a file is opened. Reading is always possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// For writing, too.
    pub write: bool,
    /// Create it if it does not exist.
    pub create: bool,
    /// Create it; `Exists` if it does.
    pub create_new: bool,
    /// Past the page cache (O_DIRECT): positions, lengths and memory are multiples of [`crate::BLOCK`].
    pub direct: bool,
    /// Every write is durable when it completes (O_DSYNC), as if submitted with `durable`.
    pub dsync: bool,
}

/// What reserved space is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateMode {
    /// Written with zeroes: costs a pass over the device now, and makes later durable writes cheap.
    Zeroed,
    /// Unwritten extents: instant; reads as zeroes; the first write of a block pays for the conversion.
    Unwritten,
}

/// The answer to an operation.
#[derive(Debug)]
pub struct Completion {
    /// The submitter's token.
    pub token: Token,
    pub result: Result<Done, IoError>,
    /// The operation is still armed and will complete again (only [`Op::Accept`]).
    pub more: bool,
}

/// What was done. Buffers come home here; after an error they are dropped.
#[derive(Debug)]
pub enum Done {
    Accepted {
        socket: SocketId,
        peer: SocketAddr,
    },
    /// Empty at the end of the stream.
    Received {
        buf: RecvBuf,
    },
    /// `n` new bytes at the end of `buf`; zero at the end of the stream.
    ReceivedInto {
        buf: Vec<u8>,
        n: usize,
    },
    /// `n` bytes of `slices` are in the socket.
    Sent {
        n: usize,
        slices: Vec<Slice>,
    },
    /// `n` bytes at the front of `buf`; fewer than asked at the end of the file.
    Read {
        buf: AlignedBuf,
        n: usize,
    },
    /// `n` bytes of `slices` were written.
    Written {
        n: usize,
        slices: Vec<Slice>,
    },
    Synced,
    /// `size` in bytes at the moment of opening.
    Opened {
        file: FileId,
        size: u64,
    },
    Size(u64),
    Listed(Vec<Entry>),
    Finished,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Without the directory. Names that are not UTF-8 are left out: none of them is ours.
    pub name: String,
    pub is_dir: bool,
    /// Bytes; zero for a directory.
    pub size: u64,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this process may still use.
    pub free: u64,
    pub total: u64,
}

/// A socket on its way from one ring to another.
#[derive(Debug)]
pub struct DetachedSocket(pub(crate) Detached);

/// A file on its way from one ring to another.
#[derive(Debug)]
pub struct DetachedFile(pub(crate) Detached);

#[derive(Debug)]
pub(crate) enum Detached {
    Fd {
        fd: std::os::fd::OwnedFd,
        direct: bool,
    },
    #[cfg(feature = "sim")]
    Simulated(u64),
}

//! What an operation owns while the kernel has it.

use std::ffi::CString;

use crate::buffer::{AlignedBuf, Slice};
use crate::commit::Commit;
use crate::limits::PIECES_MAX;
use crate::op::{OpenOptions, Token};
use crate::waker::Waker;

/// An operation from its submission to its last completion.
pub(super) struct InFlight {
    pub(super) token: Token,
    pub(super) work: Work,
}

/// The operation, with everything whose address the kernel was given: it stays here, unmoved on the heap, until
/// the completion. Sockets and files are named by table slot; the entry there counts this operation.
pub(super) enum Work {
    Accept {
        listener: u32,
    },
    RecvPooled {
        socket: u32,
    },
    RecvInto {
        socket: u32,
        buf: Vec<u8>,
    },
    Send {
        socket: u32,
        slices: Vec<Slice>,
        vector: Option<Box<Vector>>,
    },
    /// Ends whatever else is in flight on a socket that is being closed. Not the caller's.
    Cancel {
        socket: u32,
    },
    CloseSocket,
    Read {
        file: u32,
        buf: AlignedBuf,
    },
    Write {
        file: u32,
        slices: Vec<Slice>,
        vector: Option<Box<Vector>>,
        _commit: Option<Commit>,
    },
    Datasync {
        file: u32,
        _commit: Commit,
    },
    Open {
        _path: CString,
        options: OpenOptions,
    },
    CloseFile,
    /// Reserving; then, if wanted, writing zeroes over `at..end`, one piece at a time.
    Allocate {
        file: u32,
        at: u64,
        end: u64,
        zeroed: bool,
        reserved: bool,
    },
    /// A rename, unlink or mkdir: names only.
    Names {
        _names: [CString; 2],
    },
    /// On the helper's thread; keeps `file` open.
    Helped {
        file: Option<u32>,
    },
    /// Wakes another ring; by its eventfd should the message fail. Not the caller's.
    Knock {
        peer: Waker,
    },
}

impl Work {
    /// Did the caller submit it, and does the caller wait for its completion?
    pub(super) fn is_callers(&self) -> bool {
        !matches!(self, Work::Cancel { .. } | Work::Knock { .. })
    }
}

/// The pieces of a vectored transfer, in the system's form. Kept for the next one: see [`Vectors`].
pub(super) struct Vector {
    pub(super) header: libc::msghdr,
    pub(super) pieces: Vec<libc::iovec>,
}

/// Vectors at rest, so that a vectored transfer allocates nothing.
#[derive(Default)]
pub(super) struct Vectors {
    #[expect(
        clippy::vec_box,
        reason = "the kernel holds the address of a vector in flight"
    )]
    idle: Vec<Box<Vector>>,
}

impl Vectors {
    /// The first [`PIECES_MAX`] of `slices`.
    pub(super) fn describe(&mut self, slices: &[Slice]) -> Box<Vector> {
        let mut vector = self.idle.pop().unwrap_or_else(|| {
            // SAFETY: all zeroes is a valid, empty message header.
            let header = unsafe { std::mem::zeroed() };
            Box::new(Vector {
                header,
                pieces: Vec::new(),
            })
        });
        let pieces = slices.iter().take(PIECES_MAX).map(|slice| libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        });
        vector.pieces.extend(pieces);
        vector.header.msg_iov = vector.pieces.as_mut_ptr();
        vector.header.msg_iovlen = vector.pieces.len() as _;
        vector
    }

    pub(super) fn put_back(&mut self, vector: Option<Box<Vector>>) {
        if let Some(mut vector) = vector
            && self.idle.len() < IDLE_MAX
            && vector.pieces.capacity() <= PIECES_KEPT
        {
            vector.pieces.clear();
            self.idle.push(vector);
        }
    }
}

/// Vectors kept, and pieces kept in each: 64 KiB at most.
const IDLE_MAX: usize = 64;
const PIECES_KEPT: usize = 64;

//! Operating errors of files and sockets: values, never panics.

use std::fmt;

/// What the system answered to an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IoError {
    /// The system's error number, positive.
    pub errno: i32,
}

/// The errors that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoErrorKind {
    /// The device, or the quota, is full (ENOSPC, EDQUOT).
    NoSpace,
    /// No such file, directory or address (ENOENT).
    NotFound,
    /// The name exists already (EEXIST).
    Exists,
    /// A component of the path is no directory, or a directory stood where a file was wanted.
    NotDirectory,
    /// The directory is not empty (ENOTEMPTY).
    NotEmpty,
    /// No rights (EACCES, EPERM, EROFS).
    Refused,
    /// The device failed (EIO and kin): the file must be fenced, never retried.
    Io,
    /// The file system cannot do direct I/O (EINVAL or EOPNOTSUPP on opening with `direct`).
    Unsupported,
    /// The peer is gone, or this side was shut down (ECONNRESET, EPIPE, ENOTCONN, ETIMEDOUT…).
    Disconnected,
    /// The operation was cancelled because its socket is being closed (ECANCELED).
    Cancelled,
    /// The socket or file was closed before (EBADF): a stale id.
    Closed,
    /// The process or the system is out of descriptors (EMFILE, ENFILE).
    NoDescriptors,
    /// The address is in use (EADDRINUSE).
    AddressInUse,
    /// The address is not one of this host's (EADDRNOTAVAIL).
    AddressNotAvailable,
    /// The system is out of memory (ENOMEM, ENOBUFS).
    NoMemory,
    /// Anything else.
    Other,
}

impl IoError {
    pub const fn new(errno: i32) -> IoError {
        IoError { errno }
    }

    /// The calling thread's last error.
    pub(crate) fn last() -> IoError {
        IoError::from(std::io::Error::last_os_error())
    }

    pub fn kind(&self) -> IoErrorKind {
        match self.errno {
            libc::ENOSPC | libc::EDQUOT => IoErrorKind::NoSpace,
            libc::ENOENT => IoErrorKind::NotFound,
            libc::EEXIST => IoErrorKind::Exists,
            libc::ENOTDIR | libc::EISDIR => IoErrorKind::NotDirectory,
            libc::ENOTEMPTY => IoErrorKind::NotEmpty,
            libc::EACCES | libc::EPERM | libc::EROFS => IoErrorKind::Refused,
            libc::EIO | libc::ENXIO | libc::ENODEV | libc::EREMOTEIO | libc::EUCLEAN => IoErrorKind::Io,
            libc::EINVAL | libc::EOPNOTSUPP => IoErrorKind::Unsupported,
            libc::ECONNRESET
            | libc::EPIPE
            | libc::ENOTCONN
            | libc::ESHUTDOWN
            | libc::ECONNABORTED
            | libc::ETIMEDOUT
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH => IoErrorKind::Disconnected,
            libc::ECANCELED => IoErrorKind::Cancelled,
            libc::EBADF => IoErrorKind::Closed,
            libc::EMFILE | libc::ENFILE => IoErrorKind::NoDescriptors,
            libc::EADDRINUSE => IoErrorKind::AddressInUse,
            libc::EADDRNOTAVAIL => IoErrorKind::AddressNotAvailable,
            libc::ENOMEM | libc::ENOBUFS => IoErrorKind::NoMemory,
            _ => IoErrorKind::Other,
        }
    }
}

impl From<std::io::Error> for IoError {
    fn from(error: std::io::Error) -> IoError {
        IoError::new(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<IoError> for std::io::Error {
    fn from(error: IoError) -> std::io::Error {
        std::io::Error::from_raw_os_error(error.errno)
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::io::Error::from_raw_os_error(self.errno))
    }
}

impl fmt::Debug for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoError({}: {:?})", self.errno, self.kind())
    }
}

impl std::error::Error for IoError {}

//! Making an io_uring, and saying what to do where it cannot be made.

use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::IoUring;

use crate::error::IoError;

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct UringOptions {
    /// Submissions collected between two enters, a power of two; more are flushed early.
    pub submissions: u32,
    /// Completions that fit the queue; more wait in the kernel.
    pub completions: u32,
    /// Pooled receive buffers of [`crate::limits::POOL_BUF`] bytes, a power of two.
    pub pool_buffers: u16,
}

impl Default for UringOptions {
    fn default() -> UringOptions {
        UringOptions {
            submissions: 1024,
            completions: 8192,
            pool_buffers: crate::limits::POOL_BUFFERS,
        }
    }
}

/// Why there is no ring. The texts say what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The kernel has no io_uring (ENOSYS), or a seccomp profile pretends so.
    Missing,
    /// io_uring is switched off for this process: `kernel.io_uring_disabled`, or a seccomp profile (EPERM, EACCES).
    Forbidden,
    /// The locked-memory limit or the memory is too small (ENOMEM).
    Memory,
    /// The kernel is older than 6.1 (EINVAL for what 6.1 knows).
    TooOld,
    /// The process or the system is out of descriptors.
    Descriptors,
    Other(IoError),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Missing => f.write_str(
                "this kernel offers no io_uring: run Linux 6.1 or newer, and in a container allow the io_uring \
                 system calls in its seccomp profile",
            ),
            SetupError::Forbidden => f.write_str(
                "io_uring is forbidden here: set `sysctl kernel.io_uring_disabled=0`, or allow io_uring_setup, \
                 io_uring_enter and io_uring_register in the container's seccomp profile",
            ),
            SetupError::Memory => f.write_str(
                "no memory for io_uring: raise the limit of locked memory (`ulimit -l`, systemd LimitMEMLOCK=) \
                 to 8 MiB per core or more",
            ),
            SetupError::TooOld => f.write_str("this kernel's io_uring is too old: Linux 6.1 is the minimum"),
            SetupError::Descriptors => {
                f.write_str("out of file descriptors: raise the limit (`ulimit -n`, systemd LimitNOFILE=)")
            }
            SetupError::Other(error) => write!(f, "io_uring cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for SetupError {}

impl From<std::io::Error> for SetupError {
    fn from(error: std::io::Error) -> SetupError {
        SetupError::of(IoError::from(error))
    }
}

impl SetupError {
    fn of(error: IoError) -> SetupError {
        match error.errno {
            libc::ENOSYS => SetupError::Missing,
            libc::EPERM | libc::EACCES => SetupError::Forbidden,
            libc::ENOMEM => SetupError::Memory,
            libc::EINVAL => SetupError::TooOld,
            libc::EMFILE | libc::ENFILE => SetupError::Descriptors,
            _ => SetupError::Other(error),
        }
    }
}

/// A ring for the calling thread alone: completions are delivered when it enters, and never interrupt it.
pub(super) fn build(options: &UringOptions) -> Result<IoUring, SetupError> {
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(options.completions)
        .build(options.submissions)?;
    let params = ring.params();
    if !(params.is_feature_nodrop() && params.is_feature_ext_arg() && params.is_feature_fast_poll()) {
        return Err(SetupError::TooOld);
    }
    Ok(ring)
}

pub(super) fn eventfd() -> Result<OwnedFd, SetupError> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(SetupError::of(IoError::last()));
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Another descriptor of the same ring, so that the number a waker holds never comes to name something else.
pub(super) fn duplicate(ring: &IoUring) -> Result<OwnedFd, SetupError> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::fcntl(ring.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) };
    if fd < 0 {
        return Err(SetupError::of(IoError::last()));
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let cases = [
            (libc::ENOSYS, SetupError::Missing, "Linux 6.1"),
            (libc::EPERM, SetupError::Forbidden, "kernel.io_uring_disabled"),
            (libc::ENOMEM, SetupError::Memory, "ulimit -l"),
            (libc::EINVAL, SetupError::TooOld, "6.1 is the minimum"),
            (libc::EMFILE, SetupError::Descriptors, "ulimit -n"),
            (
                libc::EFAULT,
                SetupError::Other(IoError::new(libc::EFAULT)),
                "cannot be set up",
            ),
        ];
        for (errno, expected, text) in cases {
            let error = SetupError::of(IoError::new(errno));
            assert_eq!(error, expected);
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}

//! Sets up a small io_uring of the kind that a shard uses, asks it for its operations, and drops it.

use std::io;

use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

#[derive(Debug)]
pub enum RingError {
    /// The kernel has no io_uring, or a filter says so.
    Missing,
    /// This process may not have one.
    Forbidden,
    /// The rings do not fit what may be locked in memory.
    NoMemory,
    /// Operations that the kernel does not know, by name.
    Operations(Vec<&'static str>),
    Other(io::Error),
}

/// The ring is gone when this returns.
pub fn try_ring() -> Result<(), RingError> {
    let mut builder = IoUring::<squeue::Entry, cqueue::Entry>::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all();
    let ring: IoUring = builder.build(ENTRIES).map_err(RingError::from_setup)?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(RingError::from_setup)?;
    let unknown = OPERATIONS.iter().filter(|(_, code)| !probe.is_supported(*code));
    let unknown: Vec<&'static str> = unknown.map(|(name, _)| *name).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(RingError::Operations(unknown))
    }
}

impl RingError {
    fn from_setup(error: io::Error) -> RingError {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => RingError::Missing,
            Some(libc::EPERM | libc::EACCES) => RingError::Forbidden,
            Some(libc::ENOMEM) => RingError::NoMemory,
            _ => RingError::Other(error),
        }
    }
}

const ENTRIES: u32 = 8;

/// The operations that the shards submit, by the kernel's numbers.
const OPERATIONS: &[(&str, u8)] = &[
    ("ACCEPT", opcode::Accept::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("MSG_RING", opcode::MsgRingData::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("READ", opcode::Read::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("SHUTDOWN", opcode::Shutdown::CODE),
    ("WRITEV", opcode::Writev::CODE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_told_apart() {
        let of = |errno| RingError::from_setup(io::Error::from_raw_os_error(errno));
        assert!(matches!(of(libc::ENOSYS), RingError::Missing));
        assert!(matches!(of(libc::EPERM), RingError::Forbidden));
        assert!(matches!(of(libc::ENOMEM), RingError::NoMemory));
        assert!(matches!(of(libc::EINVAL), RingError::Other(_)));
    }
}

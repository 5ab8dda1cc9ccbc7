//! Open sockets and files of a ring, and the system calls on them that never wait.

use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use crate::error::IoError;
use crate::op::{DiskSpace, Token};

pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    /// Operations in flight, cancellation included.
    pub(super) operations: u32,
    pub(super) receiving: bool,
    pub(super) sending: bool,
    /// The last receive left nothing behind: the next one waits without a look first.
    pub(super) drained: bool,
    /// The caller's token for the close, once it is asked for.
    pub(super) closing: Option<Token>,
}

pub(super) struct File {
    pub(super) fd: OwnedFd,
    pub(super) direct: bool,
    /// Behind these bytes a write takes space, or makes the file longer.
    pub(super) laid_out: u64,
    pub(super) operations: u32,
    pub(super) closing: Option<Token>,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> Socket {
        Socket {
            fd,
            operations: 0,
            receiving: false,
            sending: false,
            drained: false,
            closing: None,
        }
    }
}

impl File {
    pub(super) fn new(fd: OwnedFd, direct: bool, size: u64) -> File {
        File {
            fd,
            direct,
            laid_out: size,
            operations: 0,
            closing: None,
        }
    }
}

/// A listening socket whose connections inherit TCP_NODELAY, and TCP_NOTSENT_LOWAT with [`NOT_SENT_MAX`].
pub(super) fn listen(addr: SocketAddr) -> Result<(OwnedFd, SocketAddr), IoError> {
    let listener = TcpListener::bind(addr)?;
    let bound = listener.local_addr()?;
    let fd = OwnedFd::from(listener);
    set_tcp_option(&fd, libc::TCP_NODELAY, 1)?;
    set_tcp_option(&fd, libc::TCP_NOTSENT_LOWAT, NOT_SENT_MAX)?;
    // SAFETY: no memory is passed. A second listen sets the backlog anew.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok((fd, bound))
}

fn set_tcp_option(fd: &OwnedFd, option: libc::c_int, value: libc::c_int) -> Result<(), IoError> {
    // SAFETY: the option's value is a readable int of the length that is passed.
    check(unsafe {
        let (value, size) = (
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
        libc::setsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, option, value, size)
    })
}

pub(super) fn peer_addr(fd: &OwnedFd) -> Result<SocketAddr, IoError> {
    Ok(borrow(fd).peer_addr()?)
}

pub(super) fn local_addr(fd: &OwnedFd) -> Result<SocketAddr, IoError> {
    Ok(borrow(fd).local_addr()?)
}

pub(super) fn shutdown(fd: &OwnedFd, how: libc::c_int) -> Result<(), IoError> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) })
}

/// Bytes of an open file. The inode is in memory: this does not wait, where a ring's statx always changes threads.
pub(super) fn file_size(fd: RawFd) -> Result<u64, IoError> {
    // SAFETY: all zeroes is a valid `stat`, and the call fills it.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd, &mut stat))?;
        stat
    };
    Ok(stat.st_size as u64)
}

/// Reads of the file leave its time of access alone: ext4 waits for its own journal to note it, where nobody may wait.
/// That is for the file's owner to say; where it is another's, reads note the time.
pub(super) fn leave_access_time(fd: RawFd) {
    // SAFETY: no memory is passed.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NOATIME);
    }
}

pub(super) fn truncate(fd: RawFd, len: u64) -> Result<(), IoError> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::ftruncate(fd, len as libc::off_t) })
}

pub(super) fn free_space(path: &Path) -> Result<DiskSpace, IoError> {
    let path = super::name(path)?;
    // SAFETY: the path is a C string, all zeroes is a valid `statvfs`, and the call fills it.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        check(libc::statvfs(path.as_ptr(), &mut stat))?;
        stat
    };
    Ok(DiskSpace {
        free: stat.f_bavail * stat.f_frsize,
        total: stat.f_blocks * stat.f_frsize,
    })
}

fn borrow(fd: &OwnedFd) -> ManuallyDrop<TcpStream> {
    // SAFETY: the descriptor is open while borrowed, and `ManuallyDrop` leaves the closing to its owner.
    ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd.as_raw_fd()) })
}

fn check(result: libc::c_int) -> Result<(), IoError> {
    if result < 0 { Err(IoError::last()) } else { Ok(()) }
}

/// Bytes that the kernel keeps of what may not be sent yet, for each connection; not counted what is under way. Without
/// it a peer that reads nothing is given 4 MiB, for which the disk is read and which no account of ours shows.
const NOT_SENT_MAX: libc::c_int = 512 << 10;

/// Connections that wait to be accepted, at most (the system's own bound may be lower).
const BACKLOG: libc::c_int = 4096;

//! The trait that both rings implement.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::error::IoError;
use crate::op::{Completion, DetachedFile, DetachedSocket, DiskSpace, FileId, Op, SocketId, Token};
use crate::waker::Waker;

/// A queue of operations on files and sockets, owned by one thread.
///
/// Operating errors arrive as completions. Misuse (unaligned direct I/O, a second send in flight on a socket)
/// is a programmer's error and panics.
pub trait Ring {
    /// Takes an operation; never blocks. It reaches the system with the next [`Ring::enter`] at the latest.
    fn submit(&mut self, token: Token, op: Op);

    /// Submits all that was taken and appends all completions to `out`. Waits only when there are none yet,
    /// `wait` allows it and no [`Waker::wake`] arrived since the last `enter`; a wake ends the wait with nothing.
    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>);

    /// Binds and listens at once, so that a used port fails here. Port 0 picks one; the address that was bound
    /// comes back.
    fn listen(&mut self, addr: SocketAddr) -> Result<(SocketId, SocketAddr), IoError>;

    /// Space of the file system that holds `path`. A system call, for a slow clock only.
    fn free_space(&self, path: &Path) -> Result<DiskSpace, IoError>;

    /// The address of this side of a connection: what the client reached.
    fn local_addr(&self, socket: SocketId) -> Result<SocketAddr, IoError>;

    /// A handle by which any thread ends the wait of this ring.
    fn waker(&self) -> Waker;

    /// Wakes another ring from this one; travels with the next [`Ring::enter`].
    fn wake_peer(&mut self, peer: &Waker);

    /// Operations taken and not yet completed.
    fn in_flight(&self) -> usize;

    /// What the pool of receive buffers has lent.
    fn receive_buffers(&self) -> ReceiveBuffers;

    /// Gives memory that nothing uses at present back to the system; it comes back page by page with use. Costs
    /// system calls: for a shard that has nothing else to do.
    fn give_back_memory(&mut self);

    /// Takes a socket without anything in flight out of this ring, for another ring to adopt.
    fn detach_socket(&mut self, socket: SocketId) -> DetachedSocket;

    fn adopt_socket(&mut self, socket: DetachedSocket) -> SocketId;

    /// Takes a file without anything in flight out of this ring, for another ring to adopt.
    fn detach_file(&mut self, file: FileId) -> DetachedFile;

    fn adopt_file(&mut self, file: DetachedFile) -> FileId;
}

/// The pool of receive buffers of one ring, in buffers of [`crate::limits::POOL_BUF`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveBuffers {
    /// With holders, or given back and not yet taken in.
    pub leased: usize,
    pub total: usize,
}

/// How long [`Ring::enter`] may wait for the first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    No,
    /// From now on; resolution is the system's.
    Until(Duration),
}

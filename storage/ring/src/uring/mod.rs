//! The real ring: an io_uring of one thread.
//!
//! Made on the thread that uses it (SINGLE_ISSUER), which alone runs the kernel's completions, when it enters
//! (DEFER_TASKRUN). One `enter` is at most one system call; none when there is nothing to tell or to hear.
//!
//! Invariants:
//! - What the kernel was given an address of lies in `ops` until the last completion of its operation, or is
//!   leaked: dropping the ring cancels and waits first.
//! - A descriptor is closed only when no operation on it is in flight, so its number cannot be reused under one.

mod complete;
mod descriptors;
pub(crate) mod helper;
mod in_flight;
mod park;
mod provided;
mod setup;
mod start;

use std::collections::VecDeque;
use std::ffi::CString;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};

pub use setup::{SetupError, UringOptions};

use crate::buffer::{RecvPool, Slice};
use crate::error::IoError;
use crate::limits::{DESCRIPTORS_MAX, OPS_MAX};
use crate::op::{Completion, Detached, DetachedFile, DetachedSocket, DiskSpace, FileId, Op, SocketId, Token};
use crate::ring::{ReceiveBuffers, Ring, Wait};
use crate::table::Table;
use crate::waker::{Door, Sleep, Waker};
use descriptors::{File, Socket};
use helper::Helper;
use in_flight::{InFlight, Vectors, Work};
use provided::ProvidedRing;

/// The shard's io_uring. Stays on the thread that made it.
pub struct UringRing {
    ring: IoUring,
    ops: Table<InFlight>,
    sockets: Table<Socket>,
    files: Table<File>,
    /// Operations of `ops` that are ours, not the caller's.
    own_ops: usize,
    pool: RecvPool,
    provided: ProvidedRing,
    /// Pooled receives (slots of `ops`) that found no buffer and wait for one to come back.
    starving: VecDeque<u32>,
    /// Submissions that did not fit the queue, in order.
    overflow: VecDeque<squeue::Entry>,
    /// Completions that needed no kernel.
    ready: Vec<Completion>,
    /// The kernel's completions of one enter, copied out; kept for its memory.
    reaped: Vec<cqueue::Entry>,
    vectors: Vectors,
    /// Source of written zeroes, made when first needed.
    zeroes: Option<Slice>,
    helper: Helper,
    waker: Waker,
    stopping: bool,
    /// The kernel refuses a second submitting thread, so the type does, too.
    _not_send: PhantomData<*const ()>,
}

impl UringRing {
    /// Makes the ring of the calling thread.
    pub fn new(options: UringOptions) -> Result<UringRing, SetupError> {
        let ring = setup::build(&options)?;
        let (event, park) = (setup::eventfd()?, setup::eventfd()?);
        let waker = Waker::new(Door::Eventfd {
            event,
            park,
            ring: setup::duplicate(&ring)?,
        });
        let pool = RecvPool::new(options.pool_buffers, waker.clone());
        let provided = ProvidedRing::register(&ring, &pool, options.pool_buffers)?;
        let mut ring = UringRing {
            ring,
            ops: Table::new(OPS_MAX),
            sockets: Table::new(DESCRIPTORS_MAX),
            files: Table::new(DESCRIPTORS_MAX),
            own_ops: 0,
            pool,
            provided,
            starving: VecDeque::new(),
            overflow: VecDeque::new(),
            ready: Vec::new(),
            reaped: Vec::new(),
            vectors: Vectors::default(),
            zeroes: None,
            helper: Helper::new(waker.clone()),
            waker,
            stopping: false,
            _not_send: PhantomData,
        };
        ring.register_park()?;
        ring.watch_event();
        Ok(ring)
    }

    /// Queues a submission, flushing the queue to the kernel when it is full.
    fn push(&mut self, entry: squeue::Entry) {
        if self.overflow.is_empty() && self.try_push(&entry) {
            return;
        }
        self.flush();
        self.refill();
        if !(self.overflow.is_empty() && self.try_push(&entry)) {
            self.overflow.push_back(entry);
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: every entry is made in this module, from memory that its operation in `ops` owns until it
        // completes, or from none.
        unsafe { self.ring.submission().push(entry).is_ok() }
    }

    fn refill(&mut self) {
        while let Some(entry) = self.overflow.pop_front() {
            if !self.try_push(&entry) {
                self.overflow.push_front(entry);
                return;
            }
        }
    }

    /// Submits without waiting and without looking at completions.
    fn flush(&mut self) {
        tolerate(self.ring.submit());
    }

    /// One io_uring_enter: submits, runs deferred completions, waits for one if `timeout` allows it.
    fn cross(&mut self, timeout: Option<Duration>) {
        let queue = self.ring.submission();
        let (submissions, pending) = (queue.len(), queue.taskrun() || queue.cq_overflow());
        drop(queue);
        if let Some(timeout) = timeout {
            let timeout = Timespec::from(timeout);
            let args = SubmitArgs::new().timespec(&timeout);
            tolerate(self.ring.submitter().submit_with_args(1, &args));
        } else if submissions > 0 || pending {
            let flags = EnterFlags::GETEVENTS.bits();
            // SAFETY: no argument is passed, and the queue holds well-formed entries only (see `try_push`).
            let entered = unsafe {
                self.ring
                    .submitter()
                    .enter::<libc::sigset_t>(submissions as u32, 0, flags, None)
            };
            tolerate(entered);
        }
    }

    /// Returned buffers go back to the kernel, and receives that waited for them try again.
    fn replenish(&mut self) {
        let (pool, provided) = (&self.pool, &mut self.provided);
        let mut returned = 0usize;
        pool.take_returned(|buffer| {
            provided.offer(pool, buffer);
            returned += 1;
        });
        if returned == 0 {
            return;
        }
        provided.publish();
        for _ in 0..returned {
            let Some(slot) = self.starving.pop_front() else {
                return;
            };
            self.retry_receive(slot);
        }
        if self.starving.is_empty() {
            self.pool.set_starving(false);
        }
    }

    /// Takes all completions that are there.
    fn collect(&mut self, out: &mut Vec<Completion>) {
        let mut reaped = std::mem::take(&mut self.reaped);
        reaped.extend(self.ring.completion());
        for entry in reaped.drain(..) {
            self.complete(&entry, out);
        }
        self.reaped = reaped;
        while let Some((key, answer)) = self.helper.take() {
            self.complete_helped(key, answer, out);
        }
        out.append(&mut self.ready);
    }

    /// Watches the waker's eventfd, so that a knock ends a wait. Its count is never read: each knock is an edge.
    fn watch_event(&mut self) {
        let event = types::Fd(self.waker.event_fd());
        let poll = opcode::PollAdd::new(event, libc::POLLIN as u32)
            .multi(true)
            .build();
        self.push(poll.user_data(WOKEN));
    }
}

impl Ring for UringRing {
    fn submit(&mut self, token: Token, op: Op) {
        self.start(token, op);
    }

    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) {
        let before = out.len();
        self.replenish();
        self.refill();
        out.append(&mut self.ready);
        let timeout = match wait {
            Wait::Until(timeout) if !timeout.is_zero() => {
                let idle = out.len() == before && self.ring.completion().is_empty();
                (idle && self.waker.fall_asleep(Sleep::InRing)).then_some(timeout)
            }
            _ => None,
        };
        self.cross(timeout);
        if let Wait::Until(_) = wait {
            self.waker.wake_up();
        }
        self.collect(out);
    }

    fn listen(&mut self, addr: SocketAddr) -> Result<(SocketId, SocketAddr), IoError> {
        let (fd, bound) = descriptors::listen(addr)?;
        Ok((self.insert_socket(fd), bound))
    }

    fn free_space(&self, path: &Path) -> Result<DiskSpace, IoError> {
        descriptors::free_space(path)
    }

    fn local_addr(&self, socket: SocketId) -> Result<SocketAddr, IoError> {
        let entry = self.sockets.peek(socket.slot, socket.generation);
        descriptors::local_addr(&entry.ok_or(IoError::new(libc::EBADF))?.fd)
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn wake_peer(&mut self, peer: &Waker) {
        let fd = match (peer.notify(), peer.ring_fd()) {
            (None, _) => return,
            (Some(Sleep::InRing), Some(fd)) => fd,
            (Some(sleep), _) => return peer.knock(sleep),
        };
        let key = self.begin_own(Work::Knock { peer: peer.clone() });
        let message = opcode::MsgRingData::new(types::Fd(fd), 0, WOKEN, None).build();
        self.push(message.user_data(key));
    }

    fn in_flight(&self) -> usize {
        self.ops.len() - self.own_ops + self.ready.len()
    }

    fn receive_buffers(&self) -> ReceiveBuffers {
        let (offered, total) = self.provided.offered();
        ReceiveBuffers {
            leased: total - offered,
            total,
        }
    }

    fn give_back_memory(&mut self) {
        self.zeroes = None;
        self.reaped = Vec::new();
        self.replenish();
        // A submission may have received at once: its bytes are in a buffer, and the word of it is in the queue.
        let told = self.ring.completion().is_empty() && !self.ring.submission().cq_overflow();
        if told {
            // SAFETY: no completion waits, here or in the kernel, and this is the one thread of the ring.
            unsafe { self.provided.discard_offered(&self.pool) };
        }
    }

    fn detach_socket(&mut self, socket: SocketId) -> DetachedSocket {
        let entry = self
            .sockets
            .get(socket.slot, socket.generation)
            .expect("an open socket");
        assert!(
            entry.operations == 0 && entry.closing.is_none(),
            "a detached socket is idle"
        );
        let fd = self.sockets.remove(socket.slot).fd;
        DetachedSocket(Detached::Fd { fd, direct: false })
    }

    fn adopt_socket(&mut self, socket: DetachedSocket) -> SocketId {
        self.insert_socket(real(socket.0).0)
    }

    fn detach_file(&mut self, file: FileId) -> DetachedFile {
        let entry = self.files.get(file.slot, file.generation).expect("an open file");
        assert!(
            entry.operations == 0 && entry.closing.is_none(),
            "a detached file is idle"
        );
        let File { fd, direct, .. } = self.files.remove(file.slot);
        DetachedFile(Detached::Fd { fd, direct })
    }

    fn adopt_file(&mut self, file: DetachedFile) -> FileId {
        let (fd, direct) = real(file.0);
        let size = descriptors::file_size(fd.as_raw_fd()).unwrap_or(0);
        self.insert_file(File::new(fd, direct, size))
    }
}

impl Drop for UringRing {
    /// Cancels what can be cancelled and waits for the rest, so that the kernel holds no address of ours.
    fn drop(&mut self) {
        self.stopping = true;
        self.push(
            opcode::AsyncCancel2::new(CancelBuilder::any())
                .build()
                .user_data(CANCELLED),
        );
        let mut dropped = Vec::new();
        for _ in 0..DROP_STEPS {
            self.starving
                .drain(..)
                .for_each(|slot| drop(self.ops.remove(slot)));
            self.refill();
            self.cross(Some(DROP_STEP));
            self.collect(&mut dropped);
            if self.ops.len() == 0 {
                break;
            }
        }
        if self.ops.len() > 0 {
            // A device that hangs: memory that the kernel may still use is never given back.
            self.ops.drain().for_each(std::mem::forget);
            std::mem::forget(self.pool.clone());
        }
        self.provided.unregister(&self.ring);
    }
}

/// A path as the system wants it.
fn name(path: &Path) -> Result<CString, IoError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| IoError::new(libc::EINVAL))
}

fn real(detached: Detached) -> (OwnedFd, bool) {
    match detached {
        Detached::Fd { fd, direct } => (fd, direct),
        #[cfg(feature = "sim")]
        Detached::Simulated(_) => panic!("a simulated descriptor came to a real ring"),
    }
}

/// Errors of an enter that mean "not now": the next one goes on where this one stopped. Anything else is misuse.
fn tolerate(entered: std::io::Result<usize>) {
    if let Err(error) = entered {
        let errno = error.raw_os_error().unwrap_or(0);
        let passing = [libc::ETIME, libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ENOMEM];
        assert!(passing.contains(&errno), "io_uring_enter: {error}");
    }
}

/// User data whose low half is no slot of `ops`: completions that are nobody's operation.
const NOBODY: u64 = u32::MAX as u64;
/// A knock on this ring: by its eventfd, or by a message of another ring.
const WOKEN: u64 = NOBODY;
const CANCELLED: u64 = 1 << 32 | NOBODY;

/// How long a drop waits for the kernel: ten seconds in all.
const DROP_STEP: Duration = Duration::from_millis(10);
const DROP_STEPS: usize = 1000;

const _: () = assert!(OPS_MAX < u32::MAX as usize);

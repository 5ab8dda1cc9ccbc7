//! The simulated ring: sockets, a disk and time in memory, hostile by seed.
//!
//! One [`SimWorld`] holds a disk, a network and any number of rings. Nothing moves by itself: time passes when a
//! ring waits or the test calls [`SimWorld::advance`]. The same seed, options and calls give the same run, byte by
//! byte ([`SimWorld::trace`]).
//!
//! The disk: writes go to a volatile cache per 512-byte sector; a durable write covers its own bytes, a datasync
//! what was complete when it was submitted; names wait for a sync of their directory, sizes and space for a flush
//! of their file. [`SimWorld::crash`] lets every sector, size and name that is not durable survive or not on its
//! own, tears some, and fills lost space with zeroes, noise or pages of files that are gone. [`SimWorld::kill`] ends
//! the process and not the machine: the next one sees all of it, and none of it is more durable than it was.
//!
//! Not modelled: the page cache (a file without `direct` behaves as one with it, save for alignment), rights,
//! and paths with `..`. A cut by `Truncate` that a power cut undoes leaves zeroes where the old bytes were.

mod disk;
mod file_steps;
mod image;
mod inode;
mod lies;
mod net;
mod options;
mod prng;
mod socket_steps;
mod work;
mod world;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub use image::DiskImage;
pub use options::{Faults, Lie, Meddling, Met, OpKind, OpView, PowerCut, SimOptions};
pub use prng::Prng;

use crate::error::IoError;
use crate::op::{Completion, Detached, DetachedFile, DetachedSocket, DiskSpace, FileId, Op, SocketId, Token};
use crate::ring::{ReceiveBuffers, Ring, Wait};
use crate::waker::{Sleep, Waker};
use disk::Disk;
use net::EndpointId;
use world::{File, Who, World};

/// A world of one disk, one network and its rings; a handle, cheap to clone.
#[derive(Clone)]
pub struct SimWorld {
    world: Rc<RefCell<World>>,
}

impl SimWorld {
    /// A world with an empty disk.
    pub fn new(seed: u64, options: SimOptions) -> SimWorld {
        let disk = Disk::new(options.capacity);
        SimWorld {
            world: Rc::new(RefCell::new(World::new(seed, options, disk))),
        }
    }

    /// A world that begins with what a power cut, a kill or a stop left. The image's capacity prevails over that of
    /// `options`.
    pub fn restart(image: &DiskImage, seed: u64, options: SimOptions) -> SimWorld {
        SimWorld {
            world: Rc::new(RefCell::new(World::new(seed, options, image.disk.clone()))),
        }
    }

    pub fn ring(&self) -> SimRing {
        let index = self.world.borrow_mut().add_ring();
        SimRing {
            world: Rc::clone(&self.world),
            index,
        }
    }

    /// Connects a client to a listener of any ring; `ECONNREFUSED` where nobody listens.
    pub fn connect(&self, addr: SocketAddr) -> Result<SimConn, IoError> {
        let mut world = self.world.borrow_mut();
        let (listener, endpoint) = world.net.connect(addr)?;
        world.nudge_accept(listener);
        Ok(SimConn {
            world: Rc::clone(&self.world),
            endpoint,
        })
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.world.borrow().now)
    }

    /// Lets time pass; completions wait in their rings.
    pub fn advance(&self, duration: Duration) {
        let mut world = self.world.borrow_mut();
        let until = world.now + duration.as_nanos() as u64;
        world.run(until, Who::Nobody);
    }

    /// Lets time pass until some ring has a completion, at most so long.
    pub fn advance_to_completion(&self, limit: Duration) {
        let mut world = self.world.borrow_mut();
        let until = world.now + limit.as_nanos() as u64;
        world.run(until, Who::Anybody);
    }

    /// Asks `hook` about every file operation as it meets the disk; an error makes it fail. A write that fails with
    /// `EIO` may have put its first sectors into the cache, and of what a failed flush was to make durable no later one
    /// takes care until it is written again; names are covered by the next sync; all others fail without effect.
    pub fn fail_when(&self, hook: impl FnMut(&OpView<'_>) -> Option<IoError> + 'static) {
        self.world.borrow_mut().hook = Some(Box::new(hook));
    }

    /// Asks `hook` about every transfer as it meets the disk: what the device makes of it.
    pub fn meddle_when(&self, hook: impl FnMut(&OpView<'_>) -> Option<Meddling> + 'static) {
        self.world.borrow_mut().meddler = Some(Box::new(hook));
    }

    /// Sectors that do not hold what they should, because the device lied or lost them; by path and place.
    pub fn lies(&self) -> Vec<Lie> {
        self.world.borrow().disk.lies()
    }

    /// Up to `len` bytes of a file as they should be, durable or not.
    pub fn truth(&self, path: &Path, at: u64, len: usize) -> Option<Vec<u8>> {
        let world = self.world.borrow();
        let ino = world.disk.lookup(path)?;
        Some(world.disk.files[&ino].truth(at, len))
    }

    /// Changes rates of faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().options.faults = faults;
    }

    /// Bytes that the disk can hold from now on.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.borrow_mut().disk.capacity = bytes;
    }

    /// The power goes at this point, once. From then on rings are silent: see [`SimWorld::is_off`].
    pub fn cut_power_at(&self, cut: PowerCut) {
        self.world.borrow_mut().cut_power_at(cut);
    }

    pub fn is_off(&self) -> bool {
        self.world.borrow().off
    }

    /// Flush boundaries passed so far.
    pub fn boundaries(&self) -> u64 {
        self.world.borrow().boundaries
    }

    /// Events that have happened so far.
    pub fn events(&self) -> u64 {
        self.world.borrow().events
    }

    /// What operations on files have met so far.
    pub fn met(&self) -> Met {
        self.world.borrow().met
    }

    /// A number that stands for all that the rings were told so far, and when.
    pub fn trace(&self) -> u64 {
        self.world.borrow().trace
    }

    /// Gives `hook` at every flush boundary from now on what a power cut there would leave. What happens in the world
    /// stays the same.
    pub fn at_boundaries(&self, hook: impl FnMut(DiskImage) + 'static) {
        self.world.borrow_mut().boundary_hook = Some(Box::new(hook));
    }

    /// Takes the hook of [`SimWorld::at_boundaries`] away. Not for a hook to call.
    pub fn leave_boundaries(&self) {
        self.world.borrow_mut().boundary_hook = None;
    }

    /// What a power cut now would leave on the disk; `seed` chooses among the possible. The world goes on unharmed.
    pub fn crash(&self, seed: u64) -> DiskImage {
        let world = self.world.borrow();
        let mut prng = Prng::new(seed, 4);
        DiskImage {
            disk: world.interrupted_disk(&mut prng).crashed(&mut prng),
        }
    }

    /// What a kill of the process now would leave to the next one: operations in flight end with their effect in the
    /// cache, with some of it, or without; nothing is flushed that was not before. The world goes on unharmed.
    pub fn kill(&self, seed: u64) -> DiskImage {
        let mut prng = Prng::new(seed, 4);
        DiskImage {
            disk: self.world.borrow().interrupted_disk(&mut prng).left(&mut prng),
        }
    }

    /// What an orderly stop of the machine leaves: everything that is seen now.
    pub fn image(&self) -> DiskImage {
        DiskImage {
            disk: self.world.borrow().disk.settled(),
        }
    }
}

/// A ring of a [`SimWorld`].
pub struct SimRing {
    world: Rc<RefCell<World>>,
    index: usize,
}

impl Ring for SimRing {
    fn submit(&mut self, token: Token, op: Op) {
        self.world.borrow_mut().rings[self.index]
            .submitted
            .push_back((token, op));
    }

    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) {
        let mut world = self.world.borrow_mut();
        world.begin_submitted(self.index);
        let now = world.now;
        world.run(now, Who::Ring(self.index));
        if let Wait::Until(timeout) = wait {
            let until = now.saturating_add(timeout.as_nanos() as u64);
            if world.rings[self.index].waker.fall_asleep(Sleep::InRing) {
                world.run(until, Who::Ring(self.index));
            }
            world.rings[self.index].waker.wake_up();
        }
        if !world.off {
            out.append(&mut world.rings[self.index].completed);
        }
    }

    fn listen(&mut self, addr: SocketAddr) -> Result<(SocketId, SocketAddr), IoError> {
        let mut world = self.world.borrow_mut();
        let (endpoint, bound) = world.net.listen(addr)?;
        Ok((world.insert_socket(self.index, endpoint, true), bound))
    }

    fn free_space(&self, path: &Path) -> Result<DiskSpace, IoError> {
        self.world.borrow().disk.space(path)
    }

    fn local_addr(&self, socket: SocketId) -> Result<SocketAddr, IoError> {
        let world = self.world.borrow();
        let entry = world.rings[self.index]
            .sockets
            .peek(socket.slot, socket.generation);
        let entry = entry
            .filter(|entry| !entry.closing)
            .ok_or(IoError::new(libc::EBADF))?;
        Ok(match entry.listening {
            true => world.net.listeners[&entry.endpoint].addr,
            false => world.net.connections[&entry.endpoint].server,
        })
    }

    fn waker(&self) -> Waker {
        self.world.borrow().rings[self.index].waker.clone()
    }

    fn wake_peer(&mut self, peer: &Waker) {
        peer.wake();
    }

    fn in_flight(&self) -> usize {
        let world = self.world.borrow();
        let ring = &world.rings[self.index];
        ring.submitted.len() + ring.begun + ring.completed.len()
    }

    fn receive_buffers(&self) -> ReceiveBuffers {
        let world = self.world.borrow();
        let total = usize::from(world.options.pool_buffers);
        ReceiveBuffers {
            leased: total - world.rings[self.index].free.len(),
            total,
        }
    }

    /// Buffers at rest lose their bytes here, as pages given back do.
    fn give_back_memory(&mut self) {
        let world = self.world.borrow();
        let ring = &world.rings[self.index];
        for buffer in &ring.free {
            // SAFETY: a buffer on the free list is nobody's: not leased, and filled only by `receive_pooled`, which
            // takes it off the list first.
            unsafe { ring.pool.discard(*buffer, 1) };
        }
    }

    fn detach_socket(&mut self, socket: SocketId) -> DetachedSocket {
        let mut world = self.world.borrow_mut();
        let entry = world.socket(self.index, socket).expect("an open socket");
        let idle = entry.receiving.is_none() && entry.sending.is_none() && !entry.listening;
        assert!(idle, "a detached socket is idle");
        let endpoint = world.rings[self.index].sockets.remove(socket.slot).endpoint;
        DetachedSocket(Detached::Simulated(endpoint))
    }

    fn adopt_socket(&mut self, socket: DetachedSocket) -> SocketId {
        let Detached::Simulated(endpoint) = socket.0 else {
            panic!("a real socket came to a simulated ring")
        };
        self.world.borrow_mut().insert_socket(self.index, endpoint, false)
    }

    fn detach_file(&mut self, file: FileId) -> DetachedFile {
        let mut world = self.world.borrow_mut();
        let entry = world.file(self.index, file).expect("an open file");
        assert!(entry.operations == 0, "a detached file is idle");
        let file = world.rings[self.index].files.remove(file.slot);
        DetachedFile(Detached::Simulated(world.park_file(file)))
    }

    fn adopt_file(&mut self, file: DetachedFile) -> FileId {
        let Detached::Simulated(parked) = file.0 else {
            panic!("a real file came to a simulated ring")
        };
        let mut world = self.world.borrow_mut();
        let file: File = world.unpark_file(parked);
        let (slot, generation) = world.rings[self.index].files.insert(file);
        FileId { slot, generation }
    }
}

impl Drop for SimRing {
    fn drop(&mut self) {
        // A test that fails inside the world unwinds through here.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.rings[self.index].is_gone = true;
            world.rings[self.index].completed.clear();
        }
    }
}

/// The client's end of a simulated connection. Dropping it closes it.
pub struct SimConn {
    world: Rc<RefCell<World>>,
    endpoint: EndpointId,
}

impl SimConn {
    /// Bytes taken; 0 when the other side does not read. An error when the connection is gone.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, IoError> {
        let mut world = self.world.borrow_mut();
        let capacity = world.options.socket_buffer;
        let pipe = &mut world.connection(self.endpoint).to_server;
        if pipe.reset || pipe.ended {
            return Err(IoError::new(libc::EPIPE));
        }
        let n = bytes.len().min(capacity - pipe.bytes.len());
        pipe.bytes.extend(&bytes[..n]);
        world.nudge_receive(self.endpoint);
        Ok(n)
    }

    /// All bytes that have come. None: nothing yet. Empty: the end of the stream.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, IoError> {
        let mut world = self.world.borrow_mut();
        let pipe = &mut world.connection(self.endpoint).to_client;
        if pipe.reset {
            return Err(IoError::new(libc::ECONNRESET));
        }
        if pipe.bytes.is_empty() {
            return Ok(pipe.ended.then(Vec::new));
        }
        let bytes = pipe.take(pipe.bytes.len());
        world.nudge_send(self.endpoint);
        Ok(Some(bytes))
    }

    /// Ends this side's stream.
    pub fn shutdown_write(&mut self) {
        let mut world = self.world.borrow_mut();
        world.connection(self.endpoint).to_server.ended = true;
        world.nudge_receive(self.endpoint);
    }

    /// Breaks the connection: the other side sees an error.
    pub fn reset(self) {
        self.world.borrow_mut().reset(self.endpoint);
    }
}

impl Drop for SimConn {
    fn drop(&mut self) {
        // A test that fails inside the world unwinds through here.
        let Ok(mut world) = self.world.try_borrow_mut() else {
            return;
        };
        let connection = world.connection(self.endpoint);
        connection.to_server.ended = true;
        connection.to_client.bytes.clear();
        connection.to_client.reset = true;
        world.nudge_receive(self.endpoint);
        world.nudge_send(self.endpoint);
        world.net.release(self.endpoint);
    }
}

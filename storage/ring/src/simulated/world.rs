//! The world's core: one clock, one queue of events, all rings, the disk and the network.
//!
//! Everything that happens is an event at a moment; events of one moment happen in the order in which they were
//! scheduled. Nothing here looks at a clock, an address or a hash order, so a seed replays byte by byte.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::disk::{Disk, Ino};
use super::image::DiskImage;
use super::inode::OpNumber;
use super::net::{EndpointId, Net};
use super::options::{Meddling, Met, OpKind, OpView, PowerCut, SimOptions};
use super::prng::{Prng, mix};
use crate::buffer::RecvPool;
use crate::error::IoError;
use crate::limits::DESCRIPTORS_MAX;
use crate::op::{Completion, Done, Op, Token};
use crate::table::Table;
use crate::waker::{Door, Waker};

pub(super) struct World {
    pub(super) options: SimOptions,
    /// Nanoseconds since the world began.
    pub(super) now: u64,
    pub(super) disk: Disk,
    pub(super) net: Net,
    pub(super) rings: Vec<RingState>,
    pub(super) ops: BTreeMap<OpNumber, Pending>,
    pub(super) next_op: OpNumber,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    pub(super) events: u64,
    pub(super) boundaries: u64,
    cut: Option<PowerCut>,
    pub(super) off: bool,
    pub(super) met: Met,
    pub(super) trace: u64,
    pub(super) disk_prng: Prng,
    pub(super) net_prng: Prng,
    pub(super) fault_prng: Prng,
    pub(super) hook: Option<Hook>,
    pub(super) meddler: Option<Meddler>,
    pub(super) boundary_hook: Option<BoundaryHook>,
    /// Files on their way between two rings.
    parked: BTreeMap<u64, File>,
}

pub(super) type Hook = Box<dyn FnMut(&OpView<'_>) -> Option<IoError>>;
pub(super) type Meddler = Box<dyn FnMut(&OpView<'_>) -> Option<Meddling>>;

pub(super) type BoundaryHook = Box<dyn FnMut(DiskImage)>;

/// One ring of the world.
pub(super) struct RingState {
    pub(super) waker: Waker,
    pub(super) pool: RecvPool,
    /// Buffers that no lease holds.
    pub(super) free: Vec<u16>,
    pub(super) starving: VecDeque<OpNumber>,
    pub(super) sockets: Table<Socket>,
    pub(super) files: Table<File>,
    /// Taken by `submit`, begun by `enter`.
    pub(super) submitted: VecDeque<(Token, Op)>,
    pub(super) completed: Vec<Completion>,
    /// Operations begun and not completed.
    pub(super) begun: usize,
    /// Dropped: what it has in flight ends without a word.
    pub(super) is_gone: bool,
}

pub(super) struct Socket {
    pub(super) endpoint: EndpointId,
    pub(super) listening: bool,
    pub(super) receiving: Option<OpNumber>,
    pub(super) sending: Option<OpNumber>,
    /// Being closed; holds the slot until the close completes.
    pub(super) closing: bool,
}

pub(super) struct File {
    pub(super) ino: Ino,
    pub(super) path: std::path::PathBuf,
    pub(super) direct: bool,
    pub(super) dsync: bool,
    pub(super) operations: u32,
    pub(super) closing: Option<Token>,
}

/// An operation that a ring has begun.
pub(super) struct Pending {
    pub(super) ring: usize,
    pub(super) token: Token,
    pub(super) work: super::work::Work,
}

/// Whose completion ends the passing of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Nobody,
    Ring(usize),
    Anybody,
}

/// What can happen. The order of the variants breaks no tie: the schedule's number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A file operation meets the disk's cache.
    Effect(OpNumber),
    /// A file operation is complete.
    Complete(OpNumber),
    Accept(EndpointId),
    Receive(EndpointId),
    Send(EndpointId),
    /// The last step of closing a socket: ring, slot, token.
    Closed(usize, u32, Token),
    /// An operation was cancelled by a close.
    Cancelled(OpNumber),
}

impl World {
    pub(super) fn new(seed: u64, options: SimOptions, disk: Disk) -> World {
        World {
            now: 0,
            disk,
            net: Net::default(),
            rings: Vec::new(),
            ops: BTreeMap::new(),
            next_op: 1,
            queue: BinaryHeap::new(),
            scheduled: 0,
            events: 0,
            boundaries: 0,
            cut: None,
            off: false,
            met: Met::default(),
            trace: 0,
            disk_prng: Prng::new(seed, 1),
            net_prng: Prng::new(seed, 2),
            fault_prng: Prng::new(seed, 3),
            hook: None,
            meddler: None,
            boundary_hook: None,
            parked: BTreeMap::new(),
            options,
        }
    }

    pub(super) fn add_ring(&mut self) -> usize {
        let waker = Waker::new(Door::Simulated);
        let buffers = self.options.pool_buffers;
        self.rings.push(RingState {
            pool: RecvPool::new(buffers, waker.clone()),
            waker,
            free: (0..buffers).rev().collect(),
            starving: VecDeque::new(),
            sockets: Table::new(DESCRIPTORS_MAX),
            files: Table::new(DESCRIPTORS_MAX),
            submitted: VecDeque::new(),
            completed: Vec::new(),
            begun: 0,
            is_gone: false,
        });
        self.rings.len() - 1
    }

    pub(super) fn cut_power_at(&mut self, cut: PowerCut) {
        self.cut = Some(cut);
    }

    /// Begins what was submitted, and lets receives that starved try again.
    pub(super) fn begin_submitted(&mut self, ring: usize) {
        while !self.off
            && let Some((token, op)) = self.rings[ring].submitted.pop_front()
        {
            self.begin(ring, token, op);
        }
        self.feed(ring);
    }

    /// Lets time pass up to `until`, or until somebody has a completion.
    pub(super) fn run(&mut self, until: u64, who: Who) {
        while !self.off {
            let is_met = match who {
                Who::Nobody => false,
                Who::Ring(ring) => !self.rings[ring].completed.is_empty(),
                Who::Anybody => self.rings.iter().any(|ring| !ring.completed.is_empty()),
            };
            if is_met {
                return;
            }
            match self.queue.peek() {
                Some(Reverse((at, ..))) if *at <= until => {}
                _ => break,
            }
            let Reverse((at, _, event)) = self.queue.pop().expect("peeked above");
            self.now = self.now.max(at);
            self.happen(event);
        }
        if !self.off {
            self.now = self.now.max(until);
        }
    }

    pub(super) fn schedule(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        self.queue
            .push(Reverse((self.now + delay, self.scheduled, event)));
    }

    pub(super) fn disk_delay(&mut self) -> u64 {
        if self.fault_prng.per_mille(self.options.faults.slow_operations) {
            self.met.slow += 1;
            return draw(&mut self.fault_prng, &self.options.slow_latency);
        }
        draw(&mut self.disk_prng, &self.options.disk_latency)
    }

    pub(super) fn net_delay(&mut self) -> u64 {
        draw(&mut self.net_prng, &self.options.network_latency)
    }

    /// A moment at which a flush's durability changes; the power may go right here. False: it is gone.
    pub(super) fn boundary(&mut self) -> bool {
        if let Some(mut hook) = self.boundary_hook.take() {
            // A stream of its own for each: to be watched changes nothing of what happens.
            let mut prng = Prng::new(mix(self.trace ^ self.boundaries), 4);
            hook(DiskImage {
                disk: self.interrupted_disk(&mut prng).crashed(&mut prng),
            });
            self.boundary_hook = Some(hook);
        }
        if self.cut == Some(PowerCut::AtBoundary(self.boundaries)) {
            self.off = true;
        } else {
            self.boundaries += 1;
        }
        !self.off
    }

    /// Asks the hook, then the dice, whether an operation fails.
    pub(super) fn fails(&mut self, kind: OpKind, path: &Path, at: u64, len: u64) -> Option<IoError> {
        if let Some(hook) = &mut self.hook
            && let Some(error) = hook(&OpView { kind, path, at, len })
        {
            return Some(error);
        }
        let faults = &self.options.faults;
        let (rate, errno) = match kind {
            OpKind::Open => (faults.open_errors, libc::EMFILE),
            OpKind::Read => (faults.read_errors, libc::EIO),
            OpKind::Write => (faults.write_errors, libc::EIO),
            OpKind::Datasync | OpKind::SyncDir => (faults.sync_errors, libc::EIO),
            _ => return None,
        };
        self.fault_prng.per_mille(rate).then_some(IoError::new(errno))
    }

    /// Delivers an operation's one completion.
    pub(super) fn finish(&mut self, op: OpNumber, result: Result<Done, IoError>) {
        let Pending { ring, token, .. } = self.ops.remove(&op).expect("an operation in flight");
        self.met.full += u64::from(matches!(&result, Err(error) if error.errno == libc::ENOSPC));
        self.rings[ring].begun -= 1;
        self.deliver(ring, token, result, false);
    }

    pub(super) fn deliver(&mut self, ring: usize, token: Token, result: Result<Done, IoError>, more: bool) {
        if self.rings[ring].is_gone {
            return;
        }
        self.note(&[token.0, digest(&result), u64::from(more)]);
        self.rings[ring]
            .completed
            .push(Completion { token, result, more });
    }

    pub(super) fn note(&mut self, words: &[u64]) {
        self.trace = words
            .iter()
            .fold(mix(self.trace ^ self.now), |trace, word| mix(trace ^ word));
    }

    pub(super) fn park_file(&mut self, file: File) -> u64 {
        self.next_op += 1;
        self.parked.insert(self.next_op, file);
        self.next_op
    }

    pub(super) fn unpark_file(&mut self, parked: u64) -> File {
        self.parked
            .remove(&parked)
            .expect("a file is adopted once, in its own world")
    }

    /// Writes of a file that are in flight: a flush that begins now does not cover them.
    pub(super) fn writes_in_flight(&self, ino: Ino) -> BTreeSet<OpNumber> {
        self.ops
            .iter()
            .filter(|(_, op)| op.work.writes_to(ino))
            .map(|(number, _)| *number)
            .collect()
    }

    fn happen(&mut self, event: Event) {
        if self.cut == Some(PowerCut::AtEvent(self.events)) {
            self.off = true;
            return;
        }
        self.events += 1;
        match event {
            Event::Effect(op) => self.effect(op),
            Event::Complete(op) => self.complete(op),
            Event::Accept(listener) => self.step_accept(listener),
            Event::Receive(connection) => self.step_receive(connection),
            Event::Send(connection) => self.step_send(connection),
            Event::Closed(ring, slot, token) => self.closed(ring, slot, token),
            Event::Cancelled(op) => self.cancelled(op),
        }
    }
}

fn draw(prng: &mut Prng, range: &RangeInclusive<Duration>) -> u64 {
    prng.range(range.start().as_nanos() as u64, range.end().as_nanos() as u64 + 1)
}

/// A number that differs when a completion does.
fn digest(result: &Result<Done, IoError>) -> u64 {
    let bytes = |tag: u64, bytes: &[u8]| {
        let (lines, rest) = bytes.as_chunks::<64>();
        let mut lanes = [tag; 8];
        for line in lines {
            let (words, _) = line.as_chunks::<8>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = (*lane ^ u64::from_le_bytes(*word))
                    .wrapping_mul(ODD)
                    .rotate_left(29);
            }
        }
        let rest = rest.iter().map(|byte| u64::from(*byte));
        let words = lanes.into_iter().chain(rest);
        words.fold(mix(bytes.len() as u64), |digest, word| mix(digest ^ word))
    };
    match result {
        Err(error) => mix(error.errno as u64),
        Ok(Done::Accepted { socket, peer }) => mix(u64::from(socket.slot) << 32 | u64::from(peer.port())),
        Ok(Done::Received { buf }) => bytes(2, buf),
        Ok(Done::ReceivedInto { buf, .. }) => bytes(3, buf),
        Ok(Done::Sent { n, .. }) => mix(4 << 60 | *n as u64),
        Ok(Done::Read { buf, n }) => bytes(5, &buf[..*n]),
        Ok(Done::Written { n, .. }) => mix(6 << 60 | *n as u64),
        Ok(Done::Synced) => 7,
        Ok(Done::Opened { size, .. }) => mix(8 << 60 | size),
        Ok(Done::Size(size)) => mix(9 << 60 | size),
        Ok(Done::Listed(entries)) => entries.iter().fold(10, |digest, entry| {
            mix(digest ^ bytes(entry.size, entry.name.as_bytes()))
        }),
        Ok(Done::Finished) => 11,
    }
}

/// Spreads what differs over a word.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

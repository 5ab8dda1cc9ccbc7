//! One client connection, without its socket: bytes in, order, bytes out.
//! Place: owned by the shard that accepted it; the shard's turn feeds it completions and carries out what it wants.
//! Invariants: at most one receive and one send are in flight; a request starts only while the replies that the client
//! has not read stay below [`REPLY_BACKLOG_MAX`]; what is held is charged ([`Connection::charge`]).

mod allowance;
pub mod foreign;
mod growth;
pub mod pipeline;
pub mod read;
pub mod write;

use std::net::SocketAddr;
use std::sync::Arc;

use millstream_protocol::api::{self, ApiKey};
use millstream_protocol::time::{Duration, Instant};
use millstream_ring::{Slice, SocketId};

use crate::limits::{
    FRAME_DEADLINE, FRAME_RATE_MIN, HOARDED_BYTES_MIN, HOARDING_DEADLINE, REPLY_BACKLOG_MAX, SEND_DEADLINE,
    SWEEP_INTERVAL,
};
use crate::shard::client_metrics::ClientSoftware;
use crate::shard::slab::Key;
pub use allowance::Allowance;
use allowance::Appended;
use growth::Growth;
use pipeline::{Kind, Order, Pipeline, Reply, RequestSequence};
use read::{FrameError, ReadSide, Want};
use write::{Encoded, WriteSide};

/// A connection and where it stands.
#[derive(Debug)]
pub struct Connection {
    pub socket: SocketId,
    pub peer: SocketAddr,
    /// The address by which the client reached us.
    pub local: SocketAddr,
    /// Which of the broker's listeners it came by.
    pub listener: usize,
    pub phase: Phase,
    pub read: ReadSide,
    pub write: WriteSide,
    pipeline: Pipeline,
    /// A frame that has to wait for its turn in the order.
    held: Option<Slice>,
    /// A receive is in flight.
    pub receiving: bool,
    /// It waits for memory before it receives more of its frame.
    pub starved: bool,
    /// It is in the shard's list of connections with something to do.
    pub is_ready: bool,
    /// It is in the shard's list of connections with something to submit.
    pub is_dirty: bool,
    /// The call of a fetch that waits for records, or of a request that waits for groups.
    pub waiting_call: Option<Key>,
    /// It is in the shard's list of connections with much to send.
    pub waits_to_send: bool,
    /// It is in the shard's list of connections with much to receive.
    pub waits_to_receive: bool,
    appended: Appended,
    /// Bytes that the receive in flight may bring, where they were taken from the budget beforehand.
    pub granted: usize,
    /// Bytes that the shard's budget is charged for it.
    pub charged: usize,
    /// Who speaks, as far as quotas ask.
    pub client_id: Arc<str>,
    /// What it runs, if it said so.
    pub software: Option<Box<ClientSoftware>>,
    /// No request is taken before: the client used more than it may.
    pub muted_until: Option<Instant>,
    /// Its address made more than it may: nothing is received, and it ends when it is not muted any more.
    pub is_one_too_many: bool,
    /// When it last did something.
    last_active: Instant,
    /// Sweeps in a row that found a frame begun, while we would take more of it, and no whole one since.
    frame_sweeps: u64,
    /// Sweeps in a row that found the same send in flight.
    send_sweeps: u64,
    growth: Growth,
}

/// The life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// No new requests; it closes when what is in progress is answered and sent.
    Draining,
    /// Nothing more is answered; it closes when what was answered is sent.
    Ending,
    /// Its socket is being closed.
    Closing,
}

/// The next thing that a connection's bytes ask for.
#[derive(Debug)]
pub enum NextRequest {
    /// A whole request, which has started.
    Frame(Slice, RequestSequence),
    /// Nothing can start now.
    None,
    /// A write waits until the logs have room.
    Congested,
    /// The bytes are not a request.
    Bad(FrameError),
}

/// Why a sweep wants a connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    Idle,
    /// A frame that does not get finished.
    SlowFrame,
    /// Replies that are not read.
    SlowReader,
    /// Memory is short, and it keeps some for a frame or for replies without getting on.
    Hoarding,
}

impl Connection {
    pub fn new(
        socket: SocketId,
        peer: SocketAddr,
        local: SocketAddr,
        listener: usize,
        frame_limit: usize,
        requests_max: usize,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            peer,
            local,
            listener,
            phase: Phase::Open,
            read: ReadSide::new(frame_limit),
            write: WriteSide::default(),
            pipeline: Pipeline::new(requests_max),
            held: None,
            receiving: false,
            starved: false,
            is_ready: false,
            is_dirty: false,
            waiting_call: None,
            waits_to_send: false,
            waits_to_receive: false,
            appended: Appended::default(),
            granted: 0,
            charged: 0,
            client_id: Arc::default(),
            software: None,
            muted_until: None,
            is_one_too_many: false,
            last_active: now,
            frame_sweeps: 0,
            send_sweeps: 0,
            growth: Growth::default(),
        }
    }

    /// Starts the next request if one is there and may start.
    pub fn next_request(&mut self, now: Instant, allowance: Allowance) -> NextRequest {
        if self.phase != Phase::Open || self.write.backlog() > REPLY_BACKLOG_MAX || self.is_muted(now) {
            return NextRequest::None;
        }
        let frame = match self.held.take() {
            Some(frame) => frame,
            None => match self.read.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return NextRequest::None,
                Err(error) => return NextRequest::Bad(error),
            },
        };
        self.frame_sweeps = 0;
        self.growth.frame_ended();
        let order = order_of(&frame);
        if order == Order::Pipelined(Kind::Produce) && !self.appended.may_take(frame.len(), allowance) {
            self.held = Some(frame);
            return NextRequest::Congested;
        }
        match self.pipeline.begin(order) {
            Some(sequence) => {
                self.last_active = now;
                NextRequest::Frame(frame, sequence)
            }
            None => {
                self.held = Some(frame);
                NextRequest::None
            }
        }
    }

    /// Ends a request by encoding its reply: straight behind the earlier ones where its turn has come.
    pub fn answer(&mut self, request: RequestSequence, encode: impl FnOnce(&mut Encoded)) {
        if !self.answers() {
            return;
        }
        if self.pipeline.finish_front(request) {
            encode(self.write.tail());
            self.release_replies();
        } else {
            let mut encoded = Encoded::default();
            encode(&mut encoded);
            self.pipeline.finish(request, Reply::Frame(encoded));
        }
    }

    /// Ends a request that has no answer, or whose answer is that the connection closes.
    pub fn finish(&mut self, request: RequestSequence, close: bool) {
        if !self.answers() {
            return;
        }
        self.pipeline
            .finish(request, if close { Reply::Close } else { Reply::Silent });
        self.release_replies();
    }

    /// Keeps no buffer of the ring for requests that cannot start now.
    pub fn settle(&mut self) {
        if let Some(frame) = &mut self.held {
            read::settle(frame);
        }
        self.read.settle();
    }

    /// What to receive now; nothing while a receive is in flight or no request would be taken.
    pub fn want(&mut self) -> Want {
        let is_full = self.held.is_some() && self.read.held_bytes() > 0;
        if self.phase != Phase::Open || self.receiving || is_full || self.is_one_too_many {
            return Want::Nothing;
        }
        self.read.want()
    }

    /// Gives up on everything that is in progress: the peer is gone, or must go.
    pub fn abandon(&mut self) {
        self.phase = Phase::Ending;
        self.pipeline.clear();
        self.held = None;
        self.write = WriteSide::default();
    }

    /// Whether the request in progress is one that may wait for others than the disk.
    pub fn is_at_a_barrier(&self) -> bool {
        self.pipeline.is_at_a_barrier()
    }

    /// Everything that was asked for is answered and sent.
    pub fn is_drained(&self) -> bool {
        self.pipeline.is_empty() && !self.write.is_pending() && !self.write.in_flight()
    }

    /// A whole request may be waiting to be looked at.
    pub fn has_input(&self) -> bool {
        self.phase == Phase::Open && (self.held.is_some() || self.read.held_bytes() >= 4)
    }

    /// Bytes of requests that are here and not looked at.
    pub fn input_bytes(&self) -> usize {
        self.read.held_bytes() + self.held.as_ref().map_or(0, |frame| frame.len())
    }

    /// Bytes that this connection keeps in memory.
    pub fn charge(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |frame| frame.len());
        self.granted + self.read.held_bytes() + held + self.write.kept_bytes()
    }

    /// Looks at the deadlines; called every [`SWEEP_INTERVAL`]. `idle`: how long it may be silent; `short`: others
    /// wait for memory.
    pub fn sweep(&mut self, now: Instant, idle: Option<std::time::Duration>, short: bool) -> Option<Overdue> {
        // Not whether a receive is in flight: one that has just ended is no excuse for who drips. What is the broker's
        // own slowness, or the client's in reading, does not count as a slow frame.
        let inside = self.held.is_none() && self.read.is_inside_frame();
        let ours = self.starved || self.write.backlog() > REPLY_BACKLOG_MAX || self.is_muted(now);
        self.frame_sweeps = match (inside, ours) {
            (false, _) => 0,
            (true, false) => self.frame_sweeps + 1,
            (true, true) => self.frame_sweeps,
        };
        self.send_sweeps = if self.write.in_flight() {
            self.send_sweeps + 1
        } else {
            0
        };
        let stalled_sweeps = self.growth.sweep(self.read.held_bytes(), inside && !ours);
        let sweeps = |span: std::time::Duration| span.as_secs() / SWEEP_INTERVAL.as_secs();
        if inside || !self.is_drained() {
            // Something happens, or is waited for by its own deadline.
            self.last_active = now;
        }
        let slow_enough = sweeps(FRAME_DEADLINE) + (self.read.held_bytes() / FRAME_RATE_MIN) as u64;
        if self.frame_sweeps > slow_enough {
            Some(Overdue::SlowFrame)
        } else if self.send_sweeps > sweeps(SEND_DEADLINE) {
            Some(Overdue::SlowReader)
        } else if short
            && self.charge() >= HOARDED_BYTES_MIN
            && stalled_sweeps.max(self.send_sweeps) > sweeps(HOARDING_DEADLINE)
        {
            Some(Overdue::Hoarding)
        } else if idle.is_some_and(|idle| now.saturating_since(self.last_active) > Duration::from(idle)) {
            Some(Overdue::Idle)
        } else {
            None
        }
    }

    /// A send made progress.
    pub fn sent(&mut self, n: usize, slices: Vec<Slice>) {
        self.send_sweeps = 0;
        self.write.sent(n, slices);
    }

    fn is_muted(&self, now: Instant) -> bool {
        self.muted_until.is_some_and(|until| now < until)
    }

    fn answers(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining)
    }

    fn release_replies(&mut self) {
        while let Some(reply) = self.pipeline.next_reply() {
            match reply {
                Reply::Frame(encoded) => self.write.push(encoded),
                Reply::Silent => {}
                Reply::Close => {
                    self.phase = Phase::Ending;
                    self.pipeline.clear();
                    return;
                }
            }
        }
    }
}

fn order_of(frame: &[u8]) -> Order {
    let key = frame.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
    match key.and_then(api::spec).map(|spec| spec.key) {
        Some(ApiKey::Produce) => Order::Pipelined(Kind::Produce),
        Some(ApiKey::OffsetCommit) => Order::Pipelined(Kind::OffsetCommit),
        _ => Order::Barrier,
    }
}

//! The load generator's loop: one thread, one epoll, all of its connections.
//! Place: a `Workload` says what to send and judges the answers; this loop decides when, and measures.
//! Invariants: a closed loop keeps every connection full; an open loop never sends before a request is due
//! and times it from then; the run ends by its deadline even if the server stalls; loads of one round have one
//! window.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::time::Timespec;

use crate::client::connection::{Connection, Request};
use crate::client::pace::Pace;
use crate::client::together::{Member, Together};
use crate::host::{ProcessSample, ThreadSample};
use crate::limits::{DRAIN_SECONDS, EVENTS_MAX};
use crate::recorder::{Cost, Outcome, Recorder, Window, Work};

/// What a run sends, and what an answer is worth.
pub trait Workload {
    /// The next request of `connection`; `None` when that connection has nothing more to send. `due`: when it is
    /// meant to be sent.
    fn next(&mut self, connection: usize, due: Instant) -> Option<Request>;

    /// Judge an answer: `payload` starts after the correlation id.
    fn answer(&mut self, connection: usize, payload: &[u8]) -> Result<Work, String>;

    /// Records that were checked one batch after the other, the warm-up's among them; `None` where nothing is
    /// read.
    fn verified(&self) -> Option<u64> {
        None
    }

    /// What the last answer brought, where records are timed from when they were meant to be sent; `None` where
    /// requests are timed.
    fn deliveries(&self) -> Option<&[Delivery]> {
        None
    }

    /// The window is over. True: requests go on until [`Self::next`] has none, as what was sent in the window is
    /// still on its way.
    fn wind_down(&mut self) -> bool {
        false
    }
}

/// Records that came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When they were meant to be sent.
    pub due: Instant,
    pub records: u64,
}

/// How a run loads the server.
#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests that each connection keeps in flight, above zero.
    pub in_flight: usize,
    /// Requests a second over all connections: an open loop. `None`: as fast as answers come.
    pub rate: Option<f64>,
    pub warmup: Duration,
    pub measure: Duration,
    /// Process whose CPU time and memory are sampled.
    pub server_pid: Option<u32>,
}

/// Why a run ended without a result.
#[derive(Debug)]
pub enum DriveError {
    /// A socket call failed, or the server closed a connection.
    Socket { during: &'static str, error: io::Error },
    /// The server answered something that the workload does not accept.
    Answer(String),
    /// Another load of the same round failed.
    Abandoned,
}

/// Run once. An interrupt (`stop`) ends the window early and is no error.
pub fn drive(load: &Load, workload: &mut impl Workload, stop: &AtomicBool) -> Result<Outcome, DriveError> {
    let alone = Together::new(stop, 1);
    drive_together(load, workload, alone.member())
}

/// Run once, beside the other loads of a round: they start when all have their connections. With the same warm-up
/// and measured time they have the same window.
pub fn drive_together(
    load: &Load,
    workload: &mut impl Workload,
    member: Member<'_>,
) -> Result<Outcome, DriveError> {
    let outcome = Driver::open(load, workload, &member)?.run()?;
    member.finish();
    Ok(outcome)
}

struct Driver<'a, W> {
    load: &'a Load,
    workload: &'a mut W,
    member: &'a Member<'a>,
    epoll: OwnedFd,
    peers: Vec<Peer>,
    pace: Option<Pace>,
    /// Open loop: the connections that have room, by when their next request is due. Thousands that are idle must not
    /// be looked at in each turn.
    upcoming: BinaryHeap<Reverse<(Instant, usize)>>,
    window: Window,
    recorder: Recorder,
}

/// A connection as the loop sees it.
struct Peer {
    connection: Connection,
    /// Requests that this connection was dealt so far.
    turns: u64,
    /// Whether the wait asks for room to write.
    blocked: bool,
    exhausted: bool,
    /// Whether it is among the upcoming.
    upcoming: bool,
}

impl<'a, W: Workload> Driver<'a, W> {
    fn open(load: &'a Load, workload: &'a mut W, member: &'a Member<'a>) -> Result<Self, DriveError> {
        // The default slack lets the kernel wake an open loop 50 µs late, which would be measured as the
        // server's latency.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))
            .map_err(socket("setting the timer slack"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(socket("creating the epoll"))?;
        let mut peers = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            if member.stopped() {
                break;
            }
            let connection = Connection::open(load.address, index).map_err(|error| DriveError::Socket {
                during: "connecting",
                error,
            })?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &connection.stream, data, epoll::EventFlags::IN)
                .map_err(socket("watching a socket"))?;
            peers.push(Peer {
                connection,
                turns: 0,
                blocked: false,
                exhausted: false,
                upcoming: false,
            });
        }
        let start = member.start().ok_or(DriveError::Abandoned)?;
        let window = Window {
            start: start + load.warmup,
            end: start + load.warmup + load.measure,
        };
        Ok(Driver {
            load,
            workload,
            member,
            epoll,
            peers,
            pace: load.rate.map(|rate| Pace::new(start, rate, load.connections)),
            upcoming: BinaryHeap::new(),
            window,
            recorder: Recorder::shown(window, load.rate.is_some(), member.live()),
        })
    }

    fn run(mut self) -> Result<Outcome, DriveError> {
        let warm = self.turn_until(self.window.start)?;
        let before = Spent::sample(self.load.server_pid);
        let ended = if warm {
            self.turn_until(self.window.end)?
        } else {
            false
        };
        let finished = Instant::now();
        let cost = Spent::sample(self.load.server_pid).since(&before);
        if ended {
            self.drain()?;
        }
        let gave_up = Instant::now();
        let mut unanswered = 0;
        for waiting in self.peers.iter().flat_map(|peer| peer.connection.waiting()) {
            unanswered += 1;
            self.recorder.unanswered(waiting.due, gave_up);
        }
        for index in 0..self.peers.len() {
            while let Some(due) = self.owed(index).filter(|_| ended) {
                unanswered += 1;
                self.peers[index].turns += 1;
                self.recorder.unanswered(due, gave_up);
            }
        }
        let mut outcome = self.recorder.finish(finished, cost, unanswered);
        outcome.records_verified = self.workload.verified();
        Ok(outcome)
    }

    /// Keep sending until `end`. False: interrupted.
    fn turn_until(&mut self, end: Instant) -> Result<bool, DriveError> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        for index in 0..self.peers.len() {
            match self.pace {
                Some(_) => self.schedule(index),
                None => self.send_due(index, Instant::now())?,
            }
        }
        loop {
            if self.member.stopped() {
                return Ok(false);
            }
            let now = Instant::now();
            if now >= end
                || self
                    .peers
                    .iter()
                    .all(|peer| peer.exhausted && peer.connection.waiting().len() == 0)
            {
                return Ok(true);
            }
            self.send_upcoming(now)?;
            let wake = self
                .upcoming
                .peek()
                .map_or(end, |Reverse((due, _))| end.min(*due));
            self.wait(&mut events, wake.saturating_duration_since(now))?;
            for event in events.drain(..) {
                self.serve(&event, true)?;
            }
        }
    }

    /// Wait for the answers that are missing. Nothing new is sent, but by a workload that has to see the end of what
    /// others sent, and what an open loop owes: a server that kept it from being sent would hide it otherwise.
    fn drain(&mut self) -> Result<(), DriveError> {
        let winding_down = self.workload.wind_down();
        let deadline = Instant::now() + Duration::from_secs(DRAIN_SECONDS);
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            for index in 0..self.peers.len() {
                if self.owed(index).is_some() {
                    self.send_due(index, Instant::now())?;
                }
            }
            let now = Instant::now();
            let is_done = self.peers.iter().all(|peer| peer.connection.waiting().len() == 0);
            if is_done || now >= deadline || self.member.stopped() {
                return Ok(());
            }
            self.wait(&mut events, deadline - now)?;
            for event in events.drain(..) {
                self.serve(&event, winding_down)?;
            }
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Duration) -> Result<(), DriveError> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(socket("waiting")(error)),
        }
    }

    fn serve(&mut self, event: &epoll::Event, sending: bool) -> Result<(), DriveError> {
        let index = event.data.u64() as usize;
        let flags = event.flags;
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            self.receive(index)?;
            if sending && self.pace.is_none() {
                self.send_due(index, Instant::now())?;
            }
        }
        if flags.contains(epoll::EventFlags::OUT) {
            self.flush(index)?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> Result<(), DriveError> {
        let peer = &mut self.peers[index];
        match peer.connection.received.fill(&mut peer.connection.stream) {
            Ok(0) => {
                return Err(DriveError::Socket {
                    during: "receiving",
                    error: io::ErrorKind::UnexpectedEof.into(),
                });
            }
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                return Err(DriveError::Socket {
                    during: "receiving",
                    error,
                });
            }
        }
        let arrived = Instant::now();
        loop {
            let connection = &mut self.peers[index].connection;
            let frame = connection.received.next_frame();
            match frame.map_err(|error| DriveError::Socket {
                during: "framing",
                error,
            })? {
                Some(frame) => self.answer(index, frame, arrived)?,
                None => return Ok(()),
            }
        }
    }

    fn answer(&mut self, index: usize, frame: Range<usize>, arrived: Instant) -> Result<(), DriveError> {
        let connection = &mut self.peers[index].connection;
        let waiting = connection.answered();
        let payload = connection.received.bytes(frame);
        let (Some(waiting), Some((correlation, payload))) = (waiting, payload.split_first_chunk::<4>())
        else {
            return Err(DriveError::Answer("an answer that nothing asked for".into()));
        };
        let correlation_id = i32::from_be_bytes(*correlation);
        if correlation_id != waiting.correlation_id {
            let expected = waiting.correlation_id;
            return Err(DriveError::Answer(format!(
                "answer {correlation_id} where {expected} was next"
            )));
        }
        let work = self.workload.answer(index, payload).map_err(DriveError::Answer)?;
        self.schedule(index);
        match self.workload.deliveries() {
            None => self.recorder.answered(waiting.due, arrived, work),
            Some(deliveries) => {
                self.recorder.received(arrived, work);
                for delivery in deliveries {
                    self.recorder.delivered(delivery.due, arrived, delivery.records);
                }
            }
        }
        Ok(())
    }

    /// Send what is due on one connection and fits its bound.
    fn send_due(&mut self, index: usize, now: Instant) -> Result<(), DriveError> {
        let mut pushed = false;
        let is_due = |due: Instant| due <= now && due < self.window.end;
        while let Some(due) = self.due(index).filter(|due| due.is_none_or(is_due)) {
            let peer = &mut self.peers[index];
            let Some(request) = self.workload.next(index, due.unwrap_or(now)) else {
                peer.exhausted = true;
                break;
            };
            peer.turns += 1;
            peer.connection.push(request, due.unwrap_or(now));
            if let Some(due) = due {
                self.recorder.sent(due, now);
            }
            pushed = true;
        }
        if pushed { self.flush(index) } else { Ok(()) }
    }

    /// When the next request of a connection may go: `Some(None)` at once, `None` not before an answer comes.
    #[expect(
        clippy::option_option,
        reason = "no room, room at once and room at a time are three answers"
    )]
    fn due(&self, index: usize) -> Option<Option<Instant>> {
        let peer = &self.peers[index];
        let room = !peer.exhausted && peer.connection.waiting().len() < self.load.in_flight;
        room.then(|| self.pace.map(|pace| pace.due(index, peer.turns)))
    }

    /// When a request was due within the window that could not be sent yet.
    fn owed(&self, index: usize) -> Option<Instant> {
        let peer = &self.peers[index];
        let due = self.pace?.due(index, peer.turns);
        (!peer.exhausted && due < self.window.end).then_some(due)
    }

    /// Send what is due on any connection.
    fn send_upcoming(&mut self, now: Instant) -> Result<(), DriveError> {
        while let Some(&Reverse((due, index))) = self.upcoming.peek()
            && due <= now
        {
            self.upcoming.pop();
            self.peers[index].upcoming = false;
            self.send_due(index, now)?;
            self.schedule(index);
        }
        Ok(())
    }

    /// Remember when an open loop's connection with room is due next; one without room is remembered when an answer
    /// makes some.
    fn schedule(&mut self, index: usize) {
        if !self.peers[index].upcoming
            && let Some(due) = self.due(index).flatten()
        {
            self.peers[index].upcoming = true;
            self.upcoming.push(Reverse((due, index)));
        }
    }

    fn flush(&mut self, index: usize) -> Result<(), DriveError> {
        let peer = &mut self.peers[index];
        let all = peer.connection.flush().map_err(|error| DriveError::Socket {
            during: "sending",
            error,
        })?;
        if all == peer.blocked {
            peer.blocked = !all;
            let flags = if all {
                epoll::EventFlags::IN
            } else {
                epoll::EventFlags::IN | epoll::EventFlags::OUT
            };
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &peer.connection.stream, data, flags)
                .map_err(socket("watching a socket"))?;
        }
        Ok(())
    }
}

/// Clocks read at an edge of the window.
struct Spent {
    at: Instant,
    thread: ThreadSample,
    server: Option<ProcessSample>,
}

impl Spent {
    fn sample(server: Option<u32>) -> Self {
        Spent {
            at: Instant::now(),
            thread: ThreadSample::current(),
            server: server.and_then(|pid| ProcessSample::of(pid).ok()),
        }
    }

    fn since(&self, before: &Spent) -> Cost {
        let wall = (self.at - before.at).as_secs_f64().max(1e-9);
        Cost {
            client_cpu_share: (self.thread.busy - before.thread.busy).as_secs_f64() / wall,
            client_starved_share: (self.thread.starved - before.thread.starved).as_secs_f64() / wall,
            server_cpu_share: self
                .server
                .zip(before.server)
                .map(|(after, before)| (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / wall),
            server_rss: self.server.map(|sample| sample.rss),
        }
    }
}

fn socket(during: &'static str) -> impl Fn(rustix::io::Errno) -> DriveError {
    move |error| DriveError::Socket {
        during,
        error: error.into(),
    }
}

impl std::fmt::Display for DriveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DriveError::Socket { error, .. } if error.kind() == io::ErrorKind::UnexpectedEof => write!(
                f,
                "the broker closed a connection: it may have ended, or refuse so many (Kafka's max.connections, \
                 max.connections.per.ip)"
            ),
            DriveError::Socket { during, error } => write!(f, "{during}: {error}"),
            DriveError::Answer(what) => write!(f, "the server answered wrongly: {what}"),
            DriveError::Abandoned => write!(f, "another load of the same round failed"),
        }
    }
}

impl std::error::Error for DriveError {}

#[cfg(test)]
mod tests;

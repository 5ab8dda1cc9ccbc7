//! The bare loop's one thread: sockets in, one durable write for whatever came, answers out.
//! Invariant: an answer leaves only after the write that carries its records has returned.

use std::fs;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use millstream_ring::AppendBuf;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fd::OwnedFd;

use crate::bare::disk::WrittenSpace;
use crate::client::frame_buffer::FrameBuffer;
use crate::limits::{BARE_ROUND_BYTES, EVENTS_MAX, REQUEST_BYTES_MAX};
use crate::wire;

/// What the loop does with the records that it receives.
#[derive(Clone, Debug)]
pub enum Durability {
    /// Receive and answer: the network leg alone, no CRC and no disk.
    None,
    /// Check the CRC, write in the loop itself, then answer.
    Inline(Space),
    /// Check the CRC, hand the write to a second thread, go on receiving meanwhile.
    Overlapped(Space),
}

/// Where the writes go: a file that is made, written once, and has no name from then on.
#[derive(Clone, Debug)]
pub struct Space {
    pub path: PathBuf,
    /// Bytes, a multiple of the block, several rounds long.
    pub bytes: u64,
}

/// Serve Produce requests until an error of the listener or the disk. `ready` is called when the space is
/// written.
pub fn serve(
    listener: TcpListener,
    durability: Durability,
    ready: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let server = Server::open(listener, durability)?;
    ready()?;
    server.run()
}

struct Server {
    listener: TcpListener,
    peers: Peers,
    round: Round,
    path: WritePath,
}

/// The connections and the epoll that watches them; a closed one leaves its place empty.
struct Peers {
    epoll: OwnedFd,
    slots: Vec<Option<Peer>>,
}

struct Peer {
    stream: TcpStream,
    frames: FrameBuffer,
    answers: Vec<u8>,
    sent: usize,
    blocked: bool,
}

/// Records that came since the last write, and the answers that wait for it.
struct Round {
    records: AppendBuf,
    /// Which peer, and where its answer ends in `answers`.
    ends: Vec<(usize, usize)>,
    answers: Vec<u8>,
}

enum WritePath {
    None,
    Inline(WrittenSpace),
    Overlapped(Writer),
}

/// The second thread of the overlapped loop.
struct Writer {
    work: SyncSender<Round>,
    written: Receiver<io::Result<Round>>,
    bell: Arc<OwnedFd>,
    spare: Option<Round>,
}

impl Server {
    fn open(listener: TcpListener, durability: Durability) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            epoll::EventData::new_u64(LISTENER),
            epoll::EventFlags::IN,
        )?;
        let path = match durability {
            Durability::None => WritePath::None,
            Durability::Inline(space) => WritePath::Inline(space.write_once()?),
            Durability::Overlapped(space) => {
                let writer = Writer::start(space.write_once()?)?;
                epoll::add(
                    &epoll,
                    &*writer.bell,
                    epoll::EventData::new_u64(BELL),
                    epoll::EventFlags::IN,
                )?;
                WritePath::Overlapped(writer)
            }
        };
        Ok(Server {
            listener,
            peers: Peers {
                epoll,
                slots: Vec::new(),
            },
            round: Round::new(),
            path,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            match epoll::wait(&self.peers.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.peers.accept(&self.listener)?,
                    BELL => self.bell()?,
                    index => self.serve_peer(index as usize, event.flags)?,
                }
            }
            self.start_write()?;
        }
    }

    fn serve_peer(&mut self, index: usize, flags: epoll::EventFlags) -> io::Result<()> {
        if flags.contains(epoll::EventFlags::OUT) {
            self.peers.flush(index)?;
        }
        if !flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            return Ok(());
        }
        let Some(peer) = &mut self.peers.slots[index] else {
            return Ok(());
        };
        match peer.frames.fill(&mut peer.stream) {
            Ok(n) if n > 0 => self.take_frames(index),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(())
            }
            _ => {
                self.peers.slots[index] = None;
                Ok(())
            }
        }
    }

    fn take_frames(&mut self, index: usize) -> io::Result<()> {
        while let Some(peer) = &mut self.peers.slots[index] {
            let Some(frame) = peer.frames.next_frame()? else {
                break;
            };
            if self.round.records.remaining() < frame.len() {
                self.make_room()?;
            }
            let Some(peer) = &self.peers.slots[index] else {
                break;
            };
            let Round {
                records,
                ends,
                answers,
            } = &mut self.round;
            let durable = !matches!(self.path, WritePath::None);
            let served = wire::serve_produce(peer.frames.bytes(frame), answers, |batches| {
                if durable {
                    wire::check_batches(batches, |_| ())?;
                    records.append(batches);
                }
                Ok(())
            });
            served.map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
            ends.push((index, answers.len()));
        }
        Ok(())
    }

    /// At the end of a turn: write what came, unless a write is under way.
    fn start_write(&mut self) -> io::Result<()> {
        if self.round.ends.is_empty() {
            return Ok(());
        }
        match &mut self.path {
            WritePath::None => {}
            WritePath::Inline(space) => space.write(&mut self.round.records)?,
            WritePath::Overlapped(writer) => {
                let Some(spare) = writer.spare.take() else {
                    return Ok(());
                };
                let round = std::mem::replace(&mut self.round, spare);
                return writer
                    .work
                    .send(round)
                    .map_err(|_| io::ErrorKind::BrokenPipe.into());
            }
        }
        self.peers.answer(&mut self.round)
    }

    /// The round is full: have it written before anything more is received.
    fn make_room(&mut self) -> io::Result<()> {
        if let WritePath::Overlapped(writer) = &mut self.path
            && writer.spare.is_none()
        {
            let mut round = writer.written.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
            self.peers.answer(&mut round)?;
            self.give_back(round);
        }
        self.start_write()
    }

    /// The second thread has written a round.
    fn bell(&mut self) -> io::Result<()> {
        let WritePath::Overlapped(writer) = &mut self.path else {
            return Ok(());
        };
        rustix::io::read(&writer.bell, &mut [0; 8])?;
        if let Ok(round) = writer.written.try_recv() {
            let mut round = round?;
            self.peers.answer(&mut round)?;
            self.give_back(round);
        }
        Ok(())
    }

    fn give_back(&mut self, round: Round) {
        if let WritePath::Overlapped(writer) = &mut self.path {
            writer.spare = Some(round);
        }
    }
}

impl Peers {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let index = self.slots.len();
        epoll::add(
            &self.epoll,
            &stream,
            epoll::EventData::new_u64(index as u64),
            epoll::EventFlags::IN,
        )?;
        let frames = FrameBuffer::new(REQUEST_BYTES_MAX);
        self.slots.push(Some(Peer {
            stream,
            frames,
            answers: Vec::new(),
            sent: 0,
            blocked: false,
        }));
        Ok(())
    }

    /// Send the answers of a written round and empty it.
    fn answer(&mut self, round: &mut Round) -> io::Result<()> {
        let mut start = 0;
        let mut touched = None;
        for &(index, end) in &round.ends {
            if let Some(previous) = touched.replace(index)
                && previous != index
            {
                self.flush(previous)?;
            }
            if let Some(peer) = &mut self.slots[index] {
                peer.answers.extend_from_slice(&round.answers[start..end]);
            }
            start = end;
        }
        if let Some(last) = touched {
            self.flush(last)?;
        }
        round.clear();
        Ok(())
    }

    fn flush(&mut self, index: usize) -> io::Result<()> {
        let Some(peer) = &mut self.slots[index] else {
            return Ok(());
        };
        let all = match peer.flush() {
            Ok(all) => all,
            Err(_) => {
                self.slots[index] = None;
                return Ok(());
            }
        };
        if all == peer.blocked {
            peer.blocked = !all;
            let flags = if all {
                epoll::EventFlags::IN
            } else {
                epoll::EventFlags::IN | epoll::EventFlags::OUT
            };
            epoll::modify(
                &self.epoll,
                &peer.stream,
                epoll::EventData::new_u64(index as u64),
                flags,
            )?;
        }
        Ok(())
    }
}

impl Peer {
    /// Returns whether everything went.
    fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.answers.len() {
            match self.stream.write(&self.answers[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.answers.clear();
        self.sent = 0;
        Ok(true)
    }
}

impl Round {
    fn new() -> Self {
        Round {
            records: AppendBuf::with_capacity(BARE_ROUND_BYTES),
            ends: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn clear(&mut self) {
        assert!(self.records.try_clear(), "nobody else reads a round");
        self.ends.clear();
        self.answers.clear();
    }
}

impl Space {
    /// Without a name it goes with the process, however that ends.
    fn write_once(&self) -> io::Result<WrittenSpace> {
        let space = WrittenSpace::create(&self.path, self.bytes)?;
        fs::remove_file(&self.path)?;
        Ok(space)
    }
}

impl Writer {
    fn start(mut space: WrittenSpace) -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (work, rounds) = sync_channel::<Round>(1);
        let (done, written) = sync_channel(1);
        let ring = bell.clone();
        std::thread::Builder::new()
            .name("bare-write".into())
            .spawn(move || {
                for mut round in rounds {
                    let result = space.write(&mut round.records).map(|()| round);
                    if done.send(result).is_err() || rustix::io::write(&ring, &1u64.to_ne_bytes()).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Writer {
            work,
            written,
            bell,
            spare: Some(Round::new()),
        })
    }
}

const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;
    use crate::bare::ring_server;
    use crate::client::driver::{Load, drive};
    use crate::workload::produce::{ProduceShape, ProduceWorkload};

    fn space(name: &str) -> Space {
        let path = std::env::temp_dir().join(format!("millstream-bench-{name}-{}", std::process::id()));
        Space {
            path,
            bytes: 4 * BARE_ROUND_BYTES as u64,
        }
    }

    /// Requests that were answered in a tenth of a second; a wrong answer is an error of the client.
    fn answered(durability: Durability, shape: ProduceShape) -> u64 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ready, started) = sync_channel(1);
        std::thread::spawn(move || {
            serve(listener, durability, || {
                ready.send(()).unwrap();
                Ok(())
            })
        });
        started.recv().unwrap();
        load(address, shape)
    }

    fn answered_by_ring(space: &Space, shape: ProduceShape) -> u64 {
        let (ready, started) = sync_channel(1);
        let space = space.clone();
        std::thread::spawn(move || {
            ring_server::serve("127.0.0.1:0".parse().unwrap(), &space, |address| {
                ready.send(address).unwrap();
                Ok(())
            })
        });
        load(started.recv().unwrap(), shape)
    }

    fn load(address: SocketAddr, shape: ProduceShape) -> u64 {
        let load = Load {
            address,
            connections: 3,
            in_flight: 4,
            rate: None,
            warmup: Duration::ZERO,
            measure: Duration::from_millis(100),
            server_pid: None,
        };
        let mut workload = ProduceWorkload::new("t", shape, load.connections);
        let mut answered = 0;
        // A busy disk may take longer than one window for a round.
        for _ in 0..50 {
            let outcome = drive(&load, &mut workload, &AtomicBool::new(false)).unwrap();
            assert_eq!(
                outcome.unanswered, 0,
                "what is in flight at the end is answered too"
            );
            answered += outcome.requests;
            if answered > 5 {
                break;
            }
        }
        answered
    }

    #[test]
    fn every_way_of_writing_answers_small_and_large_requests() {
        let small = ProduceShape {
            partitions: 4,
            record_bytes: 10,
            records_per_batch: 2,
            partitions_per_request: 2,
            acks: -1,
        };
        // Twelve of them in flight do not fit one round.
        let large = ProduceShape {
            record_bytes: 1 << 20,
            ..small
        };
        for shape in [small, large] {
            assert!(answered(Durability::None, shape) > 5);
            assert!(answered(Durability::Inline(space("inline")), shape) > 5);
            assert!(answered(Durability::Overlapped(space("overlapped")), shape) > 5);
            assert!(answered_by_ring(&space("ring"), shape) > 5);
        }
    }
}

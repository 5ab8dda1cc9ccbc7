//! The bare loop once more, on the broker's own ring: sockets and disk in one io_uring, one thread, a write in
//! flight while receiving goes on.
//! It does not count as the roofline. It tells what the ring costs from what the broker costs.
//! Invariant: an answer leaves only after the write that carries its records has completed.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{
    AppendBuf, BLOCK, Completion, Done, FileId, Op, OpenOptions, Ring, Slice, SocketId, Token, Wait,
};

use crate::bare::disk::{Cursor, write_once};
use crate::bare::server::Space;
use crate::limits::{BARE_ROUND_BYTES, RECEIVE_BYTES, REQUEST_BYTES_MAX};
use crate::wire;

/// Serve Produce requests until an error of the ring. `ready` gets the address when the space is written.
pub fn serve(
    listen: SocketAddr,
    space: &Space,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<()> {
    let mut server = Server::open(space)?;
    let (listener, address) = server.ring.listen(listen).map_err(failed)?;
    server.ring.submit(ACCEPT, Op::Accept { listener });
    ready(address)?;
    server.run()
}

struct Server {
    ring: UringRing,
    file: FileId,
    cursor: Cursor,
    /// By socket slot.
    peers: Vec<Option<Peer>>,
    filling: Round,
    /// The round that a write is in flight for.
    writing: Option<Round>,
    spare: Option<Round>,
    /// Received bytes that found no room in the round, in order of arrival.
    stalled: VecDeque<(usize, Vec<u8>)>,
}

struct Peer {
    socket: SocketId,
    answers: Vec<u8>,
    sending: bool,
}

/// Records that came since the last write began, and the answers that wait for it.
struct Round {
    records: AppendBuf,
    /// Which peer, and where its answer ends in `answers`.
    ends: Vec<(usize, usize)>,
    answers: Vec<u8>,
}

impl Server {
    fn open(space: &Space) -> io::Result<Self> {
        write_once(&space.path, space.bytes)?;
        let mut ring = UringRing::new(UringOptions::default()).map_err(io::Error::other)?;
        let options = OpenOptions {
            write: true,
            direct: true,
            ..OpenOptions::default()
        };
        ring.submit(
            OPEN,
            Op::OpenFile {
                path: space.path.clone(),
                options,
            },
        );
        let mut completions = Vec::new();
        while completions.is_empty() {
            ring.enter(WAIT, &mut completions);
        }
        let Done::Opened { file, .. } = completions.remove(0).result.map_err(failed)? else {
            return Err(io::Error::other("an opening that opened nothing"));
        };
        fs::remove_file(&space.path)?;
        Ok(Server {
            ring,
            file,
            cursor: Cursor::new(space.bytes),
            peers: Vec::new(),
            filling: Round::new(),
            writing: None,
            spare: Some(Round::new()),
            stalled: VecDeque::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut completions = Vec::new();
        loop {
            self.ring.enter(WAIT, &mut completions);
            for completion in completions.drain(..) {
                self.complete(completion)?;
            }
            self.start_write();
        }
    }

    fn complete(&mut self, completion: Completion) -> io::Result<()> {
        let slot = completion.token.0 as usize;
        match completion.result {
            Ok(Done::Accepted { socket, .. }) => self.accepted(socket),
            Ok(Done::ReceivedInto { buf, n }) if n > 0 => self.received(slot, buf)?,
            Ok(Done::Sent { .. }) => {
                if let Some(peer) = &mut self.peers[slot] {
                    peer.sending = false;
                    peer.send(&mut self.ring);
                }
            }
            Ok(Done::Written { slices, .. }) => {
                // The round can be used again only when nothing shares it.
                drop(slices);
                self.written()?;
            }
            Ok(Done::ReceivedInto { .. }) => self.close(slot),
            Ok(_) => {}
            Err(error) if completion.token == WRITE => return Err(failed(error)),
            Err(_) => self.close(slot),
        }
        Ok(())
    }

    fn accepted(&mut self, socket: SocketId) {
        let slot = socket.slot();
        if self.peers.len() <= slot {
            self.peers.resize_with(slot + 1, || None);
        }
        self.peers[slot] = Some(Peer {
            socket,
            answers: Vec::new(),
            sending: false,
        });
        self.receive(slot, Vec::with_capacity(RECEIVE_BYTES));
    }

    fn receive(&mut self, slot: usize, buf: Vec<u8>) {
        let Some(peer) = &self.peers[slot] else { return };
        let limit = buf.capacity() - buf.len();
        self.ring.submit(
            Token(slot as u64),
            Op::RecvInto {
                socket: peer.socket,
                buf,
                limit,
            },
        );
    }

    /// Take the whole frames and ask for more behind what is left.
    fn received(&mut self, slot: usize, mut buf: Vec<u8>) -> io::Result<()> {
        let mut taken = 0;
        while let Some(frame) = next_frame(&buf[taken..])? {
            if self.filling.records.remaining() < frame.len() {
                buf.drain(..taken);
                self.stalled.push_back((slot, buf));
                return Ok(());
            }
            self.filling.take(slot, frame)?;
            taken += PREFIX + frame.len();
        }
        buf.drain(..taken);
        let needed = buf
            .first_chunk()
            .map_or(0, |prefix| PREFIX + u32::from_be_bytes(*prefix) as usize);
        if needed > REQUEST_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a request beyond the limit",
            ));
        }
        buf.reserve(needed.max(RECEIVE_BYTES) - buf.len().min(needed));
        self.receive(slot, buf);
        Ok(())
    }

    fn start_write(&mut self) {
        if self.filling.ends.is_empty() || self.writing.is_some() {
            return;
        }
        let Some(spare) = self.spare.take() else { return };
        let mut round = std::mem::replace(&mut self.filling, spare);
        round.records.pad_to(BLOCK);
        let blocks = round.records.slice(0..round.records.len());
        let at = self.cursor.take(round.records.len());
        let write = Op::Write {
            file: self.file,
            at,
            slices: vec![blocks],
            durable: true,
        };
        self.ring.submit(WRITE, write);
        self.writing = Some(round);
    }

    fn written(&mut self) -> io::Result<()> {
        let Some(mut round) = self.writing.take() else {
            return Ok(());
        };
        let mut start = 0;
        for &(slot, end) in &round.ends {
            if let Some(peer) = &mut self.peers[slot] {
                peer.answers.extend_from_slice(&round.answers[start..end]);
                peer.send(&mut self.ring);
            }
            start = end;
        }
        round.clear();
        self.spare = Some(round);
        self.start_write();
        for (slot, buf) in std::mem::take(&mut self.stalled) {
            self.received(slot, buf)?;
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot).and_then(Option::take) {
            self.ring.submit(CLOSE, Op::CloseSocket { socket: peer.socket });
        }
    }
}

impl Peer {
    /// All answers in one message, unless one is on its way.
    fn send(&mut self, ring: &mut UringRing) {
        if !self.sending && !self.answers.is_empty() {
            self.sending = true;
            let slices = vec![Slice::from(std::mem::take(&mut self.answers))];
            let token = Token(self.socket.slot() as u64);
            ring.submit(
                token,
                Op::Send {
                    socket: self.socket,
                    slices,
                },
            );
        }
    }
}

impl Round {
    fn new() -> Self {
        let records = AppendBuf::with_capacity(BARE_ROUND_BYTES);
        Round {
            records,
            ends: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn take(&mut self, slot: usize, frame: &[u8]) -> io::Result<()> {
        let Round {
            records,
            ends,
            answers,
        } = self;
        let served = wire::serve_produce(frame, answers, |batches| {
            wire::check_batches(batches, |_| ())?;
            records.append(batches);
            Ok(())
        });
        served.map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
        ends.push((slot, answers.len()));
        Ok(())
    }

    fn clear(&mut self) {
        assert!(self.records.try_clear(), "the ring has given the slice back");
        self.ends.clear();
        self.answers.clear();
    }
}

/// The first whole frame of `bytes`, prefix excluded.
fn next_frame(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > REQUEST_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a request beyond the limit",
        ));
    }
    Ok(rest.get(..length))
}

fn failed(error: millstream_ring::IoError) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

const PREFIX: usize = 4;

/// Receives and sends are named by the slot of their socket; these lie beyond all slots.
const ACCEPT: Token = Token(u64::MAX);
const WRITE: Token = Token(u64::MAX - 1);
const OPEN: Token = Token(u64::MAX - 2);
const CLOSE: Token = Token(u64::MAX - 3);

const WAIT: Wait = Wait::Until(Duration::from_secs(1));

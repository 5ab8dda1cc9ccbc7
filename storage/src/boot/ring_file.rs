//! A journal's ring, read forward: pieces are on their way before they are asked for.
//!
//! Invariants: at most [`AHEAD`] pieces are in memory, whatever the ring's size, and their memory is used again; a
//! block that the device cannot read is given as [`UNREADABLE`] bytes, which are no round and not untouched either,
//! so that it is judged like any other bad data.

use std::collections::VecDeque;

use millstream_ring::{AlignedBuf, Done, FileId, IoError, Op, Ring};

use super::door::Door;
use crate::limits::BLOCK;

/// See the module's page.
pub(super) struct RingFile<'d, 'r, R: Ring> {
    door: &'d mut Door<'r, R>,
    file: FileId,
    ring_bytes: u64,
    /// Pieces are numbered as they are passed, round and round: piece `n` lies at `n % pieces of the ring`.
    first: u64,
    /// From `first` on; `None` while on its way.
    ahead: VecDeque<Option<AlignedBuf>>,
    /// A piece out of turn, and its number.
    aside: Option<(u64, AlignedBuf)>,
    spare: Vec<AlignedBuf>,
    /// A stretch that lies in more than one piece.
    joined: Vec<u8>,
    unreadable: u64,
}

impl<'d, 'r, R: Ring> RingFile<'d, 'r, R> {
    /// Begins to read at `from`. The file is `ring_bytes` long at least; both are whole blocks.
    pub(super) fn new(door: &'d mut Door<'r, R>, file: FileId, ring_bytes: u64, from: u64) -> Self {
        let mut ring = RingFile {
            door,
            file,
            ring_bytes,
            first: from / PIECE,
            ahead: VecDeque::new(),
            aside: None,
            spare: Vec::new(),
            joined: Vec::new(),
            unreadable: 0,
        };
        ring.read_ahead();
        ring
    }

    /// The ring's bytes from `at` on, at least `len` of them. Both are whole blocks, within the ring.
    pub(super) fn bytes(&mut self, at: u64, len: u64) -> &[u8] {
        assert!(len > 0 && at + len <= self.ring_bytes);
        let (first, last) = (at / PIECE, (at + len - 1) / PIECE);
        if first == last {
            return &self.piece(first)[(at % PIECE) as usize..];
        }
        self.joined.clear();
        for number in first..=last {
            let from = at.max(number * PIECE) - number * PIECE;
            let to = (at + len).min((number + 1) * PIECE) - number * PIECE;
            let mut joined = std::mem::take(&mut self.joined);
            joined.extend_from_slice(&self.piece(number)[from as usize..to as usize]);
            self.joined = joined;
        }
        &self.joined
    }

    /// How many blocks could not be read so far.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// A piece of the ring by its place. Those before it in reading order are let go, where it is one of the next.
    fn piece(&mut self, place: u64) -> &[u8] {
        let steps = (place + self.pieces() - self.first % self.pieces()) % self.pieces();
        if steps >= self.ahead.len() as u64 {
            return self.out_of_turn(place);
        }
        for _ in 0..steps {
            self.pass();
        }
        self.read_ahead();
        self.arrive();
        self.ahead[0].as_deref().expect("it arrived")
    }

    fn out_of_turn(&mut self, place: u64) -> &[u8] {
        if self.aside.as_ref().is_none_or(|(known, _)| *known != place) {
            let op = self.read(place);
            let result = self.door.run(op);
            let buf = self.whole(place, result);
            self.aside = Some((place, buf));
        }
        let (_, buf) = self.aside.as_ref().expect("set above");
        buf
    }

    fn read_ahead(&mut self) {
        let most = AHEAD.min(self.pieces());
        while (self.ahead.len() as u64) < most {
            let number = self.first + self.ahead.len() as u64;
            let op = self.read(number % self.pieces());
            self.door.begin(number, op);
            self.ahead.push_back(None);
        }
    }

    /// Waits for the first piece.
    fn arrive(&mut self) {
        while self.ahead[0].is_none() {
            let (number, result) = self.door.begun();
            let buf = self.whole(number % self.pieces(), result);
            self.ahead[(number - self.first) as usize] = Some(buf);
        }
    }

    /// Lets go of the first piece.
    fn pass(&mut self) {
        self.arrive();
        self.spare.extend(self.ahead.pop_front().flatten());
        self.first += 1;
    }

    fn read(&mut self, place: u64) -> Op {
        let len = self.len(place) as usize;
        let fits = self.spare.iter().position(|buf| buf.len() >= len);
        let buf = fits.map_or_else(|| AlignedBuf::zeroed(len), |at| self.spare.swap_remove(at));
        Op::Read {
            file: self.file,
            at: place * PIECE,
            buf,
            len,
        }
    }

    /// The piece as it was read; where that failed, what can be read of it, block by block.
    fn whole(&mut self, place: u64, result: Result<Done, IoError>) -> AlignedBuf {
        let len = self.len(place) as usize;
        if let Ok(Done::Read { buf, n }) = result
            && n >= len
        {
            return buf;
        }
        let mut whole = AlignedBuf::zeroed(len);
        whole.fill(UNREADABLE);
        let (file, blocks) = (self.file, len as u64 / BLOCK);
        let ops = (0..blocks).map(|block| Op::Read {
            file,
            at: place * PIECE + block * BLOCK,
            buf: AlignedBuf::zeroed(BLOCK as usize),
            len: BLOCK as usize,
        });
        let mut readable = 0;
        self.door.run_all(ops, |block, result| {
            if let Ok(Done::Read { buf, n }) = result
                && n as u64 == BLOCK
            {
                whole[block * BLOCK as usize..][..BLOCK as usize].copy_from_slice(&buf);
                readable += 1;
            }
        });
        self.unreadable += blocks - readable;
        whole
    }

    fn pieces(&self) -> u64 {
        self.ring_bytes.div_ceil(PIECE)
    }

    /// All pieces are equally long, save the last of the ring.
    fn len(&self, place: u64) -> u64 {
        PIECE.min(self.ring_bytes - place * PIECE)
    }
}

/// What is on its way is waited for: whoever uses the door next knows nothing of it.
impl<R: Ring> Drop for RingFile<'_, '_, R> {
    fn drop(&mut self) {
        while !self.ahead.is_empty() {
            self.pass();
        }
    }
}

/// Large enough for the device's full speed.
const PIECE: u64 = 1 << 20;
/// Pieces in memory and on their way.
const AHEAD: u64 = 12;
const UNREADABLE: u8 = 0xff;
const _: () = assert!(PIECE.is_multiple_of(BLOCK));

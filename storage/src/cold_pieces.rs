//! Bytes read back from segments: aligned pieces on a fixed grid, each read once for all who wait for it.
//!
//! Place: below `reads`. Pieces are kept within a budget, least recently used ones go first.
//!
//! Invariants:
//! - Pieces in memory and the buffers of those being read stay within the budget together. Who needs more
//!   waits in the order of asking. Only the first of all goes beyond, by what it needs itself, and while
//!   nothing else is being read: so every read ends, however large.
//! - What a waiter was given room for stays until the waiter has ended.
//! - The disk is asked for so many pieces at a time, for others need it too (`disk_share`).
//! - A piece may hold bytes that were not in the segment yet when it was read. Nobody looks at those, for
//!   they are in memory; when they leave it, the piece is forgotten ([`ColdPieces::forget_range`]).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use millstream_log::{FilePosition, SegmentId};
use millstream_protocol::time::Instant;
use millstream_ring::{AlignedBuf, IoError, Slice};

use crate::disk_share::DiskShare;
use crate::limits::COLD_PIECE_BYTES;
use crate::segment_files::{FileWork, SegmentFiles};

/// A waiting request's number, in the order of asking.
pub(crate) type Waiter = u64;

/// A segment, and the number of a piece of it.
type Key = (SegmentId, u64);

/// See the module's page.
pub(crate) struct ColdPieces {
    pieces: HashMap<Key, Piece>,
    /// Pieces in memory in the order of reading; walked like a clock's hand.
    order: VecDeque<Key>,
    /// Of the pieces in memory.
    bytes: u64,
    /// Of these, what waiters hold.
    held: u64,
    /// Buffers of the pieces being read, or to be read.
    reading: u64,
    /// Pieces to be read that the disk was not asked for yet, and the file's bytes that each is.
    unasked: VecDeque<(Key, u64)>,
    /// Of these, the buffers' bytes.
    unasked_bytes: u64,
    /// Buffers of pieces that went, for those that are read next: their pages are there already, where mapping fresh
    /// ones and giving back the old ones took as long as all else that a read costs. No more than `unasked` will take.
    spare: Vec<AlignedBuf>,
    /// Pieces that it was asked for.
    asked: usize,
    disk: Arc<DiskShare>,
    bytes_max: u64,
    /// What each waiter holds or waits for.
    wants: BTreeMap<Waiter, Want>,
    /// Waiters that there was no room for, and the bytes that each needs.
    queue: BTreeMap<Waiter, u64>,
}

struct Piece {
    /// Exclusive end of what was asked for.
    end: FilePosition,
    content: Content,
    /// Who holds it, or waits for it.
    waiters: Vec<Waiter>,
    /// Forgotten while it was being read.
    stale: bool,
    used: bool,
}

#[derive(Default)]
struct Want {
    keys: Vec<Key>,
    /// Of these, the ones that are being read.
    missing: usize,
}

enum Content {
    /// Into a buffer of so many bytes.
    Reading(u64),
    Here(Slice),
}

/// What is known of the bytes asked for.
pub(crate) enum Lookup {
    Here(Vec<Slice>),
    /// The waiter is told when all pieces that it lacks were read, or when there is room to read them.
    Missing,
}

impl ColdPieces {
    pub(crate) fn new(bytes_max: u64, disk: Arc<DiskShare>) -> ColdPieces {
        ColdPieces {
            pieces: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            held: 0,
            reading: 0,
            unasked: VecDeque::new(),
            unasked_bytes: 0,
            spare: Vec::new(),
            asked: 0,
            disk,
            bytes_max: bytes_max.max(BYTES_MIN),
            wants: BTreeMap::new(),
            queue: BTreeMap::new(),
        }
    }

    /// The bytes of `from..to`, all of them in the file; what is missing is asked for, unless nobody waits.
    /// The file's bytes end at `file_end`.
    pub(crate) fn look(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        file_end: FilePosition,
        waiter: Option<Waiter>,
    ) -> Lookup {
        assert!(from < to && to <= file_end);
        let numbers = number_of(from)..=number_of(FilePosition::new(to.get() - 1));
        let end_within = |number| to.min(start_of(number) + COLD_PIECE_BYTES);
        let lacking = |pieces: &Self, number| pieces.lacks((segment, number), end_within(number));
        let needed: u64 = numbers
            .clone()
            .filter(|number| lacking(self, *number))
            .map(|number| span(number, file_end).1)
            .sum();
        if needed > 0 {
            match waiter {
                Some(waiter) if !self.may_start(waiter, needed) => {
                    self.queue.insert(waiter, needed);
                    return Lookup::Missing;
                }
                Some(_) => {}
                None => return Lookup::Missing,
            }
        }
        let mut slices = Vec::new();
        let mut missing = false;
        for number in numbers {
            let key = (segment, number);
            if self.lacks(key, end_within(number)) {
                self.start(key, file_end);
            }
            if let Some(waiter) = waiter {
                self.hold(key, waiter);
            }
            let piece = self.pieces.get_mut(&key).expect("started if it was not there");
            piece.used = true;
            match &piece.content {
                Content::Reading(_) => missing = true,
                Content::Here(slice) => {
                    let start = start_of(number);
                    let range = (from.max(start) - start) as usize..(end_within(number) - start) as usize;
                    slices.push(slice.subslice(range));
                }
            }
        }
        self.trim();
        if missing {
            Lookup::Missing
        } else {
            Lookup::Here(slices)
        }
    }

    /// Asks for the pieces after `from`, for a reader that will come to them; as far as there is room that
    /// nobody waits for.
    pub(crate) fn read_ahead(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        pieces: u64,
        file_end: FilePosition,
    ) {
        let first = number_of(from) + 1;
        for number in (first..first + pieces).take_while(|number| start_of(*number) < file_end) {
            let key = (segment, number);
            let room = self.queue.is_empty() && self.has_room(span(number, file_end).1);
            if room && !self.pieces.contains_key(&key) {
                self.start(key, file_end);
                self.pieces.get_mut(&key).expect("just started").used = true;
            }
        }
        self.trim();
    }

    /// The longest waiting of those that there was no room for, if there is now: to look again.
    pub(crate) fn next_queued(&mut self) -> Option<Waiter> {
        if !self.has_next_queued() {
            return None;
        }
        self.queue.pop_first().map(|(waiter, _)| waiter)
    }

    /// Whether there is one.
    pub(crate) fn has_next_queued(&self) -> bool {
        self.queue
            .first_key_value()
            .is_some_and(|(&waiter, &needed)| self.may_start(waiter, needed))
    }

    /// The waiter has ended: what it holds may go.
    pub(crate) fn release(&mut self, waiter: Waiter) {
        self.queue.remove(&waiter);
        for key in self.wants.remove(&waiter).unwrap_or_default().keys {
            let Some(piece) = self.pieces.get_mut(&key) else {
                continue;
            };
            let before = piece.waiters.len();
            piece.waiters.retain(|other| *other != waiter);
            if let Content::Here(slice) = &piece.content
                && before > 0
                && piece.waiters.is_empty()
            {
                self.held -= slice.charged_bytes() as u64;
            }
        }
        self.trim();
    }

    /// A read ended; tells who waited for it and for nothing else, and in case of an error whoever waited.
    pub(crate) fn piece_read(
        &mut self,
        segment: SegmentId,
        number: u64,
        result: Result<(AlignedBuf, usize), IoError>,
    ) -> (Vec<Waiter>, Result<(), IoError>) {
        let key = (segment, number);
        self.asked -= 1;
        self.disk.ended(1);
        let Some(mut piece) = self.pieces.remove(&key) else {
            return (Vec::new(), Ok(()));
        };
        let Content::Reading(reserved) = piece.content else {
            unreachable!("a piece in memory is not being read");
        };
        self.reading -= reserved;
        let ready = self.have_one_less(&piece.waiters);
        match result {
            Ok(_) if piece.stale => (ready, Ok(())),
            Ok((_, n)) if start_of(number) + (n as u64) < piece.end => {
                // The file ends before bytes that were durable in it.
                (piece.waiters, Err(IoError::new(EIO)))
            }
            Ok((buf, _)) => {
                let len = buf.len() as u64;
                self.bytes += len;
                self.held += if piece.waiters.is_empty() { 0 } else { len };
                piece.content = Content::Here(buf.freeze());
                self.pieces.insert(key, piece);
                self.order.push_back(key);
                self.trim();
                (ready, Ok(()))
            }
            Err(error) => (piece.waiters, Err(error)),
        }
    }

    /// One of the pieces that these wait for has ended; tells for whom it was the last.
    fn have_one_less(&mut self, waiters: &[Waiter]) -> Vec<Waiter> {
        let mut ready = Vec::new();
        for waiter in waiters {
            let want = self.wants.get_mut(waiter).expect("who waits wants something");
            want.missing -= 1;
            if want.missing == 0 {
                ready.push(*waiter);
            }
        }
        ready
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} pieces of {} bytes, {} held, {} being read, at most {}, {} waiters, {} of them for room",
            self.pieces.len(),
            self.bytes,
            self.held,
            self.reading,
            self.bytes_max,
            self.wants.len(),
            self.queue.len(),
        )
    }

    /// In memory and being read, and the most of that; see the module's page.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes + self.reading, self.bytes_max)
    }

    /// Bytes of the segment left memory: what was read of them before they were in the file does not count.
    pub(crate) fn forget_range(&mut self, segment: SegmentId, from: FilePosition, to: FilePosition) {
        for number in number_of(from)..=number_of(to) {
            let key = (segment, number);
            match self.pieces.get_mut(&key) {
                Some(Piece {
                    content: Content::Reading(_),
                    stale,
                    ..
                }) => *stale = true,
                Some(_) => {
                    self.drop_piece(key);
                    self.order.retain(|other| *other != key);
                }
                None => {}
            }
        }
    }

    /// The segment's file goes.
    pub(crate) fn forget(&mut self, segment: SegmentId) {
        let order = std::mem::take(&mut self.order);
        for key in order {
            if key.0 == segment {
                self.drop_piece(key);
            } else {
                self.order.push_back(key);
            }
        }
    }

    /// Whether the piece must be read to have the bytes below `end`.
    fn lacks(&self, key: Key, end: FilePosition) -> bool {
        self.pieces
            .get(&key)
            .is_none_or(|piece| matches!(piece.content, Content::Here(_)) && piece.end < end)
    }

    fn has_room(&self, needed: u64) -> bool {
        self.held + self.reading + needed <= self.bytes_max
    }

    /// Whether so many bytes may be read for this waiter now.
    fn may_start(&self, waiter: Waiter, needed: u64) -> bool {
        let first_of = |first: Option<Waiter>| first.is_none_or(|first| first >= waiter);
        let next = first_of(self.queue.keys().next().copied());
        let first = next && first_of(self.wants.keys().next().copied());
        next && self.has_room(needed) || first && self.reading == 0
    }

    /// Has the piece read; one that is too short is replaced.
    fn start(&mut self, key: Key, file_end: FilePosition) {
        let number = key.1;
        let waiters = if self.pieces.contains_key(&key) {
            self.order.retain(|other| *other != key);
            self.drop_piece(key)
        } else {
            Vec::new()
        };
        for waiter in &waiters {
            self.wants.entry(*waiter).or_default().missing += 1;
        }
        let (end, len) = span(number, file_end);
        self.unasked.push_back((key, len));
        self.unasked_bytes += len;
        self.reading += len;
        self.pieces.insert(
            key,
            Piece {
                end,
                content: Content::Reading(len),
                waiters,
                stale: false,
                used: false,
            },
        );
    }

    /// Asks the disk for the next pieces: a few at a time, for a flush waits behind all that it was asked for.
    pub(crate) fn ask(&mut self, files: &mut SegmentFiles, now: Instant) {
        while self.disk.may_ask(self.asked, now)
            && let Some((key, len)) = self.unasked.pop_front()
        {
            self.ask_for(key, len, files);
        }
    }

    /// Asks for those of a segment whose file is about to go: who waits for them is told.
    pub(crate) fn ask_for_all_of(&mut self, segment: SegmentId, files: &mut SegmentFiles) {
        let unasked = std::mem::take(&mut self.unasked);
        for (key, len) in unasked {
            if key.0 == segment {
                self.ask_for(key, len, files);
            } else {
                self.unasked.push_back((key, len));
            }
        }
    }

    fn ask_for(&mut self, (segment, number): Key, len: u64, files: &mut SegmentFiles) {
        self.asked += 1;
        self.disk.asked();
        self.unasked_bytes -= len;
        let spare = (len == COLD_PIECE_BYTES).then(|| self.spare.pop()).flatten();
        let work = FileWork::Read {
            at: start_of(number),
            buf: spare.unwrap_or_else(|| AlignedBuf::zeroed(len as usize)),
            tag: number,
        };
        files.ask(segment, work);
        let spare_max = (self.unasked_bytes / COLD_PIECE_BYTES) as usize;
        self.spare.truncate(spare_max);
    }

    fn hold(&mut self, key: Key, waiter: Waiter) {
        let piece = self.pieces.get_mut(&key).expect("a piece that is there");
        if piece.waiters.contains(&waiter) {
            return;
        }
        if let Content::Here(slice) = &piece.content
            && piece.waiters.is_empty()
        {
            self.held += slice.charged_bytes() as u64;
        }
        piece.waiters.push(waiter);
        let want = self.wants.entry(waiter).or_default();
        want.keys.push(key);
        want.missing += usize::from(matches!(piece.content, Content::Reading(_)));
    }

    fn trim(&mut self) {
        let mut looks = 2 * self.order.len();
        while self.bytes + self.reading > self.bytes_max && self.bytes > self.held && looks > 0 {
            looks -= 1;
            let Some(key) = self.order.pop_front() else { return };
            let Some(piece) = self.pieces.get_mut(&key) else {
                continue;
            };
            if !piece.waiters.is_empty() || std::mem::take(&mut piece.used) {
                self.order.push_back(key);
            } else {
                self.drop_piece(key);
            }
        }
    }

    /// Forgets a piece that is in memory; tells who held it. It is to leave `order` too.
    fn drop_piece(&mut self, key: Key) -> Vec<Waiter> {
        let piece = self.pieces.remove(&key).expect("a piece that is there");
        let Content::Here(slice) = piece.content else {
            unreachable!("a piece that is being read stays");
        };
        let len = slice.charged_bytes() as u64;
        self.bytes -= len;
        self.held -= if piece.waiters.is_empty() { 0 } else { len };
        let spare_bytes = (self.spare.len() as u64 + 1) * COLD_PIECE_BYTES;
        // Who was served from it may still be using it.
        if len == COLD_PIECE_BYTES
            && spare_bytes <= self.unasked_bytes
            && let Ok(buf) = slice.thaw()
        {
            self.spare.push(buf);
        }
        piece.waiters
    }
}

fn number_of(position: FilePosition) -> u64 {
    position.get() / COLD_PIECE_BYTES
}

fn start_of(number: u64) -> FilePosition {
    FilePosition::new(number * COLD_PIECE_BYTES)
}

/// Where a piece ends in a file whose bytes end at `file_end`, and its length in whole blocks.
fn span(number: u64, file_end: FilePosition) -> (FilePosition, u64) {
    let start = start_of(number);
    let end = file_end.block_ceil().min(start + COLD_PIECE_BYTES);
    (end, end - start)
}

const EIO: i32 = 5;
/// What a few reads need to make progress side by side.
const BYTES_MIN: u64 = 16 << 20;

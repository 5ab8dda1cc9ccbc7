//! Bytes read back from segments: aligned pieces on a fixed grid, each read once for all who wait for it.
//!
//! Place: below `reads`. Pieces are kept within a budget, least recently used ones go first.
//!
//! Invariant: a piece may hold bytes that were not in the segment yet when it was read. Nobody looks at
//! those, for they are in memory; when they leave it, the piece is forgotten
//! ([`ColdPieces::forget_range`]).

use std::collections::{HashMap, VecDeque};

use millstream_log::{FilePosition, SegmentId};
use millstream_ring::{AlignedBuf, IoError, Slice};

use crate::limits::COLD_PIECE_BYTES;
use crate::segment_files::{FileWork, SegmentFiles};

/// A waiting request's number.
pub(crate) type Waiter = u64;

/// See the module's page.
pub(crate) struct ColdPieces {
    pieces: HashMap<(SegmentId, u64), Piece>,
    /// Pieces in memory in the order of reading; walked like a clock's hand.
    order: VecDeque<(SegmentId, u64)>,
    bytes: u64,
    bytes_max: u64,
}

struct Piece {
    /// Exclusive end of what was asked for.
    end: FilePosition,
    content: Content,
    /// Forgotten while it was being read.
    stale: bool,
    used: bool,
}

enum Content {
    Reading(Vec<Waiter>),
    Here(Slice),
}

/// What is known of the bytes asked for.
pub(crate) enum Lookup {
    Here(Vec<Slice>),
    /// The waiter is told when a piece that it lacks was read.
    Reading,
}

impl ColdPieces {
    pub(crate) fn new(bytes_max: u64) -> ColdPieces {
        ColdPieces {
            pieces: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max: bytes_max.max(BYTES_MIN),
        }
    }

    /// The bytes of `from..to`, all of them in the file; what is missing is asked for. The file's bytes end
    /// at `file_end`.
    pub(crate) fn look(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        file_end: FilePosition,
        waiter: Waiter,
        files: &mut SegmentFiles,
    ) -> Lookup {
        assert!(from < to && to <= file_end);
        let mut slices = Vec::new();
        let mut missing = false;
        for number in number_of(from)..=number_of(FilePosition::new(to.get() - 1)) {
            let start = start_of(number);
            let end = to.min(start + COLD_PIECE_BYTES);
            match self.piece(segment, number, file_end, end, files) {
                Content::Reading(waiters) => {
                    if !waiters.contains(&waiter) {
                        waiters.push(waiter);
                    }
                    missing = true;
                }
                Content::Here(slice) => {
                    slices.push(slice.subslice((from.max(start) - start) as usize..(end - start) as usize));
                }
            }
        }
        if missing {
            Lookup::Reading
        } else {
            Lookup::Here(slices)
        }
    }

    /// Asks for the pieces after `from`, for a reader that will come to them.
    pub(crate) fn read_ahead(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        pieces: u64,
        file_end: FilePosition,
        files: &mut SegmentFiles,
    ) {
        let first = number_of(from) + 1;
        for number in (first..first + pieces).take_while(|number| start_of(*number) < file_end) {
            if !self.pieces.contains_key(&(segment, number)) {
                self.piece(segment, number, file_end, start_of(number), files);
            }
        }
    }

    /// A read ended; tells who waited for it.
    pub(crate) fn piece_read(
        &mut self,
        segment: SegmentId,
        number: u64,
        result: Result<(AlignedBuf, usize), IoError>,
    ) -> (Vec<Waiter>, Result<(), IoError>) {
        let Some(mut piece) = self.pieces.remove(&(segment, number)) else {
            return (Vec::new(), Ok(()));
        };
        let Content::Reading(waiters) = piece.content else {
            return (Vec::new(), Ok(()));
        };
        match result {
            Ok(_) if piece.stale => (waiters, Ok(())),
            Ok((_, n)) if start_of(number) + (n as u64) < piece.end => {
                // The file ends before bytes that were durable in it.
                (waiters, Err(IoError::new(EIO)))
            }
            Ok((buf, _)) => {
                self.bytes += buf.len() as u64;
                piece.content = Content::Here(buf.freeze());
                self.pieces.insert((segment, number), piece);
                self.order.push_back((segment, number));
                self.trim();
                (waiters, Ok(()))
            }
            Err(error) => (waiters, Err(error)),
        }
    }

    pub(crate) fn describe(&self) -> String {
        let reading = self
            .pieces
            .values()
            .filter(|piece| matches!(piece.content, Content::Reading(_)))
            .count();
        format!(
            "{} pieces, {reading} being read, {} bytes of {}",
            self.pieces.len(),
            self.bytes,
            self.bytes_max
        )
    }

    /// Held, and the most that is held.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.bytes_max)
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
        let bytes = &mut self.bytes;
        self.pieces.retain(|(of, _), piece| {
            let stays = *of != segment || matches!(piece.content, Content::Reading(_));
            if !stays && let Content::Here(slice) = &piece.content {
                *bytes -= slice.charged_bytes() as u64;
            }
            stays
        });
        let pieces = &self.pieces;
        self.order.retain(|key| pieces.contains_key(key));
    }

    /// The piece with at least the bytes below `wanted_end`, being read if need be.
    fn piece(
        &mut self,
        segment: SegmentId,
        number: u64,
        file_end: FilePosition,
        wanted_end: FilePosition,
        files: &mut SegmentFiles,
    ) -> &mut Content {
        let key = (segment, number);
        let short = |piece: &Piece| matches!(piece.content, Content::Here(_)) && piece.end < wanted_end;
        if self.pieces.get(&key).is_some_and(short) {
            self.drop_piece(key);
            self.order.retain(|other| *other != key);
        }
        let piece = self.pieces.entry(key).or_insert_with(|| {
            let start = start_of(number);
            let end = file_end.block_ceil().min(start + COLD_PIECE_BYTES);
            files.ask(
                segment,
                FileWork::Read {
                    at: start,
                    len: (end - start) as usize,
                    tag: number,
                },
            );
            Piece {
                end,
                content: Content::Reading(Vec::new()),
                stale: false,
                used: false,
            }
        });
        piece.used = true;
        &mut piece.content
    }

    fn trim(&mut self) {
        let mut looks = 2 * self.order.len();
        while self.bytes > self.bytes_max && looks > 0 {
            looks -= 1;
            let Some(key) = self.order.pop_front() else { return };
            let Some(piece) = self.pieces.get_mut(&key) else {
                continue;
            };
            if std::mem::take(&mut piece.used) {
                self.order.push_back(key);
            } else {
                self.drop_piece(key);
            }
        }
    }

    fn drop_piece(&mut self, key: (SegmentId, u64)) {
        if let Some(Piece {
            content: Content::Here(slice),
            ..
        }) = self.pieces.remove(&key)
        {
            self.bytes -= slice.charged_bytes() as u64;
        }
    }
}

fn number_of(position: FilePosition) -> u64 {
    position.get() / COLD_PIECE_BYTES
}

fn start_of(number: u64) -> FilePosition {
    FilePosition::new(number * COLD_PIECE_BYTES)
}

const EIO: i32 = 5;
/// What a few reads need to make progress side by side.
const BYTES_MIN: u64 = 64 * COLD_PIECE_BYTES;

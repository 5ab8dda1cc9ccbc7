//! The shard's journal: a preallocated ring file of rounds, one in flight.
//!
//! Place: [`crate::ShardLogs`] fills a round with whatever the partitions have and starts it here; the
//! round's end is the moment at which all of that is durable.
//!
//! Invariants:
//! - A round completes when its own write and all direct writes that belong to it completed; only then does
//!   the next one start, so "settled" is always the round before.
//! - A round with a direct write that failed is not called settled before a later round took back what was to be
//!   written: a start that finds no such round looks at the segment for itself.
//! - A round is never put over rounds that a recovery would need: the space between `floor` and the head is
//!   theirs.
//! - After a failed write nothing is written any more.

use std::path::PathBuf;

use millstream_log::planted::{self, Bug};
use millstream_log::{ChainPoint, Incarnation, JournalIdentity, RoundBuilder, RoundHeader, RoundSequence};
use millstream_protocol::types::TimestampMs;
use millstream_ring::{AlignedBuf, Completion, Done, FileId, IoError, Op, OpenOptions, Ring, Slice};

use crate::limits::{BLOCK, round_bytes_max};
use crate::ops::{Io, Meaning};

/// The ring file and where its chain of rounds goes on.
pub(crate) struct Journal {
    path: PathBuf,
    identity: JournalIdentity,
    incarnation: Incarnation,
    ring_bytes: u64,
    file: File,
    chain: ChainPoint,
    /// Bytes of the ring that were ever passed by the head; `head - floor` of them are in use.
    head: u64,
    floor: JournalPoint,
    in_flight: Option<RoundInFlight>,
    settled: RoundSequence,
    /// Rounds say no more than this is settled, as long as there is an `untaken`.
    held_at: RoundSequence,
    /// Failed direct writes that no round took back yet.
    untaken: u32,
    /// The last round carried nothing but the word that all before it is settled.
    last_was_settle: bool,
    spare: Option<AlignedBuf>,
}

/// The moment before a round, as a place to recover from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalPoint {
    pub(crate) chain: ChainPoint,
    /// As [`Journal::head`] was.
    pub(crate) head: u64,
}

struct RoundInFlight {
    sequence: RoundSequence,
    /// The journal's own write and the direct writes.
    outstanding: u32,
    /// The round's memory, to be used again.
    whole: Option<Slice>,
}

#[derive(Clone, Copy)]
enum File {
    Closed,
    Opening,
    Open(FileId),
    Failed,
}

/// The meaning of a journal's completion.
pub(crate) enum JournalOp {
    Opened,
    Written { len: u64 },
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JournalEvent {
    /// Nothing to tell.
    None,
    /// The round in flight is durable with all that belongs to it.
    RoundDone,
    /// The journal takes nothing any more.
    Failed(IoError),
}

impl Journal {
    /// A journal whose chain goes on at `end`, with the rounds from `floor` on still needed.
    pub(crate) fn new(
        path: PathBuf,
        identity: JournalIdentity,
        incarnation: Incarnation,
        ring_bytes: u64,
        floor: JournalPoint,
        end: JournalPoint,
    ) -> Journal {
        assert!(
            ring_bytes.is_multiple_of(BLOCK) && floor.head <= end.head && end.head - floor.head <= ring_bytes
        );
        Journal {
            path,
            identity,
            incarnation,
            ring_bytes,
            file: File::Closed,
            chain: end.chain,
            head: end.head,
            floor,
            in_flight: None,
            settled: end.chain.sequence.previous(),
            held_at: RoundSequence::default(),
            untaken: 0,
            last_was_settle: false,
            spare: None,
        }
    }

    /// Where the next round will be: what it holds is recovered by a replay from here.
    pub(crate) fn point(&self) -> JournalPoint {
        JournalPoint {
            chain: self.chain,
            head: self.head,
        }
    }

    pub(crate) fn identity(&self) -> JournalIdentity {
        self.identity
    }

    pub(crate) fn ring_bytes(&self) -> u64 {
        self.ring_bytes
    }

    /// Bytes that a recovery would read now.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.head - self.floor.head
    }

    /// The rounds before `floor` are needed no more.
    pub(crate) fn free_to(&mut self, floor: JournalPoint) {
        assert!(floor.head >= self.floor.head && floor.head <= self.head);
        self.floor = floor;
    }

    /// Whether a round can start now.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.file, File::Open(_)) && self.in_flight.is_none()
    }

    pub(crate) fn has_round_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.file, File::Failed)
    }

    /// All rounds up to this one completed.
    pub(crate) fn settled(&self) -> RoundSequence {
        self.settled
    }

    /// The journal does not say yet that its last round completed.
    pub(crate) fn owes_settle(&self) -> bool {
        !self.last_was_settle && self.chain.sequence != RoundSequence::new(1)
    }

    /// The largest round that can start now, in bytes of the ring; less than a block when the ring is full.
    pub(crate) fn round_bytes_max(&self) -> u64 {
        let free = self.ring_bytes - self.live_bytes();
        let to_end = self.ring_bytes.saturating_sub(self.chain.position);
        // Either what is left before the ring's end, or what is free behind it.
        let room = if free <= to_end {
            free
        } else {
            to_end.max(free - to_end)
        };
        room.min(round_bytes_max(self.ring_bytes)) / BLOCK * BLOCK
    }

    /// The memory for one round: fill the first [`Journal::round_bytes_max`] bytes of it through a
    /// [`RoundBuilder`].
    pub(crate) fn take_buffer(&mut self) -> AlignedBuf {
        let size = round_bytes_max(self.ring_bytes);
        // Mapped memory: pages that no round ever filled cost nothing.
        self.spare
            .take()
            .unwrap_or_else(|| AlignedBuf::zeroed(size as usize))
    }

    /// Gives back the memory of a round that found nothing to carry.
    pub(crate) fn put_back(&mut self, buf: AlignedBuf) {
        self.spare = Some(buf);
    }

    /// Frees the memory kept for the next round, if none is in flight.
    pub(crate) fn drop_spare(&mut self) {
        self.spare = None;
    }

    /// Closes a round that is to be started next.
    pub(crate) fn seal(&self, builder: RoundBuilder<&mut [u8]>, now: TimestampMs) -> RoundHeader {
        let settled = match self.untaken {
            0 => self.settled,
            _ => self.held_at,
        };
        builder
            .finish(self.identity, self.incarnation, self.chain, settled, now)
            .header
    }

    /// Writes the sealed round in `buf`. `direct_writes` more completions belong to it, each told by
    /// [`Journal::direct_write_done`].
    pub(crate) fn start<R: Ring>(
        &mut self,
        buf: AlignedBuf,
        header: RoundHeader,
        direct_writes: u32,
        is_settle: bool,
        io: &mut Io<'_, R>,
    ) {
        assert!(self.in_flight.is_none(), "one round at a time");
        assert!(
            header.sequence == self.chain.sequence,
            "the round was sealed for another place"
        );
        let File::Open(file) = self.file else {
            panic!("a round needs the journal's file")
        };
        let len = header.padded_len();
        let at = self.chain.place(len, self.ring_bytes);
        let passed_over = if at == self.chain.position {
            0
        } else {
            self.ring_bytes - self.chain.position
        };
        assert!(
            self.live_bytes() + passed_over + len <= self.ring_bytes,
            "the round was sized to fit"
        );
        self.head += passed_over + len;
        self.chain = ChainPoint::after(&header, at);
        self.last_was_settle = is_settle;
        let whole = buf.freeze();
        let slices = vec![whole.subslice(0..len as usize)];
        self.in_flight = Some(RoundInFlight {
            sequence: header.sequence,
            outstanding: match planted::has(Bug::DirectWritesInFlightCovered) {
                true => 1,
                false => 1 + direct_writes,
            },
            whole: Some(whole),
        });
        let op = Op::Write {
            file,
            at,
            slices,
            durable: !planted::has(Bug::RoundNotFlushed),
        };
        io.submit(Meaning::Journal(JournalOp::Written { len }), op);
    }

    /// One of the direct writes of the round in flight completed, well or not: a failed one fences its
    /// partition and holds up nobody else.
    pub(crate) fn direct_write_done(&mut self) -> JournalEvent {
        if planted::has(Bug::DirectWritesInFlightCovered) {
            return JournalEvent::None;
        }
        self.part_done()
    }

    /// One of the direct writes of the round in flight failed; [`Journal::taken_back`] follows once a round says so.
    pub(crate) fn direct_write_failed(&mut self) {
        if self.untaken == 0 {
            self.held_at = self.settled;
        }
        self.untaken += 1;
    }

    /// A completed round took back what a failed direct write was to write.
    pub(crate) fn taken_back(&mut self) {
        self.untaken -= 1;
    }

    pub(crate) fn complete(&mut self, op: JournalOp, completion: Completion) -> JournalEvent {
        match (op, completion.result) {
            (JournalOp::Opened, Ok(Done::Opened { file, .. })) => {
                self.file = File::Open(file);
                JournalEvent::None
            }
            (JournalOp::Written { len }, Ok(Done::Written { n, slices })) if n as u64 == len => {
                drop(slices);
                if let Some(round) = &mut self.in_flight
                    && let Some(whole) = round.whole.take()
                {
                    self.spare = whole.thaw().ok();
                }
                self.part_done()
            }
            (_, Err(error)) => self.fail(error),
            (_, Ok(_)) => self.fail(IoError::new(SHORT_WRITE_ERRNO)),
        }
    }

    /// Opens the file with the shard's own ring.
    pub(crate) fn open<R: Ring>(&mut self, io: &mut Io<'_, R>) {
        if let File::Closed = self.file {
            self.file = File::Opening;
            let options = OpenOptions {
                write: true,
                direct: true,
                ..OpenOptions::default()
            };
            io.submit(
                Meaning::Journal(JournalOp::Opened),
                Op::OpenFile {
                    path: self.path.clone(),
                    options,
                },
            );
        }
    }

    fn part_done(&mut self) -> JournalEvent {
        let failed = self.has_failed();
        let Some(round) = &mut self.in_flight else {
            return JournalEvent::None;
        };
        round.outstanding -= 1;
        if round.outstanding > 0 || failed {
            return JournalEvent::None;
        }
        self.settled = round.sequence;
        self.in_flight = None;
        JournalEvent::RoundDone
    }

    fn fail(&mut self, error: IoError) -> JournalEvent {
        self.file = File::Failed;
        JournalEvent::Failed(error)
    }
}

/// EIO: what a write that stopped in the middle amounts to.
pub(crate) const SHORT_WRITE_ERRNO: i32 = 5;

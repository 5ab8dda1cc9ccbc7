//! A place for what only the journal holds of partitions whose segments failed, so that one bad file never
//! stops the ring.
//!
//! Place: one file beside each journal, made when it is first needed. Its rounds carry nothing but tail
//! records of fenced partitions; a start reads them with the journal.
//!
//! Invariant: the journal lets go of a partition's bytes only when they are durable here, and a checkpoint
//! says from which round of this file on they are.

use std::collections::VecDeque;
use std::path::PathBuf;

use millstream_log::{
    ChainPoint, FilePosition, Incarnation, JournalIdentity, Record, RoundBuilder, RoundSequence, SegmentId,
};
use millstream_protocol::types::TimestampMs;
use millstream_ring::{AlignedBuf, Completion, Done, FileId, IoError, IoErrorKind, Op, OpenOptions, Ring};

use crate::event::LogId;
use crate::journal::SHORT_WRITE_ERRNO;
use crate::limits::BLOCK;
use crate::ops::{Io, Meaning};
use crate::partition_log::PartitionLog;

/// The rescue file of one shard.
pub(crate) struct Rescue {
    path: PathBuf,
    identity: JournalIdentity,
    incarnation: Incarnation,
    file: File,
    /// Exclusive end of what was written.
    end: u64,
    waiting: VecDeque<LogId>,
    /// So many of those that wait, from the first on, have nothing accepted any more that is in no round.
    given_up: usize,
    in_flight: Option<Saving>,
}

#[derive(Clone, Copy)]
enum File {
    Closed,
    Opening,
    Naming(FileId),
    Open(FileId),
    /// The system had no descriptor; asked again after a while.
    Short,
    /// The rescue failed as well: the journal keeps what it has.
    Failed,
}

/// One partition on its way into the file.
struct Saving {
    log: LogId,
    sequence: RoundSequence,
    /// Rounds in flight.
    outstanding: u32,
}

/// The meaning of a rescue's completion.
pub(crate) enum RescueOp {
    Opened,
    Named,
    Written { len: u64 },
    Closed,
}

/// What became of it.
pub(crate) enum RescueEvent {
    None,
    /// What the journal held of this partition is durable in rounds of this sequence.
    Saved {
        log: LogId,
        sequence: RoundSequence,
    },
    Failed(IoError),
}

impl Rescue {
    /// `end`: of the rounds that are in the file already.
    pub(crate) fn new(
        path: PathBuf,
        identity: JournalIdentity,
        incarnation: Incarnation,
        end: u64,
    ) -> Rescue {
        let (file, waiting) = (File::Closed, VecDeque::new());
        Rescue {
            path,
            identity,
            incarnation,
            file,
            end,
            waiting,
            given_up: 0,
            in_flight: None,
        }
    }

    /// A partition was fenced.
    pub(crate) fn ask(&mut self, log: LogId) {
        self.waiting.push_back(log);
    }

    /// The partition whose turn it is to give up what it has accepted and in no round. That waits for nobody's rescue:
    /// the file itself may fail.
    pub(crate) fn next_to_give_up(&self) -> Option<LogId> {
        self.waiting.get(self.given_up).copied()
    }

    /// It has.
    pub(crate) fn has_given_up(&mut self) {
        self.given_up += 1;
    }

    /// Some time went by: a descriptor may be had now.
    pub(crate) fn retry(&mut self) {
        if matches!(self.file, File::Short) {
            self.file = File::Closed;
        }
    }

    /// Goes on with the partition that waits longest. `sequence`: the journal's next round.
    pub(crate) fn pump<'a, R: Ring>(
        &mut self,
        sequence: RoundSequence,
        now: TimestampMs,
        log_of: impl Fn(LogId) -> Option<&'a PartitionLog>,
        io: &mut Io<'_, R>,
    ) {
        let Some(id) = self.waiting.front().copied() else {
            return;
        };
        match self.file {
            File::Closed => {
                self.file = File::Opening;
                let options = OpenOptions {
                    write: true,
                    create: true,
                    direct: true,
                    ..OpenOptions::default()
                };
                let op = Op::OpenFile {
                    path: self.path.clone(),
                    options,
                };
                io.submit(Meaning::Rescue(RescueOp::Opened), op);
            }
            File::Open(file) if self.in_flight.is_none() => {
                // What is in flight still tells what the journal will hold: it is waited for.
                let Some(log) = log_of(id) else {
                    return self.pop();
                };
                if log.in_round.listed || !log.pending.is_empty() {
                    return;
                }
                self.pop();
                self.save(id, log, file, sequence, now, io);
            }
            _ => {}
        }
    }

    pub(crate) fn complete<R: Ring>(
        &mut self,
        op: RescueOp,
        completion: Completion,
        io: &mut Io<'_, R>,
    ) -> RescueEvent {
        match (op, completion.result) {
            (RescueOp::Opened, Ok(Done::Opened { file, .. })) => {
                self.file = File::Naming(file);
                let dir = self
                    .path
                    .parent()
                    .expect("the file is in the data directory")
                    .to_owned();
                io.submit(Meaning::Rescue(RescueOp::Named), Op::SyncDir { path: dir });
                RescueEvent::None
            }
            (RescueOp::Named, Ok(_)) => {
                let File::Naming(file) = self.file else {
                    unreachable!("the name was being synced")
                };
                self.file = File::Open(file);
                RescueEvent::None
            }
            (RescueOp::Written { len }, Ok(Done::Written { n, .. })) if n as u64 == len => self.part_done(),
            (RescueOp::Opened | RescueOp::Named, Err(error))
                if matches!(error.kind(), IoErrorKind::NoDescriptors | IoErrorKind::NoMemory) =>
            {
                if let File::Naming(file) = std::mem::replace(&mut self.file, File::Short) {
                    io.submit(Meaning::Rescue(RescueOp::Closed), Op::CloseFile { file });
                }
                RescueEvent::None
            }
            (RescueOp::Closed, _) => RescueEvent::None,
            (_, result) => {
                self.file = File::Failed;
                RescueEvent::Failed(result.err().unwrap_or(IoError::new(SHORT_WRITE_ERRNO)))
            }
        }
    }

    fn pop(&mut self) {
        self.waiting.pop_front();
        self.given_up = self.given_up.saturating_sub(1);
    }

    fn part_done(&mut self) -> RescueEvent {
        let Some(saving) = &mut self.in_flight else {
            return RescueEvent::None;
        };
        saving.outstanding -= 1;
        if saving.outstanding > 0 {
            return RescueEvent::None;
        }
        let Saving { log, sequence, .. } = self.in_flight.take().expect("just looked at");
        RescueEvent::Saved { log, sequence }
    }

    /// Writes all dirty runs of a log, one round for each piece.
    fn save<R: Ring>(
        &mut self,
        id: LogId,
        log: &PartitionLog,
        file: FileId,
        sequence: RoundSequence,
        now: TimestampMs,
        io: &mut Io<'_, R>,
    ) {
        let mut outstanding = 0;
        for (segment, from, to) in log.dirty.runs() {
            let mut at = from;
            while at < to {
                let end = (at + PIECE).min(to);
                self.write_piece(log, segment, at, end, file, sequence, now, io);
                outstanding += 1;
                at = end;
            }
        }
        if outstanding > 0 {
            self.in_flight = Some(Saving {
                log: id,
                sequence,
                outstanding,
            });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one write, used once")]
    fn write_piece<R: Ring>(
        &mut self,
        log: &PartitionLog,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        file: FileId,
        sequence: RoundSequence,
        now: TimestampMs,
        io: &mut Io<'_, R>,
    ) {
        let room = (to - from + OVERHEAD).next_multiple_of(BLOCK);
        let mut buf = AlignedBuf::zeroed(room as usize);
        let mut builder = RoundBuilder::new(&mut buf[..]);
        let mut position = from;
        log.chunks.bytes(segment, from, to, |bytes| {
            let record = Record::Tail {
                partition: log.key(),
                segment,
                position,
                bytes,
                batches: &[],
            };
            builder.push(&record).expect("the room was counted before");
            position = position + bytes.len() as u64;
        });
        let chain = ChainPoint {
            sequence,
            position: self.end,
            previous_crc: 0,
        };
        let header = builder
            .finish(self.identity, self.incarnation, chain, sequence.previous(), now)
            .header;
        let len = header.padded_len();
        let slices = vec![buf.freeze().subslice(0..len as usize)];
        let op = Op::Write {
            file,
            at: self.end,
            slices,
            durable: true,
        };
        io.submit(Meaning::Rescue(RescueOp::Written { len }), op);
        self.end += len;
    }
}

/// Bytes of one round, headers aside.
const PIECE: u64 = 1 << 20;
/// A round's header, and a record for each block at most.
const OVERHEAD: u64 = 4096 + PIECE / BLOCK * 64;

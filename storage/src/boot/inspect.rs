//! A data directory read to its last byte, and nothing changed: what is whole, and what is not.
//!
//! Place: behind `millstream log verify`. First the look of a start ([`super::look`]), then what a start leaves to the
//! readers: every batch of every segment, held against its checksum, the offsets, the epochs and the index.
//!
//! Invariants: nothing is written; memory is that of a start, a bounded window of the segment being read, and what
//! [`Watch`] keeps.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use millstream_log::{
    BadBytes, BadRange, FilePosition, PartitionKey, RecoveredPartition, Segment, SegmentCheck, SegmentHeader,
    SegmentId, Sidecar, SparseIndex, layout,
};
use millstream_protocol::types::Offset;
use millstream_ring::{AlignedBuf, Done, FileId, Op, Ring};

use super::door::Door;
use super::files::SegmentScan;
use super::look::{Looked, look_through};
use super::partitions::{first_missing, has_file, reason_of};
use super::slots::ConcatBytes;
use super::told::{Finding, Means};
use super::{KnownTopics, TopicFate};
use crate::error::OpenError;
use crate::limits::BLOCK;

/// Who is told while the directory is read.
pub trait Watch {
    fn found(&mut self, finding: Finding);

    /// Bytes of segments that were read, of those that there are.
    fn progress(&mut self, done: u64, of: u64);
}

/// What was read, whole or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The directory was closed in good order.
    pub clean: bool,
    pub journals: usize,
    /// Of the journals, as far as they count.
    pub rounds: u64,
    pub partitions: usize,
    pub segments: u64,
    /// Batches that are what was written.
    pub batches: u64,
    /// Of segments, those that only journals hold included.
    pub bytes: u64,
}

/// Reads everything in `dir`, of which `beside` are names that others than the storage look after.
pub fn inspect<R: Ring>(
    ring: &mut R,
    dir: &Path,
    topics: &dyn KnownTopics,
    beside: &[&str],
    watch: &mut dyn Watch,
) -> Result<Inspected, OpenError> {
    let mut door = Door::to_look(ring);
    let looked = look_through(&mut door, dir, topics, &mut |finding| watch.found(finding))?;
    let scan = SegmentScan::new(&mut door, dir)?;
    let mut inspection = Inspection {
        door,
        dir,
        topics,
        scan,
        watch,
        of: 0,
        inspected: Inspected::default(),
    };
    inspection.names(beside)?;
    inspection.partitions(looked)?;
    Ok(inspection.inspected)
}

struct Inspection<'a, 'r, R> {
    door: Door<'r, R>,
    dir: &'a Path,
    topics: &'a dyn KnownTopics,
    scan: SegmentScan,
    watch: &'a mut dyn Watch,
    /// Bytes of segments that there are to read.
    of: u64,
    inspected: Inspected,
}

/// How a segment's file answers.
struct SegmentFile {
    file: FileId,
    /// Bytes.
    size: u64,
}

impl<R: Ring> Inspection<'_, '_, R> {
    /// What is not ours, or was put aside.
    fn names(&mut self, beside: &[&str]) -> Result<(), OpenError> {
        for entry in self.door.list(self.dir)? {
            let name = entry.name.strip_suffix(super::journals::UNFINISHED);
            let name = name.unwrap_or(&entry.name);
            let folders = [
                layout::IDENTITY,
                layout::LOCK,
                layout::SEGMENTS,
                layout::QUARANTINE,
            ];
            let is_ours = folders.contains(&name) || beside.contains(&name);
            let is_log = matches!(
                layout::FileName::parse(name),
                Some(
                    layout::FileName::Journal(_)
                        | layout::FileName::Checkpoint(..)
                        | layout::FileName::Rescue(_)
                )
            );
            if !is_ours && !is_log {
                self.foreign(entry.name);
            }
        }
        for name in std::mem::take(&mut self.scan.others) {
            self.foreign(name);
        }
        for entry in self
            .door
            .list(&self.dir.join(layout::QUARANTINE))
            .unwrap_or_default()
        {
            let what = "an earlier start found that it belongs to nothing, and moved it here".to_owned();
            let path = format!("{}/{}", layout::QUARANTINE, entry.name);
            self.watch.found(Finding::of_file(path, what, Means::Ignored));
        }
        Ok(())
    }

    fn foreign(&mut self, path: String) {
        let what = "this is none of Millstream's files, or not in its place".to_owned();
        self.watch.found(Finding::of_file(path, what, Means::Ignored));
    }

    fn partitions(&mut self, looked: Looked) -> Result<(), OpenError> {
        let recovered = looked.recovered;
        let partitions = recovered.partitions;
        self.inspected.clean = recovered.clean && !recovered.journals.is_empty();
        self.inspected.journals = recovered
            .journals
            .iter()
            .filter(|journal| !journal.head.retired)
            .count();
        self.inspected.rounds = recovered.journals.iter().map(|journal| journal.rounds).sum();
        self.inspected.partitions = partitions.len();
        let segments = partitions.iter().flat_map(|partition| partition.state.segments());
        self.of = segments.map(|segment| segment.byte_end.get()).sum();
        let mut known: BTreeSet<SegmentId> = recovered.unlinks.into_iter().collect();
        for partition in &partitions {
            known.extend(partition.state.segments().iter().map(|segment| segment.id));
            self.partition(partition)?;
        }
        self.unknown_segments(&known, looked.is_blind)
    }

    fn partition(&mut self, partition: &RecoveredPartition) -> Result<(), OpenError> {
        let (key, offsets) = (partition.state.key(), partition.state.offsets());
        let (start, end) = (offsets.start().get(), offsets.end().get());
        let active = partition.state.active();
        let file = active.map_or_else(
            || layout::journal(partition.home),
            |active| layout::segment(active.id),
        );
        match self.topics.fate(key.topic) {
            TopicFate::Deleted => {
                let what = "its topic was deleted".to_owned();
                let finding = Finding::of_file(file, what, Means::Removed).of_partition(key, start..end);
                self.watch.found(finding);
                return Ok(());
            }
            TopicFate::Unknown => {
                let what = "the cluster's metadata does not know its topic".to_owned();
                let finding = Finding::of_file(file.clone(), what, Means::Unknown);
                self.watch.found(finding.of_partition(key, start..end));
            }
            TopicFate::Live => {}
        }
        if let Some(damage) = partition.damage {
            let file = match damage.reason {
                millstream_log::DamageReason::Segment => file.clone(),
                _ => layout::journal(partition.home),
            };
            let finding = Finding::of_file(file, reason_of(damage).to_owned(), Means::Fenced);
            self.watch
                .found(finding.of_partition(key, damage.at..end.max(damage.at)));
        }
        if let Some(cut) = partition.cut {
            let what =
                "a direct write was under way: it did not complete, and was never acknowledged".to_owned();
            let finding = Finding::of_file(layout::segment(cut.segment), what, Means::Cut)
                .at(layout::SEGMENT_DATA_AT + cut.byte_end.get());
            self.watch.found(finding.of_partition(key, cut.end_offset..end));
        }
        let missing = first_missing(partition, |id| self.scan.sizes.contains_key(&id));
        if let Some(segment) = missing {
            let what = "the file is missing".to_owned();
            let finding = Finding::of_file(layout::segment(segment.id), what, Means::Fenced);
            self.watch
                .found(finding.of_partition(key, segment.base_offset.max(start)..end));
        }
        for segment in partition.state.segments() {
            let mut segment = segment.clone();
            if let Some(cut) = partition.cut {
                if segment.base_offset > cut.end_offset {
                    break;
                }
                if segment.id == cut.segment {
                    (segment.byte_end, segment.end_offset) = (cut.byte_end, cut.end_offset);
                }
            }
            self.segment(partition, &segment)?;
        }
        Ok(())
    }

    fn segment(&mut self, partition: &RecoveredPartition, segment: &Segment) -> Result<(), OpenError> {
        self.inspected.segments += 1;
        let is_here = self.scan.sizes.contains_key(&segment.id);
        let in_file = has_file(partition, segment);
        if segment.byte_end == FilePosition::ZERO || in_file && !is_here {
            return Ok(());
        }
        let sidecar = match &segment.index {
            Some(_) => None,
            None => self.sidecar(partition.state.key(), segment),
        };
        let file = match in_file {
            true => self.open_segment(partition, segment)?,
            false => None,
        };
        if in_file && file.is_none() {
            return Ok(());
        }
        let index = segment.index.as_ref().or(sidecar.as_ref());
        let mut check = SegmentCheck::new(segment, partition.state.epochs(), index);
        let unreadable = self.feed(partition, segment, file.as_ref(), &mut check);
        if let Some(SegmentFile { file, .. }) = file {
            self.door.close(file);
        }
        self.inspected.batches += check.batches();
        if let Err(bad) = check.finish() {
            let size = file.map_or(u64::MAX, |file| file.size);
            for range in bad {
                self.tell_bad(partition, segment, range, size, unreadable);
            }
        }
        Ok(())
    }

    /// Opens a file that holds records of the segment, if it is that segment's.
    fn open_segment(
        &mut self,
        partition: &RecoveredPartition,
        segment: &Segment,
    ) -> Result<Option<SegmentFile>, OpenError> {
        let key = partition.state.key();
        let path = self.dir.join(layout::segment(segment.id));
        let (file, size) = self.door.open(&path, false)?;
        let read = self.door.run(read_op(file, 0, BLOCK));
        let why = match read {
            Ok(Done::Read { buf, n }) => match SegmentHeader::decode(&buf[..n.min(buf.len())]) {
                Ok(header) if header.segment != segment.id => {
                    format!("its header is that of segment {}", header.segment)
                }
                Ok(header) if header.partition != key => {
                    format!("its header is of another partition, {}", header.partition)
                }
                Ok(_) => return Ok(Some(SegmentFile { file, size })),
                Err(error) => format!("its header cannot be read: {error}"),
            },
            Ok(other) => unreachable!("a read completes as a read, not {other:?}"),
            Err(error) => format!("its header cannot be read: {error}"),
        };
        self.door.close(file);
        let start = partition.state.offsets().start().get();
        let means = self.means(partition, segment, segment.byte_end, segment.end_offset);
        let finding = Finding::of_file(layout::segment(segment.id), why, means).at(0);
        let offsets = segment.base_offset.max(start)..segment.end_offset.max(start);
        self.watch.found(finding.of_partition(key, offsets));
        Ok(None)
    }

    /// The index that lies beside the segment, if it is of use.
    fn sidecar(&mut self, key: PartitionKey, segment: &Segment) -> Option<SparseIndex> {
        let path = layout::sidecar(segment.id);
        let whole = self.dir.join(&path);
        let read = self.door.open(&whole, false).and_then(|(file, size)| {
            let bufs = self.door.read_all(&whole, file, size.min(Sidecar::BYTES_MAX));
            self.door.close(file);
            bufs
        });
        let why = match read {
            _ if !self.scan.sidecars.contains(&segment.id) => "it is missing".to_owned(),
            Err(error) => error.to_string(),
            Ok(bufs) => match Sidecar::decode(&bufs.concat_bytes()) {
                Ok(sidecar) if sidecar.segment != segment.id => {
                    format!("it is that of segment {}", sidecar.segment)
                }
                Ok(sidecar) if sidecar.byte_end != segment.byte_end => {
                    format!(
                        "it ends at {} and its segment at {}",
                        sidecar.byte_end, segment.byte_end
                    )
                }
                Ok(sidecar) => return Some(sidecar.index),
                Err(error) => error.to_string(),
            },
        };
        let finding = Finding::of_file(path, format!("the index of a segment: {why}"), Means::Rebuilt);
        self.watch
            .found(finding.of_partition(key, segment.base_offset..segment.end_offset));
        None
    }

    /// Feeds the segment's bytes, those of the journals over those of the file; tells how many blocks the device
    /// could not read.
    fn feed(
        &mut self,
        partition: &RecoveredPartition,
        segment: &Segment,
        file: Option<&SegmentFile>,
        check: &mut SegmentCheck,
    ) -> u64 {
        let mut unreadable = 0;
        while check.position() < segment.byte_end {
            let at = check.position();
            let runs = partition.dirty.iter().filter(|run| run.segment == segment.id);
            let mut runs = runs.filter(|run| run.end() > at);
            let next = runs.next();
            let before = match next {
                Some(run) if run.position <= at => {
                    check.feed(&run.bytes[(at - run.position) as usize..]);
                    None
                }
                Some(run) => Some(run.position.min(segment.byte_end)),
                None => Some(segment.byte_end),
            };
            if let Some(to) = before {
                let to = to.min(at.block_floor() + WINDOW);
                unreadable += self.feed_from_file(at..to, file, check);
            }
            let read = check.position() - at;
            self.inspected.bytes += read;
            self.watch.progress(self.inspected.bytes, self.of);
        }
        unreadable
    }

    fn feed_from_file(
        &mut self,
        range: Range<FilePosition>,
        file: Option<&SegmentFile>,
        check: &mut SegmentCheck,
    ) -> u64 {
        let from = range.start.block_floor();
        let len = range.end.block_ceil() - from;
        let mut bytes = vec![0; len as usize];
        let mut unreadable = 0;
        if let Some(SegmentFile { file, .. }) = file {
            let file = *file;
            let pieces: Vec<(u64, u64)> = (0..len.div_ceil(PIECE))
                .map(|piece| (piece * PIECE, PIECE.min(len - piece * PIECE)))
                .collect();
            let mut failed = Vec::new();
            let data_at = layout::SEGMENT_DATA_AT + from.get();
            let ops = pieces.iter().map(|(at, len)| read_op(file, data_at + at, *len));
            self.door.run_all(ops, |index, result| match result {
                Ok(Done::Read { buf, n }) => {
                    let at = pieces[index].0 as usize;
                    bytes[at..at + n].copy_from_slice(&buf[..n]);
                    // The file ends, or the device stopped in the middle.
                    failed.extend((n < buf.len()).then_some(pieces[index]));
                }
                _ => failed.push(pieces[index]),
            });
            // What of it can be read, block by block.
            for (at, len) in failed {
                for block in (at..at + len).step_by(BLOCK as usize) {
                    match self.door.run(read_op(file, data_at + block, BLOCK)) {
                        Ok(Done::Read { buf, n }) => {
                            let n = n.min(buf.len());
                            bytes[block as usize..block as usize + n].copy_from_slice(&buf[..n]);
                        }
                        _ => unreadable += 1,
                    }
                }
            }
        }
        let skip = (range.start - from) as usize;
        check.feed(&bytes[skip..skip + (range.end - range.start) as usize]);
        unreadable
    }

    fn tell_bad(
        &mut self,
        partition: &RecoveredPartition,
        segment: &Segment,
        range: BadRange,
        file_bytes: u64,
        unreadable: u64,
    ) {
        let start = partition.state.offsets().start().get();
        let at = layout::SEGMENT_DATA_AT + range.from.get();
        let bytes = range.to - range.from;
        let what = match range.why {
            _ if unreadable > 0 => {
                format!(
                    "the device cannot read {unreadable} blocks; {bytes} bytes from here on are not what was written"
                )
            }
            _ if layout::SEGMENT_DATA_AT + range.to.get() > file_bytes => {
                let all = layout::SEGMENT_DATA_AT + segment.byte_end.get();
                format!("the file ends at byte {file_bytes}, and {all} were written")
            }
            BadBytes::Checksum => format!("the checksum of the batch in these {bytes} bytes does not match"),
            BadBytes::Header => format!("these {bytes} bytes are not the batches that were written here"),
            BadBytes::Foreign => {
                format!("these {bytes} bytes are whole batches, but not those that were written here")
            }
        };
        let means = match range.end_offset <= start {
            true => Means::Ignored,
            false => self.means(partition, segment, range.to, range.end_offset),
        };
        let finding = Finding::of_file(layout::segment(segment.id), what, means).at(at);
        let offsets = range.first_offset..range.end_offset;
        self.watch
            .found(finding.of_partition(partition.state.key(), offsets));
    }

    /// A start reads the last block of a log that no journal holds, with the runs of the index that it lies in;
    /// everything else is seen when it is read.
    fn means(
        &self,
        partition: &RecoveredPartition,
        segment: &Segment,
        to: FilePosition,
        end_offset: Offset,
    ) -> Means {
        if end_offset <= partition.state.offsets().start().get() && segment.sealed {
            return Means::Ignored;
        }
        let is_active = partition
            .state
            .active()
            .is_some_and(|active| active.id == segment.id);
        let end = segment.byte_end;
        let in_journal = partition
            .dirty
            .iter()
            .any(|run| run.segment == segment.id && run.end() >= end);
        let block = end.block_floor();
        let first_run = segment.index.as_ref().and_then(|index| {
            let last_runs = index.runs().filter(|run| run.end > block);
            last_runs.map(|run| run.position).min()
        });
        let is_read =
            is_active && !in_journal && !end.is_aligned() && to > first_run.unwrap_or(block).min(block);
        match is_read || partition.damage.is_some() {
            true => Means::Fenced,
            false => Means::FencedWhenRead,
        }
    }

    /// Segment files of which no checkpoint and no journal tells.
    fn unknown_segments(&mut self, known: &BTreeSet<SegmentId>, is_blind: bool) -> Result<(), OpenError> {
        let unknown: Vec<SegmentId> = self
            .scan
            .sizes
            .keys()
            .filter(|id| !known.contains(id))
            .copied()
            .collect();
        for id in unknown {
            let path = layout::segment(id);
            if !is_blind {
                let what =
                    "this segment belongs to nothing that the checkpoints and journals tell of".to_owned();
                self.watch.found(Finding::of_file(path, what, Means::PutAside));
                continue;
            }
            let (file, size) = self.door.open(&self.dir.join(&path), false)?;
            let read = self.door.run(read_op(file, 0, BLOCK));
            self.door.close(file);
            let header = match &read {
                Ok(Done::Read { buf, n }) => SegmentHeader::decode(&buf[..(*n).min(buf.len())]).ok(),
                _ => None,
            };
            let what = "only the lost checkpoint told what of this segment counts".to_owned();
            let finding = Finding::of_file(path, format!("{what} ({size} bytes)"), Means::Refused);
            self.watch.found(Finding {
                partition: header.map(|header| header.partition),
                offsets: header.map(|header| header.base_offset..Offset::MAX),
                ..finding
            });
        }
        let known = |id: &SegmentId| known.contains(id) || is_blind;
        let sidecars: Vec<SegmentId> = self
            .scan
            .sidecars
            .iter()
            .filter(|id| !known(id))
            .copied()
            .collect();
        for id in sidecars {
            let what = "this index belongs to nothing that the checkpoints and journals tell of".to_owned();
            self.watch
                .found(Finding::of_file(layout::sidecar(id), what, Means::PutAside));
        }
        Ok(())
    }
}

fn read_op(file: FileId, at: u64, len: u64) -> Op {
    let len = len as usize;
    Op::Read {
        file,
        at,
        buf: AlignedBuf::zeroed(len),
        len,
    }
}

/// Bytes of a segment in memory at a time, and of one read.
const WINDOW: u64 = 8 << 20;
const PIECE: u64 = 1 << 20;
const _: () = assert!(WINDOW.is_multiple_of(PIECE) && PIECE.is_multiple_of(BLOCK));

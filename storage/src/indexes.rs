//! The indexes of sealed segments: saved beside their segments, let go, loaded at the first touch of a read,
//! and rebuilt where their file is of no use.
//!
//! ```text
//! sealed, all bytes in its file ─► saved ─► said in the checkpoint ─► let go when memory is short
//!                                    ▲                                   │ a read needs it
//!                                 rebuilt ◄── missing, damaged, stale ── loaded ─► in memory again
//! ```
//!
//! Invariants:
//! - An index leaves memory and checkpoint only when its sidecar is durable, name included.
//! - Nothing depends on a sidecar: a bad one costs a line in the log and a walk over its segment.
//! - A rebuild is stepped by the completions of its reads, one segment at a time, a bounded piece a step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_log::{
    FilePosition, IndexRebuild, PartitionState, Segment, SegmentId, Sidecar, SparseIndex, layout,
};
use millstream_protocol::types::Offset;
use millstream_ring::{AlignedBuf, IoError, IoErrorKind};

use crate::cold_pieces::Waiter;
use crate::event::{LogEvent, LogId};
use crate::limits::{REBUILD_BYTES, SIDECAR_LOOKS, SIDECARS_SAVED_AT_ONCE};
use crate::partition_log::PartitionLog;
use crate::segment_files::{FileWork, SegmentFiles};
use crate::shard_logs::{ShardLogs, Shutdown};

/// See the module's page.
pub(crate) struct Indexes {
    /// Indexes that are in memory and in a sidecar.
    loaded: BTreeMap<SegmentId, Loaded>,
    /// The same in the order of loading, walked like a clock's hand; maybe with some that are gone.
    order: VecDeque<SegmentId>,
    bytes: u64,
    bytes_max: u64,
    /// Indexes that reads wait for.
    wanted: BTreeMap<SegmentId, Wanted>,
    /// Those of them that are being rebuilt, the first one now.
    rebuilding: VecDeque<(SegmentId, IndexRebuild)>,
    /// A read for a rebuild is on its way, maybe of one that was given up.
    rebuild_reading: bool,
    /// Logs that may have a segment whose sidecar is to be written.
    to_save: VecDeque<LogId>,
    /// Sidecars being written, and the end of the segment that each is for.
    saving: BTreeMap<SegmentId, (LogId, FilePosition)>,
    /// The disk is full, or there are no descriptors: nothing is written before some time went by.
    paused: bool,
    /// Segments whose sidecar failed as a file: their index stays in memory.
    given_up: BTreeSet<SegmentId>,
}

struct Loaded {
    log: LogId,
    bytes: u64,
    /// Since the clock's hand passed.
    used: bool,
}

struct Wanted {
    log: LogId,
    waiters: Vec<Waiter>,
}

impl Indexes {
    pub(crate) fn new(bytes_max: u64) -> Indexes {
        Indexes {
            loaded: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max,
            wanted: BTreeMap::new(),
            rebuilding: VecDeque::new(),
            rebuild_reading: false,
            to_save: VecDeque::new(),
            saving: BTreeMap::new(),
            paused: false,
            given_up: BTreeSet::new(),
        }
    }

    /// A read needs the index of this segment, which is not in memory; the waiter is told.
    pub(crate) fn want(&mut self, log: LogId, segment: SegmentId, waiter: Waiter, files: &mut SegmentFiles) {
        let wanted = self.wanted.entry(segment).or_insert_with(|| {
            files.load_sidecar(segment);
            Wanted {
                log,
                waiters: Vec::new(),
            }
        });
        if !wanted.waiters.contains(&waiter) {
            wanted.waiters.push(waiter);
        }
    }

    /// A read uses this segment's index.
    pub(crate) fn touch(&mut self, segment: SegmentId) {
        if let Some(loaded) = self.loaded.get_mut(&segment) {
            loaded.used = true;
        }
    }

    /// What could not be written for want of space or descriptors may be tried again.
    pub(crate) fn retry(&mut self) {
        self.paused = false;
    }

    /// The segment left its manifest; tells who waited for its index.
    fn forget(&mut self, segment: SegmentId) -> Vec<Waiter> {
        if let Some(loaded) = self.loaded.remove(&segment) {
            self.bytes -= loaded.bytes;
            self.order.retain(|other| *other != segment);
        }
        self.saving.remove(&segment);
        self.given_up.remove(&segment);
        self.rebuilding.retain(|(other, _)| *other != segment);
        self.wanted
            .remove(&segment)
            .map_or_else(Vec::new, |wanted| wanted.waiters)
    }

    /// An index is in memory and in its sidecar.
    fn note_loaded(&mut self, log: LogId, segment: SegmentId, index: &SparseIndex) {
        let bytes = index.memory_bytes() as u64 + LOADED_BYTES;
        let loaded = Loaded {
            log,
            bytes,
            used: true,
        };
        match self.loaded.insert(segment, loaded) {
            Some(before) => self.bytes -= before.bytes,
            None => self.order.push_back(segment),
        }
        self.bytes += bytes;
    }
}

impl ShardLogs {
    /// Memory of indexes of sealed segments that could be loaded again, in bytes.
    pub fn index_bytes(&self) -> u64 {
        self.indexes.bytes
    }

    /// Looks, when there is time, for indexes of this log that are to be saved.
    pub(crate) fn want_sidecars(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(id)
            && !log.in_save_queue
        {
            log.in_save_queue = true;
            self.indexes.to_save.push_back(id);
        }
    }

    /// Writes sidecars, and lets indexes go that memory has no room for.
    pub(crate) fn step_indexes(&mut self) {
        self.save_indexes();
        self.let_indexes_go();
        self.end_rebuilds();
    }

    fn save_indexes(&mut self) {
        if self.indexes.paused || self.stopped || self.shutdown != Shutdown::No {
            return;
        }
        for _ in 0..SIDECAR_LOOKS {
            if self.indexes.saving.len() >= SIDECARS_SAVED_AT_ONCE {
                return;
            }
            let Some(id) = self.indexes.to_save.pop_front() else {
                return;
            };
            let Some(log) = self.logs.get_mut(id) else {
                continue;
            };
            let busy = |segment| {
                self.indexes.saving.contains_key(&segment) || self.indexes.given_up.contains(&segment)
            };
            let Some((segment, index)) = next_to_save(log, busy) else {
                log.in_save_queue = false;
                continue;
            };
            let sidecar = Sidecar {
                segment: segment.id,
                byte_end: segment.byte_end,
                index: index.clone(),
            };
            let bytes = sidecar.encode();
            let mut buf = AlignedBuf::zeroed(bytes.len());
            buf.copy_from_slice(&bytes);
            self.files.save_sidecar(sidecar.segment, buf.freeze());
            self.indexes
                .saving
                .insert(sidecar.segment, (id, sidecar.byte_end));
            self.indexes.to_save.push_back(id);
        }
    }

    pub(crate) fn sidecar_saved(
        &mut self,
        segment: SegmentId,
        result: Result<(), IoError>,
        events: &mut Vec<LogEvent>,
    ) {
        let Some((id, byte_end)) = self.indexes.saving.remove(&segment) else {
            return;
        };
        let Some(log) = self.logs.get_mut(id) else { return };
        match result {
            Ok(()) => {
                let mut states = [Some(&mut log.state), log.shadow.as_deref_mut()];
                for state in states.iter_mut().flatten() {
                    note_saved(state, segment, byte_end);
                }
                let known = log.state.segment(segment).filter(|known| known.sidecar);
                if let Some(index) = known.and_then(|known| known.index.as_ref()) {
                    self.indexes.note_loaded(id, segment, index);
                }
            }
            Err(error) => {
                let of_the_moment = matches!(
                    error.kind(),
                    IoErrorKind::NoSpace | IoErrorKind::NoDescriptors | IoErrorKind::NoMemory
                );
                if of_the_moment {
                    self.indexes.paused = true;
                    return self.want_sidecars(id);
                }
                self.indexes.given_up.insert(segment);
                let reason = format!(
                    "writing the sidecar index {} failed: {error}; it stays in memory",
                    layout::sidecar(segment)
                );
                events.push(LogEvent::Warning { reason });
            }
        }
    }

    /// Lets indexes go while there are too many, the ones not used lately first.
    fn let_indexes_go(&mut self) {
        let mut looks = 2 * self.indexes.order.len();
        while self.indexes.bytes > self.indexes.bytes_max && looks > 0 {
            looks -= 1;
            let Some(segment) = self.indexes.order.pop_front() else {
                return;
            };
            let Some(loaded) = self.indexes.loaded.get_mut(&segment) else {
                continue;
            };
            if std::mem::take(&mut loaded.used) {
                self.indexes.order.push_back(segment);
                continue;
            }
            let (id, bytes) = (loaded.log, loaded.bytes);
            self.indexes.loaded.remove(&segment);
            self.indexes.bytes -= bytes;
            if let Some(log) = self.logs.get_mut(id) {
                log.state.unload_index(segment);
                if let Some(shadow) = &mut log.shadow {
                    shadow.unload_index(segment);
                }
            }
        }
    }

    pub(crate) fn sidecar_loaded(
        &mut self,
        segment: SegmentId,
        result: Result<(AlignedBuf, usize), IoError>,
        events: &mut Vec<LogEvent>,
    ) {
        let Some(wanted) = self.indexes.wanted.get(&segment) else {
            return;
        };
        let id = wanted.log;
        let state = self.logs.get(id).map(|log| &log.state);
        let known = state.and_then(|state| Some((state.segment(segment)?, state.epochs())));
        let Some((known, epochs)) = known.filter(|(known, _)| known.index.is_none()) else {
            return self.wake_for(segment);
        };
        let bad = match result {
            Ok((buf, n)) => match Sidecar::decode(&buf[..n]) {
                Ok(sidecar) if sidecar.segment == segment && sidecar.byte_end == known.byte_end => {
                    return self.take_index(id, segment, sidecar.index, true);
                }
                Ok(sidecar) if sidecar.segment != segment => format!("is that of {}", sidecar.segment),
                Ok(sidecar) => format!("ends at {} and not at {}", sidecar.byte_end, known.byte_end),
                Err(error) => format!("is damaged: {error}"),
            },
            Err(error) => match error.kind() {
                // The sidecar is not to blame; whoever asks again finds it later.
                IoErrorKind::NoDescriptors | IoErrorKind::NoMemory => return self.fail_for(segment, error),
                IoErrorKind::NotFound => "is missing".to_owned(),
                _ => format!("cannot be read: {error}"),
            },
        };
        let rebuild = IndexRebuild::new(known, epochs);
        self.indexes.rebuilding.push_back((segment, rebuild));
        let reason = format!(
            "the sidecar index {} {bad}; it is rebuilt",
            layout::sidecar(segment)
        );
        events.push(LogEvent::Warning { reason });
        self.ask_for_rebuild();
    }

    /// An orderly end waits for no rebuild.
    fn end_rebuilds(&mut self) {
        if self.shutdown == Shutdown::No {
            return;
        }
        while let Some((segment, _)) = self.indexes.rebuilding.pop_front() {
            self.fail_for(segment, IoError::new(EAGAIN));
        }
    }

    /// Asks for the next bytes of the segment whose index is being rebuilt.
    fn ask_for_rebuild(&mut self) {
        let Some((segment, rebuild)) = self.indexes.rebuilding.front() else {
            return;
        };
        if std::mem::replace(&mut self.indexes.rebuild_reading, true) {
            return;
        }
        let (segment, at) = (*segment, rebuild.position());
        let len = REBUILD_BYTES.min(rebuild.byte_end().block_ceil() - at) as usize;
        self.files.ask(
            segment,
            FileWork::Read {
                at,
                buf: AlignedBuf::zeroed(len),
                tag: REBUILD_TAG,
            },
        );
    }

    /// The next bytes of the segment whose index is being rebuilt.
    pub(crate) fn rebuild_read(
        &mut self,
        segment: SegmentId,
        result: Result<(AlignedBuf, usize), IoError>,
        events: &mut Vec<LogEvent>,
    ) {
        self.indexes.rebuild_reading = false;
        let current = self.indexes.rebuilding.front_mut();
        let Some((_, rebuild)) = current.filter(|(current, _)| *current == segment) else {
            // The segment went meanwhile.
            return self.ask_for_rebuild();
        };
        let fed = match result {
            Ok((buf, n)) if n > 0 => rebuild.feed(&buf[..n]),
            // The file ends before bytes that were durable in it.
            Ok(_) => return self.end_rebuild(Err(IoError::new(EIO)), events),
            Err(error) => return self.end_rebuild(Err(error), events),
        };
        match fed {
            Ok(()) if !rebuild.is_done() && !rebuild.position().is_aligned() => {
                self.end_rebuild(Err(IoError::new(EIO)), events)
            }
            Ok(()) if !rebuild.is_done() => self.ask_for_rebuild(),
            Ok(()) => self.end_rebuild(Ok(None), events),
            Err(damage) => self.end_rebuild(Ok(Some(damage.at)), events),
        }
    }

    /// Takes in what the rebuild came to, and goes on with the next one.
    fn end_rebuild(&mut self, end: Result<Option<Offset>, IoError>, events: &mut Vec<LogEvent>) {
        let (segment, rebuild) = self
            .indexes
            .rebuilding
            .pop_front()
            .expect("a rebuild that ends was under way");
        let Some(wanted) = self.indexes.wanted.get(&segment) else {
            unreachable!("a rebuild is wanted until it ends")
        };
        let id = wanted.log;
        match end {
            Err(error) => self.fail_for(segment, error),
            Ok(damaged_at) => {
                if let Some(at) = damaged_at {
                    let why = |key| format!("segment {segment} of partition {key} is damaged at offset {at}");
                    self.fence_from(id, at, why, events);
                }
                // Of a damaged segment the index ends where the damage begins: what lies before it is served.
                self.take_index(id, segment, rebuild.finish(), false);
            }
        }
        self.ask_for_rebuild();
    }

    /// Gives a segment its index back. One that did not come out of a sidecar is to be saved.
    fn take_index(&mut self, id: LogId, segment: SegmentId, index: SparseIndex, saved: bool) {
        if let Some(log) = self.logs.get_mut(id) {
            let mut states = [Some(&mut log.state), log.shadow.as_deref_mut()];
            for state in states.iter_mut().flatten() {
                state.load_index(segment, index.clone());
                if !saved {
                    state.sidecar_lost(segment);
                }
            }
            if saved {
                self.indexes.note_loaded(id, segment, &index);
            } else {
                self.want_sidecars(id);
            }
        }
        self.wake_for(segment);
    }

    /// The segment left its manifest.
    pub(crate) fn forget_index(&mut self, segment: SegmentId) {
        for waiter in self.indexes.forget(segment) {
            self.reads.wake(waiter);
        }
    }

    fn wake_for(&mut self, segment: SegmentId) {
        if let Some(wanted) = self.indexes.wanted.remove(&segment) {
            wanted
                .waiters
                .into_iter()
                .for_each(|waiter| self.reads.wake(waiter));
        }
    }

    fn fail_for(&mut self, segment: SegmentId, error: IoError) {
        if let Some(wanted) = self.indexes.wanted.remove(&segment) {
            for waiter in wanted.waiters {
                self.reads.fail(waiter, error);
            }
        }
    }
}

/// The next segment of the log whose index is to be saved: sealed, durably, with all its bytes in its file.
fn next_to_save(log: &PartitionLog, busy: impl Fn(SegmentId) -> bool) -> Option<(&Segment, &SparseIndex)> {
    let durable = log
        .manifest_durable
        .filter(|_| log.damage.is_none() && !log.state.is_removed())?;
    log.state.segments().iter().find_map(|segment| {
        let whole = segment.written == segment.byte_end && !segment.is_empty();
        let due = segment.sealed && segment.id < durable && whole && !segment.sidecar && !busy(segment.id);
        let index = segment.index.as_ref().filter(|_| due)?;
        Some((segment, index))
    })
}

/// A sidecar that ends where the segment does is durable. (A cut may have ended it elsewhere meanwhile, and a
/// shadow may not know the seal yet.)
fn note_saved(state: &mut PartitionState, segment: SegmentId, byte_end: FilePosition) {
    let known = state.segment(segment);
    if known.is_some_and(|known| known.sealed && known.byte_end == byte_end) {
        state.sidecar_written(segment);
    }
}

/// The tag of reads for a rebuild; pieces of cold reads have small ones.
pub(crate) const REBUILD_TAG: u64 = u64::MAX;
/// What a loaded index takes besides its runs, about.
const LOADED_BYTES: u64 = 128;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;

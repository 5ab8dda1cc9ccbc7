//! The shard's segment files: made, opened, filled, read and removed through the ring.
//!
//! Place: below the partitions; it knows files, positions and bytes, and nothing of offsets. Work is asked
//! for at any time and submitted by [`SegmentFiles::pump`].
//!
//! Invariants:
//! - A file takes data only once its header is durable and its directory entry is.
//! - A file that should hold data is used only after its header said that it is this segment's, each time that it
//!   is opened: bytes of another file under this name are never served, nor written over.
//! - Data is written only into space that was reserved before, so a full disk shows at the reservation,
//!   where nothing is lost by waiting.
//! - Open descriptors are bounded; a file with work in flight is not closed. Where the system has none left,
//!   writes wait, reads are refused for the moment, and no file is blamed.
//! - A file counts as removed only when that is durable.

mod descriptors;
mod event;
mod making;
mod names;
mod short;
mod sidecars;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use millstream_log::planted::{self, Bug};
use millstream_log::{FilePosition, SegmentHeader, SegmentId, layout};
use millstream_ring::{AlignedBuf, Completion, Done, FileId, IoError, Op, Ring, Slice};

pub(crate) use self::event::{FileEvent, ReadResult};
use self::making::reserve;
use self::names::{FolderNames, NameChange};
use self::short::ShortFiles;
use self::sidecars::{SidecarFiles, SidecarOp};
use crate::limits::DESCRIPTOR_LOOKS;
use crate::ops::{Io, Meaning};

/// All segment files of one shard that were touched or are known to exist.
pub(crate) struct SegmentFiles {
    /// The data directory.
    dir: PathBuf,
    /// A tree: a table that grows moves all of its files in one turn, which with ten thousand is a millisecond.
    files: BTreeMap<SegmentId, SegmentFile>,
    /// Files that may have something to submit.
    ready: Vec<SegmentId>,
    /// Files with a descriptor, in the order of opening; walked like a clock's hand when one must go.
    open: VecDeque<SegmentId>,
    open_max: usize,
    names: BTreeMap<u8, FolderNames>,
    /// Files that wait for a descriptor.
    crowded: BTreeSet<SegmentId>,
    /// Files that the hand may still pass in this turn.
    looks_left: usize,
    /// Files that the hand passed since it found one.
    looks_in_vain: usize,
    /// The system refused a descriptor: none is asked for before one was given back, or some time went by.
    short_of_descriptors: bool,
    short: ShortFiles,
    /// Files that wait for disk space.
    starved: Vec<SegmentId>,
    /// Files whose removal failed, and removals that could not be made durable: to be tried again.
    unremoved: Vec<SegmentId>,
    unsynced: Vec<SegmentId>,
    /// Files whose making failed: none is asked for before some time went by.
    unmade: Vec<SegmentId>,
    sidecars: SidecarFiles,
}

/// One segment file.
struct SegmentFile {
    descriptor: Descriptor,
    stage: Stage,
    /// Its making failed a moment ago.
    making_failed: bool,
    /// What the file begins with, where that is known.
    header: Option<SegmentHeader>,
    /// Exclusive end of the space reserved in the file.
    reserved_end: u64,
    /// Space is wanted up to here; exclusive.
    wanted_end: u64,
    /// It would be of use up to here; exclusive.
    hoped_end: u64,
    reservation: Reservation,
    /// Work submitted and not completed; opening and closing aside.
    in_flight: u32,
    waiting: VecDeque<FileWork>,
    /// Used since the clock's hand passed.
    used: bool,
    /// Writes that go straight to it are to come.
    wants_open: bool,
    /// The last attempt to open it found no descriptor.
    refused: bool,
    /// The file system takes no writes any more: it is opened for reads alone, as long as nothing else is wanted.
    read_only: bool,
    removal: Removal,
    /// That its removal failed was told.
    removal_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Descriptor {
    Closed,
    Opening,
    /// Its header is to be looked at.
    Unchecked(FileId),
    Checking(FileId),
    /// Of no use; to be closed.
    Bad(FileId),
    Open(FileId),
    Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reservation {
    None,
    /// The disk did not have what lies ahead as well: no more than is wanted is asked for.
    Modest,
    InFlight,
    /// The disk was full; nobody asks again before space may have returned.
    Starved,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    No,
    Wanted,
    /// The segment's own name is gone.
    WantedOfSidecar,
    Unlinking,
}

/// How far the making of the file is.
enum Stage {
    /// The name may not exist, or the header may not be whole. Nobody asked for the file to take data yet.
    Absent,
    /// To be made, with this header.
    Wanted { header: Slice },
    /// The file is there with data; its header is to be looked at, and its name made durable.
    Confirming,
    /// The header is being written.
    WritingHeader,
    /// Waiting for the directory.
    SyncingName,
    /// Header and name are durable.
    Made,
}

/// What is asked of a file. `tag` comes back with the end.
pub(crate) enum FileWork {
    /// Durable write of `len` bytes, whole blocks.
    Write {
        at: FilePosition,
        slices: Vec<Slice>,
        len: u64,
        tag: u64,
    },
    /// Read of whole blocks into all of `buf`, up to the end of the file.
    Read {
        at: FilePosition,
        buf: AlignedBuf,
        tag: u64,
    },
    /// Give back what is reserved behind a sealed segment's end.
    Trim { end: FilePosition },
}

/// The meaning of a segment file's completion.
pub(crate) enum FileOp {
    Opened(SegmentId),
    Closed(SegmentId),
    HeaderRead(SegmentId),
    Header(SegmentId),
    Reserved { segment: SegmentId, end: u64 },
    Written { segment: SegmentId, len: u64, tag: u64 },
    Read { segment: SegmentId, tag: u64 },
    Trimmed(SegmentId),
    Unlinked(SegmentId),
    SidecarUnlinked(SegmentId),
    NamesSynced { folder: u8 },
    Sidecar { segment: SegmentId, op: SidecarOp },
}

impl SegmentFiles {
    /// `dir` is the data directory; its folders of segments exist, durably.
    pub(crate) fn new(dir: PathBuf, open_max: usize) -> SegmentFiles {
        SegmentFiles {
            dir,
            files: BTreeMap::new(),
            ready: Vec::new(),
            open: VecDeque::new(),
            open_max,
            names: BTreeMap::new(),
            crowded: BTreeSet::new(),
            looks_left: DESCRIPTOR_LOOKS,
            looks_in_vain: 0,
            short_of_descriptors: false,
            short: ShortFiles::default(),
            starved: Vec::new(),
            unremoved: Vec::new(),
            unsynced: Vec::new(),
            unmade: Vec::new(),
            sidecars: SidecarFiles::default(),
        }
    }

    /// Files with a descriptor.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// A file found on the disk at the start, and what it begins with if it holds data. A power cut may have left
    /// holes in what was reserved of it, so nothing of it counts as reserved before that is asked for again.
    pub(crate) fn found(&mut self, header: SegmentHeader) {
        let mut file = SegmentFile::new();
        file.header = Some(header);
        self.files.insert(header.segment, file);
    }

    /// Makes the file, unless that has happened, is under way, or has failed since
    /// [`SegmentFiles::retry_failed`]. Its manifest record is durable. `holds_data`: it
    /// is there since an earlier run; its header is looked at and left as it is.
    pub(crate) fn make(&mut self, header: SegmentHeader, holds_data: bool) {
        let segment = header.segment;
        let file = self.files.entry(segment).or_insert_with(SegmentFile::new);
        if matches!(file.stage, Stage::Absent) && !file.making_failed {
            file.header = Some(header);
            file.stage = if holds_data {
                Stage::Confirming
            } else {
                Stage::Wanted {
                    header: block_of(&header),
                }
            };
            self.ready.push(segment);
        }
    }

    /// Asks for space up to `end` in an open file, which a write waits for.
    pub(crate) fn want_space(&mut self, segment: SegmentId, end: FilePosition) {
        self.want(segment, |file| {
            file.wanted_end = file.wanted_end.max(in_file(end))
        });
    }

    /// Asks for space up to `end` in an open file where the disk has it, so that writes to come need not wait.
    pub(crate) fn hope_for_space(&mut self, segment: SegmentId, end: FilePosition) {
        self.want(segment, |file| file.hoped_end = file.hoped_end.max(in_file(end)));
    }

    fn want(&mut self, segment: SegmentId, more: impl FnOnce(&mut SegmentFile)) {
        if let Some(file) = self.files.get_mut(&segment) {
            more(file);
            let closed = file.descriptor == Descriptor::Closed && !matches!(file.stage, Stage::Absent);
            file.wants_open |= closed;
            if closed || file.wanted_end.max(file.hoped_end) > file.reserved_end {
                self.ready.push(segment);
            }
        }
    }

    /// Whether the file takes data up to `end` without waiting for space or for a descriptor.
    pub(crate) fn has_space(&self, segment: SegmentId, end: FilePosition) -> bool {
        self.files.get(&segment).is_some_and(|file| {
            let open = matches!(file.descriptor, Descriptor::Open(_));
            open && matches!(file.stage, Stage::Made) && in_file(end) <= file.reserved_end
        })
    }

    /// Whether the file takes data.
    pub(crate) fn is_made(&self, segment: SegmentId) -> bool {
        self.files
            .get(&segment)
            .is_some_and(|file| matches!(file.stage, Stage::Made))
    }

    /// Whether its making can begin: it has not, nor has it failed a moment ago.
    pub(crate) fn can_be_made(&self, segment: SegmentId) -> bool {
        self.files
            .get(&segment)
            .is_none_or(|file| matches!(file.stage, Stage::Absent) && !file.making_failed)
    }

    /// Asks for work on a file that exists.
    pub(crate) fn ask(&mut self, segment: SegmentId, work: FileWork) {
        let file = self.files.entry(segment).or_insert_with(SegmentFile::new);
        file.waiting.push_back(work);
        self.ready.push(segment);
    }

    /// Removes the file and its sidecar once their work in flight is done; [`FileEvent::Removed`] follows. Work
    /// that waits ends with an error, and none is asked after.
    pub(crate) fn remove(&mut self, segment: SegmentId, events: &mut Vec<FileEvent>) {
        self.files.entry(segment).or_insert_with(SegmentFile::new).removal = Removal::Wanted;
        self.fail_waiting(segment, IoError::new(ENOENT), events);
        self.forget_sidecar(segment, events);
    }

    /// Space may have returned: reservations that failed are tried again.
    pub(crate) fn retry_starved(&mut self) {
        for segment in std::mem::take(&mut self.starved) {
            if let Some(file) = self.files.get_mut(&segment) {
                file.reservation = Reservation::None;
                self.ready.push(segment);
            }
        }
    }

    /// Some time went by: what failed for want of descriptors, and files whose making or removal failed, are tried
    /// again.
    pub(crate) fn retry_failed(&mut self) {
        self.short_of_descriptors = false;
        for segment in std::mem::take(&mut self.unmade) {
            if let Some(file) = self.files.get_mut(&segment) {
                file.making_failed = false;
            }
        }
        for segment in std::mem::take(&mut self.unsynced) {
            self.name_changed(segment, NameChange::Removed);
        }
        self.ready.append(&mut self.unremoved);
    }

    /// A file waits for a descriptor, and the hand has not been round all others yet.
    pub(crate) fn has_step(&self) -> bool {
        !self.crowded.is_empty() && !self.short_of_descriptors && self.looks_in_vain < 2 * self.open.len()
    }

    /// Submits what was asked for and can go on.
    pub(crate) fn pump<R: Ring>(&mut self, io: &mut Io<'_, R>) {
        self.looks_left = DESCRIPTOR_LOOKS;
        self.pump_crowded(io);
        while let Some(segment) = self.ready.pop() {
            self.pump_file(segment, io);
        }
        self.pump_sidecars(io);
        self.sync_names(io);
    }

    pub(crate) fn complete(&mut self, op: FileOp, completion: Completion, events: &mut Vec<FileEvent>) {
        match op {
            FileOp::Opened(segment) => self.opened(segment, completion.result, events),
            FileOp::Closed(segment) => {
                self.file(segment).descriptor = Descriptor::Closed;
                self.short_of_descriptors = false;
                self.ready.push(segment);
            }
            FileOp::HeaderRead(segment) => self.header_read(segment, completion.result, events),
            FileOp::Header(segment) => self.header_written(segment, completion.result, events),
            FileOp::Reserved { segment, end } => self.reserved(segment, end, completion.result, events),
            FileOp::Written { segment, len, tag } => {
                self.done(segment);
                let result = match completion.result {
                    Ok(Done::Written { n, .. }) if n as u64 == len => Ok(()),
                    // A short write says that the device or the file system gave up in the middle.
                    Ok(_) => Err(IoError::new(EIO)),
                    Err(error) => Err(error),
                };
                events.push(FileEvent::Written {
                    segment,
                    tag,
                    len,
                    result,
                });
            }
            FileOp::Read { segment, tag } => {
                self.done(segment);
                let result = completion.result.map(|done| match done {
                    Done::Read { buf, n } => (buf, n),
                    other => unreachable!("a read completes as a read, not {other:?}"),
                });
                events.push(FileEvent::Read { segment, tag, result });
            }
            // Space that could not be given back is only space.
            FileOp::Trimmed(segment) => self.done(segment),
            FileOp::Unlinked(segment) => self.unlinked(segment, completion.result, events),
            FileOp::SidecarUnlinked(segment) => self.sidecar_unlinked(segment, completion.result, events),
            FileOp::Sidecar { segment, op } => self.complete_sidecar(segment, op, completion, events),
            FileOp::NamesSynced { folder } => self.names_synced(folder, completion.result, events),
        }
    }

    /// Where one finds no descriptor the others would find none either: they are left for the next turn.
    fn pump_crowded<R: Ring>(&mut self, io: &mut Io<'_, R>) {
        for _ in 0..DESCRIPTOR_LOOKS {
            let Some(segment) = self.crowded.pop_first() else {
                return;
            };
            self.pump_file(segment, io);
            if self.crowded.contains(&segment) {
                return;
            }
        }
    }

    fn pump_file<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
        let Some(file) = self.files.get_mut(&segment) else {
            return;
        };
        if file.removal != Removal::No {
            return self.pump_removal(segment, io);
        }
        match file.descriptor {
            Descriptor::Open(id) if file.read_only && file.wants_work() && !file.wants_reads_only() => {
                self.give_up_reading(segment, id, io);
            }
            Descriptor::Open(id) => self.pump_open(segment, id, io),
            Descriptor::Unchecked(id) => self.check_header(segment, id, io),
            Descriptor::Bad(id) => self.close(segment, id, io),
            Descriptor::Closed if file.wants_work() && !file.waits_for_space() => self.open(segment, io),
            _ => {}
        }
    }

    /// Submits the making of the file, the next reservation, and all work in front that can go.
    fn pump_open<R: Ring>(&mut self, segment: SegmentId, id: FileId, io: &mut Io<'_, R>) {
        let file = self.files.get_mut(&segment).expect("pumped files exist");
        file.used = true;
        file.wants_open = false;
        if matches!(file.stage, Stage::Confirming) {
            file.stage = Stage::SyncingName;
            return self.name_changed(segment, NameChange::Made);
        }
        if matches!(file.stage, Stage::Wanted { .. }) {
            let Stage::Wanted { header } = std::mem::replace(&mut file.stage, Stage::WritingHeader) else {
                unreachable!("checked above");
            };
            file.in_flight += 1;
            let op = Op::Write {
                file: id,
                at: 0,
                slices: vec![header],
                durable: true,
            };
            io.submit(Meaning::File(FileOp::Header(segment)), op);
        }
        let made = matches!(file.stage, Stage::Made);
        // What needs space that the file does not have waits, and nothing overtakes it but reads: they go on while
        // the disk is full.
        let mut blocked = false;
        let mut next = 0;
        while let Some(work) = file.waiting.get(next) {
            let goes = match work {
                FileWork::Read { .. } => true,
                FileWork::Trim { .. } => !blocked,
                FileWork::Write { at, len, .. } => {
                    let end = in_file(*at) + len;
                    file.wanted_end = file.wanted_end.max(end);
                    !blocked && made && end <= file.reserved_end
                }
            };
            if !goes {
                blocked = true;
                next += 1;
                continue;
            }
            let work = file.waiting.remove(next).expect("looked at above");
            file.in_flight += 1;
            submit_work(segment, id, work, io);
        }
        if made && !file.read_only && file.wanted_end.max(file.hoped_end) > file.reserved_end {
            reserve(segment, file, id, io);
        }
    }

    fn done(&mut self, segment: SegmentId) {
        self.file(segment).in_flight -= 1;
        self.looks_in_vain = 0;
        self.ready.push(segment);
    }

    fn file(&mut self, segment: SegmentId) -> &mut SegmentFile {
        self.files
            .get_mut(&segment)
            .expect("a file with work in flight is known")
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.dir.join(layout::segment(segment))
    }
}

impl SegmentFile {
    fn new() -> SegmentFile {
        SegmentFile {
            descriptor: Descriptor::Closed,
            stage: Stage::Absent,
            making_failed: false,
            header: None,
            reserved_end: 0,
            wanted_end: 0,
            hoped_end: 0,
            reservation: Reservation::None,
            in_flight: 0,
            waiting: VecDeque::new(),
            used: false,
            wants_open: false,
            refused: false,
            read_only: false,
            removal: Removal::No,
            removal_failed: false,
        }
    }

    /// Something is to be done that needs it open.
    fn wants_work(&self) -> bool {
        let wants_space = self.wanted_end > self.reserved_end && self.reservation != Reservation::Starved;
        matches!(self.stage, Stage::Wanted { .. } | Stage::Confirming)
            || !self.waiting.is_empty()
            || self.wants_open
            || (matches!(self.stage, Stage::Made) && wants_space)
    }

    /// All that is to be done waits for space on the disk: it needs no descriptor meanwhile.
    fn waits_for_space(&self) -> bool {
        let reads = self
            .waiting
            .iter()
            .any(|work| matches!(work, FileWork::Read { .. }));
        let made = matches!(self.stage, Stage::Made);
        made && self.reservation == Reservation::Starved && !reads
    }

    /// Nothing goes on in it, nothing is to.
    fn is_idle(&self) -> bool {
        let open = matches!(self.descriptor, Descriptor::Open(_));
        open && self.in_flight == 0 && (!self.wants_work() || self.waits_for_space())
    }
}

fn submit_work<R: Ring>(segment: SegmentId, id: FileId, work: FileWork, io: &mut Io<'_, R>) {
    match work {
        FileWork::Write { at, slices, len, tag } => {
            let unflushed = match tag >> 62 {
                0 => Bug::DirectWriteNotFlushed,
                _ => Bug::WriteBehindNotFlushed,
            };
            let op = Op::Write {
                file: id,
                at: in_file(at),
                slices,
                durable: !planted::has(unflushed),
            };
            io.submit(Meaning::File(FileOp::Written { segment, len, tag }), op);
        }
        FileWork::Read { at, buf, tag } => {
            let op = Op::Read {
                file: id,
                at: in_file(at),
                len: buf.len(),
                buf,
            };
            io.submit(Meaning::File(FileOp::Read { segment, tag }), op);
        }
        FileWork::Trim { end } => {
            let len = in_file(end.block_ceil());
            io.submit(
                Meaning::File(FileOp::Trimmed(segment)),
                Op::Truncate { file: id, len },
            );
        }
    }
}

/// The file's first block.
fn block_of(header: &SegmentHeader) -> Slice {
    let bytes = header.encode();
    let mut block = AlignedBuf::zeroed(bytes.len());
    block.copy_from_slice(&bytes);
    block.freeze()
}

/// Where a segment's byte lies in its file.
fn in_file(position: FilePosition) -> u64 {
    layout::SEGMENT_DATA_AT + position.get()
}

const ENOENT: i32 = 2;
/// What a write that stopped in the middle amounts to, and what work on a file of no use ends with.
const EIO: i32 = 5;

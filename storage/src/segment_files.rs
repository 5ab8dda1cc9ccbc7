//! The shard's segment files: made, opened, filled, read and removed through the ring.
//!
//! Place: below the partitions; it knows files, positions and bytes, and nothing of offsets. Work is asked
//! for at any time and submitted by [`SegmentFiles::pump`].
//!
//! Invariants:
//! - A file takes data only once its header is durable and its directory entry is.
//! - Data is written only into space that was reserved before, so a full disk shows at the reservation,
//!   where nothing is lost by waiting.
//! - Open descriptors are bounded; a file with work in flight is not closed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;

use millstream_log::{FilePosition, SegmentId, layout};
use millstream_ring::{
    AlignedBuf, AllocateMode, Completion, Done, FileId, IoError, IoErrorKind, Op, OpenOptions, Ring, Slice,
};

use crate::limits::{BLOCK, RESERVE_BYTES_MAX, RESERVE_BYTES_MIN};
use crate::ops::{Io, Meaning};

/// All segment files of one shard that were touched or are known to exist.
pub(crate) struct SegmentFiles {
    /// The data directory.
    dir: PathBuf,
    files: HashMap<SegmentId, SegmentFile>,
    /// Files that may have something to submit.
    ready: Vec<SegmentId>,
    /// Files with a descriptor, in the order of opening; walked like a clock's hand when one must go.
    open: VecDeque<SegmentId>,
    open_max: usize,
    names: BTreeMap<u8, FolderNames>,
    /// Files that wait for a descriptor.
    crowded: Vec<SegmentId>,
    /// Files that wait for disk space.
    starved: Vec<SegmentId>,
}

/// One segment file.
struct SegmentFile {
    descriptor: Descriptor,
    stage: Stage,
    /// Exclusive end of the space reserved in the file.
    reserved_end: u64,
    /// Space is wanted up to here; exclusive.
    wanted_end: u64,
    reservation: Reservation,
    /// Work submitted and not completed; opening and closing aside.
    in_flight: u32,
    waiting: VecDeque<FileWork>,
    /// Used since the clock's hand passed.
    used: bool,
    removal: Removal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Descriptor {
    Closed,
    Opening,
    Open(FileId),
    Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reservation {
    None,
    InFlight,
    /// The disk was full; nobody asks again before space may have returned.
    Starved,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    No,
    Wanted,
    Unlinking,
}

/// How far the making of the file is.
enum Stage {
    /// The name may not exist, or the header may not be whole. Nobody asked for the file to take data yet.
    Absent,
    /// To be made, with this header.
    Wanted { header: Slice },
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
    /// Read of whole blocks, up to the end of the file.
    Read { at: FilePosition, len: usize, tag: u64 },
    /// Give back what is reserved behind a sealed segment's end.
    Trim { end: FilePosition },
}

/// What became of it.
pub(crate) enum FileEvent {
    /// The file could not be made.
    MakeFailed { segment: SegmentId, error: IoError },
    Written {
        segment: SegmentId,
        tag: u64,
        len: u64,
        result: Result<(), IoError>,
    },
    Read {
        segment: SegmentId,
        tag: u64,
        result: Result<(AlignedBuf, usize), IoError>,
    },
    /// The name is gone, durably.
    Removed(SegmentId),
    /// A reservation found the disk full; its writes wait for [`SegmentFiles::retry_starved`].
    NoSpace,
}

/// The meaning of a segment file's completion.
pub(crate) enum FileOp {
    Opened(SegmentId),
    Closed(SegmentId),
    Header(SegmentId),
    Reserved { segment: SegmentId, end: u64 },
    Written { segment: SegmentId, len: u64, tag: u64 },
    Read { segment: SegmentId, tag: u64 },
    Trimmed(SegmentId),
    Unlinked(SegmentId),
    NamesSynced { folder: u8 },
}

/// The changed names of one folder: one sync at a time; whoever comes meanwhile waits for the next.
#[derive(Default)]
struct FolderNames {
    syncing: Vec<(SegmentId, NameChange)>,
    changed: Vec<(SegmentId, NameChange)>,
}

#[derive(Clone, Copy)]
enum NameChange {
    Made,
    Removed,
}

impl SegmentFiles {
    /// `dir` is the data directory; its folders of segments exist, durably.
    pub(crate) fn new(dir: PathBuf, open_max: usize) -> SegmentFiles {
        SegmentFiles {
            dir,
            files: HashMap::new(),
            ready: Vec::new(),
            open: VecDeque::new(),
            open_max,
            names: BTreeMap::new(),
            crowded: Vec::new(),
            starved: Vec::new(),
        }
    }

    /// A file found on the disk at the start. A power cut may have left holes in what was reserved of it, so nothing of
    /// it counts as reserved before that is asked for again.
    pub(crate) fn found(&mut self, segment: SegmentId) {
        self.files.insert(segment, SegmentFile::new());
    }

    /// Makes the file, unless that has happened or is under way. Its manifest record is durable.
    pub(crate) fn make(&mut self, segment: SegmentId, header: impl FnOnce() -> Slice) {
        let file = self.files.entry(segment).or_insert_with(SegmentFile::new);
        if matches!(file.stage, Stage::Absent) {
            file.stage = Stage::Wanted { header: header() };
            self.ready.push(segment);
        }
    }

    /// Asks for space up to `end`, so that writes need not wait for it.
    pub(crate) fn want_space(&mut self, segment: SegmentId, end: FilePosition) {
        if let Some(file) = self.files.get_mut(&segment)
            && file.wanted_end < in_file(end)
        {
            file.wanted_end = in_file(end);
            if file.wanted_end > file.reserved_end {
                self.ready.push(segment);
            }
        }
    }

    /// Whether the file takes data up to `end` without waiting for space.
    pub(crate) fn has_space(&self, segment: SegmentId, end: FilePosition) -> bool {
        self.files
            .get(&segment)
            .is_some_and(|file| matches!(file.stage, Stage::Made) && in_file(end) <= file.reserved_end)
    }

    /// Whether the file takes data.
    pub(crate) fn is_made(&self, segment: SegmentId) -> bool {
        self.files
            .get(&segment)
            .is_some_and(|file| matches!(file.stage, Stage::Made))
    }

    /// Asks for work on a file that exists.
    pub(crate) fn ask(&mut self, segment: SegmentId, work: FileWork) {
        let file = self.files.entry(segment).or_insert_with(SegmentFile::new);
        file.waiting.push_back(work);
        self.ready.push(segment);
    }

    /// Removes the file once its work in flight is done; [`FileEvent::Removed`] follows. Work that waits
    /// ends with an error, and none is asked after.
    pub(crate) fn remove(&mut self, segment: SegmentId, events: &mut Vec<FileEvent>) {
        self.files.entry(segment).or_insert_with(SegmentFile::new).removal = Removal::Wanted;
        self.fail_waiting(segment, IoError::new(ENOENT), events);
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

    /// Submits what was asked for and can go on.
    pub(crate) fn pump<R: Ring>(&mut self, io: &mut Io<'_, R>) {
        self.ready.append(&mut self.crowded);
        while let Some(segment) = self.ready.pop() {
            self.pump_file(segment, io);
        }
        self.sync_names(io);
    }

    pub(crate) fn complete(&mut self, op: FileOp, completion: Completion, events: &mut Vec<FileEvent>) {
        match op {
            FileOp::Opened(segment) => self.opened(segment, completion.result, events),
            FileOp::Closed(segment) => {
                self.file(segment).descriptor = Descriptor::Closed;
                self.ready.push(segment);
            }
            FileOp::Header(segment) => self.header_written(segment, completion.result, events),
            FileOp::Reserved { segment, end } => self.reserved(segment, end, completion.result, events),
            FileOp::Written { segment, len, tag } => {
                self.done(segment);
                let result = match completion.result {
                    Ok(Done::Written { n, .. }) if n as u64 == len => Ok(()),
                    // A short write says that the device or the file system gave up in the middle.
                    Ok(_) => Err(IoError::new(SHORT_WRITE_ERRNO)),
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
            FileOp::Unlinked(segment) => self.unlinked(segment),
            FileOp::NamesSynced { folder } => self.names_synced(folder, completion.result, events),
        }
    }

    fn pump_file<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
        let Some(file) = self.files.get_mut(&segment) else {
            return;
        };
        if file.removal != Removal::No {
            return self.pump_removal(segment, io);
        }
        let wants = matches!(file.stage, Stage::Wanted { .. })
            || !file.waiting.is_empty()
            || (matches!(file.stage, Stage::Made) && file.wanted_end > file.reserved_end);
        match file.descriptor {
            Descriptor::Open(id) => self.pump_open(segment, id, io),
            Descriptor::Closed if wants => self.open(segment, io),
            _ => {}
        }
    }

    /// Submits the making of the file, the next reservation, and all work in front that can go.
    fn pump_open<R: Ring>(&mut self, segment: SegmentId, id: FileId, io: &mut Io<'_, R>) {
        let file = self.files.get_mut(&segment).expect("pumped files exist");
        file.used = true;
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
        while let Some(work) = file.waiting.front() {
            if let FileWork::Write { at, len, .. } = work {
                let end = in_file(*at) + len;
                file.wanted_end = file.wanted_end.max(end);
                if !made || end > file.reserved_end {
                    break;
                }
            }
            let work = file.waiting.pop_front().expect("looked at above");
            file.in_flight += 1;
            submit_work(segment, id, work, io);
        }
        if made && file.wanted_end > file.reserved_end {
            reserve(segment, file, id, io);
        }
    }

    fn open<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
        if self.open.len() >= self.open_max && !self.close_one(io) {
            // Everything is in use: asked again at the next turn, after completions made room.
            self.crowded.push(segment);
            return;
        }
        let path = self.path(segment);
        let file = self.file(segment);
        file.descriptor = Descriptor::Opening;
        let create = !matches!(file.stage, Stage::Absent);
        let options = OpenOptions {
            write: true,
            create,
            direct: true,
            ..OpenOptions::default()
        };
        io.submit(
            Meaning::File(FileOp::Opened(segment)),
            Op::OpenFile { path, options },
        );
        self.open.push_back(segment);
    }

    /// Closes the first file under the clock's hand that rests; tells whether there was one.
    fn close_one<R: Ring>(&mut self, io: &mut Io<'_, R>) -> bool {
        for _ in 0..2 * self.open.len() {
            let Some(segment) = self.open.pop_front() else {
                return false;
            };
            let file = self.files.get_mut(&segment).expect("open files are known");
            if let Descriptor::Open(id) = file.descriptor
                && file.in_flight == 0
                && !file.used
                && file.waiting.is_empty()
            {
                file.descriptor = Descriptor::Closing;
                io.submit(Meaning::File(FileOp::Closed(segment)), Op::CloseFile { file: id });
                return true;
            }
            file.used = false;
            self.open.push_back(segment);
        }
        false
    }

    fn opened(&mut self, segment: SegmentId, result: Result<Done, IoError>, events: &mut Vec<FileEvent>) {
        let file = self
            .files
            .get_mut(&segment)
            .expect("a file being opened is known");
        match result {
            Ok(Done::Opened { file: id, .. }) => {
                file.descriptor = Descriptor::Open(id);
                self.ready.push(segment);
            }
            Ok(other) => unreachable!("opening completes as opened, not {other:?}"),
            Err(error) => {
                file.descriptor = Descriptor::Closed;
                self.open.retain(|open| *open != segment);
                self.fail_waiting(segment, error, events);
            }
        }
    }

    /// The file cannot be opened: all that waits for it ends with that.
    fn fail_waiting(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
        let file = self.file(segment);
        if matches!(file.stage, Stage::Wanted { .. }) {
            self.make_failed(segment, error, events);
        }
        for work in std::mem::take(&mut self.file(segment).waiting) {
            match work {
                FileWork::Write { tag, len, .. } => {
                    events.push(FileEvent::Written {
                        segment,
                        tag,
                        len,
                        result: Err(error),
                    });
                }
                FileWork::Read { tag, .. } => events.push(FileEvent::Read {
                    segment,
                    tag,
                    result: Err(error),
                }),
                FileWork::Trim { .. } => {}
            }
        }
        self.ready.push(segment);
    }

    fn header_written(
        &mut self,
        segment: SegmentId,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        self.done(segment);
        let file = self.file(segment);
        match result {
            Ok(Done::Written { n, .. }) if n as u64 == BLOCK => {
                file.stage = Stage::SyncingName;
                file.reserved_end = file.reserved_end.max(BLOCK);
                self.name_changed(segment, NameChange::Made);
            }
            Ok(_) => self.make_failed(segment, IoError::new(SHORT_WRITE_ERRNO), events),
            Err(error) => self.make_failed(segment, error, events),
        }
    }

    fn make_failed(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
        self.file(segment).stage = Stage::Absent;
        events.push(FileEvent::MakeFailed { segment, error });
    }

    fn reserved(
        &mut self,
        segment: SegmentId,
        end: u64,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        self.done(segment);
        let file = self.file(segment);
        match result {
            Ok(_) => {
                file.reservation = Reservation::None;
                file.reserved_end = end;
            }
            Err(error) if error.kind() == IoErrorKind::NoSpace => {
                file.reservation = Reservation::Starved;
                self.starved.push(segment);
                events.push(FileEvent::NoSpace);
            }
            Err(error) => {
                file.reservation = Reservation::None;
                self.fail_waiting(segment, error, events);
            }
        }
    }

    /// Unlinks the file when nothing uses it any more.
    fn pump_removal<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
        let path = self.path(segment);
        let file = self.file(segment);
        let busy = file.in_flight > 0
            || file.removal == Removal::Unlinking
            || matches!(file.stage, Stage::SyncingName)
            || matches!(file.descriptor, Descriptor::Opening | Descriptor::Closing);
        if busy {
            return;
        }
        if let Descriptor::Open(id) = file.descriptor {
            file.descriptor = Descriptor::Closing;
            io.submit(Meaning::File(FileOp::Closed(segment)), Op::CloseFile { file: id });
            self.open.retain(|open| *open != segment);
            return;
        }
        file.removal = Removal::Unlinking;
        file.in_flight += 1;
        io.submit(Meaning::File(FileOp::Unlinked(segment)), Op::Unlink { path });
    }

    /// A file that was never made is removed as well; whatever else goes wrong leaves an unknown file,
    /// which the next start reports.
    fn unlinked(&mut self, segment: SegmentId) {
        self.done(segment);
        self.name_changed(segment, NameChange::Removed);
    }

    fn name_changed(&mut self, segment: SegmentId, change: NameChange) {
        self.names
            .entry(folder(segment))
            .or_default()
            .changed
            .push((segment, change));
    }

    fn sync_names<R: Ring>(&mut self, io: &mut Io<'_, R>) {
        for (folder, names) in &mut self.names {
            let Some((segment, _)) = names.changed.first() else {
                continue;
            };
            if names.syncing.is_empty() {
                let path = self
                    .dir
                    .join(layout::SEGMENTS)
                    .join(layout::segment_folder(*segment));
                names.syncing = std::mem::take(&mut names.changed);
                io.submit(
                    Meaning::File(FileOp::NamesSynced { folder: *folder }),
                    Op::SyncDir { path },
                );
            }
        }
    }

    fn names_synced(&mut self, folder: u8, result: Result<Done, IoError>, events: &mut Vec<FileEvent>) {
        let names = self
            .names
            .get_mut(&folder)
            .expect("a folder being synced is known");
        let synced = std::mem::take(&mut names.syncing);
        if names.changed.is_empty() {
            self.names.remove(&folder);
        }
        for (segment, change) in synced {
            match (change, result.as_ref().err()) {
                (NameChange::Made, None) => {
                    self.file(segment).stage = Stage::Made;
                    self.ready.push(segment);
                }
                (NameChange::Made, Some(error)) => {
                    self.make_failed(segment, *error, events);
                    self.ready.push(segment);
                }
                (NameChange::Removed, _) => {
                    self.files.remove(&segment);
                    events.push(FileEvent::Removed(segment));
                }
            }
        }
    }

    fn done(&mut self, segment: SegmentId) {
        self.file(segment).in_flight -= 1;
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
            reserved_end: 0,
            wanted_end: 0,
            reservation: Reservation::None,
            in_flight: 0,
            waiting: VecDeque::new(),
            used: false,
            removal: Removal::No,
        }
    }
}

/// Reserves the space that is wanted and some ahead: as much again as the file has, so that the steps
/// follow its growth.
fn reserve<R: Ring>(segment: SegmentId, file: &mut SegmentFile, id: FileId, io: &mut Io<'_, R>) {
    if file.reservation != Reservation::None {
        return;
    }
    let step = file.reserved_end.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
    let end = (file.reserved_end + step)
        .max(file.wanted_end)
        .next_multiple_of(BLOCK);
    file.reservation = Reservation::InFlight;
    file.in_flight += 1;
    let op = Op::Allocate {
        file: id,
        at: file.reserved_end,
        len: end - file.reserved_end,
        mode: AllocateMode::Unwritten,
    };
    io.submit(Meaning::File(FileOp::Reserved { segment, end }), op);
}

fn submit_work<R: Ring>(segment: SegmentId, id: FileId, work: FileWork, io: &mut Io<'_, R>) {
    match work {
        FileWork::Write { at, slices, len, tag } => {
            let op = Op::Write {
                file: id,
                at: in_file(at),
                slices,
                durable: true,
            };
            io.submit(Meaning::File(FileOp::Written { segment, len, tag }), op);
        }
        FileWork::Read { at, len, tag } => {
            let buf = AlignedBuf::zeroed(len);
            let op = Op::Read {
                file: id,
                at: in_file(at),
                buf,
                len,
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

/// Where a segment's byte lies in its file.
fn in_file(position: FilePosition) -> u64 {
    layout::SEGMENT_DATA_AT + position.get()
}

fn folder(segment: SegmentId) -> u8 {
    segment.get() as u8
}

const ENOENT: i32 = 2;
/// EIO: what a write that stopped in the middle amounts to.
const SHORT_WRITE_ERRNO: i32 = 5;

//! The bounded cache of open descriptors: who gets one, who gives one up, and whether what was opened is what
//! should be there.

use std::collections::VecDeque;

use millstream_log::{SegmentHeader, SegmentId};
use millstream_ring::{AlignedBuf, Done, FileId, IoError, IoErrorKind, Op, OpenOptions, Ring};

use super::names::NameChange;
use super::{Descriptor, EIO, FileEvent, FileOp, FileWork, SegmentFile, SegmentFiles, Stage};
use crate::limits::BLOCK;
use crate::ops::{Io, Meaning};

impl SegmentFiles {
    pub(super) fn open<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
        let full = self.open.len() >= self.open_max || self.short_of_descriptors;
        if full && (!self.close_one(io) || self.short_of_descriptors) {
            // Asked again at the next turn, after completions made room.
            self.crowded.insert(segment);
            return;
        }
        let path = self.path(segment);
        let file = self.file(segment);
        file.descriptor = Descriptor::Opening;
        let create = matches!(file.stage, Stage::Wanted { .. });
        let options = OpenOptions {
            write: !file.read_only,
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

    /// Closes the first file under the clock's hand that rests; tells whether there was one among those that the hand
    /// passes in this turn.
    pub(super) fn close_one<R: Ring>(&mut self, io: &mut Io<'_, R>) -> bool {
        for _ in 0..self.looks_left.min(2 * self.open.len()) {
            self.looks_left -= 1;
            self.looks_in_vain += 1;
            let Some(segment) = self.open.pop_front() else {
                return false;
            };
            let file = self.files.get_mut(&segment).expect("open files are known");
            if let Descriptor::Open(id) = file.descriptor
                && file.is_idle()
                && !file.used
            {
                file.descriptor = Descriptor::Closing;
                io.submit(Meaning::File(FileOp::Closed(segment)), Op::CloseFile { file: id });
                self.looks_in_vain = 0;
                return true;
            }
            file.used = false;
            self.open.push_back(segment);
        }
        false
    }

    pub(super) fn opened(
        &mut self,
        segment: SegmentId,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        let file = self.file(segment);
        match result {
            Ok(Done::Opened { file: id, .. }) => {
                file.refused = false;
                let made_now = matches!(file.stage, Stage::Wanted { .. });
                file.descriptor = if made_now || file.header.is_none() {
                    Descriptor::Open(id)
                } else {
                    Descriptor::Unchecked(id)
                };
                self.ready.push(segment);
            }
            Ok(other) => unreachable!("opening completes as opened, not {other:?}"),
            Err(error) => {
                file.descriptor = Descriptor::Closed;
                let again = std::mem::replace(&mut file.refused, true);
                let reads_only = file.wants_reads_only() && !file.read_only;
                file.read_only = false;
                self.open.retain(|open| *open != segment);
                match error.kind() {
                    IoErrorKind::NoDescriptors | IoErrorKind::NoMemory => {
                        self.short_of_descriptors = true;
                        self.crowded.insert(segment);
                        if again || !self.has_idle() {
                            self.fail_reads(segment, error, events);
                        }
                    }
                    _ if error.errno == EROFS && reads_only => {
                        self.file(segment).read_only = true;
                        self.ready.push(segment);
                    }
                    _ => self.fail_waiting(segment, error, events),
                }
            }
        }
    }

    /// Whether a descriptor could be given up for another file.
    fn has_idle(&self) -> bool {
        self.open.iter().any(|segment| self.files[segment].is_idle())
    }

    pub(super) fn close<R: Ring>(&mut self, segment: SegmentId, id: FileId, io: &mut Io<'_, R>) {
        self.file(segment).descriptor = Descriptor::Closing;
        io.submit(Meaning::File(FileOp::Closed(segment)), Op::CloseFile { file: id });
        self.open.retain(|open| *open != segment);
    }

    /// More than reads is wanted of a file that is open for reads alone: it is opened anew when they have ended.
    pub(super) fn give_up_reading<R: Ring>(&mut self, segment: SegmentId, id: FileId, io: &mut Io<'_, R>) {
        let file = self.file(segment);
        if file.in_flight == 0 {
            file.read_only = false;
            self.close(segment, id, io);
        }
    }

    pub(super) fn check_header<R: Ring>(&mut self, segment: SegmentId, id: FileId, io: &mut Io<'_, R>) {
        let file = self.file(segment);
        file.descriptor = Descriptor::Checking(id);
        file.in_flight += 1;
        let len = BLOCK as usize;
        let op = Op::Read {
            file: id,
            at: 0,
            buf: AlignedBuf::zeroed(len),
            len,
        };
        io.submit(Meaning::File(FileOp::HeaderRead(segment)), op);
    }

    pub(super) fn header_read(
        &mut self,
        segment: SegmentId,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        self.done(segment);
        let file = self.file(segment);
        let Descriptor::Checking(id) = file.descriptor else {
            unreachable!("the header of a file being checked was read")
        };
        let judged = match result {
            Ok(Done::Read { buf, n }) => judge(&buf[..n], file.header),
            Ok(other) => unreachable!("a read completes as a read, not {other:?}"),
            Err(error) => {
                file.descriptor = Descriptor::Bad(id);
                return self.fail_waiting(segment, error, events);
            }
        };
        match judged {
            Ok(()) => {
                file.descriptor = Descriptor::Open(id);
                if matches!(file.stage, Stage::Confirming) {
                    file.stage = Stage::SyncingName;
                    self.name_changed(segment, NameChange::Made);
                }
            }
            Err(what) => {
                file.descriptor = Descriptor::Bad(id);
                events.push(FileEvent::Foreign { segment, what });
                self.fail_waiting(segment, IoError::new(EIO), events);
            }
        }
    }

    /// The file cannot be opened: all that waits for it ends with that.
    pub(super) fn fail_waiting(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
        let file = self.file(segment);
        if matches!(file.stage, Stage::Wanted { .. } | Stage::Confirming) {
            self.make_failed(segment, error, events);
        }
        let file = self.file(segment);
        let wanted_open = std::mem::take(&mut file.wants_open);
        // Space in it is asked for again by whoever needs it, and so is a descriptor, unless that one is told that
        // there will be none.
        if wanted_open || file.wanted_end > file.reserved_end {
            (file.wanted_end, file.hoped_end) = (file.reserved_end, file.reserved_end);
            events.push(FileEvent::MakeFailed { segment, error });
        }
        let file = self.file(segment);
        for work in std::mem::take(&mut file.waiting) {
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

    /// Reads that wait for the file end with `error`; whatever else waits for it goes on waiting.
    fn fail_reads(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
        let (reads, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.file(segment).waiting)
            .into_iter()
            .partition(|work| matches!(work, FileWork::Read { .. }));
        self.file(segment).waiting = others;
        for work in reads {
            if let FileWork::Read { tag, .. } = work {
                let result = Err(error);
                events.push(FileEvent::Read { segment, tag, result });
            }
        }
    }
}

impl SegmentFile {
    /// All that it is wanted for is reads of what it holds.
    pub(super) fn wants_reads_only(&self) -> bool {
        matches!(self.stage, Stage::Absent | Stage::Made)
            && !self.waiting.is_empty()
            && self
                .waiting
                .iter()
                .all(|work| matches!(work, FileWork::Read { .. }))
            && !self.wants_open
            && self.wanted_end <= self.reserved_end
    }
}

/// Whether a file's first block is the one that its segment began with.
fn judge(block: &[u8], expected: Option<SegmentHeader>) -> Result<(), String> {
    match SegmentHeader::decode(block) {
        Ok(found) if expected.is_none_or(|expected| expected == found) => Ok(()),
        Ok(found) => Err(format!(
            "begins as segment {} of partition {} at offset {}",
            found.segment, found.partition, found.base_offset
        )),
        Err(error) => Err(format!("does not begin as a segment does: {error}")),
    }
}

const EROFS: i32 = 30;

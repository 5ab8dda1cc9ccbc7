//! The bounded cache of open descriptors: who gets one, and who gives one up.

use millstream_log::SegmentId;
use millstream_ring::{Done, IoError, Op, OpenOptions, Ring};

use super::{Descriptor, FileEvent, FileOp, FileWork, SegmentFiles, Stage};
use crate::ops::{Io, Meaning};

impl SegmentFiles {
    pub(super) fn open<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
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
    pub(super) fn close_one<R: Ring>(&mut self, io: &mut Io<'_, R>) -> bool {
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

    pub(super) fn opened(
        &mut self,
        segment: SegmentId,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
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
    pub(super) fn fail_waiting(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
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
}

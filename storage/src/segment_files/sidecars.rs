//! The files beside the segments that hold their indexes: written whole and durably, name included, and read
//! whole.
//!
//! Invariants: a segment's file is not removed while its sidecar is being worked on; few of these are open at
//! one time, none for longer than that work.

use std::collections::VecDeque;
use std::path::PathBuf;

use millstream_log::{SegmentId, Sidecar, layout};
use millstream_ring::{AlignedBuf, Completion, Done, FileId, IoError, Op, OpenOptions, Ring, Slice};

use super::names::NameChange;
use super::{EIO, ENOENT, FileEvent, FileOp, Removal, SegmentFile, SegmentFiles};
use crate::limits::SIDECARS_IN_FLIGHT_MAX;
use crate::ops::{Io, Meaning};

/// Work on sidecars that waits for its next step.
#[derive(Default)]
pub(super) struct SidecarFiles {
    /// Readers wait for these.
    loads: VecDeque<SegmentId>,
    saves: VecDeque<(SegmentId, Slice)>,
    /// Of work that has begun.
    steps: Vec<(SegmentId, Step)>,
    begun: usize,
}

/// What to submit next.
enum Step {
    Write(FileId, Slice),
    Read(FileId),
    Close(FileId),
}

/// The meaning of a sidecar's completion.
pub(crate) enum SidecarOp {
    OpenedToWrite(Slice),
    OpenedToRead,
    Written(FileId),
    Read(FileId),
    Closed,
}

impl SegmentFiles {
    /// Writes the sidecar; [`FileEvent::SidecarSaved`] follows.
    pub(crate) fn save_sidecar(&mut self, segment: SegmentId, bytes: Slice) {
        self.sidecars.saves.push_back((segment, bytes));
    }

    /// Reads the sidecar; [`FileEvent::SidecarLoaded`] follows.
    pub(crate) fn load_sidecar(&mut self, segment: SegmentId) {
        self.sidecars.loads.push_back(segment);
    }

    /// The segment goes: what has not begun ends with an error.
    pub(super) fn forget_sidecar(&mut self, segment: SegmentId, events: &mut Vec<FileEvent>) {
        let error = IoError::new(ENOENT);
        let (loads, saves) = (self.sidecars.loads.len(), self.sidecars.saves.len());
        self.sidecars.loads.retain(|load| *load != segment);
        self.sidecars.saves.retain(|(save, _)| *save != segment);
        if self.sidecars.loads.len() < loads {
            events.push(FileEvent::SidecarLoaded {
                segment,
                result: Err(error),
            });
        }
        if self.sidecars.saves.len() < saves {
            events.push(FileEvent::SidecarSaved {
                segment,
                result: Err(error),
            });
        }
    }

    pub(super) fn pump_sidecars<R: Ring>(&mut self, io: &mut Io<'_, R>) {
        for (segment, step) in std::mem::take(&mut self.sidecars.steps) {
            submit(segment, step, io);
        }
        while self.sidecars.begun < SIDECARS_IN_FLIGHT_MAX {
            let (segment, op) = if let Some(segment) = self.sidecars.loads.pop_front() {
                (segment, SidecarOp::OpenedToRead)
            } else if let Some((segment, bytes)) = self.sidecars.saves.pop_front() {
                (segment, SidecarOp::OpenedToWrite(bytes))
            } else {
                return;
            };
            let file = self.files.entry(segment).or_insert_with(SegmentFile::new);
            assert!(
                file.removal == Removal::No,
                "forgotten when the removal was asked for"
            );
            file.in_flight += 1;
            self.sidecars.begun += 1;
            let options = OpenOptions {
                write: true,
                create: matches!(op, SidecarOp::OpenedToWrite(_)),
                direct: true,
                ..OpenOptions::default()
            };
            let path = self.sidecar_path(segment);
            io.submit(meaning(segment, op), Op::OpenFile { path, options });
        }
    }

    pub(super) fn complete_sidecar(
        &mut self,
        segment: SegmentId,
        op: SidecarOp,
        completion: Completion,
        events: &mut Vec<FileEvent>,
    ) {
        let steps = &mut self.sidecars.steps;
        match (op, completion.result) {
            (SidecarOp::Closed, _) => {}
            (SidecarOp::OpenedToWrite(bytes), Ok(Done::Opened { file, .. })) => {
                steps.push((segment, Step::Write(file, bytes)));
            }
            (SidecarOp::OpenedToRead, Ok(Done::Opened { file, .. })) => {
                steps.push((segment, Step::Read(file)));
            }
            (SidecarOp::OpenedToWrite(_), result) => {
                self.saved(segment, Err(error_of(result)), events);
            }
            (SidecarOp::OpenedToRead, result) => {
                self.loaded(segment, Err(error_of(result)), events);
            }
            (SidecarOp::Written(file), result) => {
                steps.push((segment, Step::Close(file)));
                match result {
                    Ok(Done::Written { n, slices }) if n == slices.iter().map(|bytes| bytes.len()).sum() => {
                        self.name_changed(segment, NameChange::Sidecar);
                    }
                    result => self.saved(segment, Err(error_of(result)), events),
                }
            }
            (SidecarOp::Read(file), result) => {
                steps.push((segment, Step::Close(file)));
                let result = match result {
                    Ok(Done::Read { buf, n }) => Ok((buf, n)),
                    result => Err(error_of(result)),
                };
                self.loaded(segment, result, events);
            }
        }
    }

    /// The sidecar and its name are durable, or not.
    pub(super) fn saved(
        &mut self,
        segment: SegmentId,
        result: Result<(), IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        self.sidecars.begun -= 1;
        self.done(segment);
        events.push(FileEvent::SidecarSaved { segment, result });
    }

    fn loaded(
        &mut self,
        segment: SegmentId,
        result: Result<(AlignedBuf, usize), IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        self.sidecars.begun -= 1;
        self.done(segment);
        events.push(FileEvent::SidecarLoaded { segment, result });
    }

    pub(super) fn sidecar_path(&self, segment: SegmentId) -> PathBuf {
        self.dir.join(layout::sidecar(segment))
    }
}

fn submit<R: Ring>(segment: SegmentId, step: Step, io: &mut Io<'_, R>) {
    match step {
        Step::Write(file, bytes) => {
            let op = Op::Write {
                file,
                at: 0,
                slices: vec![bytes],
                durable: true,
            };
            io.submit(meaning(segment, SidecarOp::Written(file)), op);
        }
        Step::Read(file) => {
            let len = Sidecar::BYTES_MAX as usize;
            let op = Op::Read {
                file,
                at: 0,
                buf: AlignedBuf::zeroed(len),
                len,
            };
            io.submit(meaning(segment, SidecarOp::Read(file)), op);
        }
        Step::Close(file) => io.submit(meaning(segment, SidecarOp::Closed), Op::CloseFile { file }),
    }
}

fn meaning(segment: SegmentId, op: SidecarOp) -> Meaning {
    Meaning::File(FileOp::Sidecar { segment, op })
}

/// Of a step that did not end as it should: its error, or what a short write amounts to.
fn error_of(result: Result<Done, IoError>) -> IoError {
    result.err().unwrap_or(IoError::new(EIO))
}

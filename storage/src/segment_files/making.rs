//! How a file comes to take data: its header, its name, and space reserved ahead of its writes.

use millstream_log::SegmentId;
use millstream_ring::{AllocateMode, Done, FileId, IoError, IoErrorKind, Op, Ring};

use super::names::NameChange;
use super::{EIO, FileEvent, FileOp, Reservation, SegmentFile, SegmentFiles, Stage};
use crate::limits::{BLOCK, RESERVE_BYTES_MAX, RESERVE_BYTES_MIN};
use crate::ops::{Io, Meaning};

impl SegmentFiles {
    pub(super) fn header_written(
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
            Ok(_) => self.make_failed(segment, IoError::new(EIO), events),
            Err(error) => self.make_failed(segment, error, events),
        }
    }

    pub(super) fn make_failed(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
        let file = self.file(segment);
        file.stage = Stage::Absent;
        file.making_failed = true;
        self.unmade.push(segment);
        events.push(FileEvent::MakeFailed { segment, error });
    }

    pub(super) fn reserved(
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
            Err(error)
                if error.kind() == IoErrorKind::NoSpace && end > file.wanted_end.next_multiple_of(BLOCK) =>
            {
                file.reservation = Reservation::Modest;
                file.hoped_end = 0;
                events.push(FileEvent::LittleSpace);
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
}

/// Reserves the space that is wanted and some ahead: as much again as the file has, so that the steps
/// follow its growth. Where the disk does not have that much, what is wanted and no more.
pub(super) fn reserve<R: Ring>(segment: SegmentId, file: &mut SegmentFile, id: FileId, io: &mut Io<'_, R>) {
    let step = file.reserved_end.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
    let end = match file.reservation {
        Reservation::None => (file.reserved_end + step)
            .max(file.wanted_end)
            .max(file.hoped_end),
        Reservation::Modest => file.wanted_end,
        Reservation::InFlight | Reservation::Starved => return,
    };
    let end = end.next_multiple_of(BLOCK);
    if end <= file.reserved_end {
        return;
    }
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

//! Names that come and go: the removal of files, and the syncs that make it and the making of others durable.

use millstream_log::planted::{self, Bug};
use millstream_log::{SegmentId, layout};
use millstream_ring::{Done, IoError, IoErrorKind, Op, Ring};

use super::{Descriptor, FileEvent, FileOp, Removal, SegmentFiles, Stage};
use crate::ops::{Io, Meaning};

/// The changed names of one folder: one sync at a time; whoever comes meanwhile waits for the next.
#[derive(Default)]
pub(super) struct FolderNames {
    syncing: Vec<(SegmentId, NameChange)>,
    changed: Vec<(SegmentId, NameChange)>,
}

#[derive(Clone, Copy)]
pub(super) enum NameChange {
    Made,
    Removed,
    Sidecar,
}

impl SegmentFiles {
    /// Unlinks the file, then its sidecar, when nothing uses it any more.
    pub(super) fn pump_removal<R: Ring>(&mut self, segment: SegmentId, io: &mut Io<'_, R>) {
        let (path, sidecar) = (self.path(segment), self.sidecar_path(segment));
        let file = self.file(segment);
        let busy = file.in_flight > 0
            || file.removal == Removal::Unlinking
            || matches!(file.stage, Stage::SyncingName)
            || matches!(file.descriptor, Descriptor::Opening | Descriptor::Closing);
        if busy {
            return;
        }
        if let Descriptor::Open(id) | Descriptor::Unchecked(id) | Descriptor::Bad(id) = file.descriptor {
            return self.close(segment, id, io);
        }
        let (path, op) = match file.removal {
            Removal::WantedOfSidecar => (sidecar, FileOp::SidecarUnlinked(segment)),
            _ => (path, FileOp::Unlinked(segment)),
        };
        file.removal = Removal::Unlinking;
        file.in_flight += 1;
        io.submit(Meaning::File(op), Op::Unlink { path });
    }

    /// A file that was never made is removed as well.
    pub(super) fn unlinked(
        &mut self,
        segment: SegmentId,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        if self.unlink_done(segment, Removal::Wanted, result, events) {
            self.file(segment).removal = Removal::WantedOfSidecar;
            self.ready.push(segment);
        }
    }

    /// An active segment has none, and that is as well.
    pub(super) fn sidecar_unlinked(
        &mut self,
        segment: SegmentId,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
        if self.unlink_done(segment, Removal::WantedOfSidecar, result, events) {
            self.name_changed(segment, NameChange::Removed);
        }
    }

    /// Whether the name is gone; else it is tried again from `again` on.
    fn unlink_done(
        &mut self,
        segment: SegmentId,
        again: Removal,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) -> bool {
        self.file(segment).in_flight -= 1;
        let Some(error) = result.err().filter(|error| error.kind() != IoErrorKind::NotFound) else {
            return true;
        };
        self.file(segment).removal = again;
        self.unremoved.push(segment);
        self.removal_failed(segment, error, events);
        false
    }

    /// Told once a file, however often it is tried again.
    fn removal_failed(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<FileEvent>) {
        if !std::mem::replace(&mut self.file(segment).removal_failed, true) {
            events.push(FileEvent::RemovalFailed { segment, error });
        }
    }

    pub(super) fn name_changed(&mut self, segment: SegmentId, change: NameChange) {
        self.names
            .entry(folder(segment))
            .or_default()
            .changed
            .push((segment, change));
    }

    pub(super) fn sync_names<R: Ring>(&mut self, io: &mut Io<'_, R>) {
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
                let op = match planted::has(Bug::NamesNotSynced) {
                    true => Op::List { path },
                    false => Op::SyncDir { path },
                };
                io.submit(Meaning::File(FileOp::NamesSynced { folder: *folder }), op);
            }
        }
    }

    pub(super) fn names_synced(
        &mut self,
        folder: u8,
        result: Result<Done, IoError>,
        events: &mut Vec<FileEvent>,
    ) {
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
                (NameChange::Sidecar, error) => {
                    self.saved(segment, error.map_or(Ok(()), |error| Err(*error)), events);
                }
                (NameChange::Removed, None) => {
                    self.files.remove(&segment);
                    events.push(FileEvent::Removed(segment));
                }
                // The name is gone and may come back with a power cut: the segment stays on the list of what is
                // to be removed. Another sync may be believed although one failed: names are not data pages, which
                // the kernel calls clean after a failed write. A file system with a journal (ext4, XFS, btrfs) still
                // has them to write, or takes nothing any more and says so to every later sync. Should a name come
                // back all the same, it is that of a segment that nothing knows, and the next start puts it aside.
                (NameChange::Removed, Some(error)) => {
                    self.unsynced.push(segment);
                    self.removal_failed(segment, *error, events);
                }
            }
        }
    }
}

fn folder(segment: SegmentId) -> u8 {
    segment.get() as u8
}

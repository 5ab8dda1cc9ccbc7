//! The segment files that a start finds, and those that it must make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_log::planted::{self, Bug};
use millstream_log::{FilePosition, PartitionKey, SegmentHeader, SegmentId, layout};
use millstream_ring::{AlignedBuf, Done, FileId, IoError, IoErrorKind, Op, Ring};

use super::door::Door;
use crate::error::OpenError;
use crate::limits::BLOCK;

/// All segment files of the directory.
pub(super) struct SegmentScan {
    dir: PathBuf,
    /// Sizes in bytes.
    pub(super) sizes: BTreeMap<SegmentId, u64>,
    /// Segments that have a sidecar index, or had.
    pub(super) sidecars: BTreeSet<SegmentId>,
    /// Paths below the data directory of what is no segment's or lies in another one's folder: nobody looks for it.
    pub(super) others: Vec<String>,
}

impl SegmentScan {
    pub(super) fn new<R: Ring>(door: &mut Door<'_, R>, dir: &Path) -> Result<SegmentScan, OpenError> {
        let mut sizes = BTreeMap::new();
        let mut sidecars = BTreeSet::new();
        let mut others = Vec::new();
        let mut failure = None;
        let ops = folders(dir).map(|path| Op::List { path });
        door.run_all(ops, |low, result| match result {
            Ok(Done::Listed(entries)) => {
                let folder = layout::segment_folder(SegmentId::new(low as u64));
                let is_home = |segment| layout::segment_folder(segment) == folder;
                for entry in entries {
                    match layout::FileName::parse(&entry.name) {
                        Some(layout::FileName::Segment(segment)) if is_home(segment) => {
                            sizes.insert(segment, entry.size);
                        }
                        Some(layout::FileName::Sidecar(segment)) if is_home(segment) => {
                            sidecars.insert(segment);
                        }
                        _ => others.push(format!("{}/{folder}/{}", layout::SEGMENTS, entry.name)),
                    }
                }
            }
            Ok(other) => unreachable!("listing completes as listed, not {other:?}"),
            Err(error) => failure = Some(error),
        });
        match failure {
            Some(error) => Err(super::door::failed(
                "cannot list the folders of",
                &dir.join(layout::SEGMENTS),
                error,
            )),
            None => Ok(SegmentScan {
                dir: dir.to_owned(),
                sizes,
                sidecars,
                others,
            }),
        }
    }

    /// Moves a segment that nothing knows out of the way.
    pub(super) fn quarantine<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        segment: SegmentId,
    ) -> Result<(), OpenError> {
        self.sizes.remove(&segment);
        self.put_aside(door, segment, &layout::segment(segment))
    }

    /// Moves the sidecar index of a segment that nothing knows out of the way.
    pub(super) fn quarantine_sidecar<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        segment: SegmentId,
    ) -> Result<(), OpenError> {
        self.sidecars.remove(&segment);
        self.put_aside(door, segment, &layout::sidecar(segment))
    }

    fn put_aside<R: Ring>(
        &self,
        door: &mut Door<'_, R>,
        segment: SegmentId,
        path: &str,
    ) -> Result<(), OpenError> {
        let from = self.dir.join(path);
        let name = from.file_name().expect("a file's path ends with its name");
        let to = self.dir.join(layout::QUARANTINE).join(name);
        match planted::has(Bug::UnknownSegmentDeleted) {
            true => door.unlink(&from)?,
            false => door.rename(&from, &to)?,
        }
        door.sync_dir(&self.dir.join(layout::QUARANTINE))?;
        door.sync_dir(
            &self
                .dir
                .join(layout::SEGMENTS)
                .join(layout::segment_folder(segment)),
        )
    }
}

/// A stretch of a segment's data; whole blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) partition: PartitionKey,
    pub(super) segment: SegmentId,
    pub(super) at: FilePosition,
    /// Bytes, more than none.
    pub(super) len: u64,
}

/// What a segment's file holds of a stretch.
#[derive(Debug)]
pub(super) enum Found {
    /// All of it, in pieces, and whether the file says that it is this partition's segment.
    Bytes {
        pieces: Vec<AlignedBuf>,
        is_its_own: bool,
    },
    /// There is no such file, or it does not reach that far.
    Missing,
    /// The device cannot tell: what it holds may have been acknowledged.
    Failed,
}

/// Reads stretches, those of one segment one after the other, many at a time. `flush`: what is read is durable,
/// and what was not when the process that wrote it was killed is so from here on.
pub(super) fn read_stretches<R: Ring>(
    dir: &Path,
    door: &mut Door<'_, R>,
    stretches: &[Stretch],
    flush: bool,
    mut each: impl FnMut(usize, Found),
) -> Result<(), OpenError> {
    let mut from = 0;
    while from < stretches.len() {
        let mut bytes = 0;
        let group = stretches[from..]
            .iter()
            .take(GROUP_MAX)
            .take_while(|stretch| {
                bytes += stretch.len;
                bytes <= GROUP_BYTES_MAX || bytes == stretch.len
            })
            .count();
        let found = read_group(dir, door, &stretches[from..from + group], flush)?;
        found
            .into_iter()
            .enumerate()
            .for_each(|(index, found)| each(from + index, found));
        from += group;
    }
    Ok(())
}

fn read_group<R: Ring>(
    dir: &Path,
    door: &mut Door<'_, R>,
    stretches: &[Stretch],
    flush: bool,
) -> Result<Vec<Found>, OpenError> {
    let mut segments: Vec<SegmentId> = stretches.iter().map(|stretch| stretch.segment).collect();
    segments.dedup();
    let mut files = open_segments(dir, door, &segments)?;
    if flush && !door.looks() && !planted::has(Bug::FoundNotFlushed) {
        let open: Vec<usize> = (0..files.len()).filter(|at| files[*at].is_ok()).collect();
        let ops: Vec<Op> = open
            .iter()
            .filter_map(|at| files[*at].as_ref().ok())
            .map(|file| Op::Datasync { file: *file })
            .collect();
        let mut failed = Vec::new();
        door.run_all(ops.into_iter(), |index, result| {
            failed.extend(result.is_err().then_some(open[index]));
        });
        for at in failed {
            if let Ok(file) = std::mem::replace(&mut files[at], Err(IoErrorKind::Other)) {
                door.close(file);
            }
        }
    }
    let file_of = |stretch: &Stretch| {
        let at = segments.iter().position(|segment| *segment == stretch.segment);
        files[at.expect("collected above")]
    };
    let mut found: Vec<Found> = stretches
        .iter()
        .map(|stretch| match file_of(stretch) {
            Ok(_) => Found::Bytes {
                pieces: Vec::new(),
                is_its_own: false,
            },
            Err(IoErrorKind::NotFound) => Found::Missing,
            Err(_) => Found::Failed,
        })
        .collect();
    // The header first, then the pieces in order.
    let reads: Vec<(usize, FileId, u64, u64)> = stretches
        .iter()
        .enumerate()
        .filter_map(|(index, stretch)| Some((index, stretch, file_of(stretch).ok()?)))
        .flat_map(|(index, stretch, file)| {
            let pieces = (0..stretch.len.div_ceil(PIECE)).map(move |piece| {
                let at = layout::SEGMENT_DATA_AT + stretch.at.get() + piece * PIECE;
                (index, file, at, PIECE.min(stretch.len - piece * PIECE))
            });
            std::iter::once((index, file, 0, BLOCK)).chain(pieces)
        })
        .collect();
    let ops = reads.iter().map(|&(_, file, at, len)| Op::Read {
        file,
        at,
        buf: AlignedBuf::zeroed(len as usize),
        len: len as usize,
    });
    let mut read: Vec<Option<Result<Done, IoError>>> = reads.iter().map(|_| None).collect();
    door.run_all(ops, |index, result| read[index] = Some(result));
    for (&(index, file, at, _), result) in reads.iter().zip(read) {
        let result = match result {
            // The file ends here, or the device stopped in the middle.
            Some(Ok(Done::Read { mut buf, n })) if n > 0 && n < buf.len() => {
                let whole = door.read_blocks(file, at, &mut buf);
                Some(whole.map(|n| Done::Read { buf, n }))
            }
            result => result,
        };
        take(&mut found[index], &stretches[index], at, result);
    }
    for file in files.into_iter().flatten() {
        door.close(file);
    }
    Ok(found)
}

/// Takes in one read of a stretch: of the header, or of its next piece.
fn take(found: &mut Found, stretch: &Stretch, at: u64, result: Option<Result<Done, IoError>>) {
    let Found::Bytes { pieces, is_its_own } = found else {
        return;
    };
    match result {
        Some(Ok(Done::Read { buf, n })) if n == buf.len() && at == 0 => {
            *is_its_own = SegmentHeader::decode(&buf).is_ok_and(|header| {
                header.segment == stretch.segment && header.partition == stretch.partition
            });
        }
        Some(Ok(Done::Read { buf, n })) if n == buf.len() => pieces.push(buf),
        Some(Ok(_)) => *found = Found::Missing,
        Some(Err(_)) | None => *found = Found::Failed,
    }
}

/// Each file, or why it is not open. Where the process has no descriptor or no memory left no file is to blame.
fn open_segments<R: Ring>(
    dir: &Path,
    door: &mut Door<'_, R>,
    segments: &[SegmentId],
) -> Result<Vec<Result<FileId, IoErrorKind>>, OpenError> {
    let mut files: Vec<Result<FileId, IoErrorKind>> =
        segments.iter().map(|_| Err(IoErrorKind::Other)).collect();
    let options = door.options(false);
    let path = |segment: &SegmentId| dir.join(layout::segment(*segment));
    let ops = segments.iter().map(|segment| Op::OpenFile {
        path: path(segment),
        options,
    });
    let mut shortage = None;
    door.run_all(ops, |index, result| {
        files[index] = match result {
            Ok(Done::Opened { file, .. }) => Ok(file),
            Ok(other) => unreachable!("opening completes as opened, not {other:?}"),
            Err(error) => {
                if matches!(error.kind(), IoErrorKind::NoDescriptors | IoErrorKind::NoMemory) {
                    shortage = Some((index, error));
                }
                Err(error.kind())
            }
        };
    });
    let Some((index, error)) = shortage else {
        return Ok(files);
    };
    for file in files.into_iter().flatten() {
        door.close(file);
    }
    Err(super::door::failed("cannot open", &path(&segments[index]), error))
}

/// The folders of segments, and the one for what nobody knows; durable.
pub(super) fn make_folders<R: Ring>(door: &mut Door<'_, R>, dir: &Path) -> Result<(), OpenError> {
    let segments = dir.join(layout::SEGMENTS);
    door.make_dir(&segments)?;
    door.make_dir(&dir.join(layout::QUARANTINE))?;
    let mut failure = None;
    let ops = folders(dir).map(|path| Op::MakeDir { path });
    door.run_all(ops, |_, result| {
        if let Err(error) = result
            && error.kind() != millstream_ring::IoErrorKind::Exists
        {
            failure = Some(error);
        }
    });
    if let Some(error) = failure {
        return Err(super::door::failed(
            "cannot make the folders of",
            &segments,
            error,
        ));
    }
    door.sync_dir(&segments)?;
    door.sync_dir(dir)
}

fn folders(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let segments = dir.join(layout::SEGMENTS);
    (0..=255).map(move |low| segments.join(layout::segment_folder(SegmentId::new(low))))
}

const PIECE: u64 = 1 << 20;
/// Files that are open and bytes that are in memory at a time; a longer stretch goes alone.
const GROUP_MAX: usize = 64;
/// See [`GROUP_MAX`].
const GROUP_BYTES_MAX: u64 = 16 << 20;
const _: () = assert!(PIECE.is_multiple_of(BLOCK));

//! The segment files that a start finds, and those that it must make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_log::{SegmentId, crc32c_append, layout, salt};
use millstream_ring::{AlignedBuf, Done, Op, Ring};

use super::door::Door;
use crate::error::OpenError;
use crate::limits::BLOCK;

/// All segment files of the directory.
pub(super) struct SegmentScan {
    dir: PathBuf,
    /// Sizes in bytes.
    pub(super) sizes: BTreeMap<SegmentId, u64>,
}

impl SegmentScan {
    pub(super) fn new<R: Ring>(door: &mut Door<'_, R>, dir: &Path) -> Result<SegmentScan, OpenError> {
        let mut sizes = BTreeMap::new();
        let mut failure = None;
        let ops = folders(dir).map(|path| Op::List { path });
        door.run_all(ops, |_, result| match result {
            Ok(Done::Listed(entries)) => {
                for entry in entries {
                    if let Some(layout::FileName::Segment(segment)) = layout::FileName::parse(&entry.name) {
                        sizes.insert(segment, entry.size);
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
            }),
        }
    }

    /// Moves a file that nothing knows out of the way.
    pub(super) fn quarantine<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        segment: SegmentId,
    ) -> Result<(), OpenError> {
        self.sizes.remove(&segment);
        let from = self.dir.join(layout::segment(segment));
        let to = self
            .dir
            .join(layout::QUARANTINE)
            .join(format!("{:016x}.seg", segment.get()));
        door.rename(&from, &to)?;
        door.sync_dir(&self.dir.join(layout::QUARANTINE))?;
        door.sync_dir(
            &self
                .dir
                .join(layout::SEGMENTS)
                .join(layout::segment_folder(segment)),
        )
    }

    /// The CRC of a segment's bytes, salted; `None` where they are not there. Made durable first: the process
    /// that wrote them may have been killed before they were, and from here on they count.
    pub(super) fn crc<R: Ring>(
        dir: &Path,
        door: &mut Door<'_, R>,
        segment: SegmentId,
        at: u64,
        len: u64,
    ) -> Result<Option<u32>, OpenError> {
        let path = dir.join(layout::segment(segment));
        if let Some(file) = door.open_existing(&path)? {
            door.must("cannot flush", &path, Op::Datasync { file })?;
            door.close(file);
        }
        let bytes = read(dir, door, segment, at, len)?;
        Ok(bytes.map(|bytes| {
            bytes
                .iter()
                .fold(salt(segment), |crc, buf| crc32c_append(crc, buf))
        }))
    }
}

/// Reads whole blocks of a segment's data; `None` where the file does not reach that far. A device that
/// cannot read is an error: what it holds may have been acknowledged.
pub(super) fn read<R: Ring>(
    dir: &Path,
    door: &mut Door<'_, R>,
    segment: SegmentId,
    at: u64,
    len: u64,
) -> Result<Option<Vec<AlignedBuf>>, OpenError> {
    let path = dir.join(layout::segment(segment));
    let Some(file) = door.open_existing(&path)? else {
        return Ok(None);
    };
    let pieces = len.div_ceil(PIECE);
    let ops = (0..pieces).map(|piece| {
        let len = PIECE.min(len - piece * PIECE) as usize;
        Op::Read {
            file,
            at: layout::SEGMENT_DATA_AT + at + piece * PIECE,
            buf: AlignedBuf::zeroed(len),
            len,
        }
    });
    let mut bufs: Vec<Option<AlignedBuf>> = (0..pieces).map(|_| None).collect();
    let mut failure = None;
    door.run_all(ops, |index, result| match result {
        Ok(Done::Read { buf, n }) if n == buf.len() => bufs[index] = Some(buf),
        Ok(_) => {}
        Err(error) => failure = Some(error),
    });
    door.close(file);
    match failure {
        Some(error) => Err(super::door::failed("cannot read", &path, error)),
        None => Ok(bufs.into_iter().collect()),
    }
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
const _: () = assert!(PIECE.is_multiple_of(BLOCK));

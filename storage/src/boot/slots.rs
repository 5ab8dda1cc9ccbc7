//! The two slots of a journal's checkpoint, read: which one counts, and whether the other one was lost.

use std::path::Path;

use millstream_log::{Checkpoint, FormatError, Incarnation, JournalId, layout};
use millstream_ring::{AlignedBuf, FileId, Ring};

use super::door::Door;
use super::told::{Finding, Means, Told};
use crate::error::OpenError;
use crate::limits::BLOCK;

/// What the two slots of a journal's checkpoint hold.
pub(super) struct Slots {
    /// The newest checkpoint that can be read.
    pub(super) newest: Checkpoint,
    /// The other slot holds one that cannot.
    pub(super) is_lone: bool,
    /// To be told once the journals were read.
    pub(super) unread: Option<UnreadSlot>,
}

/// A slot that cannot be read while the other one can.
pub(super) struct UnreadSlot {
    journal: JournalId,
    slot: usize,
    error: FormatError,
    is_missing: bool,
    /// Of the run that wrote the other slot.
    incarnation: Incarnation,
}

/// The slots of a journal; an error where neither can be read.
pub(super) fn read_checkpoint<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    id: JournalId,
    told: &mut Told<'_>,
) -> Result<Slots, OpenError> {
    let mut slots = Vec::new();
    let (mut is_unread, mut is_torn, mut is_gone) = (false, false, false);
    let mut bad = None;
    for slot in 0..2 {
        let (decoded, is_empty) = read_slot(door, dir, id, slot, told)?;
        is_unread |= decoded.is_err() && is_empty.is_some();
        is_torn |= decoded.is_err() && is_empty == Some(false);
        is_gone |= is_empty.is_none();
        if let Err(error) = &decoded {
            bad = Some((slot, *error, is_empty));
        }
        slots.push(decoded);
    }
    let (b, a) = (slots.pop().expect("two slots"), slots.pop().expect("two slots"));
    let newest = Checkpoint::newest(a, b).map_err(|(a, b)| OpenError::Damaged {
        what: format!(
            "neither {} ({a}) nor {} ({b}) can be read: nothing tells which segments and rounds count",
            layout::checkpoint(id, 0),
            layout::checkpoint(id, 1)
        ),
    })?;
    // Nothing of it counts any more, and an interrupted start may have removed a slot of it already.
    if newest.head.retired {
        return Ok(Slots {
            newest,
            is_lone: false,
            unread: None,
        });
    }
    // The slot that no checkpoint has been written to yet is not one that was lost.
    let is_first = newest.head.generation == FIRST_GENERATION;
    let bad = bad.filter(|(_, _, is_empty)| !(is_first && *is_empty == Some(true)));
    Ok(Slots {
        is_lone: is_torn || is_gone || is_unread && !is_first,
        unread: bad.map(|(slot, error, is_empty)| UnreadSlot {
            journal: id,
            slot,
            error,
            is_missing: is_empty.is_none(),
            incarnation: newest.head.incarnation,
        }),
        newest,
    })
}

impl UnreadSlot {
    /// A power cut leaves such a slot where it was being written. Not where the directory was closed in good order, and
    /// the other slot was the last thing that was written; and not where a round of a later run than the one that wrote
    /// the other slot (`newest_round` is the latest one's) shows that this slot was durable: no round is written before
    /// all checkpoints of its start are.
    pub(super) fn tell(self, is_orderly: bool, newest_round: Option<Incarnation>, told: &mut Told<'_>) {
        let UnreadSlot { slot, error, .. } = self;
        let (file, other) = (
            layout::checkpoint(self.journal, slot),
            layout::checkpoint(self.journal, 1 - slot),
        );
        let was_durable = is_orderly || newest_round > Some(self.incarnation);
        let (why, means) = match (self.is_missing, was_durable) {
            (true, _) => ("it is missing".to_owned(), Means::Rebuilt),
            (false, true) => (error.to_string(), Means::Rebuilt),
            (false, false) => (
                format!("{error}, as after a power cut while it was written"),
                Means::Ignored,
            ),
        };
        let finding = Finding::of_file(file, format!("{why}; {other} is used instead"), means);
        match means {
            Means::Ignored => told.mention(|| finding),
            _ => told.warn(finding),
        }
    }
}

/// What a slot holds of this journal; and whether all of it is zero, `None` where there is no such file.
/// [`super::journals::make`] flushes the slots' space; where a power cut brings up what lay there before nevertheless,
/// it is a checkpoint of a journal that is gone, or the first one of a journal of the same id whose making was
/// interrupted: that had the other slot.
pub(super) fn read_slot<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    id: JournalId,
    slot: usize,
    told: &mut Told<'_>,
) -> Result<(Result<Checkpoint, FormatError>, Option<bool>), OpenError> {
    let name = layout::checkpoint(id, slot);
    let path = dir.join(&name);
    let bytes = match door.open(&path, false) {
        Ok((file, size)) => {
            let bytes = read_written(door, &path, file, size);
            door.close(file);
            bytes
        }
        Err(OpenError::Io { errno: ENOENT, .. }) => return Ok((Err(FormatError::Short), None)),
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        // One that the device cannot read is as good as one that is torn.
        Err(OpenError::Io { what, errno: EIO }) => {
            told.warn(Finding::of_file(name, what, Means::Rebuilt));
            return Ok((Err(FormatError::Short), Some(false)));
        }
        Err(error) => return Err(error),
    };
    let decoded = Checkpoint::decode(&bytes).and_then(|checkpoint| {
        if checkpoint.head.journal.id != id {
            Err(FormatError::Field("journal"))
        } else if Checkpoint::slot(checkpoint.head.generation) != slot {
            Err(FormatError::Field("generation"))
        } else {
            Ok(checkpoint)
        }
    });
    Ok((decoded, Some(bytes.iter().all(|byte| *byte == 0))))
}

/// As much of a slot as was written to it last, all of it where its first block does not say how much that is. What
/// lies behind is of older checkpoints, and need not be readable.
fn read_written<R: Ring>(
    door: &mut Door<'_, R>,
    path: &Path,
    file: FileId,
    size: u64,
) -> Result<Vec<u8>, OpenError> {
    let first = door.read_all(path, file, size.min(BLOCK))?.concat_bytes();
    match Checkpoint::length(&first) {
        Ok(length) if length <= BLOCK => Ok(first),
        Ok(length) => Ok(door.read_all(path, file, size.min(length))?.concat_bytes()),
        Err(_) => Ok(door.read_all(path, file, size)?.concat_bytes()),
    }
}

/// Buffers that were read, as one run of bytes.
pub(super) trait ConcatBytes {
    fn concat_bytes(self) -> Vec<u8>;
}

impl ConcatBytes for Vec<AlignedBuf> {
    fn concat_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.iter().map(|buf| buf.len()).sum());
        // Each buffer is freed as soon as it was copied.
        for buf in self {
            bytes.extend_from_slice(&buf);
        }
        bytes
    }
}

/// The generation of a new journal's checkpoint.
pub(super) const FIRST_GENERATION: u64 = 1;
/// As the ring's errors name them.
const ENOENT: i32 = 2;
const EIO: i32 = 5;

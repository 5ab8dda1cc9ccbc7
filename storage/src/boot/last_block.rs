//! The block at the end of a log whose bytes lie in its segment: brought back to memory, where appends go on in it.
//!
//! Invariant: what is in memory is served without another look, so these bytes are held against the checksums of the
//! index first; a block that is not what was written takes its partition out of service, and no other.

use std::path::Path;

use millstream_log::{Damage, DamageReason, FilePosition, IndexRun, SegmentId, crc32c_append, salt};
use millstream_protocol::types::Offset;
use millstream_ring::{AlignedBuf, Ring};

use super::door::Door;
use super::files::{Found, Stretch, read_stretches};
use crate::chunks::{Chunks, Growth, Located};
use crate::error::OpenError;
use crate::partition_log::PartitionLog;

/// Restores the blocks that hold the ends of these logs' active segments, which no journal holds.
pub(super) fn restore<R: Ring>(
    dir: &Path,
    door: &mut Door<'_, R>,
    logs: &mut [&mut PartitionLog],
    growth: &mut Growth<'_>,
) -> Result<(), OpenError> {
    let runs: Vec<Vec<IndexRun>> = logs.iter().map(|log| runs_of_last_block(log)).collect();
    let stretches: Vec<Stretch> = logs
        .iter()
        .zip(&runs)
        .map(|(log, runs)| {
            let (segment, end) = end_of(log);
            let block = end.block_floor();
            let first = runs.first().map_or(block, |run| run.position.block_floor());
            let at = first.min(block);
            Stretch {
                partition: log.key(),
                segment,
                at,
                len: end.block_ceil() - at,
            }
        })
        .collect();
    read_stretches(dir, door, &stretches, false, |index, found| {
        let (log, runs) = (&mut *logs[index], &runs[index]);
        // A device that cannot read it is damage as well: of this partition alone.
        let bad = match found {
            Found::Bytes {
                pieces,
                is_its_own: true,
            } => take_in(log, stretches[index].at, runs, &pieces, growth).err(),
            _ => Some(runs.first().map_or_else(|| base_of(log), |run| run.offset)),
        };
        if let Some(at) = bad {
            log.damage = Some(Damage {
                at,
                reason: DamageReason::Segment,
            });
        }
    })
}

/// Puts the last block into memory, if the bytes from `from` on are those that were written; otherwise tells the first
/// offset that may be lost.
fn take_in(
    log: &mut PartitionLog,
    from: FilePosition,
    runs: &[IndexRun],
    pieces: &[AlignedBuf],
    growth: &mut Growth<'_>,
) -> Result<(), Offset> {
    let (segment, end) = end_of(log);
    let block = end.block_floor();
    let mut bytes: Vec<u8> = Vec::new();
    pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    overlay(&log.chunks, segment, from, end, &mut bytes);
    let is_bad = |run: &&IndexRun| {
        let range = (run.position - from) as usize..(run.end - from) as usize;
        crc32c_append(salt(segment), &bytes[range]) != run.crc
    };
    if let Some(bad) = runs.iter().find(is_bad) {
        return Err(bad.offset);
    }
    let last = &bytes[(block - from) as usize..(end - from) as usize];
    log.chunks.restore(segment, block, last, growth);
    log.dirty.set_image_needed();
    Ok(())
}

/// The first offset of the active segment.
fn base_of(log: &PartitionLog) -> Offset {
    let active = log.state.active();
    active
        .expect("a log that ends inside a block has a segment")
        .base_offset
}

fn end_of(log: &PartitionLog) -> (SegmentId, FilePosition) {
    let active = log.state.active();
    let active = active.expect("a log that ends inside a block has a segment");
    (active.id, active.byte_end)
}

/// The runs of the index whose bytes lie in the block, wholly or in part.
fn runs_of_last_block(log: &PartitionLog) -> Vec<IndexRun> {
    let (_, end) = end_of(log);
    let index = log.state.active().and_then(|active| active.index.as_ref());
    index.map_or_else(Vec::new, |index| {
        let runs = index.runs_within(FilePosition::ZERO, end);
        runs.filter(|run| run.end > end.block_floor()).collect()
    })
}

/// Puts what is in memory, and maybe not in the file yet, over what was read.
fn overlay(chunks: &Chunks, segment: SegmentId, from: FilePosition, end: FilePosition, bytes: &mut [u8]) {
    let mut at = from;
    while at < end {
        match chunks.locate(segment, at) {
            Located::Here { to } => {
                let to = to.min(end);
                let mut filled = (at - from) as usize;
                chunks.bytes(segment, at, to, |piece| {
                    bytes[filled..filled + piece.len()].copy_from_slice(piece);
                    filled += piece.len();
                });
                at = to;
            }
            Located::Gap { to } => at = to.map_or(end, |to| to.min(end)),
        }
    }
}

//! The block at the end of a log whose bytes lie in its segment: brought back to memory, where appends go on in it.
//!
//! Invariant: what is in memory is served without another look, so these bytes are held against the checksums of the
//! index first; a block that is not what was written takes its partition out of service, and no other.

use std::path::Path;

use millstream_log::{Damage, DamageReason, FilePosition, IndexRun, SegmentId, crc32c_append, salt};
use millstream_ring::Ring;

use super::door::Door;
use super::files::read;
use crate::chunks::{Chunks, Growth, Located};
use crate::partition_log::PartitionLog;

/// Restores the block that holds the end of the active segment, which no journal holds.
pub(super) fn restore<R: Ring>(
    dir: &Path,
    door: &mut Door<'_, R>,
    log: &mut PartitionLog,
    growth: &mut Growth<'_>,
) {
    let active = log
        .state
        .active()
        .expect("a log that ends inside a block has a segment");
    let (segment, end) = (active.id, active.byte_end);
    let block = end.block_floor();
    let runs: Vec<IndexRun> = active.index.as_ref().map_or_else(Vec::new, |index| {
        let runs = index.runs_within(FilePosition::ZERO, end);
        runs.filter(|run| run.end > block).collect()
    });
    let from = runs
        .first()
        .map_or(block, |run| run.position.block_floor())
        .min(block);
    // A device that cannot read it is damage as well: of this partition alone.
    let bufs = read(dir, door, segment, from.get(), end.block_ceil() - from);
    let at = match bufs {
        Ok(Some(bufs)) => {
            let mut bytes: Vec<u8> = Vec::new();
            bufs.iter().for_each(|buf| bytes.extend_from_slice(buf));
            overlay(&log.chunks, segment, from, end, &mut bytes);
            let is_bad = |run: &&IndexRun| {
                let range = (run.position - from) as usize..(run.end - from) as usize;
                crc32c_append(salt(segment), &bytes[range]) != run.crc
            };
            let Some(bad) = runs.iter().find(is_bad) else {
                let last = &bytes[(block - from) as usize..(end - from) as usize];
                log.chunks.restore(segment, block, last, growth);
                log.dirty.set_image_needed();
                return;
            };
            bad.offset
        }
        _ => runs.first().map_or(active.base_offset, |run| run.offset),
    };
    log.damage = Some(Damage {
        at,
        reason: DamageReason::Segment,
    });
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

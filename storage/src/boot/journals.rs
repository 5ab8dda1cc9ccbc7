//! The journals and checkpoints of a directory: read and replayed, made, retired.
//!
//! A journal is made under another name and gets its own as the last step; it is retired by a checkpoint
//! that says so, whose files go last. So at any moment what is there tells how far a start or a change of
//! shards had come.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_log::planted::{self, Bug};
use millstream_log::{
    Beyond, ChainEnd, ChainPoint, Checkpoint, CheckpointBuilder, CheckpointHead, FormatError, JournalId,
    JournalIdentity, Look, Recovered, Replay, ReplayError, Round, RoundHeader, RoundSequence, Step,
    crc32c_append, layout, newest_settled, salt,
};
use millstream_protocol::types::TimestampMs;
use millstream_ring::{AlignedBuf, AllocateMode, Op, Ring};

use super::door::Door;
use super::files::{Found, Stretch, read_stretches};
use super::recovered_bytes::RecoveredBytes;
use super::ring_file::RingFile;
use crate::error::OpenError;
use crate::journal::JournalPoint;
use crate::limits::{BLOCK, CHECKPOINT_RESERVE, round_bytes_max};

/// What the journals told.
pub(super) struct Replayed {
    pub(super) recovered: Recovered<RecoveredBytes>,
    /// For each journal: where its rounds begin.
    pub(super) points: BTreeMap<JournalId, Points>,
    /// No journal has this id or a higher one.
    pub(super) next_id: u64,
    /// For each journal with a rescue file: where its rounds end.
    pub(super) rescue_ends: BTreeMap<JournalId, u64>,
}

/// Places in a journal, on the scale of [`JournalPoint::head`].
#[derive(Default)]
pub(super) struct Points {
    pub(super) rounds: Vec<JournalPoint>,
    pub(super) end: Option<JournalPoint>,
}

impl Points {
    /// The moment before a round of the ring.
    pub(super) fn of(&self, sequence: RoundSequence) -> Option<JournalPoint> {
        let first = self.rounds.first().map(|point| point.chain.sequence.get());
        let index = first.and_then(|first| sequence.get().checked_sub(first));
        index.and_then(|index| self.rounds.get(index as usize)).copied()
    }
}

/// Reads all checkpoints, then all journals, and replays them.
pub(super) fn replay<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    report: &mut Vec<String>,
) -> Result<Replayed, OpenError> {
    let (ids, mut next_id) = clean_up(door, dir)?;
    let mut replay = Replay::default();
    let mut points = BTreeMap::new();
    let mut heads = Vec::new();
    for (id, has_journal) in ids {
        next_id = next_id.max(id.get() + 1);
        let (checkpoint, is_lone) = read_checkpoint(door, dir, id, report)?;
        if checkpoint.head.retired {
            remove(door, dir, id, has_journal)?;
            continue;
        }
        if !has_journal {
            return Err(OpenError::Damaged {
                what: format!("{} is missing", layout::journal(id)),
            });
        }
        heads.push((checkpoint.head, is_lone));
        replay.add_checkpoint(checkpoint);
    }
    let mut rescue_ends = BTreeMap::new();
    for (head, is_lone) in &heads {
        if let Some(end) = replay_rescue(door, dir, head.journal, &mut replay)? {
            rescue_ends.insert(head.journal.id, end);
        }
        points.insert(
            head.journal.id,
            replay_journal(door, dir, head, *is_lone, &mut replay, report)?,
        );
    }
    verify_extents(door, dir, &mut replay);
    Ok(Replayed {
        recovered: replay.finish(),
        points,
        next_id,
        rescue_ends,
    })
}

/// Direct writes that may not have completed are compared with what the journals say of them.
fn verify_extents<R: Ring>(door: &mut Door<'_, R>, dir: &Path, replay: &mut Replay<RecoveredBytes>) {
    let checks = replay.extents_to_verify();
    let stretches: Vec<Stretch> = checks
        .iter()
        .map(|check| Stretch {
            partition: check.partition,
            segment: check.segment,
            at: check.position,
            len: check.length,
        })
        .collect();
    read_stretches(dir, door, &stretches, true, |index, found| {
        let check = &checks[index];
        match found {
            _ if planted::has(Bug::ExtentsNotVerified) => replay.verified(check, Some(check.crc)),
            Found::Bytes { pieces, is_its_own } => {
                let crc = pieces
                    .iter()
                    .fold(salt(check.segment), |crc, piece| crc32c_append(crc, piece));
                // The right bytes in a file that is somebody else's are no torn write.
                if crc == check.crc && !is_its_own {
                    replay.unreadable(check);
                } else {
                    replay.verified(check, Some(crc));
                }
            }
            Found::Missing => replay.verified(check, None),
            Found::Failed => replay.unreadable(check),
        }
    });
}

/// Removes journals whose making was interrupted; lists the others, and whether the ring file itself is
/// there.
fn clean_up<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
) -> Result<(BTreeMap<JournalId, bool>, u64), OpenError> {
    let mut ids: BTreeMap<JournalId, bool> = BTreeMap::new();
    let mut unfinished = Vec::new();
    for entry in door.list(dir)? {
        let name = entry.name.as_str();
        match layout::FileName::parse(name.strip_suffix(UNFINISHED).unwrap_or(name)) {
            Some(layout::FileName::Journal(id)) if name.ends_with(UNFINISHED) => unfinished.push(id),
            Some(layout::FileName::Journal(id)) => *ids.entry(id).or_default() = true,
            Some(layout::FileName::Checkpoint(id, _)) => drop(ids.entry(id).or_default()),
            _ => {}
        }
    }
    let next_id = unfinished.iter().map(|id| id.get() + 1).max().unwrap_or(1);
    for id in unfinished {
        ids.remove(&id);
        door.unlink(&dir.join(layout::checkpoint(id, 0)))?;
        door.unlink(&dir.join(layout::checkpoint(id, 1)))?;
        door.sync_dir(dir)?;
        door.unlink(&unfinished_path(dir, id))?;
        door.sync_dir(dir)?;
    }
    Ok((ids, next_id))
}

/// The newest checkpoint that can be read; and whether the other slot holds one that cannot.
fn read_checkpoint<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    id: JournalId,
    report: &mut Vec<String>,
) -> Result<(Checkpoint, bool), OpenError> {
    let mut slots = Vec::new();
    let (mut is_unread, mut is_torn) = (false, false);
    for slot in 0..2 {
        let (decoded, is_empty) = read_slot(door, dir, id, slot, report)?;
        is_unread |= decoded.is_err() && is_empty.is_some();
        is_torn |= decoded.is_err() && is_empty == Some(false);
        slots.push(decoded);
    }
    let (b, a) = (slots.pop().expect("two slots"), slots.pop().expect("two slots"));
    let newest = Checkpoint::newest(a, b).map_err(|(a, b)| OpenError::Damaged {
        what: format!("both slots of {}: {a}; {b}", layout::checkpoint(id, 0)),
    })?;
    // The slot that no checkpoint has been written to yet is not one that was lost.
    let is_first = newest.head.generation == FIRST_GENERATION;
    Ok((newest, is_torn || is_unread && !is_first))
}

/// What a slot holds of this journal; and whether all of it is zero, `None` where there is no such file. [`make`]
/// flushes the slots' space; where a power cut brings up what lay there before nevertheless, it is a checkpoint of a
/// journal that is gone, or the first one of a journal of the same id whose making was interrupted: that had the
/// other slot.
fn read_slot<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    id: JournalId,
    slot: usize,
    report: &mut Vec<String>,
) -> Result<(Result<Checkpoint, FormatError>, Option<bool>), OpenError> {
    let path = dir.join(layout::checkpoint(id, slot));
    let bytes = match door.open(&path, false) {
        Ok((file, size)) => {
            let bytes = door.read_all(&path, file, size);
            door.close(file);
            bytes
        }
        Err(OpenError::Io { errno: ENOENT, .. }) => return Ok((Err(FormatError::Short), None)),
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes.concat_bytes(),
        // One that the device cannot read is as good as one that is torn.
        Err(OpenError::Io { what, errno: EIO }) => {
            report.push(what);
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

/// Takes in what the rescue file holds; tells where its rounds end.
fn replay_rescue<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    journal: JournalIdentity,
    replay: &mut Replay<RecoveredBytes>,
) -> Result<Option<u64>, OpenError> {
    let path = dir.join(layout::rescue(journal.id));
    let Some(entry) = door
        .list(dir)?
        .into_iter()
        .find(|entry| entry.name == layout::rescue(journal.id))
    else {
        return Ok(None);
    };
    let (file, _) = door.open(&path, false)?;
    let bytes = door.read_all(&path, file, entry.size)?.concat_bytes();
    door.close(file);
    let mut at = 0;
    while let Some(rest) = bytes.get(at as usize..)
        && let Ok(round) = Round::decode(rest)
        && round.header.journal == journal
    {
        replay.rescued_round(&round).map_err(contradiction)?;
        at += round.header.padded_len();
    }
    Ok(Some(at))
}

/// Replays one journal; tells where its rounds lie. `is_lone`: the other slot cannot be read. A power cut leaves that
/// where it was being written, and then this one and the journal hold everything; otherwise it was the newest.
fn replay_journal<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    head: &CheckpointHead,
    is_lone: bool,
    replay: &mut Replay<RecoveredBytes>,
    report: &mut Vec<String>,
) -> Result<Points, OpenError> {
    let id = head.journal.id;
    let mut points = Points::default();
    if head.clean && !is_lone && (planted::has(Bug::CleanMarkKept) || !goes_on(door, dir, head)?) {
        points.end = Some(JournalPoint {
            chain: head.tail,
            head: 0,
        });
        replay.chain_ended(id, head.tail, &[]).map_err(contradiction)?;
        return Ok(points);
    }
    let path = dir.join(layout::journal(id));
    let (file, size) = door.open(&path, false)?;
    if size < head.ring_bytes {
        return Err(OpenError::Damaged {
            what: format!("{} is shorter than it was made", path.display()),
        });
    }
    // A process that was killed may have left rounds in the device's cache alone: what is trusted from here on
    // must survive a power cut, too.
    door.must("cannot flush", &path, Op::Datasync { file })?;
    let mut ring = RingFile::new(door, file, head.ring_bytes, head.tail.position);
    let end = follow(id, head, &mut ring, replay, &mut points)?;
    // Where the newest checkpoint cannot be read the chain's beginning is in doubt, and any round may tell.
    let mut beyond = Beyond::new(
        head.journal,
        head.ring_bytes,
        end,
        (!is_lone).then(|| round_bytes_max(head.ring_bytes)),
    );
    let mut look = Look::Need { at: 0, len: BLOCK };
    while let Look::Need { at, len } = look {
        look = beyond.step(at, ring.bytes(at, len));
    }
    let headers = beyond.into_headers();
    let ended = replay.chain_ended(id, end, &headers).map_err(contradiction)?;
    let newer = |(_, header): &(u64, RoundHeader)| header.incarnation > head.incarnation;
    if is_lone && (headers.iter().any(newer) || matches!(ended, ChainEnd::Damaged { .. })) {
        return Err(OpenError::Damaged {
            what: format!("the newest checkpoint of {} cannot be read", path.display()),
        });
    }
    if let ChainEnd::Damaged { later } = ended {
        report.push(format!(
            "{}: round {} is damaged; what followed is judged by itself",
            path.display(),
            end.sequence
        ));
        for at in later {
            let Ok(header) = RoundHeader::decode(ring.bytes(at, BLOCK)) else {
                continue;
            };
            let len = header.padded_len().min(head.ring_bytes - at);
            if let Ok(round) = Round::decode(ring.bytes(at, len)) {
                replay.later_round(id, &round).map_err(contradiction)?;
            }
        }
    }
    let unreadable = ring.close();
    if unreadable > 0 {
        report.push(format!("{}: {unreadable} blocks cannot be read", path.display()));
    }
    door.close(file);
    Ok(points)
}

/// Whether a round follows an orderly end. Then the checkpoint of a later start never reached the disk, although the
/// device said so, and the chain goes on from here.
fn goes_on<R: Ring>(door: &mut Door<'_, R>, dir: &Path, head: &CheckpointHead) -> Result<bool, OpenError> {
    let path = dir.join(layout::journal(head.journal.id));
    let (file, _) = door.open(&path, false)?;
    let mut follows = false;
    // One that does not fit before the ring's end begins at its start.
    for at in [head.tail.position, 0] {
        let mut block = AlignedBuf::zeroed(BLOCK as usize);
        // A block that cannot be read may be one.
        let read = match at < head.ring_bytes {
            true => door.read_blocks(file, at, &mut block),
            false => Ok(0),
        };
        let header = newest_settled(head.journal, &block);
        follows |= read.is_err()
            || header.is_some_and(|header| {
                header.sequence == head.tail.sequence && header.previous_crc == head.tail.previous_crc
            });
    }
    door.close(file);
    Ok(follows)
}

/// Replays the chain; tells where it ends.
fn follow<R: Ring>(
    id: JournalId,
    head: &CheckpointHead,
    ring: &mut RingFile<'_, '_, R>,
    replay: &mut Replay<RecoveredBytes>,
    points: &mut Points,
) -> Result<ChainPoint, OpenError> {
    let mut reader = replay.reader(id).expect("the journal is known and not retired");
    let mut next = JournalPoint {
        chain: head.tail,
        head: 0,
    };
    let mut step = reader.step(0, &[]);
    loop {
        step = match step {
            Step::Need { at, len } => match reader.step(at, ring.bytes(at, len)) {
                Step::Round { round, at: position } => {
                    let header = round.header;
                    let chain = ChainPoint {
                        position,
                        ..next.chain
                    };
                    let passed = if position == next.chain.position {
                        0
                    } else {
                        head.ring_bytes - next.chain.position
                    };
                    points.rounds.push(JournalPoint {
                        chain,
                        head: next.head,
                    });
                    replay.apply_round(id, &round).map_err(contradiction)?;
                    next = JournalPoint {
                        chain: ChainPoint::after(&header, position),
                        head: next.head + passed + header.padded_len(),
                    };
                    reader.step(0, &[])
                }
                step => step,
            },
            Step::End(end) => {
                if planted::has(Bug::StaleRoundTaken) {
                    take_stale(head, ring, replay, end)?;
                }
                points.end = Some(JournalPoint {
                    chain: end,
                    head: next.head,
                });
                return Ok(end);
            }
            Step::Round { .. } => unreachable!("no bytes hold no round"),
        };
    }
}

/// As the ring's errors name them.
const ENOENT: i32 = 2;
const EIO: i32 = 5;

/// Only where that bug is planted: takes whatever round lies behind the last one for its successor.
fn take_stale<R: Ring>(
    head: &CheckpointHead,
    ring: &mut RingFile<'_, '_, R>,
    replay: &mut Replay<RecoveredBytes>,
    end: ChainPoint,
) -> Result<(), OpenError> {
    let at = end.position % head.ring_bytes;
    let len = RoundHeader::decode(ring.bytes(at, BLOCK)).map_or(BLOCK, |header| header.padded_len());
    match Round::decode(ring.bytes(at, len.min(head.ring_bytes - at))) {
        Ok(round) if round.header.journal == head.journal => {
            replay.apply_round(head.journal.id, &round).map_err(contradiction)
        }
        _ => Ok(()),
    }
}

/// The generation of a new journal's checkpoint.
pub(super) const FIRST_GENERATION: u64 = 1;

/// Makes a journal: a zeroed ring, and a checkpoint in its second slot ([`FIRST_GENERATION`]). Last it gets its name.
pub(super) fn make<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    head: &CheckpointHead,
    builder: CheckpointBuilder,
    unlinks: &[millstream_log::SegmentId],
) -> Result<(), OpenError> {
    let id = head.journal.id;
    let path = unfinished_path(dir, id);
    let (file, _) = door.open(&path, true)?;
    let allocate = Op::Allocate {
        file,
        at: 0,
        len: head.ring_bytes,
        mode: AllocateMode::Zeroed,
    };
    door.must("cannot reserve the journal's space in", &path, allocate)?;
    door.must("cannot flush", &path, Op::Datasync { file })?;
    door.close(file);
    // Slots without this name would be those of a journal that was lost.
    door.sync_dir(dir)?;
    for slot in 0..2 {
        let path = dir.join(layout::checkpoint(id, slot));
        let (file, _) = door.open(&path, true)?;
        let reserve = Op::Allocate {
            file,
            at: 0,
            len: CHECKPOINT_RESERVE,
            mode: AllocateMode::Unwritten,
        };
        door.must("cannot reserve the checkpoint's space in", &path, reserve)?;
        // Else a power cut may take the space back, or leave in it what another file held.
        door.must("cannot flush", &path, Op::Datasync { file })?;
        door.close(file);
    }
    write_checkpoint(door, dir, head, builder, unlinks)?;
    door.sync_dir(dir)?;
    door.rename(&path, &dir.join(layout::journal(id)))?;
    door.sync_dir(dir)
}

/// Writes a checkpoint into its slot, durably.
pub(super) fn write_checkpoint<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    head: &CheckpointHead,
    builder: CheckpointBuilder,
    unlinks: &[millstream_log::SegmentId],
) -> Result<(), OpenError> {
    let path = dir.join(layout::checkpoint(
        head.journal.id,
        Checkpoint::slot(head.generation),
    ));
    let bytes = builder
        .finish(head, unlinks)
        .expect("the number of partitions is bounded");
    let mut buf = AlignedBuf::zeroed(bytes.len());
    buf.copy_from_slice(&bytes);
    let (file, _) = door.open(&path, true)?;
    door.write(&path, file, 0, buf)?;
    door.close(file);
    Ok(())
}

/// Says durably that a journal is no shard's any more, then removes it.
pub(super) fn retire<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    head: &CheckpointHead,
    now: TimestampMs,
) -> Result<(), OpenError> {
    let retired = CheckpointHead {
        generation: head.generation + 1,
        retired: true,
        written_at: now,
        ..*head
    };
    write_checkpoint(door, dir, &retired, CheckpointBuilder::new(0), &[])?;
    remove(door, dir, head.journal.id, true)
}

/// Removes the files of a retired journal; the slot that says so is the last to go.
fn remove<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    id: JournalId,
    has_journal: bool,
) -> Result<(), OpenError> {
    if has_journal {
        door.unlink(&dir.join(layout::journal(id)))?;
        door.sync_dir(dir)?;
    }
    // The slot of the older generation first: alone it would bring the journal back.
    let mut generations = Vec::new();
    for slot in 0..2 {
        let (decoded, _) = read_slot(door, dir, id, slot, &mut Vec::new())?;
        let generation = decoded.map_or(0, |checkpoint| checkpoint.head.generation);
        generations.push((generation, dir.join(layout::checkpoint(id, slot))));
    }
    generations.sort();
    for (_, path) in generations {
        door.unlink(&path)?;
        door.sync_dir(dir)?;
    }
    Ok(())
}

fn unfinished_path(dir: &Path, id: JournalId) -> std::path::PathBuf {
    dir.join(format!("{}{UNFINISHED}", layout::journal(id)))
}

fn contradiction(error: ReplayError) -> OpenError {
    OpenError::Damaged {
        what: format!("the journals contradict each other: {error:?}"),
    }
}

/// Buffers that were read, as one run of bytes.
trait ConcatBytes {
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

const UNFINISHED: &str = ".new";

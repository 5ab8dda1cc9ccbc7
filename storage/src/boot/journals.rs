//! The journals and checkpoints of a directory: read and replayed, made, retired.
//!
//! A journal is made under another name and gets its own as the last step; it is retired by a checkpoint
//! that says so, whose files go last. So at any moment what is there tells how far a start or a change of
//! shards had come.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_log::planted::{self, Bug};
use millstream_log::{
    Beyond, ChainEnd, ChainPoint, Checkpoint, CheckpointBuilder, CheckpointHead, Incarnation, JournalId,
    JournalIdentity, Look, Recovered, Replay, ReplayError, Round, RoundHeader, RoundSequence, RunMemory,
    Step, crc32c_append, layout, newest_settled, salt,
};
use millstream_protocol::types::TimestampMs;
use millstream_ring::{AlignedBuf, AllocateMode, FileId, Op, Ring};

use super::door::Door;
use super::files::{Found, Stretch, read_stretches};
use super::recovered_bytes::RecoveredBytes;
use super::ring_file::RingFile;
use super::slots::{ConcatBytes, read_checkpoint, read_slot};
use super::told::{Finding, Means, Told};
use crate::error::OpenError;
use crate::journal::JournalPoint;
use crate::limits::{BLOCK, CHECKPOINT_RESERVE, round_bytes_max};

/// What the journals told.
pub(super) struct Replayed<M = RecoveredBytes> {
    pub(super) recovered: Recovered<M>,
    /// For each journal: where its rounds begin.
    pub(super) points: BTreeMap<JournalId, Points>,
    /// No journal has this id or a higher one.
    pub(super) next_id: u64,
    /// For each journal with a rescue file: where its rounds end.
    pub(super) rescue_ends: BTreeMap<JournalId, u64>,
    /// A journal is lost of which nothing counted: all begin anew.
    pub(super) begins_anew: bool,
    /// A checkpoint is lost: there may be segments of which nothing here tells. Only a look gets this far.
    pub(super) is_blind: bool,
}

/// Places in a journal, on the scale of [`JournalPoint::head`].
#[derive(Default)]
pub(super) struct Points {
    pub(super) rounds: Vec<JournalPoint>,
    pub(super) end: Option<JournalPoint>,
    /// Of the latest run that wrote a round, as far as rounds were read.
    pub(super) newest_run: Option<Incarnation>,
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
pub(super) fn replay<R: Ring, M: RunMemory>(
    door: &mut Door<'_, R>,
    dir: &Path,
    told: &mut Told<'_>,
) -> Result<Replayed<M>, OpenError> {
    let (ids, mut next_id) = clean_up(door, dir, told)?;
    let mut replay = Replay::default();
    let mut points = BTreeMap::new();
    let (mut heads, mut is_blind, mut begins_anew) = (Vec::new(), false, false);
    let mut unread_slots = Vec::new();
    for (id, has_journal) in ids {
        next_id = next_id.max(id.get() + 1);
        let slots = match read_checkpoint(door, dir, id, told) {
            Ok(slots) => slots,
            Err(error) => {
                is_blind = true;
                told.refuse(&layout::checkpoint(id, 0), error)?;
                continue;
            }
        };
        let (checkpoint, is_lone) = (slots.newest, slots.is_lone);
        unread_slots.extend(slots.unread);
        if checkpoint.head.retired {
            told.mention(|| retired(id));
            remove(door, dir, id, has_journal)?;
            continue;
        }
        let head = checkpoint.head;
        let loss = journal_loss(door, dir, &head, has_journal)?;
        let counts = match &loss {
            Some(_) => is_lone || counts_still(door, dir, &checkpoint, has_journal)?,
            None => true,
        };
        replay.add_checkpoint(checkpoint);
        match loss {
            None => heads.push((head, is_lone)),
            Some(loss) if counts => {
                let what = format!("{} {loss}: {NOTHING_TELLS}", layout::journal(id));
                told.refuse(&layout::journal(id), OpenError::Damaged { what })?;
            }
            Some(loss) => {
                begins_anew = true;
                let what = format!(
                    "it {loss}; the directory was closed in good order, when nothing in it counted: it is made anew"
                );
                told.warn(Finding::of_file(layout::journal(id), what, Means::Rebuilt));
                replay.chain_ended(id, head.tail, &[]).map_err(contradiction)?;
            }
        }
    }
    let mut rescue_ends = BTreeMap::new();
    for (head, is_lone) in &heads {
        let id = head.journal.id;
        if let Some(end) = replay_rescue(door, dir, head.journal, &mut replay, told)? {
            rescue_ends.insert(id, end);
        }
        match replay_journal(door, dir, head, *is_lone, &mut replay, told) {
            Ok(found) => drop(points.insert(id, found)),
            Err(error) => told.refuse(&layout::journal(id), error)?,
        }
    }
    verify_extents(door, dir, &mut replay)?;
    let recovered = replay.finish();
    let newest_run = points.values().filter_map(|points| points.newest_run).max();
    for slot in unread_slots {
        slot.tell(recovered.clean, newest_run, told);
    }
    Ok(Replayed {
        recovered,
        points,
        next_id,
        rescue_ends,
        begins_anew,
        is_blind,
    })
}

/// What is missing of a journal's file, in words; `None` where it is there as a whole.
fn journal_loss<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    head: &CheckpointHead,
    has_journal: bool,
) -> Result<Option<String>, OpenError> {
    if !has_journal {
        return Ok(Some("is missing".to_owned()));
    }
    let (file, size) = door.open(&dir.join(layout::journal(head.journal.id)), false)?;
    door.close(file);
    let is_short = size < head.ring_bytes;
    Ok(is_short.then(|| format!("has {size} bytes of {}", head.ring_bytes)))
}

/// Whether anything that a journal held before a part of it was lost may count, although its newest checkpoint can be
/// read: not after an orderly end. Bytes of a partition that was out of service then may be there alone.
fn counts_still<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    checkpoint: &Checkpoint,
    has_journal: bool,
) -> Result<bool, OpenError> {
    let head = &checkpoint.head;
    if !head.clean || checkpoint.entries.iter().any(|entry| entry.damage.is_some()) {
        return Ok(true);
    }
    if !has_journal {
        return Ok(false);
    }
    let (file, _) = door.open(&dir.join(layout::journal(head.journal.id)), false)?;
    let counts = goes_on(door, file, head);
    door.close(file);
    Ok(counts)
}

/// Direct writes that may not have completed are compared with what the journals say of them.
fn verify_extents<R: Ring, M: RunMemory>(
    door: &mut Door<'_, R>,
    dir: &Path,
    replay: &mut Replay<M>,
) -> Result<(), OpenError> {
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
    })
}

/// Removes journals whose making was interrupted; lists the others, and whether the ring file itself is
/// there.
fn clean_up<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    told: &mut Told<'_>,
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
        told.mention(|| {
            let what =
                "the making of this journal was interrupted before anything was written to it".to_owned();
            Finding::of_file(
                format!("{}{UNFINISHED}", layout::journal(id)),
                what,
                Means::Removed,
            )
        });
        door.unlink(&dir.join(layout::checkpoint(id, 0)))?;
        door.unlink(&dir.join(layout::checkpoint(id, 1)))?;
        door.sync_dir(dir)?;
        door.unlink(&unfinished_path(dir, id))?;
        door.sync_dir(dir)?;
    }
    Ok((ids, next_id))
}

fn retired(id: JournalId) -> Finding {
    let what = "this journal was drained and belongs to no shard any more".to_owned();
    Finding::of_file(layout::journal(id), what, Means::Removed)
}

/// Takes in what the rescue file holds; tells where its rounds end.
fn replay_rescue<R: Ring, M: RunMemory>(
    door: &mut Door<'_, R>,
    dir: &Path,
    journal: JournalIdentity,
    replay: &mut Replay<M>,
    told: &mut Told<'_>,
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
    if bytes[at as usize..].iter().any(|byte| *byte != 0) {
        let what = format!(
            "from byte {at} on no round can be read: bytes of partitions that are out of service may be lost with it"
        );
        told.warn(Finding::of_file(layout::rescue(journal.id), what, Means::Fenced).at(at));
    }
    Ok(Some(at))
}

/// Replays one journal; tells where its rounds lie. `is_lone`: the other slot cannot be read. A power cut leaves that
/// where it was being written, and then this one and the journal hold everything; otherwise it was the newest.
fn replay_journal<R: Ring, M: RunMemory>(
    door: &mut Door<'_, R>,
    dir: &Path,
    head: &CheckpointHead,
    is_lone: bool,
    replay: &mut Replay<M>,
    told: &mut Told<'_>,
) -> Result<Points, OpenError> {
    let id = head.journal.id;
    let mut points = Points::default();
    let path = dir.join(layout::journal(id));
    let (file, _) = door.open(&path, false)?;
    if head.clean && !is_lone && (planted::has(Bug::CleanMarkKept) || !goes_on(door, file, head)) {
        // Nothing follows an orderly end.
        points.end = Some(JournalPoint {
            chain: head.tail,
            head: 0,
        });
        replay.chain_ended(id, head.tail, &[]).map_err(contradiction)?;
        door.close(file);
        return Ok(points);
    }
    // A process that was killed may have left rounds in the device's cache alone: what is trusted from here on
    // must survive a power cut, too.
    if !planted::has(Bug::FoundNotFlushed) {
        door.flush(&path, file)?;
    }
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
    let has_begun = beyond.is_virgin();
    let headers = beyond.into_headers();
    let runs = headers.iter().map(|(_, header)| header.incarnation);
    points.newest_run = points.newest_run.max(runs.max());
    // What is durable stays in the ring until it is written over, by rounds of the same journal.
    if points.rounds.is_empty() && headers.is_empty() && !has_begun {
        return Err(OpenError::Damaged {
            what: format!(
                "{} holds none of its rounds: it was overwritten, or another file has its name; records that only it \
                 held are lost, and nothing tells which",
                layout::journal(id)
            ),
        });
    }
    let ended = replay.chain_ended(id, end, &headers).map_err(contradiction)?;
    // Rounds of a later start that the chain reaches go on from this checkpoint: what a start cuts stands in both
    // slots, and whatever else it finds, the next one finds too. Others go on from the one that is lost.
    let is_unreached = |(_, header): &(u64, RoundHeader)| {
        header.incarnation > head.incarnation && header.sequence >= end.sequence
    };
    if is_lone && (headers.iter().any(is_unreached) || matches!(ended, ChainEnd::Damaged { .. })) {
        return Err(OpenError::Damaged {
            what: format!(
                "the newest checkpoint of {} cannot be read, and the journal goes on from it: what the older one says \
                 is out of date",
                layout::journal(id)
            ),
        });
    }
    if let ChainEnd::Damaged { later } = ended {
        let what = format!(
            "round {} is damaged; what followed is judged by itself",
            end.sequence
        );
        told.warn(Finding::of_file(layout::journal(id), what, Means::Rebuilt).at(end.position));
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
    let unreadable = ring.unreadable();
    drop(ring);
    if unreadable > 0 {
        let what = format!("{unreadable} blocks cannot be read by the device");
        told.warn(Finding::of_file(layout::journal(id), what, Means::Rebuilt));
    }
    door.close(file);
    Ok(points)
}

/// Whether a round follows an orderly end. Then the checkpoint of a later start never reached the disk, although the
/// device said so, and the chain goes on from here.
fn goes_on<R: Ring>(door: &mut Door<'_, R>, file: FileId, head: &CheckpointHead) -> bool {
    // One that does not fit before the ring's end begins at its start.
    [head.tail.position, 0].into_iter().any(|at| {
        let mut block = AlignedBuf::zeroed(BLOCK as usize);
        // A block that cannot be read may be one.
        let is_unread = at < head.ring_bytes && door.read_blocks(file, at, &mut block).is_err();
        let header = newest_settled(head.journal, &block);
        let follows = header.is_some_and(|header| {
            header.sequence == head.tail.sequence && header.previous_crc == head.tail.previous_crc
        });
        is_unread || follows
    })
}

/// Replays the chain; tells where it ends.
fn follow<R: Ring, M: RunMemory>(
    id: JournalId,
    head: &CheckpointHead,
    ring: &mut RingFile<'_, '_, R>,
    replay: &mut Replay<M>,
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
                    points.newest_run = points.newest_run.max(Some(header.incarnation));
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

/// Only where that bug is planted: takes whatever round lies behind the last one for its successor.
fn take_stale<R: Ring, M: RunMemory>(
    head: &CheckpointHead,
    ring: &mut RingFile<'_, '_, R>,
    replay: &mut Replay<M>,
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

/// Makes a journal: a zeroed ring, and a checkpoint in its second slot ([`super::slots::FIRST_GENERATION`]). Last it
/// gets its name.
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
    door.rename(&path, &dir.join(layout::journal(id)))?;
    door.sync_dir(dir)
}

/// Writes a checkpoint into its slot, durably; the slot's name with it, which may have been missing.
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
    door.sync_dir(dir)
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
        let (decoded, _) = read_slot(door, dir, id, slot, &mut Told::Start(&mut Vec::new()))?;
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

const NOTHING_TELLS: &str = "records that only the lost bytes held are lost, and nothing tells which";
pub(super) const UNFINISHED: &str = ".new";

//! From checkpoints and rounds to the partitions as they were.
//!
//! Place: driven by the boot of `millstream-storage`: [`Replay::add_checkpoint`] for all journals found, then
//! per journal [`Replay::apply_round`] in order and [`Replay::chain_ended`] (and [`Replay::later_round`]
//! where that asks for it), then [`Replay::extents_to_verify`] and [`Replay::verified`], then
//! [`Replay::finish`].
//! Invariants: rounds change states through [`PartitionState::apply`], as live; nothing is read from segments
//! but the extents that may not have been acknowledged; the same files give the same result however often
//! recovery is interrupted.

mod beyond;
mod dirty;
mod folding;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use millstream_protocol::types::Offset;

pub use self::beyond::{Beyond, Look};
pub use self::dirty::{DirtyRun, RunMemory};
use self::folding::Folding;
use crate::checkpoint::{Checkpoint, CheckpointHead};
use crate::codec::FormatError;
use crate::id::{FilePosition, Incarnation, JournalId, PartitionKey, RoundSequence, SegmentId};
use crate::partition::PartitionState;
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::round::{ChainPoint, Round, RoundHeader, RoundReader};

/// See the module's page. `M` keeps the bytes that only journals hold.
#[derive(Debug)]
pub struct Replay<M = Vec<u8>> {
    journals: BTreeMap<JournalId, Journal>,
    partitions: BTreeMap<PartitionKey, Folding<M>>,
    unlinks: Vec<SegmentId>,
    orphans: u64,
}

/// What is known of a journal while it is replayed.
#[derive(Debug)]
struct Journal {
    head: CheckpointHead,
    incarnation: Incarnation,
    settled: RoundSequence,
    end: Option<ChainPoint>,
    damaged: bool,
    /// After a hole: the sequence of the last round, and its CRC unless it is lost.
    later: Option<(RoundSequence, Option<u32>)>,
    rounds: u64,
}

/// A direct write that may not have completed: read it and tell [`Replay::verified`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentCheck {
    pub partition: PartitionKey,
    pub segment: SegmentId,
    /// Aligned.
    pub position: FilePosition,
    /// A multiple of the block size.
    pub length: u64,
    /// CRC-32C of the bytes, starting from [`crate::salt`] of the segment.
    pub crc: u32,
}

/// The log ends here: what follows was never acknowledged. To be logged by [`Cut::record`] before the
/// partition is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub segment: SegmentId,
    /// The end of the last batch that is kept; exclusive.
    pub byte_end: FilePosition,
    /// Exclusive.
    pub end_offset: Offset,
}

/// The log cannot be trusted from `at` on, and what was there may have been acknowledged: the partition is
/// not served until it is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first offset that may be lost.
    pub at: Offset,
    pub reason: DamageReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageReason {
    /// A round that had been settled cannot be read.
    JournalRound,
    /// An intact record does not fit what came before it.
    Inconsistent,
    /// Reading or writing a segment failed, or its bytes do not match their checksum.
    Segment,
}

/// How [`Replay::chain_ended`] judges the end of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// Whatever follows was never settled.
    Torn,
    /// The round at the chain's end had been settled. Read the rounds that begin at these positions of the
    /// ring, in this order, and pass each that decodes to [`Replay::later_round`].
    Damaged { later: Vec<u64> },
}

/// Why a replay stops: files of one directory contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// A round's checksum matches, but a record in it cannot be read.
    Record(JournalId, RoundSequence, FormatError),
    /// No checkpoint names this journal.
    UnknownJournal(JournalId),
}

/// What a replay yields.
#[derive(Debug)]
pub struct Recovered<M = Vec<u8>> {
    /// The highest incarnation seen; the next one is to be made durable before anything else is written.
    pub incarnation: Incarnation,
    /// Every journal was closed by an orderly shutdown.
    pub clean: bool,
    /// In order of key.
    pub partitions: Vec<RecoveredPartition<M>>,
    pub journals: Vec<RecoveredJournal>,
    /// Segments whose files may be deleted: committed records took them out of their manifests.
    pub unlinks: Vec<SegmentId>,
    /// Records of partitions that nothing else is known of: deleted ones.
    pub orphans: u64,
}

/// A partition as it was, as if the broker had been running.
#[derive(Debug)]
pub struct RecoveredPartition<M = Vec<u8>> {
    /// Not cut yet: applying [`Cut::record`] does that.
    pub state: PartitionState,
    /// The journal that held it.
    pub home: JournalId,
    /// Its bytes that only the journal holds; cut already.
    pub dirty: Vec<DirtyRun<M>>,
    /// The lowest round that holds them; the round after the last where there are none.
    pub floor: RoundSequence,
    pub cut: Option<Cut>,
    pub damage: Option<Damage>,
}

/// A journal after replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredJournal {
    pub head: CheckpointHead,
    pub settled: RoundSequence,
    /// Where it may go on. `None` after damage: it is drained and retired.
    pub resume: Option<ChainPoint>,
    pub rounds: u64,
}

impl Cut {
    /// The record that makes the cut durable; the log goes on in `successor`.
    pub fn record(&self, partition: PartitionKey, successor: SegmentId) -> Record<'static> {
        let Self {
            segment,
            byte_end,
            end_offset,
        } = *self;
        Record::Seal {
            partition,
            segment,
            byte_end,
            end_offset,
            successor,
        }
    }
}

impl Damage {
    /// Damage found at `at` beside what is known: from the lower offset on, and for the reason that came first, for one
    /// that lost its end is not to be forgotten.
    pub fn and(known: Option<Damage>, at: Offset, reason: DamageReason) -> Damage {
        let known = known.unwrap_or(Damage { at, reason });
        Damage {
            at: known.at.min(at),
            ..known
        }
    }
}

impl DamageReason {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::JournalRound => 1,
            Self::Inconsistent => 2,
            Self::Segment => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::JournalRound, Self::Inconsistent, Self::Segment]
            .into_iter()
            .find(|reason| reason.code() == code)
    }
}

impl<M> Default for Replay<M> {
    fn default() -> Self {
        Self {
            journals: BTreeMap::new(),
            partitions: BTreeMap::new(),
            unlinks: Vec::new(),
            orphans: 0,
        }
    }
}

impl Replay {
    /// With memory of the plainest kind; [`Replay::default`] for any other.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<M: RunMemory> Replay<M> {
    /// Takes in one journal's checkpoint. All come before the first round. Where two hold a partition (the
    /// number of shards changed), the one of the higher incarnation is right.
    pub fn add_checkpoint(&mut self, checkpoint: Checkpoint) {
        let Checkpoint {
            head,
            entries,
            unlinks,
        } = checkpoint;
        self.unlinks.extend(unlinks);
        // A checkpoint is written once the rounds that it holds are settled.
        let mut settled = head.tail.sequence.previous();
        if !head.retired {
            for entry in entries {
                settled = settled.max(entry.as_of);
                let key = entry.state.key();
                if self
                    .partitions
                    .get(&key)
                    .is_none_or(|known| known.incarnation < head.incarnation)
                {
                    self.partitions
                        .insert(key, Folding::known(entry, head.journal.id, head.incarnation));
                }
            }
        }
        let journal = Journal {
            head,
            incarnation: head.incarnation,
            settled,
            end: None,
            damaged: false,
            later: None,
            rounds: 0,
        };
        self.journals.insert(head.journal.id, journal);
    }

    /// The reader that finds this journal's rounds. `None` for a retired or unknown journal.
    pub fn reader(&self, journal: JournalId) -> Option<RoundReader> {
        let head = &self.journals.get(&journal)?.head;
        let reader = RoundReader::new(
            head.journal,
            head.ring_bytes,
            head.tail,
            head.raised_at,
            head.incarnation,
        );
        (!head.retired).then_some(reader)
    }

    /// Takes in the next round of a journal's chain.
    pub fn apply_round(&mut self, journal: JournalId, round: &Round<'_>) -> Result<(), ReplayError> {
        let known = self
            .journals
            .get_mut(&journal)
            .ok_or(ReplayError::UnknownJournal(journal))?;
        known.note(&round.header);
        self.apply_records(journal, round)
    }

    /// Takes in a rescue file's round, after the checkpoints and before the journals: bytes of partitions whose
    /// segments failed. Only tail records count, and only where the partition's entry says that the journal need not
    /// hold what these rounds do; the rest of those partitions is in a checkpoint.
    pub fn rescued_round(&mut self, round: &Round<'_>) -> Result<(), ReplayError> {
        let mut records = round.records();
        while let Some(record) = records.next() {
            let record = record.map_err(|error| round_error(round, error))?;
            if let Record::Tail { partition, .. } = record
                && let Some(folding) = self.partitions.get_mut(&partition)
                && folding.floor == round.header.sequence
            {
                folding.collect(&record, folding.floor);
            }
        }
        Ok(())
    }

    /// The chain of `journal` ended at `end`. `headers` are all that lie beyond it in the ring ([`Beyond`]), with their
    /// positions, in any order; more do no harm.
    pub fn chain_ended(
        &mut self,
        journal: JournalId,
        end: ChainPoint,
        headers: &[(u64, RoundHeader)],
    ) -> Result<ChainEnd, ReplayError> {
        let known = self
            .journals
            .get_mut(&journal)
            .ok_or(ReplayError::UnknownJournal(journal))?;
        known.end = Some(end);
        for (_, header) in headers {
            let says = match planted::has(Bug::SettledTooHigh) {
                true => header.sequence,
                false => header.settled,
            };
            known.settled = known.settled.max(says);
            known.incarnation = known.incarnation.max(header.incarnation);
        }
        if known.settled < end.sequence || planted::has(Bug::DamageCut) {
            return Ok(ChainEnd::Torn);
        }
        known.damaged = true;
        let beyond = headers.iter().map(|(_, header)| header.sequence);
        let next = beyond.filter(|sequence| *sequence > end.sequence).min();
        let last_lost = next.map_or(RoundSequence::new(u64::MAX), RoundSequence::previous);
        known.later = Some((last_lost, None));
        self.doubt(journal, end.sequence, last_lost);
        let mut later: BTreeMap<RoundSequence, (Incarnation, u64)> = BTreeMap::new();
        for (position, header) in headers
            .iter()
            .filter(|(_, header)| header.sequence > end.sequence)
        {
            let found = (header.incarnation, *position);
            let newest = later.entry(header.sequence).or_insert(found);
            *newest = (*newest).max(found);
        }
        Ok(ChainEnd::Damaged {
            later: later.into_values().map(|(_, position)| position).collect(),
        })
    }

    /// Takes in a round that lies beyond a damaged one. A partition whose records go on exactly where it
    /// stands has lost nothing.
    pub fn later_round(&mut self, journal: JournalId, round: &Round<'_>) -> Result<(), ReplayError> {
        let known = self
            .journals
            .get_mut(&journal)
            .ok_or(ReplayError::UnknownJournal(journal))?;
        assert!(
            known.damaged,
            "rounds beyond the end of an undamaged chain are stale"
        );
        let (sequence, before) = (round.header.sequence, round.header.sequence.previous());
        let hole = known.later.and_then(|(last, crc)| {
            let follows = crc.is_none_or(|crc| crc == round.header.previous_crc);
            (last != before || !follows).then(|| (last.next().min(before), before))
        });
        known.note(&round.header);
        known.later = Some((sequence, Some(round.header.crc)));
        if let Some((from, to)) = hole {
            self.doubt(journal, from, to);
        }
        self.apply_records(journal, round)
    }

    /// The direct writes that no settled round vouches for, in order. Each is to be read once all journals
    /// have ended.
    pub fn extents_to_verify(&self) -> Vec<ExtentCheck> {
        let unsettled = |folding: &&Folding<M>| folding.is_verified();
        self.partitions
            .values()
            .filter(unsettled)
            .flat_map(|folding| {
                let settled = self
                    .journals
                    .get(&folding.home)
                    .map_or(RoundSequence::default(), |home| home.settled);
                folding
                    .extents
                    .iter()
                    .filter(move |extent| extent.round > settled)
                    .map(|extent| extent.check)
            })
            .collect()
    }

    /// Tells the CRC of what was read (salted as [`ExtentCheck::crc`]); `None` where the file is missing or too
    /// short. What differs was never acknowledged: the log is cut before it.
    pub fn verified(&mut self, check: &ExtentCheck, crc: Option<u32>) {
        if crc == Some(check.crc) {
            return;
        }
        let Some((folding, cut)) = self.doubtful(check) else {
            return;
        };
        if folding.cut.is_none_or(|known| cut.end_offset < known.end_offset) {
            folding.cut = Some(cut);
        }
    }

    /// Tells that the device could not read it. It may be whole and acknowledged, so nothing is cut: the partition is
    /// not served.
    pub fn unreadable(&mut self, check: &ExtentCheck) {
        let Some((folding, cut)) = self.doubtful(check) else {
            return;
        };
        folding.damage = Some(Damage::and(folding.damage, cut.end_offset, DamageReason::Segment));
    }

    /// The partition of a direct write that is not what it should be, and where its log ends without it.
    fn doubtful(&mut self, check: &ExtentCheck) -> Option<(&mut Folding<M>, Cut)> {
        let folding = self.partitions.get_mut(&check.partition)?;
        let cut = folding.extents.iter().find(|extent| extent.check == *check)?.cut;
        Some((folding, cut))
    }

    /// The result, once every extent was verified.
    pub fn finish(self) -> Recovered<M> {
        let Self {
            journals,
            partitions,
            mut unlinks,
            orphans,
        } = self;
        let incarnation = journals
            .values()
            .map(|journal| journal.incarnation)
            .max()
            .unwrap_or_default();
        let clean = journals
            .values()
            .all(|journal| journal.head.clean && journal.rounds == 0 && !journal.damaged);
        let mut recovered = Vec::with_capacity(partitions.len());
        for folding in partitions.into_values() {
            let after = journals
                .get(&folding.home)
                .map_or(RoundSequence::default(), Journal::after);
            recovered.extend(folding.finish(after, &mut unlinks));
        }
        unlinks.sort_unstable();
        unlinks.dedup();
        let journals = journals.into_values().map(|journal| journal.finish()).collect();
        Recovered {
            incarnation,
            clean,
            partitions: recovered,
            journals,
            unlinks,
            orphans,
        }
    }

    fn apply_records(&mut self, journal: JournalId, round: &Round<'_>) -> Result<(), ReplayError> {
        let (sequence, at) = (round.header.sequence, round.header.written_at);
        let settled = round.header.settled;
        let mut records = round.records();
        while let Some(record) = records.next() {
            let record = record.map_err(|error| round_error(round, error))?;
            let Some(key) = record.partition() else { continue };
            match self.partitions.get_mut(&key) {
                Some(folding) if folding.home == journal => {
                    folding.apply(&record, sequence, settled, at);
                    self.unlinks.extend(folding.release());
                }
                Some(_) => {}
                None => match record {
                    Record::Opened { .. } => {
                        let mut folding = Folding::opened(key, journal, round.header.incarnation, sequence);
                        folding.apply(&record, sequence, settled, at);
                        self.partitions.insert(key, folding);
                    }
                    Record::Removed { .. } => {}
                    _ => self.orphans += 1,
                },
            }
        }
        Ok(())
    }

    /// Rounds of `journal` are lost (both inclusive): what they held may have been for any of the journal's
    /// partitions.
    fn doubt(&mut self, journal: JournalId, from: RoundSequence, to: RoundSequence) {
        let homed = self
            .partitions
            .values_mut()
            .filter(|folding| folding.home == journal);
        homed.for_each(|folding| folding.doubt(from, to));
    }
}

impl Journal {
    fn note(&mut self, header: &RoundHeader) {
        self.settled = self.settled.max(header.settled);
        self.incarnation = self.incarnation.max(header.incarnation);
        self.rounds += 1;
    }

    /// The sequence after the last round.
    fn after(&self) -> RoundSequence {
        self.end.map_or(self.head.tail.sequence, |end| end.sequence)
    }

    fn finish(self) -> RecoveredJournal {
        let resume = match self.end {
            _ if self.damaged || self.head.retired => None,
            None => Some(self.head.tail),
            end => end,
        };
        RecoveredJournal {
            head: self.head,
            settled: self.settled,
            resume,
            rounds: self.rounds,
        }
    }
}

fn round_error(round: &Round<'_>, error: FormatError) -> ReplayError {
    ReplayError::Record(round.header.journal.id, round.header.sequence, error)
}

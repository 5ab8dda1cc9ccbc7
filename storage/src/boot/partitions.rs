//! What becomes of each partition that a start found: kept, cut, or fenced, and what is said of it.

use std::collections::BTreeSet;

use millstream_log::planted::{self, Bug};
use millstream_log::{
    Cut, Damage, DamageReason, FilePosition, PartitionKey, PartitionState, Recovered, RoundSequence,
    RunMemory, Segment, SegmentId, SegmentIds, layout,
};
use millstream_protocol::types::Offset;

use super::shards::{Opening, RecoveredPartition};
use super::{KnownTopics, TopicFate};
use crate::shard_logs::shard_of;

impl Opening<'_> {
    pub(super) fn tell_damage(&mut self, key: PartitionKey, damage: Damage) {
        self.report.push(format!(
            "partition {} is damaged from offset {} on and not served: {}. What can be kept of it is kept by \
             `millstream log repair --accept-loss`",
            self.named(key),
            damage.at,
            reason_of(damage)
        ));
    }

    /// A partition as people know it.
    fn named(&self, key: PartitionKey) -> String {
        match self.topics.name(key.topic) {
            Some(name) => format!("{name}-{}", key.partition),
            None => key.to_string(),
        }
    }

    /// Partitions whose topic was deleted go; those of unknown topics are reported.
    pub(super) fn kept(
        &mut self,
        recovered: Vec<RecoveredPartition>,
        unlinks: &mut BTreeSet<SegmentId>,
    ) -> Vec<RecoveredPartition> {
        let mut kept = Vec::with_capacity(recovered.len());
        for partition in recovered {
            let key = partition.state.key();
            match self.topics.fate(key.topic) {
                TopicFate::Deleted => {
                    self.deleted.insert(key.topic);
                    unlinks.extend(partition.state.segments().iter().map(|segment| segment.id));
                    continue;
                }
                TopicFate::Unknown => self
                    .report
                    .push(format!("partition {key} is of a topic that nobody knows")),
                TopicFate::Live => {}
            }
            if let Some(damage) = partition.damage {
                self.tell_damage(key, damage);
            }
            kept.push(partition);
        }
        kept
    }

    /// Cuts off what was never acknowledged; tells whether there was anything.
    pub(super) fn cut(
        &mut self,
        partition: &mut RecoveredPartition,
        ids: &mut [SegmentIds],
        unlinks: &mut BTreeSet<SegmentId>,
    ) -> bool {
        let is_forgotten = |cut: &Cut| {
            let reached = layout::SEGMENT_DATA_AT + cut.byte_end.get();
            let is_longer = self
                .scan
                .sizes
                .get(&cut.segment)
                .is_some_and(|size| *size > reached);
            planted::has(Bug::CutForgotten) || planted::has(Bug::FileBelieved) && is_longer
        };
        let Some(cut) = partition.cut.take().filter(|cut| !is_forgotten(cut)) else {
            return false;
        };
        let key = partition.state.key();
        let successor = ids[shard_of(key, self.shards)].next();
        let record = cut.record(key, successor);
        partition
            .state
            .apply(&record, self.now.wall)
            .expect("a cut lies inside its log");
        unlinks.extend(partition.state.take_released());
        self.report.push(format!(
            "partition {}: what was not acknowledged is cut at offset {}",
            self.named(key),
            cut.end_offset
        ));
        true
    }

    /// The partition's segments whose files end before bytes that were durable in them: readers will meet the damage.
    pub(super) fn shortened(&mut self, partition: &RecoveredPartition) -> Vec<SegmentId> {
        let mut found = Vec::new();
        for segment in partition.state.segments() {
            let Some(size) = self.scan.sizes.get(&segment.id).copied() else {
                continue;
            };
            let written = layout::SEGMENT_DATA_AT + segment.written.get();
            if segment.written > FilePosition::ZERO && has_file(partition, segment) && size < written {
                self.report.push(format!(
                    "partition {}: the file {} ends at byte {size} of {written}: what lay beyond is lost",
                    self.named(partition.state.key()),
                    layout::segment(segment.id)
                ));
                found.push(segment.id);
            }
        }
        found
    }

    /// A segment whose file should hold bytes and is not there takes its partition out of service.
    pub(super) fn miss(&mut self, partition: &mut RecoveredPartition) {
        let missing = first_missing(partition, |id| self.scan.sizes.contains_key(&id));
        let Some((id, at)) = missing.map(|segment| (segment.id, segment.base_offset)) else {
            return;
        };
        partition.damage = Some(Damage::and(partition.damage, at, DamageReason::Segment));
        self.report.push(format!(
            "partition {}: the file {} is missing",
            self.named(partition.state.key()),
            layout::segment(id)
        ));
    }
}

/// A journal that lost a settled round may have lost all that told of a partition: one that the metadata knows and
/// nothing here does is not begun anew, for its offsets may have been given out. Without damage there was none.
pub(super) fn lost_partitions<M: RunMemory>(
    topics: &dyn KnownTopics,
    recovered: &Recovered<M>,
    shards: usize,
) -> Vec<millstream_log::RecoveredPartition<M>> {
    let journals = &recovered.journals;
    if journals.iter().all(|journal| journal.resume.is_some()) {
        return Vec::new();
    }
    let known: BTreeSet<PartitionKey> = recovered
        .partitions
        .iter()
        .map(|found| found.state.key())
        .collect();
    let unknown = topics.partitions().into_iter().filter(|key| !known.contains(key));
    let lost = unknown.filter_map(|key| {
        // In the order of their shards, unless a change of their number was interrupted; then any may have held it.
        let owner = &journals[shard_of(key, journals.len())];
        let is_doubted = owner.resume.is_none() || journals.len() != shards;
        is_doubted.then(|| millstream_log::RecoveredPartition {
            state: PartitionState::new(key),
            home: owner.head.journal.id,
            dirty: Vec::new(),
            floor: RoundSequence::default(),
            cut: None,
            damage: Some(Damage {
                at: Offset::ZERO,
                reason: DamageReason::JournalRound,
            }),
        })
    });
    lost.collect()
}

/// The first segment whose file should hold bytes that are served and is not there.
pub fn first_missing<M: RunMemory>(
    partition: &millstream_log::RecoveredPartition<M>,
    is_here: impl Fn(SegmentId) -> bool,
) -> Option<&Segment> {
    let start = partition.state.offsets().start().get();
    partition.state.segments().iter().find(|segment| {
        // One that lies below the log's start may have been dropped in a round that is lost.
        let is_served = segment.end_offset > start || !segment.sealed;
        has_file(partition, segment) && is_served && !is_here(segment.id)
    })
}

/// Whether the segment's file holds bytes that no journal does.
pub(super) fn has_file<M: RunMemory>(
    partition: &millstream_log::RecoveredPartition<M>,
    segment: &Segment,
) -> bool {
    let runs = partition.dirty.iter().filter(|run| run.segment == segment.id);
    let first_dirty = runs.map(|run| run.position).min();
    first_dirty.unwrap_or(segment.byte_end) > FilePosition::ZERO
}

pub(super) fn reason_of(damage: Damage) -> &'static str {
    match damage.reason {
        DamageReason::JournalRound => {
            "a round of the journal that may have held acknowledged records cannot be read"
        }
        DamageReason::Inconsistent => "the journal contradicts what came before",
        DamageReason::Segment => "a segment file is damaged or missing, or could not be written",
    }
}

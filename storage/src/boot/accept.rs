//! What an operator gives up so that a partition can be used again.
//!
//! Place: between replay and the cuts of a start; a cut made here becomes durable like any other.

use millstream_log::{Cut, PartitionKey, RecoveredPartition, RunMemory};

/// One partition's loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    pub key: PartitionKey,
    /// Where the log ends from now on, inside what replay knows of it; `None` where replay's own end is
    /// right.
    pub cut: Option<Cut>,
}

/// Takes the damage off the named partitions and notes their cuts.
pub(super) fn accept_losses<M: RunMemory>(partitions: &mut [RecoveredPartition<M>], losses: &[AcceptedLoss]) {
    for partition in partitions {
        let Some(loss) = losses.iter().find(|loss| loss.key == partition.state.key()) else {
            continue;
        };
        partition.damage = None;
        if let Some(cut) = loss.cut
            && partition
                .cut
                .is_none_or(|known| cut.end_offset <= known.end_offset)
        {
            partition.cut = Some(cut);
            forget_beyond(partition, cut);
        }
    }
}

/// Bytes that only the journal holds end at the cut as well.
fn forget_beyond<M: RunMemory>(partition: &mut RecoveredPartition<M>, cut: Cut) {
    let segments: Vec<_> = partition
        .state
        .segments()
        .iter()
        .map(|segment| segment.id)
        .collect();
    let place = |id| segments.iter().position(|known| *known == id);
    let last = place(cut.segment).expect("a cut lies in one of the partition's segments");
    partition.dirty.retain_mut(|run| {
        let within = place(run.segment).is_some_and(|at| at <= last);
        if run.segment == cut.segment && run.end() > cut.byte_end {
            let kept = cut.byte_end.get().saturating_sub(run.position.get());
            run.bytes
                .truncate(usize::try_from(kept).expect("no longer than the run"));
        }
        within && !run.bytes.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use millstream_log::{
        Damage, DamageReason, DirtyRun, FilePosition, JournalId, PartitionState, Record, RoundSequence,
        SegmentId,
    };
    use millstream_protocol::types::{Offset, PartitionIndex, TimestampMs, TopicId};

    use super::*;

    fn key(partition: i32) -> PartitionKey {
        PartitionKey {
            topic: TopicId::new([1; 16]),
            partition: PartitionIndex::new(partition),
        }
    }

    /// Two segments, ids 1 and 2; the journal holds a run of each.
    fn damaged(partition: i32) -> RecoveredPartition {
        let key = key(partition);
        let mut state = PartitionState::new(key);
        let [one, two] = [1, 2].map(SegmentId::new);
        let opened = Record::Opened {
            partition: key,
            segment: one,
            base_offset: Offset::ZERO,
        };
        state.apply(&opened, TimestampMs::new(1)).unwrap();
        state.apply(&state.roll_record(two), TimestampMs::new(1)).unwrap();
        let run = |segment| DirtyRun {
            segment,
            position: FilePosition::new(4096),
            bytes: vec![7; 100],
            round: RoundSequence::new(1),
        };
        RecoveredPartition {
            state,
            home: JournalId::new(1),
            dirty: vec![run(one), run(two)],
            floor: RoundSequence::new(1),
            cut: None,
            damage: Some(Damage {
                at: Offset::ZERO,
                reason: DamageReason::Segment,
            }),
        }
    }

    #[test]
    fn only_the_named_partition_loses_its_damage_and_what_lies_beyond_the_cut() {
        let mut partitions = [damaged(0), damaged(1)];
        let cut = Cut {
            segment: SegmentId::new(1),
            byte_end: FilePosition::new(4096 + 60),
            end_offset: Offset::ZERO,
        };
        let loss = AcceptedLoss {
            key: key(1),
            cut: Some(cut),
        };
        accept_losses(&mut partitions, &[loss]);
        assert!(partitions[0].damage.is_some() && partitions[0].dirty.len() == 2);
        let accepted = &partitions[1];
        assert_eq!((accepted.damage, accepted.cut), (None, Some(cut)));
        assert_eq!(accepted.dirty.len(), 1);
        assert_eq!(accepted.dirty[0].bytes.len(), 60);
    }

    #[test]
    fn a_cut_of_recovery_that_lies_lower_stays() {
        let mut partitions = [damaged(0)];
        let cut = |end| Cut {
            segment: SegmentId::new(1),
            byte_end: FilePosition::ZERO,
            end_offset: Offset::new(end),
        };
        partitions[0].cut = Some(cut(0));
        accept_losses(
            &mut partitions,
            &[AcceptedLoss {
                key: key(0),
                cut: Some(cut(5)),
            }],
        );
        assert_eq!(partitions[0].cut, Some(cut(0)));
        accept_losses(
            &mut partitions,
            &[AcceptedLoss {
                key: key(0),
                cut: None,
            }],
        );
        assert_eq!((partitions[0].cut, partitions[0].damage), (Some(cut(0)), None));
    }
}

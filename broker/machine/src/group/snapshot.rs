//! The durable state as records, in pieces: what a log that grew too long is replaced by.
//!
//! Requests may be handled between two pieces. A piece shows the state as it is then; what changes later is in the
//! records that come after it, whether its group was passed already or not. So the pieces and whatever is appended from
//! the first one on are, replayed in order, the whole state.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::GroupCoordinator;
use super::offsets::OffsetKey;
use super::record::GroupRecord;

/// Where the next piece starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotCursor {
    group_id: Arc<str>,
    /// The group's own record is told, and of its offsets all up to this one, if there is one.
    after: Option<OffsetKey>,
}

impl GroupCoordinator {
    /// Appends the next piece of the snapshot to `records`: about `bytes_max` bytes as [`GroupRecord::bytes`]
    /// counts, and at least one record if there is one; a
    /// group's own records are not divided. `from` is `None` for the first piece, then what the piece
    /// before returned; `None` is returned with the last one.
    pub fn snapshot(
        &self,
        from: Option<SnapshotCursor>,
        bytes_max: usize,
        records: &mut Vec<GroupRecord>,
    ) -> Option<SnapshotCursor> {
        let mut bytes = 0;
        let mut add = |record: GroupRecord| {
            bytes += record.bytes();
            records.push(record);
            bytes >= bytes_max
        };
        let first = from
            .as_ref()
            .map_or(Bound::Unbounded, |it| Bound::Included(&it.group_id));
        for (group_id, group) in self.groups.range::<Arc<str>, _>((first, Bound::Unbounded)) {
            let resumed = from.as_ref().filter(|it| it.group_id == *group_id);
            let mut is_full = false;
            if resumed.is_none() {
                for record in group.own_records() {
                    is_full |= add(record);
                }
            }
            let mut after = resumed.and_then(|it| it.after.as_ref());
            for (key, value) in group.offsets.after(after) {
                if is_full {
                    break;
                }
                is_full = add(group.offset_record(key, Some(value.clone())));
                after = Some(key);
            }
            if is_full {
                return Some(SnapshotCursor {
                    group_id: Arc::clone(group_id),
                    after: after.cloned(),
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{CommittedOffset, GroupMember, GroupMetadata, GroupSettings};
    use millstream_protocol::types::{PartitionIndex, TimestampMs, TopicId};
    use std::format;

    fn offset(group: usize, topic: usize, partition: i32, offset: Option<i64>) -> GroupRecord {
        GroupRecord::Offset {
            group_id: format!("group-{group}").into(),
            topic: format!("topic-{topic}").into(),
            partition: PartitionIndex::new(partition),
            value: offset.map(|offset| CommittedOffset {
                offset,
                leader_epoch: None,
                metadata: "m".into(),
                commit_timestamp: TimestampMs::new(7),
                expire_timestamp: None,
                topic_id: TopicId::ZERO,
            }),
        }
    }

    fn metadata(group: usize, assignment_bytes: usize) -> GroupRecord {
        let member = GroupMember {
            member_id: "m".into(),
            group_instance_id: None,
            client_id: "c".into(),
            client_host: "/192.0.2.1".into(),
            rebalance_timeout_ms: 1,
            session_timeout_ms: 1,
            subscription: [].into(),
            assignment: std::vec![1; assignment_bytes].into(),
        };
        GroupRecord::Group {
            group_id: format!("group-{group}").into(),
            value: Some(Arc::new(GroupMetadata {
                protocol_type: "consumer".into(),
                generation: 1,
                protocol: Some("range".into()),
                leader: Some("m".into()),
                current_state_timestamp: None,
                members: [member].into(),
            })),
        }
    }

    fn in_pieces(coordinator: &GroupCoordinator, bytes_max: usize) -> (Vec<GroupRecord>, usize) {
        let (mut records, mut pieces, mut cursor) = (Vec::new(), 0, None);
        loop {
            pieces += 1;
            cursor = coordinator.snapshot(cursor, bytes_max, &mut records);
            if cursor.is_none() {
                return (records, pieces);
            }
        }
    }

    #[test]
    fn pieces_of_any_size_are_the_whole_state() {
        let mut coordinator = GroupCoordinator::new(GroupSettings::default());
        for group in 0..4 {
            for partition in 0..5 {
                coordinator.replay(offset(group, partition as usize % 2, partition, Some(3)));
            }
            coordinator.replay(metadata(group, if group == 2 { 5_000 } else { 10 }));
        }
        coordinator.replay(offset(1, 0, 2, None));
        let (whole, _) = in_pieces(&coordinator, usize::MAX);
        assert_eq!(whole.len(), 23);
        for bytes_max in [1, 150, 400, 2_000] {
            let (records, pieces) = in_pieces(&coordinator, bytes_max);
            assert_eq!(records, whole, "pieces of {bytes_max} bytes");
            assert!(pieces > 1, "pieces of {bytes_max} bytes");
        }
        let bytes: usize = whole.iter().map(GroupRecord::bytes).sum();
        assert!(coordinator.live_bytes() >= bytes as u64);
    }

    #[test]
    fn what_is_replayed_away_leaves_nothing() {
        let mut coordinator = GroupCoordinator::new(GroupSettings::default());
        coordinator.replay(offset(1, 1, 1, Some(9)));
        coordinator.replay(offset(1, 1, 1, Some(10)));
        coordinator.replay(offset(1, 1, 1, None));
        assert_eq!(coordinator.live_bytes(), 0);
        assert!(coordinator.groups.is_empty() && coordinator.topics.find("topic-1").is_none());
    }
}

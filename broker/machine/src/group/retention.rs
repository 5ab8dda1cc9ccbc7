//! Offset retention: what an abandoned group committed is not kept for ever.
//!
//! Place: every [`GroupSettings::offsets_retention_check_interval`](super::GroupSettings) all groups are looked
//! through, some in each call, so that no turn takes long.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use millstream_protocol::time::Instant;
use millstream_protocol::types::TimestampMs;

use super::offsets::OffsetKey;
use super::record::CommittedOffset;
use super::state::ClassicState;
use super::turn::Turn;
use super::{Effects, Group, GroupCoordinator, Now};

/// Where the look through the groups stands.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// When it starts or goes on; `None` before the coordinator is loaded.
    pub due: Option<Instant>,
    /// The last group that was looked at; `None` between two rounds.
    passed: Option<Arc<str>>,
}

/// From when on the retention time counts.
enum Since {
    /// The same moment for all offsets: when the group became empty.
    Moment(TimestampMs),
    /// When each was committed.
    Commit,
}

impl GroupCoordinator {
    pub(super) fn expire_offsets(&mut self, now: Now, effects: &mut Effects) {
        if self.retention.due.is_none_or(|due| due > now.monotonic) {
            return;
        }
        let passed = self.retention.passed.take();
        let from = passed.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let groups = self.groups.range::<Arc<str>, _>((from, Bound::Unbounded));
        let next: Vec<Arc<str>> = groups
            .map(|(id, _)| Arc::clone(id))
            .take(GROUPS_PER_CALL)
            .collect();
        for group_id in &next {
            let is_over = self.with_group(group_id, now, effects, Group::expire_offsets);
            if is_over == Some(true) {
                self.remove(group_id);
            }
        }
        if next.len() == GROUPS_PER_CALL {
            self.retention.passed = next.last().cloned();
        } else {
            self.retention.due = Some(now.monotonic + self.settings.offsets_retention_check_interval);
        }
    }
}

impl Group {
    /// Drops the offsets whose time is over. True where nothing is left of the group then, and it has ended.
    fn expire_offsets(&mut self, turn: &mut Turn) -> bool {
        if let Some(since) = self.counts_since() {
            let keeps = self.keeps_offsets();
            let offsets = self.offsets.after(None);
            let over = offsets.filter(|(key, offset)| !keeps(&key.0) && is_over(offset, &since, turn));
            let over: Vec<OffsetKey> = over.map(|(key, _)| key.clone()).collect();
            drop(keeps);
            for key in over {
                self.drop_offset(&key, turn);
            }
        }
        let is_over = self.offsets.is_empty() && self.is_empty() && self.classic.pending.is_empty();
        if is_over {
            self.end(turn);
        }
        is_over
    }

    /// `None` where nothing expires.
    fn counts_since(&self) -> Option<Since> {
        let classic = &self.classic;
        match (classic.state, &classic.protocol_type) {
            // Nobody ever joined, or those who did speak the consumer protocol.
            (_, None) => Some(Since::Commit),
            (ClassicState::Empty, _) => Some(classic.state_since.map_or(Since::Commit, Since::Moment)),
            (ClassicState::Stable, _) => classic.subscriptions.topics().map(|_| Since::Commit),
            _ => None,
        }
    }
}

fn is_over(offset: &CommittedOffset, since: &Since, turn: &Turn) -> bool {
    let now = turn.now.wall.get();
    if let Some(end) = offset.expire_timestamp {
        return now >= end.get();
    }
    let since = match since {
        Since::Moment(moment) => *moment,
        Since::Commit => offset.commit_timestamp,
    };
    let retention = turn.settings.offsets_retention.as_millis();
    now.saturating_sub(since.get()) >= i64::try_from(retention).unwrap_or(i64::MAX)
}

/// Groups that one call looks at.
const GROUPS_PER_CALL: usize = 256;

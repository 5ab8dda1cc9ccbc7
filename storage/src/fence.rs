//! Partitions taken out of service while they live.
//!
//! Place: called by whatever finds that a segment cannot be trusted. What only the journal holds of such a partition is
//! then rescued.

use millstream_log::{Damage, DamageReason, PartitionKey, SegmentId};
use millstream_protocol::types::Offset;
use millstream_ring::IoError;

use crate::event::{LogEvent, LogId};
use crate::shard_logs::ShardLogs;

impl ShardLogs {
    /// A segment failed: what the disk holds of it is unknown. Nothing is retried, nothing more is
    /// acknowledged.
    pub(crate) fn fence(
        &mut self,
        id: LogId,
        segment: SegmentId,
        doing: &str,
        error: IoError,
        events: &mut Vec<LogEvent>,
    ) {
        let Some(log) = self.logs.get_mut(id) else { return };
        if log.damage.is_some() {
            return;
        }
        // What was flushed is in the journal or in memory and stays readable here; a start judges it anew.
        let at = log.state.offsets().flushed().get();
        log.damage = Some(Damage {
            at,
            reason: DamageReason::Segment,
        });
        let key = log.key();
        self.rescue.ask(id);
        let reason = format!("{doing} segment {segment} of partition {key} failed: {error}");
        events.push(LogEvent::Fenced { log: id, key, reason });
    }

    /// A segment turned out to be damaged at `at`: nothing is new where the partition is out of service from there on,
    /// or from further below. `why`: of its key, in words.
    pub(crate) fn fence_from(
        &mut self,
        id: LogId,
        at: Offset,
        why: impl FnOnce(PartitionKey) -> String,
        events: &mut Vec<LogEvent>,
    ) {
        let Some(log) = self.logs.get_mut(id) else { return };
        if log.damage.is_some_and(|known| known.at <= at) {
            return;
        }
        log.damage = Some(Damage::and(log.damage, at, DamageReason::Segment));
        let key = log.key();
        self.rescue.ask(id);
        let reason = why(key);
        events.push(LogEvent::Fenced { log: id, key, reason });
    }
}

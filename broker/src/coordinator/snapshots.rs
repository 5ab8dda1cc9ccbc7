//! Keeping an offsets partition short: what is alive is written once more, then everything before that is deleted.
//!
//! Steps: (1) the log is long beside what is alive; its end is remembered. (2) In each turn with room a piece of the
//! state is appended, while requests go on: the last record of a key wins, so that what changes meanwhile is right
//! whether its group was written already or not. (3) When the last piece is durable, the log is cut before the
//! remembered end. A crash before that leaves the old records and a part of the new ones, which say the same.

use millstream_machine::group::SnapshotCursor;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{Offset, PartitionIndex};
use millstream_storage::Room;

use crate::limits::{APPEND_PAUSE, OFFSETS_LOG_BYTES_MIN, OFFSETS_LOG_FACTOR, SNAPSHOT_PIECE_BYTES};
use crate::shard::state::Shard;

/// A snapshot in progress.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// What lies before this is superfluous once the snapshot is durable.
    from: Offset,
    /// Bytes of the log up to there.
    bytes_before: u64,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    /// Where the next piece starts; `None` before the first.
    Next(Option<SnapshotCursor>),
    /// All pieces are with the log's next append.
    Appending,
    /// Durable when the log is up to here.
    Until(Offset),
}

impl Shard {
    /// Begins a snapshot where one is due, or takes the next piece of the one in progress; everything that was decided
    /// before is in the log. True: there is something to append.
    pub(super) fn step_snapshot(&mut self, index: PartitionIndex) -> bool {
        let has_room = self.partitions.logs.room() == Room::Plenty;
        let soon = self.now.monotonic + Duration::from(APPEND_PAUSE);
        let closed = self.coordinators.closed;
        let Some((_, ready)) = self.coordinators.ready(index) else {
            return false;
        };
        let most = OFFSETS_LOG_BYTES_MIN.max(OFFSETS_LOG_FACTOR * ready.machine.live_bytes());
        if closed || ready.snapshot.is_none() && ready.log_bytes <= most {
            return false;
        }
        let snapshot = ready.snapshot.get_or_insert(Snapshot {
            from: ready.appended,
            bytes_before: ready.log_bytes,
            progress: Progress::Next(None),
        });
        let Progress::Next(cursor) = &mut snapshot.progress else {
            return false;
        };
        if !has_room {
            ready.again_at = Some(soon);
            return false;
        }
        let mut records = Vec::new();
        let next = ready
            .machine
            .snapshot(cursor.take(), SNAPSHOT_PIECE_BYTES, &mut records);
        snapshot.progress = match next {
            Some(next) => {
                ready.again_at = Some(self.now.monotonic);
                Progress::Next(Some(next))
            }
            None => Progress::Appending,
        };
        if !records.is_empty() {
            ready.records.push_back(records);
        }
        true
    }

    /// What the partition's log has taken is known: where the snapshot ends.
    pub(super) fn snapshot_appended(&mut self, index: PartitionIndex) {
        let Some((log, ready)) = self.coordinators.ready(index) else {
            return;
        };
        let end = ready.appended;
        if let Some(snapshot) = &mut ready.snapshot
            && matches!(snapshot.progress, Progress::Appending)
        {
            snapshot.progress = Progress::Until(end);
            // Of a state that is empty there is nothing to wait for.
            if self.partitions.high_watermark(log) >= Some(end) {
                self.snapshot_flushed(index, end);
            }
        }
    }

    /// The partition's log is durable up to here.
    pub(super) fn snapshot_flushed(&mut self, index: PartitionIndex, upto: Offset) {
        let Some((log, ready)) = self.coordinators.ready(index) else {
            return;
        };
        let Some(Snapshot {
            from,
            bytes_before,
            progress: Progress::Until(end),
        }) = ready.snapshot
        else {
            return;
        };
        if end > upto {
            return;
        }
        ready.snapshot = None;
        ready.log_bytes -= bytes_before;
        match self.partitions.logs.delete_records(log, from, self.now) {
            Ok(start) => self.partitions.raise_start(log, start),
            Err(error) => tracing::warn!(
                shard = self.id.0,
                partition = index.get(),
                ?error,
                "superfluous records of __consumer_offsets cannot be deleted"
            ),
        }
    }
}

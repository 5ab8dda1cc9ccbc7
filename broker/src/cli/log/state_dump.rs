//! What the directory knows besides the records: its identity, checkpoints, partitions and their segments.

use millstream_log::{Checkpoint, FormatError, PartitionState, RecoveredPartition, Segment, layout};
use serde::Serialize;

use super::directory::DataDirectory;
use super::raw::{checkpoint_slots, journal_ids};
use super::sink::Sink;
use crate::cli::Failure;
use crate::telemetry::civil_time;

#[derive(Serialize)]
struct CheckpointLine {
    journal: u64,
    slot: usize,
    generation: u64,
    incarnation: u64,
    /// The oldest round that is needed.
    tail_round: u64,
    clean: bool,
    retired: bool,
    written_at: i64,
    partitions: usize,
    unlinks: usize,
}

#[derive(Serialize)]
struct PartitionLine {
    topic: String,
    partition: i32,
    start: i64,
    /// Exclusive.
    end: i64,
    bytes: u64,
    epochs: Vec<(i32, i64)>,
    segments: Vec<SegmentLine>,
    /// Bytes that only the journal holds.
    journal_bytes: u64,
    /// Where recovery would cut an unacknowledged end off.
    cut_at: Option<i64>,
    damaged_at: Option<i64>,
    damage: Option<String>,
}

#[derive(Serialize)]
struct SegmentLine {
    id: String,
    base_offset: i64,
    /// Exclusive.
    end_offset: i64,
    bytes: u64,
    sealed: bool,
    sidecar: bool,
}

/// Both slots of every checkpoint, and which entries they hold.
pub fn dump_checkpoints(sink: &mut Sink, directory: &DataDirectory) -> Result<(), Failure> {
    for id in journal_ids(&directory.path)? {
        for (slot, checkpoint) in checkpoint_slots(&directory.path, id).into_iter().enumerate() {
            let name = directory.path.join(layout::checkpoint(id, slot));
            match checkpoint {
                Ok(checkpoint) => {
                    sink.note(&format!("Dumping {}", name.display()))?;
                    let line = CheckpointLine::new(slot, &checkpoint);
                    sink.put(&line, || line.to_text())?;
                    for entry in &checkpoint.entries {
                        let key = entry.state.key();
                        let topic = directory.topic_name(key.topic);
                        let line = PartitionLine::new(topic, &entry.state);
                        sink.put(&line, || line.to_text())?;
                    }
                }
                Err(FormatError::Short) => sink.note(&format!("{} is not written yet", name.display()))?,
                // A torn slot is what the other one is for.
                Err(error) => sink.note(&format!("{} does not read: {error}", name.display()))?,
            }
        }
    }
    Ok(())
}

/// The partition as a start would find it.
pub fn dump_partition(sink: &mut Sink, topic: String, partition: &RecoveredPartition) -> Result<(), Failure> {
    let line = PartitionLine {
        journal_bytes: partition.dirty.iter().map(|run| run.bytes.len() as u64).sum(),
        cut_at: partition.cut.map(|cut| cut.end_offset.get()),
        damaged_at: partition.damage.map(|damage| damage.at.get()),
        damage: partition.damage.map(|damage| format!("{:?}", damage.reason)),
        ..PartitionLine::new(topic, &partition.state)
    };
    sink.damaged += usize::from(partition.damage.is_some());
    sink.put(&line, || line.to_text())
}

impl CheckpointLine {
    fn new(slot: usize, checkpoint: &Checkpoint) -> CheckpointLine {
        let head = &checkpoint.head;
        CheckpointLine {
            journal: head.journal.id.get(),
            slot,
            generation: head.generation,
            incarnation: head.incarnation.get(),
            tail_round: head.tail.sequence.get(),
            clean: head.clean,
            retired: head.retired,
            written_at: head.written_at.get(),
            partitions: checkpoint.entries.len(),
            unlinks: checkpoint.unlinks.len(),
        }
    }

    fn to_text(&self) -> String {
        format!(
            "checkpoint: journal {} generation: {} incarnation: {} tailRound: {} clean: {} retired: {} writtenAt: {} \
             partitions: {} unlinks: {}",
            self.journal,
            self.generation,
            self.incarnation,
            self.tail_round,
            self.clean,
            self.retired,
            civil_time::format_millis(self.written_at),
            self.partitions,
            self.unlinks,
        )
    }
}

impl PartitionLine {
    fn new(topic: String, state: &PartitionState) -> PartitionLine {
        let epochs = state
            .epochs()
            .entries()
            .iter()
            .map(|start| (start.epoch.get(), start.start_offset.get()));
        PartitionLine {
            topic,
            partition: state.key().partition.get(),
            start: state.offsets().start().get().get(),
            end: state.offsets().end().get().get(),
            bytes: state.size(),
            epochs: epochs.collect(),
            segments: state.segments().iter().map(SegmentLine::new).collect(),
            journal_bytes: 0,
            cut_at: None,
            damaged_at: None,
            damage: None,
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "partition: {}-{} start: {} end: {} bytes: {} journalBytes: {}",
            self.topic, self.partition, self.start, self.end, self.bytes, self.journal_bytes
        );
        if let Some(at) = self.cut_at {
            text.push_str(&format!(" unacknowledgedFrom: {at}"));
        }
        if let (Some(at), Some(reason)) = (self.damaged_at, &self.damage) {
            text.push_str(&format!(" DAMAGED from: {at} reason: {reason}"));
        }
        if !self.epochs.is_empty() {
            let epochs = self
                .epochs
                .iter()
                .map(|(epoch, start)| format!("{epoch} from {start}"));
            text.push_str(&format!("\n| epochs: {}", epochs.collect::<Vec<_>>().join(", ")));
        }
        for segment in &self.segments {
            text.push_str(&format!("\n| {}", segment.to_text()));
        }
        text
    }
}

impl SegmentLine {
    fn new(segment: &Segment) -> SegmentLine {
        SegmentLine {
            id: format!("{:016x}", segment.id.get()),
            base_offset: segment.base_offset.get(),
            end_offset: segment.end_offset.get(),
            bytes: segment.byte_end.get(),
            sealed: segment.sealed,
            sidecar: segment.sidecar,
        }
    }

    fn to_text(&self) -> String {
        format!(
            "segment: {} baseOffset: {} endOffset: {} bytes: {} sealed: {} sidecar: {}",
            self.id, self.base_offset, self.end_offset, self.bytes, self.sealed, self.sidecar
        )
    }
}

//! The rounds of a journal, as far as a start would still read them.

use std::path::Path;

use millstream_log::layout;
use millstream_log::{Checkpoint, PartitionKey, Record, Round, StoredBatch};
use serde::Serialize;

use super::raw::{checkpoint_slots, journal_ids, walk_journal};
use super::sink::Sink;
use crate::cli::{Exit, Failure};
use crate::telemetry::civil_time;

#[derive(Serialize)]
struct RoundLine {
    journal: u64,
    position: u64,
    sequence: u64,
    incarnation: u64,
    settled: u64,
    written_at: i64,
    length: u32,
    previous_crc: u32,
    crc: u32,
    records: Vec<RecordLine>,
}

/// One record of a round; fields that its kind lacks are left out.
#[derive(Default, Serialize)]
struct RecordLine {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batches: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_offset: Option<i64>,
    /// Inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<String>>,
}

/// Every journal of the directory that is in use. `name` says what a partition is called.
pub fn dump_journals(
    sink: &mut Sink,
    data_dir: &Path,
    name: &dyn Fn(PartitionKey) -> String,
) -> Result<(), Failure> {
    for id in journal_ids(data_dir)? {
        let [a, b] = checkpoint_slots(data_dir, id);
        let path = data_dir.join(layout::journal(id));
        let Ok(checkpoint) = Checkpoint::newest(a, b) else {
            sink.damaged += 1;
            sink.note(&format!(
                "{}: no checkpoint tells where its rounds begin",
                path.display()
            ))?;
            continue;
        };
        let head = checkpoint.head;
        if head.retired {
            sink.note(&format!("{} is retired", path.display()))?;
            continue;
        }
        if !path.exists() {
            // The directory's own damage tells of it.
            continue;
        }
        sink.note(&format!(
            "Dumping {} ({} bytes, from round {} at {})",
            path.display(),
            head.ring_bytes,
            head.tail.sequence.get(),
            head.tail.position
        ))?;
        let end = walk_journal(data_dir, &head, |round, at| {
            let line = RoundLine::new(id.get(), round, at, name)?;
            sink.put(&line, || line.to_text())
        })?;
        sink.note(&format!("the chain ends before round {}", end.sequence.get()))?;
    }
    Ok(())
}

impl RoundLine {
    fn new(
        journal: u64,
        round: &Round<'_>,
        position: u64,
        name: &dyn Fn(PartitionKey) -> String,
    ) -> Result<RoundLine, Failure> {
        let header = &round.header;
        let mut lines = Vec::new();
        let mut records = round.records();
        while let Some(record) = records.next() {
            let record = record.map_err(|error| {
                let round = header.sequence.get();
                Failure::new(
                    Exit::Damaged,
                    format!("a record of round {round} does not read: {error}"),
                )
            })?;
            lines.push(RecordLine::new(&record, name));
        }
        Ok(RoundLine {
            journal,
            position,
            sequence: header.sequence.get(),
            incarnation: header.incarnation.get(),
            settled: header.settled.get(),
            written_at: header.written_at.get(),
            length: header.length,
            previous_crc: header.previous_crc,
            crc: header.crc,
            records: lines,
        })
    }

    fn to_text(&self) -> String {
        let records: String = self
            .records
            .iter()
            .map(|record| format!("\n| {}", record.to_text()))
            .collect();
        format!(
            "round: {} position: {} settled: {} incarnation: {} writtenAt: {} length: {} previousCrc: {} crc: {} \
             records: {}{records}",
            self.sequence,
            self.position,
            self.settled,
            self.incarnation,
            civil_time::format_millis(self.written_at),
            self.length,
            self.previous_crc,
            self.crc,
            self.records.len(),
        )
    }
}

impl RecordLine {
    fn new(record: &Record<'_>, name: &dyn Fn(PartitionKey) -> String) -> RecordLine {
        let line = RecordLine {
            partition: record.partition().map(name),
            ..RecordLine::default()
        };
        let hex = |segment: millstream_log::SegmentId| format!("{:016x}", segment.get());
        match *record {
            Record::Tail {
                segment,
                position,
                bytes,
                batches,
                ..
            } => RecordLine {
                kind: "tail",
                segment: Some(hex(segment)),
                position: Some(position.get()),
                bytes: Some(bytes.len() as u64),
                ..line.with_batches(batches)
            },
            Record::Extent {
                segment,
                position,
                length,
                batches,
                ..
            } => RecordLine {
                kind: "extent",
                segment: Some(hex(segment)),
                position: Some(position.get()),
                bytes: Some(length),
                ..line.with_batches(batches)
            },
            Record::Seal {
                segment,
                byte_end,
                end_offset,
                successor,
                ..
            } => RecordLine {
                kind: "seal",
                segment: Some(hex(segment)),
                position: Some(byte_end.get()),
                offset: Some(end_offset.get()),
                successor: Some(hex(successor)),
                ..line
            },
            Record::Epoch {
                epoch, start_offset, ..
            } => RecordLine {
                kind: "epoch",
                epoch: Some(epoch.get()),
                offset: Some(start_offset.get()),
                ..line
            },
            Record::LogStart { offset, .. } => RecordLine {
                kind: "log start",
                offset: Some(offset.get()),
                ..line
            },
            Record::Opened {
                segment, base_offset, ..
            } => RecordLine {
                kind: "opened",
                segment: Some(hex(segment)),
                offset: Some(base_offset.get()),
                ..line
            },
            Record::Removed { .. } => RecordLine {
                kind: "removed",
                ..line
            },
            Record::Dropped {
                segments, log_start, ..
            } => RecordLine {
                kind: "dropped",
                segments: Some(segments.iter().copied().map(hex).collect()),
                offset: Some(log_start.get()),
                ..line
            },
            Record::Settle => RecordLine {
                kind: "settle",
                ..line
            },
        }
    }

    fn with_batches(self, batches: &[StoredBatch]) -> RecordLine {
        RecordLine {
            batches: Some(batches.len()),
            first_offset: batches.first().map(|batch| batch.summary.base_offset.get()),
            last_offset: batches.last().map(|batch| batch.summary.last_offset.get()),
            ..self
        }
    }

    fn to_text(&self) -> String {
        let mut text = self.kind.to_owned();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(" {name}: {value}"));
            }
        };
        put("partition", self.partition.clone());
        put("segment", self.segment.clone());
        put("position", self.position.map(|value| value.to_string()));
        put("bytes", self.bytes.map(|value| value.to_string()));
        put("batches", self.batches.map(|value| value.to_string()));
        put("firstOffset", self.first_offset.map(|value| value.to_string()));
        put("lastOffset", self.last_offset.map(|value| value.to_string()));
        put("offset", self.offset.map(|value| value.to_string()));
        put("epoch", self.epoch.map(|value| value.to_string()));
        put("successor", self.successor.clone());
        put(
            "segments",
            self.segments.as_ref().map(|segments| segments.join(",")),
        );
        text
    }
}

//! One batch as a line, with the fields and words of Kafka's DumpLogSegments, and its records.

use millstream_compress::Body;
use millstream_protocol::record::batch::{BatchView, TimestampType};
use millstream_protocol::record::record::Record;
use millstream_protocol::types::TimestampMs;
use serde::Serialize;

use super::sink::Sink;
use crate::cli::Failure;

/// Kafka's fields in Kafka's order, and where the bytes lie.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchLine<'a> {
    base_offset: i64,
    last_offset: i64,
    count: i32,
    base_sequence: i32,
    last_sequence: i32,
    producer_id: i64,
    producer_epoch: i16,
    partition_leader_epoch: i32,
    is_transactional: bool,
    is_control: bool,
    delete_horizon_ms: Option<i64>,
    position: u64,
    timestamp_type: &'static str,
    timestamp: i64,
    size: usize,
    magic: i8,
    compresscodec: &'static str,
    crc: u32,
    isvalid: bool,
    stored_in: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordLine {
    offset: i64,
    timestamp: i64,
    key_size: i64,
    value_size: i64,
    sequence: i32,
    header_keys: Vec<String>,
    key: Option<String>,
    payload: Option<String>,
}

/// Prints the batch, and its records if they are wanted. `position` is the file's, in bytes from its start.
pub fn dump_batch(
    sink: &mut Sink,
    batch: &BatchView<'_>,
    position: u64,
    stored_in: &str,
    records: bool,
) -> Result<(), Failure> {
    let line = BatchLine::new(batch, position, stored_in);
    if !line.isvalid {
        sink.damaged += 1;
    }
    sink.put(&line, || line.to_text())?;
    if records {
        dump_records(sink, batch)
    } else {
        Ok(())
    }
}

fn dump_records(sink: &mut Sink, batch: &BatchView<'_>) -> Result<(), Failure> {
    let body = match Body::of(batch, BODY_BYTES_MAX) {
        Ok(body) => body,
        Err(error) => {
            sink.damaged += 1;
            return sink.note(&format!("| the records cannot be read: {error}"));
        }
    };
    for record in body.records() {
        match record {
            Ok(record) => {
                let line = RecordLine::new(batch, &record);
                let label = timestamp_label(batch);
                sink.put(&line, || line.to_text(label))?;
            }
            Err(error) => {
                sink.damaged += 1;
                return sink.note(&format!("| a record cannot be read: {error}"));
            }
        }
    }
    Ok(())
}

impl<'a> BatchLine<'a> {
    fn new(batch: &BatchView<'_>, position: u64, stored_in: &'a str) -> BatchLine<'a> {
        let attributes = batch.attributes();
        let base_sequence = batch.base_sequence();
        let last_sequence = base_sequence.map(|first| first.advance(batch.last_offset_delta()));
        BatchLine {
            base_offset: batch.base_offset().get(),
            last_offset: batch.last_offset().get(),
            count: batch.record_count(),
            base_sequence: base_sequence.map_or(-1, |sequence| sequence.get()),
            last_sequence: last_sequence.map_or(-1, |sequence| sequence.get()),
            producer_id: batch.producer_id().map_or(-1, |id| id.get()),
            producer_epoch: batch.producer_epoch().map_or(-1, |epoch| epoch.get()),
            partition_leader_epoch: batch.partition_leader_epoch().map_or(-1, |epoch| epoch.get()),
            is_transactional: attributes.is_transactional(),
            is_control: attributes.is_control(),
            // Where the bit is set, the base timestamp's place holds the horizon (KIP-534).
            delete_horizon_ms: attributes
                .has_delete_horizon()
                .then(|| TimestampMs::to_wire(batch.base_timestamp())),
            position,
            timestamp_type: timestamp_label(batch),
            timestamp: TimestampMs::to_wire(batch.max_timestamp()),
            size: batch.size(),
            magic: batch.magic(),
            compresscodec: attributes.compression().map_or("unknown", |codec| codec.name()),
            crc: batch.crc(),
            isvalid: batch.verify_crc().is_ok(),
            stored_in,
        }
    }

    fn to_text(&self) -> String {
        let horizon = self.delete_horizon_ms;
        let horizon = horizon.map_or("OptionalLong.empty".to_owned(), |at| {
            format!("OptionalLong[{at}]")
        });
        format!(
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
             producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} \
             deleteHorizonMs: {horizon} position: {} {}: {} size: {} magic: {} compresscodec: {} crc: {} \
             isvalid: {} storedIn: {}",
            self.base_offset,
            self.last_offset,
            self.count,
            self.base_sequence,
            self.last_sequence,
            self.producer_id,
            self.producer_epoch,
            self.partition_leader_epoch,
            self.is_transactional,
            self.is_control,
            self.position,
            self.timestamp_type,
            self.timestamp,
            self.size,
            self.magic,
            self.compresscodec,
            self.crc,
            self.isvalid,
            self.stored_in,
        )
    }
}

impl RecordLine {
    fn new(batch: &BatchView<'_>, record: &Record<'_>) -> RecordLine {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        let base = TimestampMs::to_wire(batch.base_timestamp());
        let timestamp = match batch.attributes().timestamp_type() {
            TimestampType::LogAppendTime => TimestampMs::to_wire(batch.max_timestamp()),
            TimestampType::CreateTime => base.saturating_add(record.timestamp_delta),
        };
        let sequence = batch
            .base_sequence()
            .map(|first| first.advance(record.offset_delta));
        RecordLine {
            offset: batch.base_offset().get() + i64::from(record.offset_delta),
            timestamp,
            key_size: size(record.key),
            value_size: size(record.value),
            sequence: sequence.map_or(-1, |sequence| sequence.get()),
            header_keys: record.headers().map(|header| header.key.to_owned()).collect(),
            key: text(record.key),
            payload: text(record.value),
        }
    }

    fn to_text(&self, label: &str) -> String {
        let mut text = format!(
            "| offset: {} {label}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
            self.offset,
            self.timestamp,
            self.key_size,
            self.value_size,
            self.sequence,
            self.header_keys.join(","),
        );
        if let Some(key) = &self.key {
            text.push_str(&format!(" key: {}", one_line(key)));
        }
        if let Some(payload) = &self.payload {
            text.push_str(&format!(" payload: {}", one_line(payload)));
        }
        text
    }
}

/// A record stays on its line and does not steer the terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

fn timestamp_label(batch: &BatchView<'_>) -> &'static str {
    match batch.attributes().timestamp_type() {
        TimestampType::LogAppendTime => "LogAppendTime",
        TimestampType::CreateTime => "CreateTime",
    }
}

/// What one batch may decompress to, in bytes.
const BODY_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::record::record::Header;
    use millstream_protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

    use super::*;

    fn batch() -> Vec<u8> {
        let header = Header {
            key: "h",
            value: None,
        };
        BatchBuilder::new()
            .base_offset(Offset::new(10))
            .leader_epoch(LeaderEpoch::new(2))
            .producer(ProducerId::new(7), ProducerEpoch::new(1), Sequence::new(i32::MAX))
            .record(TimestampMs::new(1_000), Some(b"k"), Some(b"v\n1"), &[header])
            .record(TimestampMs::new(1_005), None, None, &[])
            .build()
    }

    #[test]
    fn a_batch_reads_as_kafka_prints_it() {
        let bytes = batch();
        let (view, _) = BatchView::parse(&bytes).unwrap();
        let crc = view.crc();
        let expected = format!(
            "baseOffset: 10 lastOffset: 11 count: 2 baseSequence: 2147483647 lastSequence: 0 producerId: 7 \
             producerEpoch: 1 partitionLeaderEpoch: 2 isTransactional: false isControl: false deleteHorizonMs: \
             OptionalLong.empty position: 4096 CreateTime: 1005 size: {} magic: 2 compresscodec: none crc: {crc} \
             isvalid: true storedIn: journal",
            bytes.len()
        );
        assert_eq!(BatchLine::new(&view, 4096, "journal").to_text(), expected);
    }

    #[test]
    fn records_show_sizes_and_stay_on_their_line() {
        let bytes = batch();
        let (view, _) = BatchView::parse(&bytes).unwrap();
        let lines: Vec<String> = view
            .records()
            .unwrap()
            .map(|record| RecordLine::new(&view, &record.unwrap()).to_text("CreateTime"))
            .collect();
        let first = "| offset: 10 CreateTime: 1000 keySize: 1 valueSize: 3 sequence: 2147483647 headerKeys: [h] \
                     key: k payload: v\u{FFFD}1";
        let second = "| offset: 11 CreateTime: 1005 keySize: -1 valueSize: -1 sequence: 0 headerKeys: []";
        assert_eq!(lines, [first, second]);
    }

    #[test]
    fn a_wrong_checksum_is_shown() {
        let mut bytes = batch();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let (view, _) = BatchView::parse(&bytes).unwrap();
        assert!(
            BatchLine::new(&view, 0, "segment")
                .to_text()
                .contains("isvalid: false")
        );
    }
}

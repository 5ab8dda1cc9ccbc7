//! Record batches, built by one and read by the other.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
};
use millstream_fuzz::random::Random;
use millstream_protocol::message::generate::Source;
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::record::Header;
use millstream_protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::Chance;

const GENERATED: usize = 3_000;

#[test]
fn generated_batches_are_the_same_in_both() {
    let mut chance = Chance(Random::new(23));
    for round in 0..GENERATED {
        let batch = Batch::generate(&mut chance);
        let ours = batch.build();
        let mut rest = Bytes::from(ours.clone());
        let read = RecordBatchDecoder::decode(&mut rest)
            .expect("the crate reads our batch")
            .records;
        assert!(rest.is_empty());
        assert_eq!(batch, Batch::from_theirs(&read), "round {round}");
        let mut theirs = BytesMut::new();
        let options = RecordEncodeOptions {
            version: 2,
            compression: Compression::None,
        };
        RecordBatchEncoder::encode(&mut theirs, &read, &options).expect("the crate writes what it read");
        assert_eq!(batch, Batch::from_ours(&theirs), "round {round}");
        // The crate counts from the earliest timestamp, we from the first.
        if batch
            .records
            .iter()
            .all(|record| record.timestamp >= batch.records[0].timestamp)
        {
            assert_eq!(theirs[..], ours, "round {round}");
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Batch {
    base_offset: i64,
    leader_epoch: i32,
    transactional: bool,
    /// Id, epoch and base sequence; -1 each where there is none.
    producer: (i64, i16, i32),
    records: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Batch {
    fn generate(chance: &mut Chance) -> Self {
        let natural = |chance: &mut Chance, bits: u32| (chance.number() & ((1 << bits) - 1)) as i64;
        let producer = match chance.null() {
            true => (-1, -1, -1),
            false => (
                natural(chance, 62),
                natural(chance, 15) as i16,
                natural(chance, 30) as i32,
            ),
        };
        Self {
            base_offset: natural(chance, 62),
            leader_epoch: natural(chance, 31) as i32,
            transactional: chance.null(),
            producer,
            records: (0..=chance.count()).map(|_| Record::generate(chance)).collect(),
        }
    }

    fn build(&self) -> Vec<u8> {
        let mut builder = BatchBuilder::new()
            .base_offset(Offset::new(self.base_offset))
            .leader_epoch(LeaderEpoch::new(self.leader_epoch));
        let (id, epoch, sequence) = self.producer;
        if id >= 0 {
            builder = builder.producer(
                ProducerId::new(id),
                ProducerEpoch::new(epoch),
                Sequence::new(sequence),
            );
        }
        if self.transactional {
            builder = builder.transactional();
        }
        for record in &self.records {
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(key, value)| Header {
                    key,
                    value: value.as_deref(),
                })
                .collect();
            builder.push(
                TimestampMs::new(record.timestamp),
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            );
        }
        builder.build()
    }

    fn from_theirs(records: &[TheirRecord]) -> Self {
        let first = &records[0];
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.offset, first.offset + index as i64);
            assert_eq!(record.sequence, first.sequence.wrapping_add(index as i32));
        }
        let record = |record: &TheirRecord| Record {
            timestamp: record.timestamp,
            key: record.key.as_deref().map(<[u8]>::to_vec),
            value: record.value.as_deref().map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|(key, value)| (StrBytes::to_string(key), value.as_deref().map(<[u8]>::to_vec)))
                .collect(),
        };
        Self {
            base_offset: first.offset,
            leader_epoch: first.partition_leader_epoch,
            transactional: first.transactional,
            producer: (first.producer_id, first.producer_epoch, first.sequence),
            records: records.iter().map(record).collect(),
        }
    }

    fn from_ours(bytes: &[u8]) -> Self {
        let (view, rest) = BatchView::parse(bytes).expect("we read the crate's batch");
        assert!(rest.is_empty());
        view.verify_crc().expect("the crate's checksum");
        view.check_framing().expect("the crate's records");
        let base = TimestampMs::to_wire(view.base_timestamp());
        let records = view.records().expect("not compressed").map(|record| {
            let record = record.expect("a record");
            Record {
                timestamp: base + record.timestamp_delta,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers()
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect(),
            }
        });
        let records: Vec<_> = records.collect();
        let latest = records.iter().map(|record| record.timestamp).max();
        assert_eq!(view.max_timestamp().map(TimestampMs::get), latest);
        let producer = view.summary().producer;
        Self {
            base_offset: view.base_offset().get(),
            leader_epoch: view.partition_leader_epoch().map_or(-1, LeaderEpoch::get),
            transactional: view.attributes().is_transactional(),
            producer: producer.map_or((-1, -1, -1), |stamp| {
                (stamp.id.get(), stamp.epoch.get(), stamp.base_sequence.get())
            }),
            records,
        }
    }
}

impl Record {
    fn generate(chance: &mut Chance) -> Self {
        let bytes = |chance: &mut Chance| (!chance.null()).then(|| chance.bytes().to_vec());
        Self {
            timestamp: (chance.number() & 0xff_ffff_ffff) as i64,
            key: bytes(chance),
            value: bytes(chance),
            // The crate keeps headers by key: no two of a record have the same one.
            headers: (0..chance.count())
                .map(|number| (format!("{number}{}", chance.text()), bytes(chance)))
                .collect(),
        }
    }
}

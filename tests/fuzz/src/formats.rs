//! What lies on disk, records of `__consumer_offsets` among it, and what a client pushes of its metrics, made of any
//! bytes.
//!
//! The first byte of an input picks the structure. Its checksums are put right first, so that a mutation meets the
//! fields behind them; what no checksum guards any more must still be refused or held within bounds. A whole start on
//! files is `boot`'s.

use millstream_log::{
    Checkpoint, CheckpointBuilder, Identity, JournalId, Replay, Round, RoundHeader, SegmentHeader, Sidecar,
    Step, newest_settled,
};
use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::cluster::record::{ConfigChange, MetadataRecord, decode_batch, encode_batch};
use millstream_machine::quota::Rate;
use millstream_machine::quota::entity::{Name, QuotaEntity};
use millstream_machine::telemetry::otlp;
use millstream_protocol::types::{BrokerId, ProducerId, TopicId};

use crate::{data, golden, memory, seal};

/// Examples of every structure, as inputs. The padding is left out: mutations of it would be wasted.
pub fn format_seeds() -> Vec<Vec<u8>> {
    let seed = |(kind, bytes): (usize, &&[u8])| {
        let used = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        [&[kind as u8], &bytes[..used]].concat()
    };
    let records = metadata_records();
    let image = ClusterImage::empty().apply(&records);
    let mut seeds: Vec<Vec<u8>> = EXAMPLES.iter().enumerate().map(seed).collect();
    seeds.push([vec![METADATA_BATCH as u8], encode_batch(&records)].concat());
    seeds.push([vec![METADATA_SNAPSHOT as u8], image.encode_snapshot()].concat());
    seeds.push([&[METRICS as u8], A_GAUGE].concat());
    let offsets = golden::data().into_iter().map(|golden| golden.bytes);
    seeds.extend(offsets.map(|bytes| [vec![OFFSETS as u8], bytes].concat()));
    seeds
}

/// One of each kind.
fn metadata_records() -> Vec<MetadataRecord> {
    let [kept, gone, purged] = [1, 2, 3].map(|number| TopicId::new([number; 16]));
    let topic = |id, name: &str| MetadataRecord::TopicCreated {
        id,
        name: name.into(),
        partitions: 3,
        configs: [("cleanup.policy".into(), "compact".into())]
            .into_iter()
            .collect(),
    };
    let change = |name: &str, value: Option<&str>| ConfigChange {
        name: name.into(),
        value: value.map(Into::into),
    };
    let changes = vec![change("retention.ms", Some("5")), change("segment.ms", None)];
    let broker = BrokerId::new(1);
    vec![
        MetadataRecord::ClusterCreated {
            cluster_id: "A".into(),
        },
        topic(kept, "orders.new"),
        topic(gone, "old_ones"),
        topic(purged, "older"),
        MetadataRecord::PartitionsAdded {
            id: kept,
            partitions: 6,
        },
        MetadataRecord::TopicDeleted { id: gone },
        MetadataRecord::TopicDeleted { id: purged },
        MetadataRecord::TopicPurged { id: purged },
        MetadataRecord::TopicConfigChanged {
            id: kept,
            changes: changes.clone(),
        },
        MetadataRecord::BrokerConfigChanged {
            broker: None,
            changes: changes.clone(),
        },
        MetadataRecord::BrokerConfigChanged {
            broker: Some(broker),
            changes,
        },
        MetadataRecord::UncleanStart { broker },
        MetadataRecord::ProducerIdBlock {
            first: ProducerId::new(1_000),
            count: 1_000,
        },
        MetadataRecord::ClientQuotaChanged {
            entity: QuotaEntity {
                user: Some(Name::Default),
                client_id: Some(Name::Is("c".into())),
                ip: None,
            },
            key: "producer_byte_rate".into(),
            value: Some(Rate::new(1_000.0)),
        },
        MetadataRecord::ClientMetricsChanged {
            name: "all".into(),
            changes: vec![ConfigChange {
                name: "metrics".into(),
                value: Some("*".into()),
            }],
        },
        MetadataRecord::GroupConfigChanged {
            group: "g".into(),
            changes: vec![ConfigChange {
                name: "consumer.session.timeout.ms".into(),
                value: Some("50000".into()),
            }],
        },
    ]
}

/// Decodes a structure; what decodes is used as a start would use it.
pub fn formats(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let kind = usize::from(*kind) % KINDS;
    match kind {
        METADATA_BATCH => return metadata_batch(bytes),
        METADATA_SNAPSHOT => return metadata_snapshot(bytes),
        METRICS => return metrics(bytes),
        OFFSETS => return data(bytes),
        _ => {}
    }
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    match kind {
        ROUND => {
            seal::round(&mut bytes);
            round(&bytes);
        }
        CHECKPOINT => {
            seal::checkpoint(&mut bytes);
            checkpoint(&bytes);
        }
        SIDECAR => {
            seal::sidecar(&mut bytes);
            if let Some(sidecar) = bounded(bytes.len(), || Sidecar::decode(&bytes).ok()) {
                assert_eq!(Sidecar::decode(&sidecar.encode()), Ok(sidecar));
            }
        }
        HEADER => {
            seal::block(&mut bytes);
            if let Ok(header) = SegmentHeader::decode(&bytes) {
                assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
            }
        }
        _ => {
            seal::block(&mut bytes);
            if let Ok(identity) = Identity::decode(&bytes) {
                assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
            }
        }
    }
}

/// A journal that consists of one round, replayed from its start.
fn round(bytes: &[u8]) {
    bounded(bytes.len(), || {
        let Ok(round) = Round::decode(bytes) else { return };
        let mut records = round.records();
        while let Some(Ok(_)) = records.next() {}
    });
    let Ok(header) = RoundHeader::decode(bytes) else {
        return;
    };
    let mut checkpoint = Checkpoint::decode(EXAMPLES[CHECKPOINT]).expect("an example is sound");
    let head = &mut checkpoint.head;
    head.journal = header.journal;
    head.ring_bytes = (bytes.len() as u64).next_multiple_of(4096);
    (head.tail.sequence, head.tail.position, head.tail.previous_crc) =
        (header.sequence, 0, header.previous_crc);
    (head.raised_at, head.incarnation) = (header.sequence, header.incarnation);
    for entry in &mut checkpoint.entries {
        (entry.as_of, entry.floor) = (header.sequence.previous(), header.sequence);
    }
    replay(checkpoint, bytes);
}

fn checkpoint(bytes: &[u8]) {
    let Some(checkpoint) = bounded(bytes.len(), || Checkpoint::decode(bytes).ok()) else {
        return;
    };
    let mut builder = CheckpointBuilder::new(0);
    for entry in &checkpoint.entries {
        builder.add(&entry.state, entry.as_of, entry.floor, entry.damage);
    }
    let again = builder
        .finish(&checkpoint.head, &checkpoint.unlinks)
        .expect("it was small enough before");
    assert_eq!(Checkpoint::decode(&again).as_ref(), Ok(&checkpoint));
    replay(checkpoint, EXAMPLES[ROUND]);
}

/// The records of one entry of the metadata log, applied one after the other.
fn metadata_batch(bytes: &[u8]) {
    let Some(records) = bounded_image(bytes.len(), || decode_batch(bytes).ok()) else {
        return;
    };
    assert_eq!(decode_batch(&encode_batch(&records)).as_ref(), Ok(&records));
    let image = bounded_image(bytes.len(), || ClusterImage::empty().apply(&records));
    is_whole(&image);
}

fn metadata_snapshot(bytes: &[u8]) {
    if let Some(image) = bounded_image(bytes.len(), || ClusterImage::decode_snapshot(bytes).ok()) {
        is_whole(&image);
    }
}

/// A metric takes three words for each of its bytes at most, and a vector twice what is in it.
fn metrics(bytes: &[u8]) {
    let parts_max = bytes.len() / 4;
    let read = within(64 * bytes.len(), || otlp::read(bytes, parts_max).ok());
    let Some(read) = read else { return };
    let points = read.metrics.iter().flat_map(|metric| &metric.points);
    let attributes = points.clone().flat_map(|point| &point.attributes);
    let parts = read.metrics.len() + points.count() + attributes.chain(&read.resource).count();
    assert!(parts <= parts_max, "the bound holds");
}

/// An image can be written and read again, and goes on.
fn is_whole(image: &ClusterImage) {
    let written = image.encode_snapshot();
    let again = ClusterImage::decode_snapshot(&written).expect("what was written reads");
    assert_eq!(again.encode_snapshot(), written);
    let partitions = image
        .topics()
        .map(|topic| u64::from(topic.partitions))
        .sum::<u64>();
    assert_eq!(image.partition_count(), partitions);
    let deletions: Vec<_> = image
        .topics()
        .map(|topic| MetadataRecord::TopicDeleted { id: topic.id })
        .collect();
    assert_eq!(image.apply(&deletions).partition_count(), 0);
}

/// All that a start decides, over a ring that begins with `ring`. Nothing is asserted but that it ends.
fn replay(checkpoint: Checkpoint, ring: &[u8]) {
    let (id, journal): (JournalId, _) = (checkpoint.head.journal.id, checkpoint.head.journal);
    let mut replay = Replay::new();
    replay.add_checkpoint(checkpoint);
    let Some(mut reader) = replay.reader(id) else {
        return;
    };
    let end = loop {
        match reader.step(0, ring) {
            Step::Round { round, .. } => {
                if replay.apply_round(id, &round).is_err() {
                    return;
                }
            }
            Step::End(point) => break point,
            Step::Need { .. } => return,
        }
    };
    let header = newest_settled(journal, ring).map(|header| (0, header));
    replay
        .chain_ended(id, end, header.as_slice())
        .expect("the journal is known");
    for check in replay.extents_to_verify() {
        replay.verified(&check, None);
    }
    let recovered = replay.finish();
    for partition in recovered.partitions {
        let end = partition.state.offsets().end().get();
        assert!(
            partition.cut.is_none_or(|cut| cut.end_offset <= end),
            "a cut cannot make a log longer"
        );
    }
}

/// Runs `decode` and expects it to take no more memory than a small multiple of the bytes.
fn bounded<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    within(32 * len, decode)
}

/// As above, for the cluster's image: a broker's configuration takes five bytes, and two nodes of trees in memory.
fn bounded_image<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    within(80 * len, decode)
}

fn within<T>(bytes: usize, decode: impl FnOnce() -> T) -> T {
    let (result, used) = memory::measure(decode);
    assert!(used <= bytes + 4096, "{used} bytes taken, {bytes} allowed");
    result
}

const ROUND: usize = 0;
const CHECKPOINT: usize = 1;
const SIDECAR: usize = 2;
const HEADER: usize = 3;
const METADATA_BATCH: usize = 5;
const METADATA_SNAPSHOT: usize = 6;
const METRICS: usize = 7;
const OFFSETS: usize = 8;
const KINDS: usize = 9;
/// OpenTelemetry's MetricsData: a gauge `a` with one point.
const A_GAUGE: &[u8] = b"\x0a\x14\x12\x12\x12\x10\x0a\x01a\x2a\x0b\x0a\x09\x21\0\0\0\0\0\0\xf8\x3f";
const EXAMPLES: [&[u8]; 5] = [
    include_bytes!("../../../storage/log/fixtures/v1/round"),
    include_bytes!("../../../storage/log/fixtures/v1/checkpoint"),
    include_bytes!("../../../storage/log/fixtures/v1/sidecar"),
    include_bytes!("../../../storage/log/fixtures/v1/segment-header"),
    include_bytes!("../../../storage/log/fixtures/v1/identity"),
];

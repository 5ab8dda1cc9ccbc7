//! Real data directories, each written by the storage itself: what was in them, and what they were like earlier.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use millstream_log::PartitionKey;
use millstream_machine::cluster::record::MetadataRecord;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId};
use millstream_ring::IoError;
use millstream_ring::simulated::{OpKind, SimWorld};

use super::damage::Files;
use super::host::{Host, disk_options, metadata_disk};

/// Every batch that was ever written, as it is stored, by its partition and first offset.
pub type Written = BTreeMap<(PartitionKey, i64), Arc<[u8]>>;

/// See the module's page.
pub struct History {
    pub files: Files,
    /// Halfway through.
    pub earlier: Files,
    pub written: Written,
}

/// All of them, written at the first call.
pub fn histories() -> &'static [History] {
    &HISTORIES
}

/// A batch of one record of so many bytes, unlike any other's.
pub fn batch(producer: i64, sequence: i32, len: usize) -> Vec<u8> {
    let word = format!("<{producer} {sequence}>");
    let value: Vec<u8> = word.bytes().cycle().take(len).collect();
    let builder = BatchBuilder::new().producer(
        ProducerId::new(producer),
        ProducerEpoch::new(0),
        Sequence::new(sequence),
    );
    let time = TimestampMs::new(1_700_000_000_000 + i64::from(sequence));
    builder.record(time, None, Some(&value), &[]).build()
}

/// What a history is made of.
#[derive(Clone, Copy, Default)]
struct Script {
    shards: usize,
    appends: i32,
    /// Lengths of values, in turn.
    values: &'static [usize],
    /// Writes into segments fail from the middle on: partitions are fenced, and rescued.
    segments_fail: bool,
    /// Ends in good order.
    is_clean: bool,
    /// A metadata snapshot is taken.
    has_snapshot: bool,
}

impl Script {
    fn write(self) -> History {
        let world = SimWorld::new(3, disk_options());
        let metadata = metadata_disk(BTreeMap::new());
        let files = |world: &SimWorld| Files {
            image: world.image(),
            metadata: metadata.0.borrow().clone(),
        };
        let mut host = Host::open(&world, &metadata, self.shards).expect("an empty disk opens");
        host.commit(&[created(KEPT, 3), created(DOOMED, 1)]);
        let mut written = Written::new();
        let mut earlier = None;
        for step in 0..self.appends {
            let key = match step % 7 {
                6 => key(DOOMED, 0),
                other => key(KEPT, other % 3),
            };
            let value = self.values[step as usize % self.values.len()];
            // A producer of its own for each partition, whose sequence goes on.
            let producer = 1 + i64::from(key.partition.get()) + i64::from(key.topic.get()[0]);
            let sequence = written.keys().filter(|(known, _)| *known == key).count() as i32;
            if step < self.appends / 3 * 2 || key.topic != DOOMED {
                // What is fenced takes nothing.
                let _ = host.append(key, batch(producer, sequence, value), &mut written);
            }
            for _ in 0..=step % 5 {
                host.turn();
            }
            if step == self.appends / 2 {
                self.halfway(&mut host, &world);
                earlier = Some(files(&world));
            }
            if step == self.appends / 3 * 2 {
                host.commit(&[MetadataRecord::TopicDeleted { id: DOOMED }]);
            }
        }
        // Else much is in the journal only.
        if self.segments_fail {
            host.settle();
        }
        if self.is_clean {
            host.shut_down();
        }
        History {
            files: files(&world),
            earlier: earlier.expect("there is a half"),
            written,
        }
    }

    fn halfway(self, host: &mut Host, world: &SimWorld) {
        host.settle();
        if let Some((_, end)) = host.offsets(key(KEPT, 0)) {
            host.delete_records(key(KEPT, 0), end / 3);
        }
        if self.has_snapshot {
            host.snapshot();
        }
        if self.segments_fail {
            world.fail_when(|op| {
                let is_segment = op.path.extension().is_some_and(|extension| extension == "seg");
                (op.kind == OpKind::Write && is_segment).then(|| IoError::new(EIO))
            });
        }
    }
}

fn created(id: TopicId, partitions: u32) -> MetadataRecord {
    MetadataRecord::TopicCreated {
        id,
        name: format!("topic-{}", id.get()[0]),
        partitions,
        configs: Default::default(),
    }
}

fn key(topic: TopicId, partition: i32) -> PartitionKey {
    PartitionKey {
        topic,
        partition: PartitionIndex::new(partition),
    }
}

static HISTORIES: LazyLock<Vec<History>> =
    LazyLock::new(|| SCRIPTS.iter().map(|script| script.write()).collect());

const KEPT: TopicId = TopicId::new([7; 16]);
const DOOMED: TopicId = TopicId::new([8; 16]);
const EIO: i32 = 5;

const SMALL: Script = Script {
    shards: 1,
    appends: 30,
    values: &[40, 300, 5_000],
    segments_fail: false,
    is_clean: false,
    has_snapshot: false,
};

const SCRIPTS: [Script; 5] = [
    SMALL,
    // Everything wraps, rolls, goes straight to the segment.
    Script {
        appends: 120,
        values: &[100, 9_000, 700, 45_000, 3_000, 60],
        has_snapshot: true,
        ..SMALL
    },
    Script {
        appends: 90,
        values: &[100, 9_000, 700, 3_000],
        is_clean: true,
        ..SMALL
    },
    Script {
        appends: 60,
        values: &[2_000, 9_000, 45_000],
        segments_fail: true,
        ..SMALL
    },
    Script {
        shards: 2,
        appends: 60,
        values: &[100, 9_000, 40_000],
        has_snapshot: true,
        ..SMALL
    },
];

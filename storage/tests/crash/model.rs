//! What must be true: everything that was sent to every partition, and what the logs said about it.
//!
//! Invariant: changed only by what a client could see (answers and events), never by looking into the logs.

use std::rc::Rc;

use millstream_log::{LogConfig, PartitionKey};
use millstream_protocol::record::batch::{Batches, patch};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
};
use millstream_storage::{KnownTopics, TopicFate};

#[derive(Clone)]
pub struct Model {
    pub partitions: Vec<Partition>,
    /// Of all batches ever made: each is its own.
    made: u64,
}

#[derive(Clone)]
pub struct Partition {
    pub key: PartitionKey,
    pub config: LogConfig,
    pub epoch: LeaderEpoch,
    /// Accepted and not known to be lost, in order of offset.
    pub sent: Vec<Sent>,
    /// Accepted, and given up by a log that failed before they were flushed. They follow `sent`; the next start may
    /// find them all the same.
    pub given_up: Vec<Sent>,
    /// Everything below was acknowledged or served as flushed.
    pub flushed: i64,
    /// The start that was told to be durable, and the furthest that it was asked to be.
    pub start_durable: i64,
    pub start_latest: i64,
    pub deleted: bool,
    /// A device failed under it: it may refuse, and must not lie.
    pub hurt: bool,
}

/// One batch as the log must hold it.
#[derive(Clone)]
pub struct Sent {
    pub base: i64,
    /// Inclusive.
    pub last: i64,
    /// With its offset and epoch.
    pub stored: Rc<Vec<u8>>,
    /// As the producer sent it.
    pub raw: Rc<Vec<u8>>,
    pub producer: Option<i64>,
    /// Number of records.
    pub records: i32,
    /// Accepted before the last restart.
    pub old: bool,
}

/// A batch to come.
pub struct Fresh {
    pub raw: Vec<u8>,
    pub producer: Option<i64>,
    pub records: i32,
}

/// What the cluster's metadata says: a deletion is committed before the logs hear of it.
impl KnownTopics for Model {
    fn fate(&self, topic: TopicId) -> TopicFate {
        match self
            .partitions
            .iter()
            .find(|partition| partition.key.topic == topic)
        {
            Some(partition) if partition.deleted => TopicFate::Deleted,
            Some(_) => TopicFate::Live,
            None => TopicFate::Unknown,
        }
    }

    fn partitions(&self) -> Vec<PartitionKey> {
        let live = self.partitions.iter().filter(|partition| !partition.deleted);
        live.map(|partition| partition.key).collect()
    }

    fn name(&self, _: TopicId) -> Option<String> {
        None
    }
}

impl Model {
    pub fn new() -> Model {
        Model {
            partitions: Vec::new(),
            made: 0,
        }
    }

    pub fn add(&mut self, config: LogConfig) -> usize {
        let number = self.partitions.len();
        let mut topic = [7; 16];
        topic[15] = number as u8;
        let partition = PartitionIndex::new(number as i32 % 3);
        self.partitions.push(Partition {
            key: PartitionKey {
                topic: TopicId::new(topic),
                partition,
            },
            config,
            epoch: LeaderEpoch::ZERO,
            sent: Vec::new(),
            given_up: Vec::new(),
            flushed: 0,
            start_durable: 0,
            start_latest: 0,
            deleted: false,
            hurt: false,
        });
        number
    }

    /// A batch of `records` records, about `bytes` large, as this producer's next one.
    pub fn fresh(
        &mut self,
        index: usize,
        producer: Option<i64>,
        pending: i32,
        records: i32,
        bytes: usize,
    ) -> Fresh {
        self.made += 1;
        let mut builder = BatchBuilder::new();
        if let Some(id) = producer {
            let sequence = self.partitions[index].next_sequence(id) + pending;
            builder = builder.producer(
                ProducerId::new(id),
                ProducerEpoch::new(0),
                Sequence::new(sequence),
            );
        }
        let filler = vec![(self.made % 251) as u8; bytes / records as usize];
        for record in 0..records {
            let mut value = format!("{index}/{}/{record}:", self.made).into_bytes();
            value.extend_from_slice(&filler);
            builder = builder.record(TimestampMs::new(1_700_000_000_000), None, Some(&value), &[]);
        }
        Fresh {
            raw: builder.build(),
            producer,
            records,
        }
    }

    pub fn find(&self, key: PartitionKey) -> &Partition {
        self.partitions
            .iter()
            .find(|partition| partition.key == key)
            .expect("a partition of the model")
    }

    pub fn find_mut(&mut self, key: PartitionKey) -> &mut Partition {
        self.partitions
            .iter_mut()
            .find(|partition| partition.key == key)
            .expect("a partition of the model")
    }
}

impl Partition {
    /// Exclusive.
    pub fn end(&self) -> i64 {
        self.sent.last().map_or(0, |sent| sent.last + 1)
    }

    pub fn next_sequence(&self, producer: i64) -> i32 {
        self.of(producer).map(|sent| sent.records).sum()
    }

    /// Batches of a producer that were not acknowledged.
    pub fn in_flight(&self, producer: i64) -> usize {
        self.of(producer).filter(|sent| sent.last >= self.flushed).count()
    }

    fn of(&self, producer: i64) -> impl Iterator<Item = &Sent> {
        self.sent
            .iter()
            .filter(move |sent| sent.producer == Some(producer))
    }

    /// Takes in what was accepted at `base`; tells whether the answer's last offset is right.
    pub fn accepted(&mut self, mut base: i64, last: i64, fresh: &[Fresh]) -> bool {
        for fresh in fresh {
            let mut stored = fresh.raw.clone();
            patch(&mut stored, Offset::new(base), self.epoch);
            let end = base + i64::from(fresh.records);
            self.sent.push(Sent {
                base,
                last: end - 1,
                stored: Rc::new(stored),
                raw: Rc::new(fresh.raw.clone()),
                producer: fresh.producer,
                records: fresh.records,
                old: false,
            });
            base = end;
        }
        base == last + 1
    }

    /// A failed log now ends at `end`.
    pub fn give_up(&mut self, end: i64) {
        let kept = self.sent.partition_point(|sent| sent.last < end);
        self.given_up.splice(0..0, self.sent.drain(kept..));
    }

    /// As a start may find it: with what was given up.
    pub fn at_start(&self) -> Partition {
        let mut whole = self.clone();
        whole.sent.append(&mut whole.given_up);
        whole
    }

    /// A restart found the log to be `start..end`: it is what counts from now on.
    pub fn recovered(&mut self, start: i64, end: i64) {
        self.sent.append(&mut self.given_up);
        self.sent.retain(|sent| sent.last < end);
        self.sent.iter_mut().for_each(|sent| sent.old = true);
        self.flushed = end;
        (self.start_durable, self.start_latest) = (start, start);
    }

    /// Compares bytes that were served from `from` on with what was sent; tells where they end.
    pub fn compare(&self, from: i64, bytes: &[u8]) -> Result<i64, String> {
        let mut next = from;
        for batch in Batches::new(bytes) {
            let batch = batch.map_err(|error| format!("not whole batches at offset {next}: {error:?}"))?;
            let base = batch.base_offset().get();
            let index = self.sent.partition_point(|sent| sent.base < base);
            let Some(sent) = self.sent.get(index).filter(|sent| sent.base == base) else {
                return Err(format!("a batch at offset {base} that was never sent"));
            };
            if sent.stored[..] != *batch.bytes() {
                return Err(format!(
                    "the batch at offset {base} has other bytes than were sent"
                ));
            }
            let follows = if next == from {
                base <= from && from <= sent.last
            } else {
                base == next
            };
            if !follows {
                return Err(format!(
                    "offset {next} was wanted, the batch {base}..={} came",
                    sent.last
                ));
            }
            next = sent.last + 1;
        }
        Ok(next)
    }
}

#[test]
fn what_a_failed_log_gave_up_may_come_back_whole() {
    let mut model = Model::new();
    let index = model.add(LogConfig::default());
    for base in [0, 3, 6] {
        let fresh = model.fresh(index, None, 0, 3, 30);
        assert!(model.partitions[index].accepted(base, base + 2, &[fresh]));
    }
    let partition = &mut model.partitions[index];
    let bytes: Vec<u8> = partition
        .sent
        .iter()
        .flat_map(|sent| sent.stored.to_vec())
        .collect();
    partition.give_up(6);
    partition.give_up(3);
    assert_eq!((partition.end(), partition.at_start().end()), (3, 9));
    assert_eq!(partition.at_start().compare(0, &bytes), Ok(9));
    let mut lost = partition.clone();
    lost.recovered(0, 3);
    assert_eq!((lost.end(), lost.at_start().end()), (3, 3));
    partition.recovered(0, 6);
    assert_eq!((partition.end(), partition.at_start().end()), (6, 6));
}

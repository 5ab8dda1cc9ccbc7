//! What clients know: everything that was sent, what was answered, and what follows from that.
//!
//! Invariant: changed only by what a client can see, never by looking into the broker.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use millstream_compress::{Body, compress};
use millstream_log::PartitionKey;
use millstream_protocol::record::batch::{BatchView, Batches};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::codec::Codec;
use millstream_protocol::types::{PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId};

/// Everything.
#[derive(Clone)]
pub struct Model {
    pub topics: Vec<Topic>,
    pub batches: Vec<Batch>,
    pub topic_ids: BTreeSet<TopicId>,
    pub producer_ids: BTreeSet<i64>,
    /// A device failed: the broker may refuse, and must not lie.
    pub hurt: bool,
    /// Partitions of whose bytes the device lied: they may be refused, and nothing else.
    pub touched: BTreeSet<PartitionKey>,
    /// Where it lied about a journal: the partitions of others, of which that may not be.
    pub sound: Option<BTreeSet<PartitionKey>>,
}

/// A name, and what is known of the topic that has it.
#[derive(Clone)]
pub struct Topic {
    pub name: String,
    pub state: TopicState,
    /// Raised with every request that may make or end the topic: an answer to an older question proves little.
    pub version: u32,
    /// Of the topics that had the name.
    pub incarnation: u32,
    pub id: Option<TopicId>,
    pub partitions: Vec<Partition>,
    /// Asked for and not answered.
    pub grown_to: Option<usize>,
    /// DeleteRecords requests under way.
    pub trims: u32,
    /// Acknowledged values.
    pub configs: BTreeMap<&'static str, String>,
    /// Asked for and not answered: any of them may count.
    pub configs_asked: Vec<(&'static str, String)>,
    /// The fewest bytes, and milliseconds, that retention was ever told to keep; and whether bytes were meant.
    pub retained_min: Option<u64>,
    pub retained_ms_min: Option<u64>,
    pub retains_bytes: bool,
    /// One of this name may give records the time of their arrival, or did once.
    pub stamps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    Absent,
    Live,
    /// A creation with so many partitions, or a deletion, was asked for and not confirmed.
    Creating(u32),
    Deleting,
}

#[derive(Clone)]
pub struct Partition {
    /// Batches that were acknowledged or served, by base offset.
    pub placed: BTreeMap<i64, u32>,
    /// Everything below was acknowledged or visible.
    pub end_min: i64,
    /// The start that was acknowledged, and the furthest that it was asked to be.
    pub start_durable: i64,
    pub start_asked: i64,
    /// The furthest start that was told in this life: it does not go back before a crash.
    pub start_told: i64,
    /// The leader epoch of the last start.
    pub epoch: i32,
}

impl Default for Partition {
    fn default() -> Partition {
        Partition {
            placed: BTreeMap::new(),
            end_min: 0,
            start_durable: 0,
            start_asked: 0,
            start_told: 0,
            epoch: NO_EPOCH,
        }
    }
}

/// One batch that was sent.
#[derive(Clone)]
pub struct Batch {
    pub topic: usize,
    pub partition: usize,
    pub raw: Rc<[u8]>,
    pub times: Rc<[i64]>,
    /// Whose order counts: a producer id, or a connection; and its place in that order.
    pub origin: Origin,
    pub order: u64,
    pub fate: Fate,
    /// Of the leader, as served, and the time that the broker gave it, if it did: neither ever changes in one topic.
    pub epoch: Cell<Option<i32>>,
    pub seen_in: Cell<u32>,
    pub stamp: Cell<Option<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Producer(i64),
    Connection(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Sent: it may be there, and may come to be there.
    Open,
    /// There, and to stay.
    Placed { incarnation: u32, base: i64 },
    /// Not there, and never to be there again.
    Gone,
}

/// A batch to be made.
pub struct Recipe {
    pub topic: usize,
    pub partition: usize,
    /// The producer's id and its next sequence number.
    pub producer: Option<(i64, i32)>,
    pub connection: u64,
    pub times: Vec<i64>,
    pub bytes: usize,
    pub codec: Codec,
}

impl Model {
    pub fn new(topics: usize) -> Model {
        Model {
            topics: (0..topics).map(Topic::new).collect(),
            batches: Vec::new(),
            topic_ids: BTreeSet::new(),
            producer_ids: BTreeSet::new(),
            hurt: false,
            touched: BTreeSet::new(),
            sound: None,
        }
    }

    pub fn key(&self, topic: usize, partition: usize) -> Option<PartitionKey> {
        Some(PartitionKey {
            topic: self.topics[topic].id?,
            partition: PartitionIndex::new(partition as i32),
        })
    }

    /// A device did something that the partition may be refused for.
    pub fn may_refuse(&self, topic: usize, partition: usize) -> bool {
        let key = self.key(topic, partition);
        let is_doubted = |key: &PartitionKey| self.sound.as_ref().is_some_and(|sound| !sound.contains(key));
        self.hurt || key.is_some_and(|key| self.touched.contains(&key) || is_doubted(&key))
    }

    /// Makes a batch that is about to be sent.
    pub fn make(&mut self, recipe: Recipe) -> u32 {
        let number = self.batches.len() as u32;
        let mut builder = BatchBuilder::new();
        if let Some((id, sequence)) = recipe.producer {
            let (id, sequence) = (ProducerId::new(id), Sequence::new(sequence));
            builder = builder.producer(id, ProducerEpoch::new(0), sequence);
        }
        let filler = vec![number as u8; recipe.bytes / recipe.times.len()];
        let mut value = Vec::with_capacity(filler.len() + 8);
        for (place, time) in recipe.times.iter().enumerate() {
            value.clear();
            value.extend(number.to_be_bytes());
            value.extend((place as u32).to_be_bytes());
            value.extend(&filler);
            builder.push(TimestampMs::new(*time), None, Some(&value), &[]);
        }
        let (origin, order) = match recipe.producer {
            Some((id, sequence)) => (Origin::Producer(id), sequence as u64),
            None => (Origin::Connection(recipe.connection), u64::from(number)),
        };
        let raw = match recipe.codec {
            Codec::None => builder.build(),
            codec => builder.build_with(codec, |body| compress(codec, body)),
        };
        self.batches.push(Batch {
            topic: recipe.topic,
            partition: recipe.partition,
            raw: raw.into(),
            times: recipe.times.into(),
            origin,
            order,
            fate: Fate::Open,
            epoch: Cell::new(None),
            seen_in: Cell::new(0),
            stamp: Cell::new(None),
        });
        number
    }

    /// A batch was acknowledged, or is served, at this offset of the topic as it is now.
    pub fn place(&mut self, number: u32, base: i64) -> Result<(), String> {
        let records = self.batches[number as usize].records();
        let batch = &self.batches[number as usize];
        let topic = &mut self.topics[batch.topic];
        let here = Fate::Placed {
            incarnation: topic.incarnation,
            base,
        };
        let wrong = |what: String| {
            let (name, partition) = (&topic.name, batch.partition);
            Err(format!(
                "{name}-{partition}: batch {number} is at offset {base}: {what}"
            ))
        };
        match batch.fate {
            fate if fate == here => return Ok(()),
            Fate::Open => {}
            Fate::Gone => return wrong("it was lost or deleted before".into()),
            Fate::Placed { base: known, .. } => {
                return wrong(format!("it was acknowledged or served at {known}"));
            }
        }
        let Some(partition) = topic.partitions.get(batch.partition) else {
            return wrong("there is no such partition".into());
        };
        let below = partition.placed.range(..base + records).next_back();
        if let Some((other, holder)) = below
            && other + self.batches[*holder as usize].records() > base
        {
            return wrong(format!("batch {holder} has offset {other}"));
        }
        let partition = &mut topic.partitions[batch.partition];
        partition.placed.insert(base, number);
        partition.end_min = partition.end_min.max(base + records);
        self.batches[number as usize].fate = here;
        Ok(())
    }

    /// The topic that has this name now is gone, with everything in it.
    pub fn deleted(&mut self, index: usize) {
        let topic = &mut self.topics[index];
        for number in topic
            .partitions
            .iter()
            .flat_map(|partition| partition.placed.values())
        {
            self.batches[*number as usize].fate = Fate::Gone;
        }
        let topic = &mut self.topics[index];
        topic.state = TopicState::Absent;
        topic.partitions.clear();
        topic.grown_to = None;
        topic.configs.clear();
        topic.configs_asked.clear();
        topic.retained_min = None;
        topic.retained_ms_min = None;
        topic.retains_bytes = false;
        topic.id = None;
    }

    /// A topic has come to be under this name.
    pub fn created(&mut self, index: usize, partitions: usize, id: TopicId) -> Result<(), String> {
        let topic = &mut self.topics[index];
        if !self.topic_ids.insert(id) {
            return Err(format!(
                "{} is created with the id of an earlier topic",
                topic.name
            ));
        }
        topic.state = TopicState::Live;
        topic.incarnation += 1;
        topic.id = Some(id);
        topic.partitions = vec![Partition::default(); partitions];
        Ok(())
    }

    /// Takes apart what a fetch from `from` on brought: the batches' numbers with their base offsets, and where they
    /// end. Everything in it was sent to this partition, and has the bytes that were sent.
    pub fn read(
        &self,
        topic: usize,
        partition: usize,
        from: i64,
        bytes: &[u8],
    ) -> Result<(Vec<(u32, i64)>, i64), String> {
        let mut found = Vec::new();
        let mut next = from;
        let mut epoch = None;
        for batch in Batches::new(bytes) {
            let wrong = |what: String| {
                let name = &self.topics[topic].name;
                Err(format!(
                    "{name}-{partition}: reading from {from}, at {next}: {what}"
                ))
            };
            let Ok(batch) = batch else {
                return wrong("no whole batch".into());
            };
            let number = batch_number(&batch);
            let Some(sent) = number.and_then(|number| self.batches.get(number as usize)) else {
                return wrong("a batch that was never sent".into());
            };
            let number = number.expect("found above");
            if (sent.topic, sent.partition) != (topic, partition) {
                return wrong(format!("batch {number}, which was sent elsewhere"));
            }
            let served = batch.bytes();
            let is_stamped = self.topics[topic].stamps && served[ATTRIBUTES] & LOG_APPEND_TIME != 0;
            let is_same = match is_stamped {
                true => is_same_but_for_its_time(served, &sent.raw),
                false => served[8..12] == sent.raw[8..12] && served[16..] == sent.raw[16..],
            };
            if !is_same {
                return wrong(format!("batch {number} with other bytes than were sent"));
            }
            let epoch_now = batch.partition_leader_epoch().map(|epoch| epoch.get());
            let stamp = is_stamped.then(|| time_of(served));
            let incarnation = self.topics[topic].incarnation;
            let is_new = sent.seen_in.replace(incarnation) != incarnation;
            if !is_new && !self.hurt && (sent.epoch.get(), sent.stamp.get()) != (epoch_now, stamp) {
                return wrong(format!("batch {number} with another epoch or time than before"));
            }
            sent.epoch.set(epoch_now);
            sent.stamp.set(stamp);
            let base = batch.base_offset().get();
            let follows = match found.is_empty() {
                true => base <= from && from < base + sent.records(),
                false => base == next,
            };
            if !follows {
                return wrong(format!("batch {number} at {base}: offsets are not dense"));
            }
            if batch.partition_leader_epoch() < epoch {
                return wrong(format!("batch {number} of an older epoch than the one before"));
            }
            epoch = batch.partition_leader_epoch();
            found.push((number, base));
            next = base + sent.records();
        }
        Ok((found, next))
    }

    /// The life that they were sent in is over: what was not found will not come, unless it lies below a start that
    /// retention moved and a crash may take back.
    pub fn close(&mut self, but: impl Fn(u32) -> bool) {
        let topics = &self.topics;
        let may_be_back = |batch: &Batch| {
            let partition = topics[batch.topic].partitions.get(batch.partition);
            partition.is_some_and(|known| known.start_told > known.start_durable)
        };
        for (number, batch) in self.batches.iter_mut().enumerate() {
            if batch.fate == Fate::Open && !but(number as u32) && !may_be_back(batch) {
                batch.fate = Fate::Gone;
            }
        }
    }
}

impl Topic {
    fn new(number: usize) -> Topic {
        Topic {
            name: format!("t{number}"),
            state: TopicState::Absent,
            version: 0,
            incarnation: 0,
            id: None,
            partitions: Vec::new(),
            grown_to: None,
            trims: 0,
            configs: BTreeMap::new(),
            configs_asked: Vec::new(),
            retained_min: None,
            retained_ms_min: None,
            retains_bytes: false,
            stamps: false,
        }
    }

    /// A value that may count from now on.
    pub fn note_config(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u64>().expect("a number");
        let least = |known: Option<u64>, now: u64| Some(known.map_or(now, |known| known.min(now)));
        match name {
            "retention.bytes" => {
                self.retained_min = least(self.retained_min, number());
                self.retains_bytes = true;
            }
            "retention.ms" => {
                self.retained_min = Some(0);
                self.retained_ms_min = least(self.retained_ms_min, number());
            }
            "message.timestamp.type" => self.stamps |= value == "LogAppendTime",
            _ => {}
        }
    }
}

impl Batch {
    pub fn records(&self) -> i64 {
        self.times.len() as i64
    }

    pub fn is_compressed(&self) -> bool {
        self.raw[ATTRIBUTES] & COMPRESSION != 0
    }

    /// Of its records, as readers see them.
    pub fn times_seen(&self) -> impl Iterator<Item = i64> {
        let stamp = self.stamp.get();
        self.times.iter().map(move |time| stamp.unwrap_or(*time))
    }
}

/// The broker changed the time of the batch and the bit that says so, and nothing else; its checksum is right.
fn is_same_but_for_its_time(served: &[u8], sent: &[u8]) -> bool {
    let mut expected = sent.to_vec();
    expected[ATTRIBUTES] |= LOG_APPEND_TIME;
    expected[MAX_TIME].copy_from_slice(&served[MAX_TIME]);
    let crc = millstream_log::crc32c(&served[CRC.end..]).to_be_bytes();
    served.len() == sent.len()
        && served[8..12] == expected[8..12]
        && served[16] == expected[16]
        && served[CRC] == crc
        && served[CRC.end..] == expected[CRC.end..]
}

fn time_of(batch: &[u8]) -> i64 {
    i64::from_be_bytes(batch[MAX_TIME].try_into().expect("eight bytes"))
}

/// Of a batch's bytes: its checksum, the low byte of its attributes with the bits that name its compression and the one
/// that says whose time it has, and its largest time.
const CRC: std::ops::Range<usize> = 17..21;
const ATTRIBUTES: usize = 22;
const COMPRESSION: u8 = 7;
const LOG_APPEND_TIME: u8 = 8;
const MAX_TIME: std::ops::Range<usize> = 35..43;
const NO_EPOCH: i32 = -1;

/// What the first record says of its batch. It is written at a fixed place, for nobody looks at damaged bytes twice.
fn batch_number(batch: &BatchView<'_>) -> Option<u32> {
    let body = Body::of(batch, BATCH_BYTES_MAX).ok()?;
    let record = body.records().next()?.ok()?;
    let number = record.value?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*number))
}

/// Larger than any batch that clients make.
const BATCH_BYTES_MAX: usize = 1 << 20;

//! Looks at everything that a broker serves after a start, and holds it against what clients know.
//!
//! What must hold after every crash: each acknowledged record is at its offset with its bytes; nothing that was never
//! sent; offsets without holes, in order; deleted records and topics stay deleted; a topic made again begins at 0 with
//! a new id; look-ups by offset and by time agree with the records.

mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::list_offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use millstream_protocol::message::{MetadataRequest, Records, Request};

use crate::client::{Connection, open};
use crate::eyes::Eyes;
use crate::machine::Machine;
use crate::model::{Fate, Model, Origin, TopicState};
use crate::prng::{Prng, mix};
use crate::requests::{fetch_request, list_offsets_request};
use crate::workload::TOPIC_RESOURCE;

/// A partition as a start found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub topic: usize,
    pub partition: usize,
    pub start: i64,
    /// Exclusive.
    pub end: i64,
    /// Of all batches and their offsets.
    pub digest: u64,
    /// The error of a partition that is out of service.
    pub refused: Option<i16>,
}

/// One look at a broker.
pub struct Checker<'a> {
    pub machine: &'a mut Machine,
    pub model: &'a mut Model,
    pub eyes: &'a Eyes,
    pub prng: &'a mut Prng,
    connection: Connection,
}

/// Numbers of batches with their base offsets.
type Batches = Vec<(u32, i64)>;

/// What stands in for an answer when the power goes during a look.
pub const POWER_LOST: &str = "the power went";

impl<'a> Checker<'a> {
    pub fn new(machine: &'a mut Machine, model: &'a mut Model, eyes: &'a Eyes, prng: &'a mut Prng) -> Self {
        let conn = machine
            .world
            .connect(machine.address)
            .expect("a broker that started listens");
        Checker {
            machine,
            model,
            eyes,
            prng,
            connection: Connection::new(conn),
        }
    }

    /// Everything. What is found counts as acknowledged from here on; `waits` tells which batches may still be sent
    /// again.
    pub fn verify(&mut self, waits: impl Fn(u32) -> bool) -> Result<Vec<Found>, String> {
        self.verify_topics()?;
        let mut found = Vec::new();
        for topic in 0..self.model.topics.len() {
            if self.model.topics[topic].state == TopicState::Live {
                self.verify_configs(topic)?;
                for partition in 0..self.model.topics[topic].partitions.len() {
                    found.push(self.verify_partition(topic, partition)?);
                }
            }
        }
        self.note_suffixes();
        // What is in a partition that is out of service may come back with it.
        let refused: BTreeSet<(usize, usize)> = found
            .iter()
            .filter(|found| found.refused.is_some())
            .map(|found| (found.topic, found.partition))
            .collect();
        let hidden: BTreeSet<u32> = (0u32..)
            .zip(&self.model.batches)
            .filter(|(_, batch)| refused.contains(&(batch.topic, batch.partition)))
            .map(|(number, _)| number)
            .collect();
        self.model
            .close(|number| waits(number) || hidden.contains(&number));
        Ok(found)
    }

    fn verify_topics(&mut self) -> Result<(), String> {
        let request = MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let mut epochs_seen: BTreeMap<String, Vec<(usize, i32)>> = BTreeMap::new();
        let mut here = self.call(&request, METADATA, |answer| {
            let topics = answer.topics.iter();
            let seen = topics.map(|topic| {
                let name = topic.name.unwrap_or_default().to_owned();
                let count = topic.partitions.len();
                let epochs = topic.partitions.iter().map(|partition| {
                    let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
                    (index, partition.leader_epoch)
                });
                epochs_seen.insert(name.clone(), epochs.collect());
                (name, (topic.error_code, topic.topic_id, count))
            });
            seen.collect::<BTreeMap<_, _>>()
        })?;
        for index in 0..self.model.topics.len() {
            let topic = &mut self.model.topics[index];
            let name = topic.name.clone();
            let seen = here.remove(&name);
            let wrong = |what: &str| {
                Err(format!(
                    "topic {name}: {what} ({:?}, known as {:?})",
                    seen, topic.id
                ))
            };
            match (topic.state, seen) {
                (TopicState::Absent, None) => {}
                (TopicState::Absent, Some(_)) => {
                    return wrong("a deleted topic is back, or one that nobody made");
                }
                (TopicState::Live, None) => return wrong("it is gone"),
                (TopicState::Live | TopicState::Deleting, Some((error, id, count))) => {
                    if error != 0 || Some(id) != topic.id {
                        return wrong("it is another topic");
                    }
                    if topic.state == TopicState::Deleting {
                        self.eyes.mark("outcome of a deletion found out");
                    }
                    topic.state = TopicState::Live;
                    if count != topic.partitions.len() && Some(count) != topic.grown_to {
                        return wrong("it has another number of partitions");
                    }
                    topic.grown_to = None;
                    topic.partitions.resize_with(count, Default::default);
                }
                (TopicState::Deleting, None) => {
                    self.eyes.mark("outcome of a deletion found out");
                    self.model.deleted(index);
                }
                (TopicState::Creating(_), None) => {
                    self.eyes.mark("outcome of a creation found out");
                    self.model.deleted(index);
                }
                (TopicState::Creating(asked), Some((error, id, count))) => {
                    if error != 0 || count != asked as usize {
                        return wrong("it has another number of partitions");
                    }
                    self.eyes.mark("outcome of a creation found out");
                    self.model.created(index, count, id)?;
                    let topic = &mut self.model.topics[index];
                    // All that was asked for along with it came with it.
                    topic.configs = topic.configs_asked.drain(..).collect();
                }
            }
        }
        if let Some((name, _)) = here.first_key_value() {
            return Err(format!("a topic that nobody made: {name}"));
        }
        for index in 0..self.model.topics.len() {
            let seen = epochs_seen.remove(&self.model.topics[index].name);
            self.verify_epochs(index, seen.unwrap_or_default())?;
        }
        Ok(())
    }

    /// What was read of the end that an unclean start cut may come again otherwise, in a later epoch.
    fn verify_epochs(&mut self, index: usize, epochs: Vec<(usize, i32)>) -> Result<(), String> {
        let topic = &mut self.model.topics[index];
        for (partition, epoch) in epochs {
            let Some(known) = topic.partitions.get_mut(partition) else {
                continue;
            };
            let rises = self.machine.unclean;
            if known.epoch > epoch || rises && known.epoch == epoch {
                let (name, known) = (&topic.name, known.epoch);
                return Err(format!(
                    "{name}-{partition}: its leader epoch is {epoch}, it was {known}"
                ));
            }
            known.epoch = epoch;
        }
        Ok(())
    }

    fn verify_configs(&mut self, index: usize) -> Result<(), String> {
        let topic = &self.model.topics[index];
        let mut names: Vec<&'static str> = topic.configs.keys().copied().collect();
        names.extend(topic.configs_asked.iter().map(|(name, _)| *name));
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        let topic_name = topic.name.clone();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: &topic_name,
                configuration_keys: Some(names.clone()),
            }],
            ..DescribeConfigsRequest::default()
        };
        let seen = self.call(&request, DESCRIBE_CONFIGS, |answer| {
            let configs = answer.results.iter().flat_map(|result| &result.configs);
            let own = configs.filter(|config| config.config_source == TOPIC_SOURCE);
            let values = own.map(|config| {
                (
                    config.name.to_owned(),
                    config.value.unwrap_or_default().to_owned(),
                )
            });
            values.collect::<BTreeMap<_, _>>()
        })?;
        let topic = &mut self.model.topics[index];
        let asked = std::mem::take(&mut topic.configs_asked);
        for name in names {
            let (seen, known) = (seen.get(name), topic.configs.get(name));
            let was_asked = asked
                .iter()
                .any(|(other, value)| *other == name && Some(value) == seen);
            if seen != known && !was_asked {
                return Err(format!(
                    "topic {topic_name}: {name} is {seen:?}, acknowledged as {known:?}"
                ));
            }
            if let Some(value) = seen {
                topic.note_config(name, value);
                topic.configs.insert(name, value.clone());
            }
        }
        Ok(())
    }

    fn verify_partition(&mut self, topic: usize, partition: usize) -> Result<Found, String> {
        let name = format!("{}-{partition}", self.model.topics[topic].name);
        let fail = |what: String| Err(format!("{name}: {what}"));
        let mut found = Found {
            topic,
            partition,
            start: 0,
            end: 0,
            digest: 0,
            refused: None,
        };
        let known = self.model.topics[topic].partitions[partition].clone();
        let (start_error, start, _) = self.list_offset(topic, partition, EARLIEST_TIMESTAMP)?;
        let (end_error, end, _) = self.list_offset(topic, partition, LATEST_TIMESTAMP)?;
        (found.start, found.end) = (start, end);
        let may_refuse = self.model.may_refuse(topic, partition);
        found.refused = self.refusal(&name, &found, start_error.max(end_error))?;
        if found.refused.is_some() {
            return Ok(found);
        }
        let retained_min = self.model.topics[topic].retained_min;
        let start_max = if retained_min.is_some() {
            end
        } else {
            known.start_asked
        };
        // A round of the journal that told of a deletion is not missed where the records go on.
        let start_min = if may_refuse { 0 } else { known.start_durable };
        if !self.model.hurt && !(start_min..=start_max).contains(&start) {
            let (durable, asked) = (known.start_durable, known.start_asked);
            return fail(format!(
                "the log starts at {start}, moved to {durable}, asked for {asked}"
            ));
        }
        if start > known.start_asked {
            self.eyes.mark("records removed by retention");
        }
        if end < known.end_min {
            return fail(format!(
                "the log ends at {end}, {} was acknowledged or visible",
                known.end_min
            ));
        }
        let batches = match self.read_all(topic, partition, start, end)? {
            Ok(batches) => batches,
            // A start that found nothing wrong after an error has everything; a lie is met where it is read.
            Err(error) if may_refuse && (!self.model.hurt || self.is_told(&name)) => {
                self.note_refusal(topic, partition);
                found.refused = Some(error);
                return Ok(found);
            }
            Err(error) if error == ErrorCode::OffsetOutOfRange as i16 && retained_min.is_some() => {
                // Retention goes on meanwhile; what it takes away is told to whoever asks.
                return match self.list_offset(topic, partition, EARLIEST_TIMESTAMP)?.1 {
                    now if now > start => self.verify_partition(topic, partition),
                    now => fail(format!(
                        "reading between {start} and {end} is refused, the start is {now}"
                    )),
                };
            }
            Err(error) => return fail(format!("reading between {start} and {end} is refused: {error}")),
        };
        for (number, base) in &batches {
            if self.model.batches[*number as usize].stamp.get().is_some() {
                self.eyes.mark("batch with the time of its arrival");
            }
            if self.model.batches[*number as usize].is_compressed() {
                self.eyes.mark("compressed batch read");
            }
            if self.model.batches[*number as usize].fate == Fate::Open {
                self.eyes.mark("unacknowledged suffix kept");
            }
            self.model.place(*number, *base)?;
            found.digest = mix(found.digest ^ mix(u64::from(*number)) ^ *base as u64);
        }
        self.check_order(&name, &batches)?;
        if !self.model.hurt {
            self.check_age(topic, partition, start)?;
            self.check_epochs(topic, partition, end, &batches)?;
        }
        let known = &mut self.model.topics[topic].partitions[partition];
        // What retention took away may be back after another crash.
        known.start_durable = retained_min.map_or(start, |_| known.start_durable.min(start));
        known.start_asked = known.start_asked.max(start);
        known.start_told = start;
        known.end_min = end;
        let kept: u64 = batches
            .iter()
            .map(|(number, _)| self.model.batches[*number as usize].raw.len() as u64)
            .sum();
        let asked = self.model.topics[topic].partitions[partition].start_asked;
        if let Some(min) = retained_min.filter(|_| start > asked && !self.model.hurt)
            && kept < min
        {
            return fail(format!("retention left {kept} bytes, it was to keep {min}"));
        }
        self.probe(topic, partition, start, end, &batches)?;
        Ok(found)
    }

    /// All batches from `start` on; the inner error is the broker's.
    fn read_all(
        &mut self,
        topic: usize,
        partition: usize,
        start: i64,
        end: i64,
    ) -> Result<Result<Batches, i16>, String> {
        let (mut batches, mut next) = (Vec::new(), start);
        while next < end {
            let (error, more, after) = self.fetch(topic, partition, next, 1 << 20)?;
            if error != 0 {
                return Ok(Err(error));
            }
            if more.is_empty() {
                let name = &self.model.topics[topic].name;
                return Err(format!(
                    "{name}-{partition}: nothing is served at {next}, the log ends at {end}"
                ));
            }
            batches.extend(more);
            next = after;
        }
        match next == end {
            true => Ok(Ok(batches)),
            false => Err(format!(
                "the log ends at {end}, inside a batch that ends at {next}"
            )),
        }
    }

    /// Batches of one producer, or one connection, are in the order in which they were sent.
    fn check_order(&self, name: &str, batches: &[(u32, i64)]) -> Result<(), String> {
        let mut last: BTreeMap<Origin, u64> = BTreeMap::new();
        for (number, base) in batches {
            let batch = &self.model.batches[*number as usize];
            let before = last.insert(batch.origin, batch.order);
            if before.is_some_and(|before| before >= batch.order) {
                return Err(format!(
                    "{name}: batch {number} at {base} is not in the order of its {:?}",
                    batch.origin
                ));
            }
        }
        Ok(())
    }

    /// Look-ups at places that chance gives agree with what was read.
    fn probe(
        &mut self,
        topic: usize,
        partition: usize,
        start: i64,
        end: i64,
        batches: &[(u32, i64)],
    ) -> Result<(), String> {
        let name = format!("{}-{partition}", self.model.topics[topic].name);
        let retains = self.model.topics[topic].retained_min.is_some();
        if start < end && self.prng.one_in(2) {
            let from = self.prng.range(start as u64, end as u64) as i64;
            let bytes_max = 1 << self.prng.range(4, 18);
            let (error, more, _) = self.fetch(topic, partition, from, bytes_max)?;
            let is_gone = retains && error == ErrorCode::OffsetOutOfRange as i16;
            let may_refuse = self.model.may_refuse(topic, partition) && (error != 0 || self.model.hurt);
            if !may_refuse && !is_gone && (error != 0 || more.is_empty()) {
                return Err(format!(
                    "{name}: nothing is served at {from} of {start}..{end}: error {error}"
                ));
            }
        }
        if self.prng.one_in(2) {
            let at = TIME + self.prng.range(0, TIME_SPAN + 1000) as i64;
            let (error, offset, time) = self.list_offset(topic, partition, at)?;
            let expected = batches.iter().find_map(|(number, base)| {
                let times = self.model.batches[*number as usize].times_seen();
                let mut records = times.enumerate().map(|(place, time)| (base + place as i64, time));
                records.find(|(offset, time)| *offset >= start && *time >= at)
            });
            // Retention may have moved the start, and not told so yet.
            let moved = retains
                && (offset == -1
                    || batches.iter().any(|(number, base)| {
                        let times = self.model.batches[*number as usize].times_seen();
                        let mut records = times.enumerate().map(|(place, time)| (base + place as i64, time));
                        records.any(|record| record == (offset, time) && time >= at)
                    }));
            if moved {
                return Ok(());
            }
            if (offset, time) != expected.unwrap_or((-1, -1))
                && !(self.model.may_refuse(topic, partition) && error != 0)
            {
                return Err(format!(
                    "{name}: time {at} is found at {offset} ({time}), it is {expected:?}, {error}"
                ));
            }
        }
        let beyond = end + self.prng.range(1, 1000) as i64;
        let (error, ..) = self.fetch(topic, partition, beyond, 1 << 12)?;
        if error != ErrorCode::OffsetOutOfRange as i16 && !self.model.may_refuse(topic, partition) {
            return Err(format!(
                "{name}: a fetch from {beyond} of {start}..{end} is answered {error}"
            ));
        }
        Ok(())
    }

    /// Error, batches and where they end.
    fn fetch(
        &mut self,
        topic: usize,
        partition: usize,
        from: i64,
        bytes_max: i32,
    ) -> Result<(i16, Batches, i64), String> {
        let name = self.model.topics[topic].name.clone();
        let request = fetch_request(&name, partition, from, bytes_max);
        let (error, bytes) = self.call(&request, FETCH, |answer| {
            let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
            partitions.next().map_or((-1, Vec::new()), |data| {
                let bytes = match data.records {
                    Records::Bytes(bytes) => bytes.to_vec(),
                    _ => Vec::new(),
                };
                (data.error_code, bytes)
            })
        })?;
        let (batches, next) = self.model.read(topic, partition, from, &bytes)?;
        Ok((error, batches, next))
    }

    /// Error, offset and time.
    fn list_offset(&mut self, topic: usize, partition: usize, at: i64) -> Result<(i16, i64, i64), String> {
        let name = self.model.topics[topic].name.clone();
        let request = list_offsets_request(&name, partition, at);
        self.call(&request, LIST_OFFSETS, |answer| {
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.next().map_or((-1, -1, -1), |found| {
                (found.error_code, found.offset, found.timestamp)
            })
        })
    }

    /// Asks and waits.
    fn call<R: Request, T>(
        &mut self,
        request: &R,
        version: i16,
        read: impl FnOnce(&R::Response<'_>) -> T,
    ) -> Result<T, String> {
        let correlation = self.connection.send(request, version);
        let end = self.machine.world.now() + PATIENCE;
        loop {
            if let Some(frame) = self.connection.poll() {
                let (found, answer) = open::<R::Response<'_>>(&frame, R::API, version)?;
                return match found == correlation {
                    true => Ok(read(&answer)),
                    false => Err("an answer to another request".into()),
                };
            }
            if self.machine.world.is_off() {
                return Err(POWER_LOST.into());
            }
            if self.connection.ended || self.machine.world.now() > end {
                return Err(format!("{:?} is not answered", R::API));
            }
            self.machine.turn(Duration::from_millis(100));
        }
    }

    /// The error of a partition that is out of service, as far as its offsets tell.
    fn refusal(&mut self, name: &str, found: &Found, error: i16) -> Result<Option<i16>, String> {
        let (topic, partition) = (found.topic, found.partition);
        let may_refuse = self.model.may_refuse(topic, partition);
        if error != 0 {
            if !may_refuse {
                return Err(format!("{name}: its offsets are refused: {error}"));
            }
            if !self.is_told(name) {
                let report = &self.machine.report;
                return Err(format!(
                    "{name}: it is refused, and the start does not say so: {report:?}"
                ));
            }
            self.note_refusal(topic, partition);
            return Ok(Some(error));
        }
        let end_min = self.model.topics[topic].partitions[partition].end_min;
        if found.end >= end_min || !may_refuse || !self.is_told(&format!("{name} is damaged")) {
            return Ok(None);
        }
        // It takes nothing any more, and what came after the damage is forgotten.
        self.note_refusal(topic, partition);
        let known = &mut self.model.topics[topic].partitions[partition];
        (known.end_min, known.start_durable, known.start_told) = (found.end, found.start, found.start);
        known.start_asked = known.start_asked.min(found.end);
        Ok(Some(ErrorCode::KafkaStorageError as i16))
    }

    /// The start said something about a partition.
    fn is_told(&self, what: &str) -> bool {
        let what = format!("partition {what} ");
        self.machine.report.iter().any(|line| line.contains(&what))
    }

    /// Out of service, and allowed to be.
    fn note_refusal(&mut self, topic: usize, partition: usize) {
        if self.model.hurt {
            return self.eyes.mark("partition refused after an error");
        }
        self.eyes.mark("partition refused for what the device did");
        let key = self.model.key(topic, partition);
        self.model.touched.extend(key);
    }

    fn note_suffixes(&self) {
        let open = self.model.batches.iter().filter(|batch| batch.fate == Fate::Open);
        if open.count() > 0 {
            self.eyes.mark("unacknowledged suffix gone");
        }
    }
}

/// Record timestamps lie in this many milliseconds after [`TIME`].
pub const TIME_SPAN: u64 = 100_000;
pub const TIME: i64 = 1_700_000_000_000;

const METADATA: i16 = 12;
const FETCH: i16 = 11;
const LIST_OFFSETS: i16 = 7;
const DESCRIBE_CONFIGS: i16 = 4;
const TOPIC_SOURCE: i8 = 1;
const PATIENCE: Duration = Duration::from_secs(120);

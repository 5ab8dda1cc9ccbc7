//! Data directories to damage: made once by a real broker, copied for every row, and read back record by record.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use millstream::controller::metadata_log::{METADATA, MetadataLog, MetadataStore};
use millstream::startup::metadata;
use millstream_log::{Checkpoint, JournalId, PartitionKey, Record, RoundReader, Step, layout};
use millstream_protocol::message::fetch::FetchRequest;
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::batch::Batches;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::process::{Broker, millstream, scratch_folder};
use millstream_tests::wire::{Connection, FETCH, PRODUCE, fetch, produce};
use serde_json::Value;

/// How the broker that made a directory had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// By SIGTERM: everything is in the segments, nothing in the journals counts.
    Ended,
    /// By `kill -9`, after more was written: its end is in the journals alone.
    Killed,
    /// As `Killed`, and a partition that had lost its segment had been taken out of service and its bytes rescued.
    Rescued,
}

/// What each partition holds, by name: the values in order of offset.
pub type Records = BTreeMap<(&'static str, i32), Vec<Vec<u8>>>;

/// A directory that is not damaged.
pub struct Template {
    pub data: PathBuf,
    pub records: Records,
    /// The segments of each partition in order, sealed ones first.
    pub segments: BTreeMap<(String, i32), Vec<String>>,
}

pub struct Templates {
    folder: PathBuf,
    made: BTreeMap<State, Template>,
    /// Of another cluster.
    pub stranger: PathBuf,
}

impl Templates {
    pub fn make() -> Templates {
        let folder = scratch_folder();
        let mut made = BTreeMap::new();
        let mut records = Records::new();
        let mut broker = Broker::start(&["--cores", "2"]);
        let mut client = connect(&broker);
        for topic in LARGE {
            client.create_topic(topic, 1, &[("segment.bytes", "1048576")]);
        }
        client.create_topic("small", SMALL, &[]);
        fill(&mut client, &mut records, 25);
        drop(client);
        assert!(broker.terminate().0);
        take_snapshot(&broker.data_dir());
        broker.restart();
        let mut client = connect(&broker);
        for topic in LATE {
            client.create_topic(topic, 1, &[]);
            write(&mut client, &mut records, topic, 0, 100);
        }
        drop(client);
        assert!(broker.terminate().0);
        made.insert(
            State::Ended,
            Template::copy(&broker, &folder.join("ended"), &records),
        );

        broker.restart();
        let mut client = connect(&broker);
        fill(&mut client, &mut records, 3);
        drop(client);
        // An idle journal says that its last round is settled.
        std::thread::sleep(std::time::Duration::from_millis(200));
        broker.kill();
        made.insert(
            State::Killed,
            Template::copy(&broker, &folder.join("killed"), &records),
        );

        let lost = &made[&State::Killed].segments[&("large".to_owned(), 0)];
        let active = lost.last().expect("a segment");
        fs::remove_file(broker.data_dir().join(active)).expect("a segment's file");
        broker.restart();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !(1..9).any(|id| {
            broker
                .data_dir()
                .join(layout::rescue(JournalId::new(id)))
                .exists()
        }) {
            assert!(std::time::Instant::now() < until, "nothing was rescued");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        broker.kill();
        made.insert(
            State::Rescued,
            Template::copy(&broker, &folder.join("rescued"), &records),
        );
        drop(broker);

        let mut other = Broker::start(&["--cores", "2"]);
        let mut client = connect(&other);
        client.create_topic("small", 4, &[]);
        write(&mut client, &mut Records::new(), "small", 0, 10);
        drop(client);
        assert!(other.terminate().0);
        take_snapshot(&other.data_dir());
        let stranger = folder.join("stranger");
        copy(&other.data_dir(), &stranger);
        Templates {
            folder,
            made,
            stranger,
        }
    }

    pub fn of(&self, state: State) -> &Template {
        &self.made[&state]
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Template {
    fn copy(broker: &Broker, to: &Path, records: &Records) -> Template {
        copy(&broker.data_dir(), to);
        let mut command = millstream();
        command
            .args(["log", "dump", "--state", "--json", "--data-dir"])
            .arg(to);
        let output = command.output().expect("a tool that runs");
        let mut segments = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let line: Value = serde_json::from_str(line).expect("a JSON document a line");
            let name = line["topic"].as_str().expect("a name").to_owned();
            let partition = line["partition"].as_i64().expect("a number") as i32;
            let ids = line["segments"].as_array().expect("a list").iter();
            let path = |id: &Value| {
                let id = id["id"].as_str().expect("an id");
                format!("segments/{}/{id}.seg", &id[14..])
            };
            segments.insert((name, partition), ids.map(path).collect());
        }
        Template {
            data: to.to_owned(),
            records: records.clone(),
            segments,
        }
    }

    /// The slot of journal 1 that counts, and the other one.
    pub fn checkpoints(&self) -> [String; 2] {
        let generation = |slot| {
            let bytes = fs::read(self.data.join(layout::checkpoint(JournalId::new(1), slot)));
            let read = Checkpoint::decode(&bytes.expect("a slot"));
            read.map_or(0, |checkpoint| checkpoint.head.generation)
        };
        let newest = usize::from(generation(1) > generation(0));
        [newest, 1 - newest].map(|slot| layout::checkpoint(JournalId::new(1), slot))
    }

    /// Journal 1's bytes, and what its newest checkpoint says.
    fn journal(&self) -> (Vec<u8>, Checkpoint) {
        let bytes = fs::read(self.data.join(&self.checkpoints()[0])).expect("a slot");
        let checkpoint = Checkpoint::decode(&bytes).expect("a checkpoint");
        (
            fs::read(self.data.join(layout::journal(checkpoint.head.journal.id))).expect("a journal"),
            checkpoint,
        )
    }

    /// A byte within the first batch that journal 1 alone holds, and the batch's partition.
    pub fn batch_in_journal(&self) -> Option<(usize, (String, i32))> {
        let (bytes, checkpoint) = self.journal();
        let head = checkpoint.head;
        let mut reader = RoundReader::new(
            head.journal,
            head.ring_bytes,
            head.tail,
            head.raised_at,
            head.incarnation,
        );
        let (mut at, mut here) = (0, &bytes[..0]);
        loop {
            match reader.step(at, here) {
                Step::Need { at: wanted, len } => {
                    at = wanted;
                    here = &bytes[at as usize..(at + len) as usize];
                }
                Step::Round { round, at } => {
                    let mut records = round.records();
                    while let Some(record) = records.next() {
                        if let Ok(Record::Tail {
                            partition, batches, ..
                        }) = record
                            && !batches.is_empty()
                        {
                            return Some((at as usize + 300, self.name_of(partition)));
                        }
                    }
                }
                Step::End(_) => return None,
            }
        }
    }

    /// The partitions whose journal is journal 1.
    pub fn in_journal(&self) -> BTreeSet<String> {
        let name = |key| {
            let (topic, partition) = self.name_of(key);
            format!("{topic}-{partition}")
        };
        self.journal()
            .1
            .entries
            .iter()
            .map(|entry| name(entry.state.key()))
            .collect()
    }

    fn name_of(&self, key: PartitionKey) -> (String, i32) {
        let contents = MetadataLog::look(&self.data.join(METADATA)).expect("the metadata");
        let image = metadata::replay(contents).expect("the cluster");
        let topic = image.topic(key.topic).expect("a known topic");
        (topic.name.to_string(), key.partition.get())
    }
}

/// Copies a directory; journals are mostly zeros, which take no space.
pub fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.args(["-a", "--sparse=always"]).arg(from).arg(to);
    assert!(command.status().expect("cp(1) runs").success());
}

/// What a reader gets of a partition from its start on: the values, and the error that ended it.
pub fn read(client: &mut Connection, topic: &str, partition: i32) -> (Vec<Vec<u8>>, i16) {
    let mut values: Vec<Vec<u8>> = Vec::new();
    loop {
        let next = values.len() as i64;
        let reply = client
            .call(&fetch(topic, partition, next), FETCH)
            .expect("a reply");
        let response = reply.read::<FetchRequest<'_>>();
        let data = &response.responses[0].partitions[0];
        if data.error_code != 0 {
            return (values, data.error_code);
        }
        if let millstream_protocol::message::Records::Bytes(bytes) = data.records {
            for batch in Batches::new(bytes) {
                let batch = batch.expect("whole batches");
                batch.verify_crc().expect("what is served has its checksum");
                for record in batch.records().expect("plain records") {
                    let record = record.expect("a record");
                    let offset = batch.base_offset().get() + i64::from(record.offset_delta);
                    if offset == values.len() as i64 {
                        values.push(record.value.unwrap_or_default().to_vec());
                    }
                }
            }
        }
        if values.len() as i64 == next {
            return (values, 0);
        }
    }
}

/// Whether an append is taken.
pub fn append(client: &mut Connection, topic: &str, partition: i32) -> i16 {
    send(client, topic, partition, b"one more")
}

fn connect(broker: &Broker) -> Connection {
    Connection::open(broker.address()).expect("a connection")
}

fn fill(client: &mut Connection, records: &mut Records, large: usize) {
    for topic in LARGE {
        (0..large).for_each(|_| write(client, records, topic, 0, 100_000));
    }
    for partition in 0..SMALL {
        (0..20).for_each(|_| write(client, records, "small", partition, 50));
    }
}

fn write(client: &mut Connection, records: &mut Records, topic: &'static str, partition: i32, bytes: usize) {
    let values = records.entry((topic, partition)).or_default();
    let mut value = format!("{topic}-{partition}-{}-", values.len()).into_bytes();
    let mut state = values.len() as u64 + 1;
    while value.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.push((state >> 56) as u8);
    }
    assert_eq!(send(client, topic, partition, &value), 0);
    values.push(value);
}

fn send(client: &mut Connection, topic: &str, partition: i32, value: &[u8]) -> i16 {
    let mut batch = BatchBuilder::new();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    batch.push(TimestampMs::new(now.as_millis() as i64), None, Some(value), &[]);
    let batch = batch.build();
    let reply = client
        .call(&produce(topic, partition, &batch, -1), PRODUCE)
        .expect("a reply");
    reply.read::<ProduceRequest<'_>>().responses[0].partition_responses[0].error_code
}

/// As the controller does when its log has become long.
fn take_snapshot(data: &Path) {
    let (mut log, contents) = MetadataLog::open(&data.join(METADATA), true).expect("the metadata");
    let image = metadata::replay(contents).expect("the cluster");
    log.replace(&image.encode_snapshot()).expect("a snapshot");
}

/// Partitions; which journal each goes to is chance.
const SMALL: i32 = 16;
const LARGE: [&str; 2] = ["large", "other"];
const LATE: [&str; 2] = ["late-a", "late-b"];

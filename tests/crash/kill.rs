//! `kill -9` under load: what was acknowledged is there, record by record, and nothing else is.
//!
//! Each producer owns one partition and keeps several requests in flight; when its connection breaks it
//! resends what was not answered. A plain producer sends such records anew, so they may be there twice; an
//! idempotent one sends the same batch with the same sequence, so they may not.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use millstream_fuzz::random::Random;
use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use millstream_tests::process::Broker;
use millstream_tests::wire::{Connection, PRODUCE, produce};

#[test]
fn acknowledged_records_survive_kill_9_under_load() {
    survive_kills(&["--cores", "2"], 6, SMALL);
}

#[test]
fn large_batches_survive_kill_9_under_load() {
    survive_kills(&["--cores", "1"], 4, LARGE);
}

/// What a producer sends: records a batch at most, and bytes a record at most.
#[derive(Clone, Copy)]
struct Load {
    records_max: usize,
    record_bytes_max: usize,
}

const SMALL: Load = Load {
    records_max: 20,
    record_bytes_max: 200,
};
const LARGE: Load = Load {
    records_max: 400,
    record_bytes_max: 1500,
};

/// What one producer knows at the end.
struct History {
    /// Value number of each record that was ever sent, in order, with its length.
    sent: Vec<usize>,
    /// Acknowledged: offset → value number.
    acknowledged: BTreeMap<i64, u64>,
    idempotent: bool,
}

fn survive_kills(flags: &[&str], kills: u32, load: Load) {
    let mut broker = Broker::start(flags);
    let address = broker.address();
    Connection::open(address).expect("a connection").create_topic(
        TOPIC,
        PRODUCERS,
        &[("retention.ms", "-1")],
    );
    let stop = AtomicBool::new(false);
    let histories: Vec<History> = thread::scope(|scope| {
        let stop = &stop;
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|partition| scope.spawn(move || Producer::new(partition, address, load).run(stop)))
            .collect();
        let killer = StopOnDrop(stop);
        let mut random = Random::new(0x5eed);
        for _ in 0..kills {
            thread::sleep(Duration::from_millis(200 + random.below(500) as u64));
            broker.kill();
            broker.restart();
        }
        thread::sleep(Duration::from_millis(300));
        drop(killer);
        producers
            .into_iter()
            .map(|producer| producer.join().expect("a producer"))
            .collect()
    });
    broker.kill();
    broker.restart();
    for (partition, history) in (0..).zip(&histories) {
        check(address, partition, history);
    }
}

/// Ends the producers when the killer is done, or panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check(address: SocketAddr, partition: i32, history: &History) {
    assert!(
        history.acknowledged.len() > 100,
        "only {} records were acknowledged",
        history.acknowledged.len()
    );
    let served = Connection::open(address)
        .expect("a connection")
        .read_all(TOPIC, partition, 0);
    let mut found = BTreeMap::new();
    for (offset, record) in (0..).zip(&served) {
        assert_eq!(record.offset, offset, "offsets of {TOPIC}-{partition} are dense");
        let number = number_of(&record.value);
        let length = history
            .sent
            .get(number as usize)
            .expect("nothing is there that was never sent");
        assert_eq!(
            record.value,
            value(number, *length),
            "{TOPIC}-{partition} at {offset}"
        );
        found.insert(offset, number);
    }
    for (offset, number) in &history.acknowledged {
        assert_eq!(
            found.get(offset),
            Some(number),
            "{TOPIC}-{partition} at {offset} was acknowledged"
        );
    }
    if history.idempotent {
        let numbers: Vec<u64> = found.into_values().collect();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "an idempotent producer's records are there once, in order"
        );
    }
}

struct Producer {
    partition: i32,
    address: SocketAddr,
    load: Load,
    random: Random,
    stamp: Option<(ProducerId, ProducerEpoch)>,
    next_sequence: i32,
    unanswered: VecDeque<Batch>,
    history: History,
}

struct Batch {
    first: u64,
    count: u64,
    bytes: Vec<u8>,
}

impl Producer {
    fn new(partition: i32, address: SocketAddr, load: Load) -> Self {
        let idempotent = partition % 2 == 1;
        let mut producer = Self {
            partition,
            address,
            load,
            random: Random::new(partition as u64 + 1),
            stamp: None,
            next_sequence: 0,
            unanswered: VecDeque::new(),
            history: History {
                sent: Vec::new(),
                acknowledged: BTreeMap::new(),
                idempotent,
            },
        };
        if idempotent {
            producer.stamp = Some(init_producer_id(address));
        }
        producer
    }

    fn run(mut self, stop: &AtomicBool) -> History {
        let mut refused = 0;
        while !(stop.load(Ordering::Relaxed) && self.unanswered.is_empty()) {
            let Ok(mut connection) = Connection::open(self.address) else {
                assert!(refused < REFUSED_MAX, "the broker stays away");
                refused += 1;
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            refused = 0;
            let _broken = self.work(&mut connection, stop);
        }
        self.history
    }

    /// Resends what was not answered, then keeps requests in flight until told to stop or the connection breaks.
    fn work(&mut self, connection: &mut Connection, stop: &AtomicBool) -> std::io::Result<()> {
        let topic = TOPIC;
        for batch in &self.unanswered {
            connection.send(&produce(topic, self.partition, &batch.bytes, -1), PRODUCE)?;
        }
        let mut awaited = self.unanswered.len();
        loop {
            while awaited < IN_FLIGHT && !stop.load(Ordering::Relaxed) {
                let batch = self.next_batch();
                self.unanswered.push_back(batch);
                let bytes = &self.unanswered.back().expect("just pushed").bytes;
                connection.send(&produce(topic, self.partition, bytes, -1), PRODUCE)?;
                awaited += 1;
            }
            if awaited == 0 {
                return Ok(());
            }
            let reply = connection.receive::<ProduceRequest<'_>>(PRODUCE)?;
            let response = reply.read::<ProduceRequest<'_>>();
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!(answer.error_code, 0, "{TOPIC}-{}", self.partition);
            let batch = self
                .unanswered
                .pop_front()
                .expect("an answer belongs to a request");
            for index in 0..batch.count {
                let offset = answer.base_offset + index as i64;
                self.history.acknowledged.insert(offset, batch.first + index);
            }
            awaited -= 1;
        }
    }

    fn next_batch(&mut self) -> Batch {
        let first = self.history.sent.len() as u64;
        let count = 1 + self.random.below(self.load.records_max) as u64;
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.stamp {
            builder = builder.producer(id, epoch, Sequence::new(self.next_sequence));
        }
        for number in first..first + count {
            let length = self.random.below(self.load.record_bytes_max);
            self.history.sent.push(length);
            builder.push(
                TimestampMs::new(1_700_000_000_000),
                None,
                Some(&value(number, length)),
                &[],
            );
        }
        self.next_sequence += count as i32;
        Batch {
            first,
            count,
            bytes: builder.build(),
        }
    }
}

fn init_producer_id(address: SocketAddr) -> (ProducerId, ProducerEpoch) {
    let request = InitProducerIdRequest {
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    let reply = Connection::open(address)
        .expect("a connection")
        .call(&request, 4)
        .expect("a reply");
    let response = reply.read::<InitProducerIdRequest<'_>>();
    assert_eq!(response.error_code, 0);
    (
        ProducerId::new(response.producer_id),
        ProducerEpoch::new(response.producer_epoch),
    )
}

/// A value that tells its number, padded by bytes that depend on it.
fn value(number: u64, padding: usize) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.extend((0..padding as u64).map(|index| (number.wrapping_mul(31) + index) as u8));
    value
}

fn number_of(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().expect("every value has a number"))
}

const TOPIC: &str = "killed";
const PRODUCERS: i32 = 4;
const IN_FLIGHT: usize = 4;

/// Half a minute.
const REFUSED_MAX: u32 = 6_000;

//! How long a broker with a thousand partitions takes to serve again, after a clean stop and after `kill -9`
//! under load. The clock runs from the start of the process to an acknowledged produce, on to the last record of
//! every partition fetched, and on to a produce acknowledged by every partition. What was acknowledged before the
//! kill must be there.

use std::error::Error;
use std::io;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::client::admin::Admin;
use crate::client::connection::Request;
use crate::client::driver::{DriveError, Load, Workload, drive};
use crate::recorder::{Outcome, Work};
use crate::scenario::produce_pair::BROKER;
use crate::scenario::{Arena, Bound, Finding, Row, Run, Spread, Unit, many_partitions_batched};
use crate::target::{Broker, BrokerCommand, Target};
use crate::wire;
use crate::workload::fill::fill;
use crate::workload::produce::{ProduceShape, ProduceWorkload};

pub const NAME: &str = "start";

pub fn run(arena: &mut Arena<'_>) -> Result<Finding, Box<dyn Error>> {
    let command = arena
        .command
        .as_ref()
        .ok_or("the start scenario starts brokers: give --broker-bin")?
        .aside(NAME)?;
    let mut broker = Broker::start(&command)?;
    broker.wait_until_listening(PATIENCE)?;
    Admin::connect(broker.target().address)?.create_topic(TOPIC, SHAPE.partitions)?;
    if arena.start_bytes > 0 {
        fill(
            broker.target(),
            TOPIC,
            SHAPE.partitions,
            arena.start_bytes,
            arena.stop,
        )?;
    }
    let mut acknowledged = Acknowledged::new();
    let outcome = load(
        broker.target(),
        arena.timing.measure,
        &mut acknowledged,
        arena.stop,
    )?;
    let runs = vec![Run {
        contestant: BROKER,
        outcome,
    }];
    let mut times = Times::default();
    let mut notes = vec![format!(
        "{:.2} GB in {} partitions before the first start",
        (arena.start_bytes + runs[0].outcome.bytes) as f64 / 1e9,
        SHAPE.partitions
    )];
    for _ in 0..arena.timing.rounds {
        if arena.stopped() {
            break;
        }
        let (status, took) = broker.terminate(PATIENCE)?;
        if !status.success() {
            notes.push(format!("after SIGTERM the broker ended with {status}"));
        }
        notes.push(format!(
            "SIGTERM to the end of the process: {} ms",
            took.as_millis()
        ));
        broker = times.clean.measure(&command, &acknowledged)?;
        notes.push(kill_under_load(broker, arena.timing.measure, &mut acknowledged)?);
        broker = times.killed.measure(&command, &acknowledged)?;
    }
    drop(broker);
    Ok(Finding {
        scenario: NAME,
        title: TITLE,
        rows: times.rows(),
        runs,
        notes,
    })
}

/// The highest acknowledged offset of every partition.
struct Acknowledged {
    last: Vec<Option<i64>>,
}

impl Acknowledged {
    fn new() -> Self {
        Acknowledged {
            last: vec![None; SHAPE.partitions],
        }
    }
}

/// A produce load that remembers what was acknowledged.
struct Remembering<'a> {
    produce: ProduceWorkload,
    acknowledged: &'a mut Acknowledged,
}

impl Workload for Remembering<'_> {
    fn next(&mut self, connection: usize, due: Instant) -> Option<Request> {
        self.produce.next(connection, due)
    }

    fn answer(&mut self, _: usize, payload: &[u8]) -> Result<Work, String> {
        wire::check_produce(payload, |partition, offset| {
            let last = &mut self.acknowledged.last[partition as usize];
            *last = (*last).max(Some(offset));
        })?;
        Ok(self.produce.work())
    }
}

/// Load until `measure` is over or the broker goes.
fn load(
    target: Target,
    measure: Duration,
    acknowledged: &mut Acknowledged,
    stop: &AtomicBool,
) -> Result<Outcome, DriveError> {
    let load = Load {
        address: target.address,
        connections: 8,
        in_flight: 4,
        rate: None,
        warmup: Duration::ZERO,
        measure,
        server_pid: target.pid,
    };
    let produce = ProduceWorkload::new(TOPIC, SHAPE, load.connections);
    drive(
        &load,
        &mut Remembering {
            produce,
            acknowledged,
        },
        stop,
    )
}

/// `kill -9` in the middle of a load, when the journals are as full as they were seen in it. Tells how full.
fn kill_under_load(
    broker: Broker,
    after: Duration,
    acknowledged: &mut Acknowledged,
) -> Result<String, Box<dyn Error>> {
    let target = broker.target();
    std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            let fullest = wait_for_full_journals(&broker, after);
            broker.kill().and(fullest)
        });
        let result = load(target, after * 10, acknowledged, &AtomicBool::new(false));
        let fullest = killer.join().expect("the killer only looks, sleeps and kills")?;
        match result {
            Err(DriveError::Socket { .. }) => Ok(fullest),
            Err(error) => Err(error.into()),
            Ok(_) => Err("the load outlived the broker".into()),
        }
    })
}

/// Watches the journals for `span`, and then until they are nearly as full again.
fn wait_for_full_journals(broker: &Broker, span: Duration) -> io::Result<String> {
    let begun = Instant::now();
    let mut fullest = 0;
    loop {
        let status = broker.status()?;
        let is_full = status.journal_live >= fullest / 20 * 19;
        fullest = fullest.max(status.journal_live);
        if begun.elapsed() > span * 4 || begun.elapsed() > span && is_full {
            return Ok(format!(
                "killed with {} of {} MB of the journals live",
                status.journal_live / 1_000_000,
                status.journal_size / 1_000_000
            ));
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

#[derive(Default)]
struct Times {
    clean: StartTimes,
    killed: StartTimes,
}

/// Seconds from the start of the process, a start each.
#[derive(Default)]
struct StartTimes {
    to_produce: Vec<f64>,
    to_last_record: Vec<f64>,
    to_produce_everywhere: Vec<f64>,
}

impl StartTimes {
    fn measure(
        &mut self,
        command: &BrokerCommand,
        acknowledged: &Acknowledged,
    ) -> Result<Broker, Box<dyn Error>> {
        let begun = Instant::now();
        let mut broker = Broker::start(command)?;
        broker.wait_until_listening(PATIENCE)?;
        let batch = wire::batch(1, 100, 0);
        let mut admin = retry(begun, || {
            let mut admin = Admin::connect(broker.target().address)?;
            admin.produce(TOPIC, &[(0, &batch)])?;
            Ok(admin)
        })?;
        self.to_produce.push(begun.elapsed().as_secs_f64());
        let ends = admin.end_offsets(TOPIC, SHAPE.partitions)?;
        fetch_last_records(&mut admin, &ends)?;
        self.to_last_record.push(begun.elapsed().as_secs_f64());
        let everywhere: Vec<(i32, &[u8])> = (0..ends.len() as i32).map(|p| (p, &batch[..])).collect();
        admin.produce(TOPIC, &everywhere)?;
        self.to_produce_everywhere.push(begun.elapsed().as_secs_f64());
        for (partition, (&end, last)) in ends.iter().zip(&acknowledged.last).enumerate() {
            if last.is_some_and(|last| end <= last) {
                return Err(
                    format!("partition {partition} ends at {end}, but {last:?} was acknowledged").into(),
                );
            }
        }
        Ok(broker)
    }
}

impl Times {
    fn rows(&self) -> Vec<Row> {
        let row = |measure, seconds: &[f64]| {
            Some(Row {
                measure,
                unit: Unit::Microseconds,
                broker: Some(Spread::of(seconds.iter().map(|seconds| seconds * 1e6))?),
                roofline: None,
                target: Bound::AtMost(START_MICROS_MAX),
            })
        };
        [
            row("clean: to an acknowledged produce", &self.clean.to_produce),
            row(
                "clean: to the last record of every partition",
                &self.clean.to_last_record,
            ),
            row(
                "clean: to a produce acknowledged by every partition",
                &self.clean.to_produce_everywhere,
            ),
            row("kill -9: to an acknowledged produce", &self.killed.to_produce),
            row(
                "kill -9: to the last record of every partition",
                &self.killed.to_last_record,
            ),
            row(
                "kill -9: to a produce acknowledged by every partition",
                &self.killed.to_produce_everywhere,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Fetch the last record of every partition. An answer may leave partitions out for its size: those are asked
/// for again.
fn fetch_last_records(admin: &mut Admin, ends: &[i64]) -> Result<(), Box<dyn Error>> {
    let mut missing: Vec<(i32, i64)> = ends
        .iter()
        .enumerate()
        .filter(|&(_, &end)| end > 0)
        .map(|(p, &end)| (p as i32, end - 1))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        let got = admin.fetch(
            TOPIC,
            &missing[..missing.len().min(FETCH_PARTITIONS)],
            FETCH_BYTES,
        )?;
        missing.retain(|&(partition, last)| !got.iter().any(|&(p, end)| p == partition && end > last));
        if Instant::now() > deadline {
            return Err(format!("{} partitions do not give their last record", missing.len()).into());
        }
    }
    Ok(())
}

fn retry<T>(begun: Instant, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            result => return result,
        }
    }
}

const TITLE: &str = "start with 1,000 partitions, after a clean stop and after kill -9 under load";
const TOPIC: &str = "bench-start";
const SHAPE: ProduceShape = ProduceShape {
    partitions: 1000,
    ..many_partitions_batched::SCENARIO.shape
};
const FETCH_PARTITIONS: usize = 250;
const FETCH_BYTES: i32 = 64 << 10;
const START_MICROS_MAX: f64 = 1e6;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PAUSE: Duration = Duration::from_millis(50);

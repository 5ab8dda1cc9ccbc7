//! What one shard's storage takes without a broker around it: appends in a closed loop, durable.
//!
//! `cargo run --release -p millstream-storage --example append_load -- DIR PARTITIONS RECORDS RECORD_BYTES
//! WINDOW SECONDS`

use std::path::PathBuf;
use std::time::{Duration, Instant as Clock};

use millstream_log::{LogConfig, PartitionKey};
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{Ring, Wait};
use millstream_storage::{AppendError, LogEvent, Now, ShardLogs, StorageOptions, TopicFate};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, numbers @ ..] = arguments.as_slice() else {
        panic!("DIR PARTITIONS RECORDS RECORD_BYTES WINDOW SECONDS")
    };
    let numbers: Vec<usize> = numbers
        .iter()
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [partitions, records, record_bytes, window, seconds] = numbers[..] else {
        panic!("five numbers")
    };
    let mut ring = UringRing::new(UringOptions::default()).expect("an io_uring");
    let started = Clock::now();
    let now = || Now {
        monotonic: Instant::from_nanos(started.elapsed().as_nanos() as u64 + 1),
        wall: TimestampMs::new(1_700_000_000_000 + started.elapsed().as_millis() as i64),
    };
    let options = StorageOptions::for_shards(2);
    let opened = millstream_storage::open(
        &mut ring,
        &PathBuf::from(dir),
        &options,
        1,
        &|_| TopicFate::Live,
        1,
        now(),
    );
    let mut booted = opened.unwrap_or_else(|error| panic!("{error}"));
    println!("opened in {:?}, {:?}", started.elapsed(), booted.report);
    let mut logs = booted.shards.remove(0);
    let ids: Vec<_> = (0..partitions)
        .map(|partition| {
            let key = PartitionKey {
                topic: TopicId::new([9; 16]),
                partition: PartitionIndex::new(partition as i32),
            };
            logs.lookup(key)
                .unwrap_or_else(|| logs.create(key, LogConfig::default(), LeaderEpoch::ZERO, now()))
        })
        .collect();
    let value = vec![7u8; record_bytes];
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        builder = builder.record(TimestampMs::new(1_700_000_000_000), None, Some(&value), &[]);
    }
    let bytes = builder.build();
    let summary = BatchView::parse(&bytes).expect("a batch").0.summary();

    let index_of: std::collections::HashMap<_, _> =
        ids.iter().enumerate().map(|(index, id)| (*id, index)).collect();
    let (mut sent, mut done, mut busy, mut turns) = (0u64, 0u64, 0u64, 0u64);
    let mut flushed: Vec<i64> = ids.iter().map(|id| logs.offsets(*id).flushed.get()).collect();
    let (mut events, mut completions) = (Vec::new(), Vec::new());
    let begin = Clock::now();
    while begin.elapsed() < Duration::from_secs(seconds as u64) {
        let at = now();
        while sent - done < window as u64 {
            match logs.append(ids[sent as usize % partitions], &bytes, &[summary], at) {
                Ok(_) => sent += 1,
                Err(AppendError::Busy) => {
                    busy += 1;
                    break;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        logs.turn(&mut ring, at, &mut events);
        ring.enter(Wait::Until(Duration::from_millis(1)), &mut completions);
        for completion in completions.drain(..) {
            logs.complete(completion, &mut ring, at, &mut events);
        }
        turns += 1;
        for event in events.drain(..) {
            match event {
                LogEvent::Flushed { log, upto } => {
                    let index = index_of[&log];
                    done += ((upto.get() - flushed[index]) / records as i64) as u64;
                    flushed[index] = upto.get();
                }
                other => println!("{other:?}"),
            }
        }
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let cpu = cpu_seconds();
    println!(
        "{:.0} batches/s, {:.0} MB/s, {:.2} CPU-s/s, {turns} turns, {busy} busy, {}",
        done as f64 / elapsed,
        done as f64 * bytes.len() as f64 / elapsed / 1e6,
        cpu / started.elapsed().as_secs_f64(),
        logs.describe(),
    );
    let stopping = Clock::now();
    shut_down(&mut logs, &mut ring, &now);
    println!("shut down in {:?}", stopping.elapsed());
}

fn shut_down(logs: &mut ShardLogs, ring: &mut UringRing, now: &dyn Fn() -> Now) {
    let (mut events, mut completions) = (Vec::new(), Vec::new());
    logs.begin_shutdown();
    while !logs.is_quiet() {
        let at = now();
        logs.turn(ring, at, &mut events);
        ring.enter(Wait::Until(Duration::from_millis(1)), &mut completions);
        for completion in completions.drain(..) {
            logs.complete(completion, ring, at, &mut events);
        }
        events.clear();
    }
}

/// Of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("a command")
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / 100.0
}

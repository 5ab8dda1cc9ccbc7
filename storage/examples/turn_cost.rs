//! What a turn of a shard's storage costs while 10,000 partitions are kept: single records are served, checkpoints are
//! taken beside them, and housekeeping walks over all logs. Tells the CPU time of the longest turns, so that a busy
//! machine does not count.
//!
//! ```text
//! cargo run --release -p millstream-storage --example turn_cost -- DIR PARTITIONS SECONDS
//! ```

use std::path::PathBuf;
use std::time::Instant as Clock;

use millstream_log::{LogConfig, PartitionKey};
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{Ring, Wait};
use millstream_storage::{LogEvent, Now, ShardLogs, StorageOptions, TopicFate};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, partitions, seconds] = arguments.as_slice() else {
        panic!("DIR PARTITIONS SECONDS")
    };
    let partitions: usize = partitions.parse().expect("a number");
    let seconds: u64 = seconds.parse().expect("a number");
    let mut ring = UringRing::new(UringOptions::default()).expect("an io_uring");
    let started = Clock::now();
    let now = || Now {
        monotonic: Instant::from_nanos(started.elapsed().as_nanos() as u64 + 1),
        wall: TimestampMs::new(1_700_000_000_000 + started.elapsed().as_millis() as i64),
    };
    let mut options = StorageOptions::for_shards(2);
    // Small, so that checkpoints follow each other; and every walk looks at retention.
    options.journal_bytes = 16 << 20;
    options.retention_first_after = Duration::ZERO;
    options.retention_every = Duration::ZERO;
    let live = |_| TopicFate::Live;
    let opened = millstream_storage::open(&mut ring, &PathBuf::from(dir), &options, 1, &live, 1, now());
    let mut booted = opened.unwrap_or_else(|error| panic!("{error}"));
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
    let bytes = BatchBuilder::new()
        .record(TimestampMs::new(1_700_000_000_000), None, Some(&[7; 100]), &[])
        .build();
    let summary = BatchView::parse(&bytes).expect("a batch").0.summary();

    let mut turns: Vec<Turn> = Vec::new();
    let (mut events, mut completions) = (Vec::new(), Vec::new());
    let (mut sent, mut done, mut next) = (0u64, 0u64, 0usize);
    while started.elapsed().as_secs() < seconds {
        let at = now();
        while sent - done < WINDOW {
            if logs
                .append(ids[next % partitions], &bytes, &[summary], at)
                .is_err()
            {
                break;
            }
            (sent, next) = (sent + 1, next + STRIDE);
        }
        let before = cpu();
        logs.turn(&mut ring, at, &mut events);
        turns.push(Turn {
            nanos: cpu() - before,
            at: started.elapsed().as_millis() as u64,
        });
        ring.enter(Wait::Until(Duration::from_millis(1).into()), &mut completions);
        for completion in completions.drain(..) {
            logs.complete(completion, &mut ring, at, &mut events);
        }
        let flushed = events
            .drain(..)
            .filter(|event| matches!(event, LogEvent::Flushed { .. }));
        done += flushed.count() as u64;
    }
    report(&mut turns, sent, &logs);
}

struct Turn {
    nanos: u64,
    at: u64,
}

fn report(turns: &mut [Turn], sent: u64, logs: &ShardLogs) {
    turns.sort_by_key(|turn| std::cmp::Reverse(turn.nanos));
    let at = |share: f64| turns[(turns.len() as f64 * share) as usize].nanos as f64 / 1000.0;
    println!(
        "{sent} records, {} turns; microseconds of CPU a turn: half {:.0}, 1 % {:.0}, 0.1 % {:.0}, 0.01 % {:.0}",
        turns.len(),
        at(0.5),
        at(0.01),
        at(0.001),
        at(0.0001),
    );
    for turn in &turns[..turns.len().min(10)] {
        println!("{:8.0} µs at {} ms", turn.nanos as f64 / 1000.0, turn.at);
    }
    println!("{}", logs.describe());
}

/// Of this thread.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Records in flight; each lies on another partition than the last.
const WINDOW: u64 = 8;
const STRIDE: usize = 7;

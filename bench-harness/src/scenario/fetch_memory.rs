//! Distinct records read from the broker's memory by two connections, every CRC checked, against a raw
//! loopback send.

use std::error::Error;

use crate::bare::stream;
use crate::client::admin::Admin;
use crate::client::driver::{Load, drive};
use crate::report::{caution, verified_line};
use crate::scenario::produce_pair::BROKER;
use crate::scenario::{Arena, Bound, Finding, Roofline, Row, Run, Spread, Unit};
use crate::target::{BareMode, Target};
use crate::workload::fetch::FetchWorkload;
use crate::workload::fill::fill;

pub const NAME: &str = "fetch-memory";

pub fn run(arena: &mut Arena<'_>) -> Result<Finding, Box<dyn Error>> {
    let filled = match arena.broker {
        Some(target) => Some((target, fill(target, TOPIC, PARTITIONS, BYTES, arena.stop)?)),
        None => None,
    };
    let (mut runs, mut raw, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arena.timing.rounds {
        if let Some((target, ends)) = &filled
            && !arena.stopped()
        {
            let run = fetch(*target, ends, arena)?;
            eprintln!("{NAME}: {BROKER}: {:.3} GB/s", run.outcome.gigabytes_per_second);
            runs.push(run);
        }
        for (connections, rates) in [(CONNECTIONS, &mut raw), (1, &mut single)] {
            if !arena.stopped() {
                let rate = send(connections, arena)?;
                eprintln!("{NAME}: raw loopback send, {connections} connections: {rate:.3} GB/s");
                rates.push(rate);
            }
        }
    }
    if let Some((target, _)) = filled {
        Admin::connect(target.address)?.delete_topic(TOPIC)?;
    }
    let figures = runs.iter().map(|run| run.outcome.gigabytes_per_second);
    let row = |spread| Row {
        measure: "GB/s",
        unit: Unit::GigabytesPerSecond,
        broker: Spread::of(figures),
        roofline: Some(Roofline {
            by: "raw loopback send, 2 connections",
            spread,
        }),
        target: Bound::AtLeast(0.60),
    };
    let mut notes: Vec<String> = Spread::of(single)
        .map(|spread| format!("raw loopback send on one connection: {:.2} GB/s", spread.median))
        .into_iter()
        .collect();
    notes.push(verified_line(
        runs.iter().filter_map(|run| run.outcome.records_verified).sum(),
    ));
    notes.extend(runs.iter().filter_map(|run| caution(&run.outcome)).next());
    Ok(Finding {
        scenario: NAME,
        title: TITLE,
        rows: Spread::of(raw).map(row).into_iter().collect(),
        runs,
        notes,
    })
}

fn fetch(target: Target, ends: &[i64], arena: &Arena<'_>) -> Result<Run, Box<dyn Error>> {
    let load = Load {
        address: target.address,
        connections: CONNECTIONS,
        in_flight: 1,
        rate: None,
        warmup: arena.timing.warmup,
        measure: arena.timing.measure,
        server_pid: target.pid,
    };
    let mut workload = FetchWorkload::new(TOPIC, ends, CONNECTIONS, PARTITION_BYTES)?;
    Ok(Run {
        contestant: BROKER,
        outcome: drive(&load, &mut workload, arena.stop)?,
    })
}

/// Gigabytes a second.
fn send(connections: usize, arena: &mut Arena<'_>) -> Result<f64, Box<dyn Error>> {
    let address = arena.bare(BareMode::Stream)?.address;
    let timing = arena.timing;
    Ok(stream::receive(address, connections, timing.warmup, timing.measure, arena.stop)? / 1e9)
}

const TITLE: &str = "fetch of 256 MiB of distinct records from memory, 2 connections, every CRC checked";
const TOPIC: &str = "bench-fetch-memory";
const PARTITIONS: usize = 8;
const BYTES: u64 = 256 << 20;
const CONNECTIONS: usize = 2;

/// The default of Kafka's own consumer.
const PARTITION_BYTES: i32 = 1 << 20;

//! What a broker costs when nobody asks for anything: 2,000 partitions that were loaded, 100 open
//! connections.

use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::admin::Admin;
use crate::client::driver::{Load, drive};
use crate::host::ProcessSample;
use crate::scenario::produce_pair::BROKER;
use crate::scenario::{Arena, Bound, Finding, Row, Run, Spread, Unit, many_partitions_batched};
use crate::target::{Broker, Target};
use crate::workload::produce::{ProduceShape, ProduceWorkload};

pub const NAME: &str = "idle";

/// Watches a broker of its own where one can be started, so that no other scenario's memory counts.
pub fn run(arena: &mut Arena<'_>) -> Result<Finding, Box<dyn Error>> {
    let own = match &arena.command {
        Some(command) => {
            let mut broker = Broker::start(&command.aside(NAME)?)?;
            broker.wait_until_listening(PATIENCE)?;
            Some(broker)
        }
        None => None,
    };
    let target = own
        .as_ref()
        .map(Broker::target)
        .or(arena.broker)
        .ok_or("the idle scenario needs a broker")?;
    let pid = target
        .pid
        .ok_or("the idle scenario needs the broker's process: give --pid")?;
    Admin::connect(target.address)?.create_topic(TOPIC, SHAPE.partitions)?;
    let outcome = load(target, arena)?;
    let connections = open_connections(target.address)?;
    std::thread::sleep(SETTLE);
    let (cpu_share, rss) = watch(pid, arena)?;
    let status = own.as_ref().map(Broker::status).transpose()?;
    drop(connections);
    if own.is_none() {
        Admin::connect(target.address)?.delete_topic(TOPIC)?;
    }
    let row = |measure, unit, value, most| Row {
        measure,
        unit,
        broker: Spread::of([value]),
        roofline: None,
        target: Bound::AtMost(most),
    };
    let mut rows = vec![row("CPU of one core", Unit::CpuShare, cpu_share, CPU_SHARE_MAX)];
    let mut notes = vec![format!(
        "watched for {:.0} s; {} MiB resident",
        arena.idle.as_secs_f64(),
        rss >> 20
    )];
    match status {
        Some(status) => {
            rows.push(row(
                "resident beyond the batch cache",
                Unit::Bytes,
                rss.saturating_sub(status.cache_held) as f64,
                RESIDENT_BYTES_MAX,
            ));
            notes.push(format!(
                "the broker says: {} MiB of batches in its caches (of {} MiB), {} connections, {} partitions",
                status.cache_held >> 20,
                status.cache_limit >> 20,
                status.connections,
                status.partitions
            ));
        }
        None => {
            notes.push("what a broker's caches hold is known only of one that was started here".to_owned())
        }
    }
    Ok(Finding {
        scenario: NAME,
        title: TITLE,
        rows,
        runs: vec![Run {
            contestant: BROKER,
            outcome,
        }],
        notes,
    })
}

fn load(target: Target, arena: &Arena<'_>) -> Result<crate::recorder::Outcome, Box<dyn Error>> {
    let load = Load {
        address: target.address,
        connections: 8,
        in_flight: 4,
        rate: None,
        warmup: Duration::ZERO,
        measure: arena.timing.measure,
        server_pid: target.pid,
    };
    Ok(drive(
        &load,
        &mut ProduceWorkload::new(TOPIC, SHAPE, load.connections),
        arena.stop,
    )?)
}

/// Each has asked for something once, as a client has.
fn open_connections(address: SocketAddr) -> Result<Vec<Admin>, Box<dyn Error>> {
    // Probing first gives a plain error where the broker refuses so many.
    drop(TcpStream::connect(address)?);
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut admin = Admin::connect(address)?;
        admin.end_offsets(TOPIC, 1)?;
        connections.push(admin);
    }
    Ok(connections)
}

/// CPU time over wall time, and the resident bytes at the end.
fn watch(pid: u32, arena: &Arena<'_>) -> Result<(f64, u64), Box<dyn Error>> {
    let before = ProcessSample::of(pid)?;
    let start = Instant::now();
    while start.elapsed() < arena.idle && !arena.stopped() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = ProcessSample::of(pid)?;
    let share = after.cpu.saturating_sub(before.cpu).as_secs_f64() / start.elapsed().as_secs_f64().max(1e-9);
    Ok((share, after.rss))
}

const TITLE: &str = "idle after load, 2,000 partitions, 100 connections";
const TOPIC: &str = "bench-idle";
const SHAPE: ProduceShape = ProduceShape {
    partitions: 2000,
    ..many_partitions_batched::SCENARIO.shape
};
const CONNECTIONS: usize = 100;
const CPU_SHARE_MAX: f64 = 0.01;
const RESIDENT_BYTES_MAX: f64 = 64.0 * 1048576.0;

/// For write-behind and checkpoints to finish.
const SETTLE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

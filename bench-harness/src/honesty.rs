//! Is the bare loop itself honest? Its disk leg against fio at the same size, its network leg against iperf3.
//! Invariant: both sides take turns on the same file or the same loopback; a tool that is missing is an
//! error, never a pass.

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_ring::AppendBuf;
use serde::Serialize;

use crate::bare::disk::WrittenSpace;
use crate::bare::stream;
use crate::client::driver::{Load, drive};
use crate::limits::BARE_FILE_BYTES;
use crate::scenario::{Arena, Spread};
use crate::target::BareMode;
use crate::wire::Noise;
use crate::workload::produce::{ProduceShape, ProduceWorkload};

/// One leg beside the tool that measures it alone.
#[derive(Clone, Debug, Serialize)]
pub struct Leg {
    pub what: String,
    pub tool: &'static str,
    /// Gigabytes a second.
    pub ours: Spread,
    /// Gigabytes a second.
    pub theirs: Spread,
    /// Share by which ours may fall below theirs.
    pub tolerance: f64,
}

impl Leg {
    /// Ours over theirs, of the medians.
    pub fn ratio(&self) -> f64 {
        self.ours.median / self.theirs.median
    }

    /// A leg that is faster than the tool hides nothing; a slower one would make the broker look better than
    /// it is.
    pub fn honest(&self) -> bool {
        self.ratio() >= 1.0 - self.tolerance
    }
}

/// Measure all legs.
pub fn run(arena: &mut Arena<'_>) -> Result<Vec<Leg>, Box<dyn Error>> {
    let mut legs = Vec::new();
    for bytes in DISK_WRITE_BYTES {
        if !arena.stopped() {
            legs.extend(disk_leg(arena, bytes)?);
        }
    }
    for connections in [1, 2] {
        if !arena.stopped() {
            legs.extend(network_leg(arena, connections)?);
        }
    }
    Ok(legs)
}

fn disk_leg(arena: &Arena<'_>, bytes: usize) -> Result<Option<Leg>, Box<dyn Error>> {
    let file = Scratch(
        arena
            .scratch
            .join(format!("millstream-leg-{}", std::process::id())),
    );
    let mut space = WrittenSpace::create(&file.0, BARE_FILE_BYTES)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..arena.timing.rounds {
        if arena.stopped() {
            break;
        }
        ours.push(write_alone(&mut space, bytes, arena.timing.measure, arena.stop)?);
        theirs.push(fio(&file.0, bytes, arena.timing.measure)?);
        eprintln!(
            "durable write of {bytes} bytes: ours {:.3} GB/s, fio {:.3} GB/s",
            ours[ours.len() - 1],
            theirs[theirs.len() - 1]
        );
    }
    Ok(leg(
        format!("durable write, {} KiB", bytes >> 10),
        "fio",
        ours,
        theirs,
        DISK_TOLERANCE,
    ))
}

/// The bare loop's write path without its sockets. Gigabytes a second.
fn write_alone(
    space: &mut WrittenSpace,
    bytes: usize,
    measure: Duration,
    stop: &AtomicBool,
) -> io::Result<f64> {
    let mut buffer = AppendBuf::with_capacity(bytes);
    let mut noise = vec![0; bytes];
    Noise::new(0).fill(&mut noise);
    buffer.append(&noise);
    let start = Instant::now();
    let mut written = 0;
    while start.elapsed() < measure && !stop.load(Ordering::Relaxed) {
        space.write(&mut buffer)?;
        written += bytes;
    }
    Ok(written as f64 / start.elapsed().as_secs_f64() / 1e9)
}

fn network_leg(arena: &mut Arena<'_>, connections: usize) -> Result<Option<Leg>, Box<dyn Error>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut raw = Vec::new();
    for _ in 0..arena.timing.rounds {
        if arena.stopped() {
            break;
        }
        ours.push(requests_alone(arena, connections)?);
        theirs.push(iperf3(connections, arena.timing.measure)?);
        let stream = arena.bare(BareMode::Stream)?.address;
        raw.push(
            stream::receive(
                stream,
                connections,
                arena.timing.warmup,
                arena.timing.measure,
                arena.stop,
            )? / 1e9,
        );
        eprintln!(
            "{connections} connections: requests {:.3} GB/s, raw send {:.3} GB/s, iperf3 {:.3} GB/s",
            ours[ours.len() - 1],
            raw[raw.len() - 1],
            theirs[theirs.len() - 1]
        );
    }
    let what = format!(
        "receive {} KiB requests and answer, {connections} connections",
        NETWORK_BATCH_BYTES >> 10
    );
    Ok(leg(what, "iperf3", ours, theirs, NETWORK_TOLERANCE))
}

/// The bare loop without CRC and disk. Gigabytes a second.
fn requests_alone(arena: &mut Arena<'_>, connections: usize) -> Result<f64, Box<dyn Error>> {
    let target = arena.bare(BareMode::Network)?;
    let load = Load {
        address: target.address,
        connections,
        in_flight: 5,
        rate: None,
        warmup: arena.timing.warmup,
        measure: arena.timing.measure,
        server_pid: None,
    };
    let shape = ProduceShape {
        partitions: 1,
        record_bytes: NETWORK_BATCH_BYTES,
        records_per_batch: 1,
        partitions_per_request: 1,
        acks: -1,
    };
    let outcome = drive(
        &load,
        &mut ProduceWorkload::new("network-leg", shape, connections),
        arena.stop,
    )?;
    Ok(outcome.gigabytes_per_second)
}

/// Gigabytes a second, sequential durable writes at depth 1 into the same written file.
fn fio(file: &Path, bytes: usize, measure: Duration) -> Result<f64, Box<dyn Error>> {
    let output = tool("fio", |command| {
        command
            .args([
                "--name=leg",
                "--rw=write",
                "--direct=1",
                "--sync=dsync",
                "--ioengine=psync",
                "--iodepth=1",
            ])
            .args(["--overwrite=1", "--time_based", "--output-format=json"])
            .arg(format!("--filename={}", file.display()))
            .arg(format!("--bs={bytes}"))
            .arg(format!("--size={BARE_FILE_BYTES}"))
            .arg(format!("--runtime={}ms", measure.as_millis()))
    })?;
    let bytes_per_second = output["jobs"][0]["write"]["bw_bytes"].as_f64();
    Ok(bytes_per_second.ok_or("fio's output has no write bandwidth")? / 1e9)
}

/// Gigabytes a second, one way over loopback.
fn iperf3(connections: usize, measure: Duration) -> Result<f64, Box<dyn Error>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let server = Command::new("iperf3")
        .args(["-s", "-1", "-B", "127.0.0.1", "-p", &port])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| missing("iperf3", &error))?;
    let _server = Ended(server);
    // A probing connection would use up the one test that the server serves.
    std::thread::sleep(Duration::from_millis(300));
    let seconds = measure.as_secs().max(1).to_string();
    let streams = connections.to_string();
    let chunk = stream::CHUNK_BYTES.to_string();
    let output = tool("iperf3", |command| {
        command.args([
            "-c",
            "127.0.0.1",
            "-p",
            &port,
            "-t",
            &seconds,
            "-P",
            &streams,
            "-l",
            &chunk,
            "-J",
        ])
    })?;
    let bits_per_second = output["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(bits_per_second.ok_or("iperf3's output has no received rate")? / 8e9)
}

/// Run a tool and read its JSON.
fn tool(
    name: &'static str,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut command = Command::new(name);
    let output = arguments(&mut command)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(name, &error))?;
    if !output.status.success() {
        return Err(format!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )
        .into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn missing(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("{name} cannot be run ({error}): THE BARE LOOP IS NOT CHECKED; apt-get install fio iperf3"),
    )
}

fn leg(what: String, tool: &'static str, ours: Vec<f64>, theirs: Vec<f64>, tolerance: f64) -> Option<Leg> {
    Some(Leg {
        what,
        tool,
        ours: Spread::of(ours)?,
        theirs: Spread::of(theirs)?,
        tolerance,
    })
}

/// A file that goes with its handle.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing is lost when it stays.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A child that is gone with its handle.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A single request, a group of small ones, a large round.
const DISK_WRITE_BYTES: [usize; 3] = [4 << 10, 128 << 10, 1 << 20];
const DISK_TOLERANCE: f64 = 0.10;
const NETWORK_TOLERANCE: f64 = 0.20;
const NETWORK_BATCH_BYTES: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_leg_is_not_honest_and_a_fast_one_is() {
        let with = |ours: f64| {
            leg("x".into(), "fio", vec![ours], vec![1.0], 0.10)
                .unwrap()
                .honest()
        };
        assert_eq!((with(0.89), with(0.91), with(1.5)), (false, true, true));
    }

    #[test]
    fn a_missing_tool_is_a_loud_error() {
        let error = tool("millstream-no-such-tool", |command| command)
            .unwrap_err()
            .to_string();
        assert!(error.contains("IS NOT CHECKED"), "{error}");
    }
}

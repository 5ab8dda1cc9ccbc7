//! The machine under the run: its facts for the report, and what processes and threads use, from /proc.

use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every report is stamped with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
}

impl Host {
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = field(&cpuinfo, "model name").unwrap_or("unknown").to_owned();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Host {
            cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes(&meminfo, "MemTotal").unwrap_or(0),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
        }
    }
}

/// CPU time and memory of a process, all its threads together.
#[derive(Clone, Copy, Debug)]
pub struct ProcessSample {
    /// User and system time since the process started.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Bytes that it had the disk write since it started; `None` where the kernel does not tell.
    pub disk_write_bytes: Option<u64>,
}

impl ProcessSample {
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let cpu = process_cpu(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let rss = kibibytes(&status, "VmRSS").ok_or(io::ErrorKind::InvalidData)?;
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(ProcessSample {
            cpu,
            rss,
            disk_write_bytes: field(&io, "write_bytes").and_then(|bytes| bytes.parse().ok()),
        })
    }
}

/// Time that the calling thread ran, and time that it waited for a core.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadSample {
    pub busy: Duration,
    pub starved: Duration,
}

impl ThreadSample {
    /// Zero where the kernel keeps no scheduler statistics.
    pub fn current() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut nanos = text
            .split_ascii_whitespace()
            .map(|n| Duration::from_nanos(n.parse().unwrap_or(0)));
        ThreadSample {
            busy: nanos.next().unwrap_or_default(),
            starved: nanos.next().unwrap_or_default(),
        }
    }
}

/// Fields 14 and 15 of /proc/PID/stat, counted after the command, which may hold spaces and brackets.
fn process_cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    field(text, name)?
        .strip_suffix(" kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|n| n * 1024)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        let hertz = rustix::param::clock_ticks_per_second();
        assert_eq!(process_cpu(stat), Some(Duration::from_millis(200 * 1000 / hertz)));
    }

    #[test]
    fn this_process_has_memory_and_its_thread_gets_busier() {
        let sample = ProcessSample::of(std::process::id()).unwrap();
        assert!(sample.rss > 100_000, "{sample:?}");
        assert!(sample.disk_write_bytes.is_some(), "{sample:?}");
        let before = ThreadSample::current();
        let spin = std::time::Instant::now();
        while spin.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        let after = ThreadSample::current();
        assert!(after.busy > before.busy, "{before:?} {after:?}");
    }
}

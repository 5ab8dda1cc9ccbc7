//! Reads the profile from /proc, /sys and the process's limits.

use std::fs;
use std::path::Path;

use super::limits;
use crate::profile::{
    Kernel, Profile, parse_cpu_list, parse_memory_group, parse_memory_limit, parse_memory_total,
};

pub fn read() -> Profile {
    let text = |path: &str| fs::read_to_string(path).ok();
    let status = status().unwrap_or_default();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let cores = allowed.and_then(parse_cpu_list).unwrap_or_else(|| vec![0]);
    let total = text("/proc/meminfo")
        .as_deref()
        .and_then(parse_memory_total)
        .unwrap_or(MEMORY_BYTES_UNKNOWN);
    let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
    Profile {
        cores,
        memory_bytes: group_limit().map_or(total, |limit| limit.min(total)),
        kernel: Kernel::parse(&release).unwrap_or(Kernel { major: 0, minor: 0 }),
        memory_lock: limits::memory_lock(),
        open_files: limits::open_files(),
        io_uring_disabled: text("/proc/sys/kernel/io_uring_disabled")
            .and_then(|value| value.trim().parse().ok()),
    }
}

/// What the kernel says of this process.
pub fn status() -> Option<String> {
    fs::read_to_string("/proc/self/status").ok()
}

/// The tightest memory limit from this process's control group up to the root.
fn group_limit() -> Option<u64> {
    let (path, version_2) = parse_memory_group(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let (root, file) = if version_2 {
        ("/sys/fs/cgroup", "memory.max")
    } else {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    };
    let group = Path::new(root).join(path.trim_start_matches('/'));
    let within = group.ancestors().take_while(|folder| folder.starts_with(root));
    within
        .filter_map(|folder| parse_memory_limit(&fs::read_to_string(folder.join(file)).ok()?))
        .min()
}

/// Where even /proc/meminfo is hidden.
const MEMORY_BYTES_UNKNOWN: u64 = 2 << 30;

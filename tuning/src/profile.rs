//! What the host is, as far as the broker's start depends on it. Reading is in `probe::host`; parsing is
//! here, so that tests can feed it other hosts.

use std::fmt;

/// One host, seen by one process: control groups and affinity masks count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The cores that this process may run on, by the kernel's numbers, sorted.
    pub cores: Vec<usize>,
    /// Memory that this process can hope for, in bytes: the host's, or its control group's limit if that is
    /// less.
    pub memory_bytes: u64,
    pub kernel: Kernel,
    pub memory_lock: Limit,
    pub open_files: Limit,
    /// `kernel.io_uring_disabled`; `None` where the kernel has no such switch.
    pub io_uring_disabled: Option<u8>,
}

impl Profile {
    /// Looks at this process and its host. What cannot be read counts as absent or unlimited; the checks that
    /// matter try the real thing afterwards.
    pub fn read() -> Profile {
        crate::probe::host::read()
    }
}

/// A kernel version, as far as it orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    pub major: u32,
    pub minor: u32,
}

impl Kernel {
    /// From `uname -r`, such as `6.1.0-18-amd64`.
    pub fn parse(release: &str) -> Option<Kernel> {
        let mut parts = release.trim().split(|c: char| !c.is_ascii_digit());
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Kernel { major, minor })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A resource limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

impl Limit {
    /// Whether the soft limit is at least this.
    pub fn allows(&self, amount: u64) -> bool {
        self.soft.is_none_or(|soft| soft >= amount)
    }
}

/// A kernel's list of CPUs: `0-3,6`.
pub fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CORES_MAX {
            return None;
        }
        cores.extend(first..=last);
    }
    (!cores.is_empty()).then_some(cores)
}

/// `MemTotal` of /proc/meminfo, in bytes.
pub fn parse_memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A control group's `memory.max` (v2) or `memory.limit_in_bytes` (v1); `None` is no limit.
pub fn parse_memory_limit(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    // Version 1 writes "no limit" as the largest page-aligned number.
    (bytes < 1 << 62).then_some(bytes)
}

/// The control group of /proc/self/cgroup that may limit memory: its path, and whether it is of version 2.
pub fn parse_memory_group(cgroup: &str) -> Option<(String, bool)> {
    let mut unified = None;
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if controllers.split(',').any(|name| name == "memory") {
            return Some((path.to_owned(), false));
        }
        if id == "0" && controllers.is_empty() {
            unified = Some((path.to_owned(), true));
        }
    }
    unified
}

/// What the kernel's own CPU masks hold at most.
const CORES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_ordered_by_their_numbers() {
        let kernel = |text| Kernel::parse(text).unwrap();
        assert_eq!(kernel("6.1.0-18-amd64"), Kernel { major: 6, minor: 1 });
        assert_eq!(kernel("6.18.44-fc-v669\n").to_string(), "6.18");
        assert!(kernel("5.15.0") < kernel("6.1") && kernel("6.9") < kernel("6.10"));
        assert_eq!(Kernel::parse("linux"), None);
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpu_list("0-2,6\n"), Some(vec![0, 1, 2, 6]));
        assert_eq!(parse_cpu_list("3"), Some(vec![3]));
        for wrong in ["", "3-1", "a", "0-9999"] {
            assert_eq!(parse_cpu_list(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_of_the_host_and_of_its_control_group() {
        assert_eq!(
            parse_memory_total("MemFree: 1 kB\nMemTotal:       24612345 kB\n"),
            Some(24_612_345 * 1024)
        );
        assert_eq!(parse_memory_total("nothing"), None);
        assert_eq!(parse_memory_limit("1073741824\n"), Some(1 << 30));
        assert_eq!(parse_memory_limit("max\n"), None);
        assert_eq!(parse_memory_limit("9223372036854771712"), None);
        assert_eq!(
            parse_memory_group("4:memory:/a\n0::/b"),
            Some(("/a".to_owned(), false))
        );
        assert_eq!(
            parse_memory_group("1:cpu:/a\n0::/b/c"),
            Some(("/b/c".to_owned(), true))
        );
        assert_eq!(parse_memory_group("1:cpu:/a"), None);
    }

    #[test]
    fn this_host_has_cores_memory_and_a_kernel() {
        let profile = Profile::read();
        assert!(!profile.cores.is_empty());
        assert!(profile.memory_bytes > 64 << 20);
        assert!(profile.kernel >= Kernel { major: 4, minor: 0 });
    }
}

//! Whether the broker can run on this host and in this directory, found out before anything is served.
//!
//! A refusal names what is missing and what to do; what only costs speed is a [`Warning`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::probe;
use crate::probe::disk::Step;
use crate::probe::uring::RingError;
use crate::profile::{Kernel, Limit, Profile};

/// Raises the soft limits as far as they go, then tries io_uring and direct I/O in the data directory, which
/// is created if it is missing. Call it before the first ring and the first thread, with the number of
/// shards.
pub fn before_start(data_dir: &Path, shards: usize) -> Result<Vec<Warning>, CheckError> {
    probe::limits::raise_memory_lock();
    probe::limits::raise_open_files();
    let profile = Profile::read();
    let mut warnings = check_host(&profile, shards)?;
    probe::uring::try_ring().map_err(CheckError::from_ring)?;
    let alignment = probe::disk::try_direct_io(data_dir)
        .map_err(|(step, error)| CheckError::from_disk(data_dir, step, &error))?;
    if let Some(bytes) = alignment.filter(|bytes| *bytes > BLOCK) {
        return Err(CheckError::Alignment {
            path: data_dir.to_owned(),
            bytes,
        });
    }
    warnings.extend(probe::disk::scheduler(data_dir).and_then(|disk| scheduler_warning(&disk)));
    Ok(warnings)
}

/// The part that numbers decide.
fn check_host(profile: &Profile, shards: usize) -> Result<Vec<Warning>, CheckError> {
    if profile.kernel < KERNEL_MIN {
        return Err(CheckError::Kernel {
            found: profile.kernel,
        });
    }
    if profile.io_uring_disabled == Some(2) {
        return Err(CheckError::UringDisabled);
    }
    if !profile.memory_lock.allows(MEMORY_LOCK_MIN) {
        return Err(CheckError::MemoryLock {
            limit: profile.memory_lock,
        });
    }
    let files_least = OPEN_FILES_MIN + OPEN_FILES_PER_SHARD * shards as u64;
    if !profile.open_files.allows(files_least) {
        return Err(CheckError::OpenFiles {
            limit: profile.open_files,
            needed: files_least,
        });
    }
    let mut warnings = Vec::new();
    if let Some(soft) = profile.open_files.soft
        && soft < OPEN_FILES_GOOD
    {
        warnings.push(Warning(format!(
            "at most {soft} files and connections can be open; {OPEN_FILES_GOOD} or more are advisable \
             (LimitNOFILE= of systemd, --ulimit nofile= of docker)"
        )));
    }
    if shards > profile.cores.len() {
        warnings.push(Warning(format!(
            "{shards} shards share {} cores",
            profile.cores.len()
        )));
    }
    Ok(warnings)
}

/// A request scheduler sorts what an NVMe device takes in parallel; on a spinning disk it helps.
fn scheduler_warning(disk: &probe::disk::Scheduler) -> Option<Warning> {
    let wasteful = disk.device.starts_with("nvme") && disk.active != "none";
    wasteful.then(|| {
        Warning(format!(
            "the disk {device} uses the I/O scheduler {active}; `echo none > \
             /sys/block/{device}/queue/scheduler` makes flushes cheaper",
            device = disk.device,
            active = disk.active
        ))
    })
}

/// Something that costs speed or room, not correctness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the broker cannot run here.
#[derive(Debug)]
pub enum CheckError {
    Kernel {
        found: Kernel,
    },
    /// `kernel.io_uring_disabled` is 2.
    UringDisabled,
    /// The kernel has no io_uring, or a filter hides it.
    UringMissing,
    /// The kernel or a filter forbids it to this process.
    UringForbidden,
    /// It is there, but lacks what we ask of it.
    UringOperations {
        missing: Vec<&'static str>,
    },
    Uring(io::Error),
    MemoryLock {
        limit: Limit,
    },
    OpenFiles {
        limit: Limit,
        needed: u64,
    },
    DataDir {
        path: PathBuf,
        step: &'static str,
        error: String,
    },
    NoDirectIo {
        path: PathBuf,
    },
    /// The device wants larger blocks than ours, in bytes.
    Alignment {
        path: PathBuf,
        bytes: u64,
    },
}

impl CheckError {
    fn from_ring(error: RingError) -> CheckError {
        match error {
            RingError::Missing => CheckError::UringMissing,
            RingError::Forbidden => CheckError::UringForbidden,
            RingError::NoMemory => CheckError::MemoryLock {
                limit: Profile::read().memory_lock,
            },
            RingError::Operations(missing) => CheckError::UringOperations { missing },
            RingError::Other(error) => CheckError::Uring(error),
        }
    }

    fn from_disk(path: &Path, step: Step, error: &io::Error) -> CheckError {
        let path = path.to_owned();
        if step == Step::Refused {
            return CheckError::NoDirectIo { path };
        }
        CheckError::DataDir {
            path,
            step: step.describe(),
            error: error.to_string(),
        }
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Kernel { found } => {
                write!(
                    f,
                    "this kernel ({found}) is too old; Linux {KERNEL_MIN} or newer is needed"
                )
            }
            CheckError::UringDisabled => f.write_str(
                "io_uring is switched off on this machine; as root: sysctl kernel.io_uring_disabled=0 (and \
                 in /etc/sysctl.d to keep it)",
            ),
            CheckError::UringMissing => f.write_str(
                "the kernel answers that it has no io_uring; it was built without CONFIG_IO_URING, or a \
                 sandbox (gVisor, a seccomp profile) hides it",
            ),
            CheckError::UringForbidden => f.write_str(
                "io_uring is forbidden to this process; in a container allow io_uring_setup, io_uring_enter \
                 and io_uring_register (docker: --security-opt seccomp=PROFILE), elsewhere see sysctl \
                 kernel.io_uring_disabled and kernel.io_uring_group",
            ),
            CheckError::UringOperations { missing } => write!(
                f,
                "this kernel's io_uring lacks {}; Linux {KERNEL_MIN} or newer is needed",
                missing.join(", ")
            ),
            CheckError::Uring(error) => write!(f, "io_uring cannot be set up: {error}"),
            CheckError::MemoryLock { limit } => write!(
                f,
                "only {} bytes of memory may be locked and {MEMORY_LOCK_MIN} bytes are needed; raise it with \
                 ulimit -l, LimitMEMLOCK= of systemd or --ulimit memlock= of docker",
                show(limit.soft)
            ),
            CheckError::OpenFiles { limit, needed } => write!(
                f,
                "only {} files may be open and {needed} are needed; raise it with ulimit -n, LimitNOFILE= \
                 of systemd or --ulimit nofile= of docker",
                show(limit.soft)
            ),
            CheckError::DataDir { path, step, error } => {
                let path = path.display();
                write!(
                    f,
                    "the data directory {path} cannot be used: {step}: {error}; name another with --data-dir"
                )
            }
            CheckError::NoDirectIo { path } => write!(
                f,
                "the file system of {} has no direct I/O; use a directory on ext4 or XFS (--data-dir), not \
                 on tmpfs or an overlay",
                path.display()
            ),
            CheckError::Alignment { path, bytes } => write!(
                f,
                "the disk under {} wants direct I/O in blocks of {bytes} bytes and we write blocks of \
                 {BLOCK}; use another disk (--data-dir)",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CheckError {}

fn show(limit: Option<u64>) -> String {
    limit.map_or("no end".to_owned(), |limit| limit.to_string())
}

/// Multishot accept and receive, provided buffers, MSG_RING, deferred task work: all there since 6.1, a
/// long-term release.
const KERNEL_MIN: Kernel = Kernel { major: 6, minor: 1 };
/// What glommio asks for.
const MEMORY_LOCK_MIN: u64 = 512 * 1024;
const OPEN_FILES_MIN: u64 = 256;
const OPEN_FILES_PER_SHARD: u64 = 64;
const OPEN_FILES_GOOD: u64 = 16_384;
/// The unit of our direct I/O, in bytes.
const BLOCK: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const UNLIMITED: Limit = Limit {
        soft: None,
        hard: None,
    };

    fn good() -> Profile {
        Profile {
            cores: vec![0, 1],
            memory_bytes: 8 << 30,
            kernel: Kernel { major: 6, minor: 8 },
            memory_lock: UNLIMITED,
            open_files: UNLIMITED,
            io_uring_disabled: Some(0),
        }
    }

    fn limit(soft: u64) -> Limit {
        Limit {
            soft: Some(soft),
            hard: Some(soft),
        }
    }

    #[test]
    fn a_good_host_passes_without_a_word() {
        assert_eq!(check_host(&good(), 2).unwrap(), []);
    }

    /// One flaw a row, and what the message must tell the operator to do.
    #[test]
    fn every_flaw_is_refused_with_what_to_do() {
        let check = |flawed: Profile, part: &str| {
            let shown = check_host(&flawed, 2).unwrap_err().to_string();
            assert!(shown.contains(part), "{shown}");
        };
        check(
            Profile {
                kernel: Kernel { major: 5, minor: 15 },
                ..good()
            },
            "Linux 6.1 or newer",
        );
        check(
            Profile {
                io_uring_disabled: Some(2),
                ..good()
            },
            "sysctl kernel.io_uring_disabled=0",
        );
        check(
            Profile {
                memory_lock: limit(65_536),
                ..good()
            },
            "LimitMEMLOCK=",
        );
        check(
            Profile {
                open_files: limit(128),
                ..good()
            },
            "LimitNOFILE=",
        );
    }

    #[test]
    fn what_only_costs_is_a_warning() {
        let few_files = Profile {
            open_files: limit(1024),
            ..good()
        };
        assert!(check_host(&few_files, 2).unwrap()[0].0.contains("1024 files"));
        assert!(
            check_host(&good(), 3).unwrap()[0]
                .0
                .contains("3 shards share 2 cores")
        );
        let disk = |device: &str, active: &str| probe::disk::Scheduler {
            device: device.into(),
            active: active.into(),
        };
        assert!(scheduler_warning(&disk("nvme0n1", "mq-deadline")).is_some());
        assert!(scheduler_warning(&disk("nvme0n1", "none")).is_none());
        assert!(scheduler_warning(&disk("sda", "mq-deadline")).is_none());
    }

    #[test]
    fn errors_of_the_kernel_become_advice() {
        let shown = |error| CheckError::from_ring(error).to_string();
        assert!(shown(RingError::Missing).contains("CONFIG_IO_URING"));
        assert!(shown(RingError::Forbidden).contains("seccomp"));
        assert!(shown(RingError::NoMemory).contains("LimitMEMLOCK="));
        assert!(shown(RingError::Operations(vec!["MSG_RING"])).contains("lacks MSG_RING"));
        let refused =
            CheckError::from_disk(Path::new("/x"), Step::Refused, &io::Error::other("x")).to_string();
        assert!(refused.contains("/x has no direct I/O"), "{refused}");
    }

    /// The real thing, as far as the host that runs the tests allows it.
    #[test]
    fn the_probes_run_on_this_host() {
        let dir = std::env::temp_dir().join(format!("millstream-checks-{}", std::process::id()));
        let result = before_start(&dir, 1);
        let leftovers = std::fs::read_dir(&dir)
            .map(|entries| entries.count())
            .unwrap_or(0);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(leftovers, 0, "the probe leaves nothing behind");
        match result {
            Ok(_)
            | Err(CheckError::NoDirectIo { .. } | CheckError::UringForbidden | CheckError::UringMissing) => {}
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_names_itself() {
        let shown = before_start(Path::new("/proc/millstream"), 1)
            .unwrap_err()
            .to_string();
        assert!(
            shown.contains("/proc/millstream") || shown.contains("io_uring"),
            "{shown}"
        );
    }
}

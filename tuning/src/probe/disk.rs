//! Tries direct I/O in a directory, and looks up what is known of the disk under it.

#![expect(unsafe_code, reason = "the C library is the only door to the kernel here")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What was being done when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    CreateDir,
    /// Opening works only without direct I/O.
    Refused,
    Open,
    Write,
    Read,
}

impl Step {
    pub fn describe(self) -> &'static str {
        match self {
            Step::CreateDir => "it cannot be created",
            Step::Refused => "direct I/O is refused",
            Step::Open => "no file can be created in it",
            Step::Write => "a durable direct write fails",
            Step::Read => "a direct read fails",
        }
    }
}

/// Writes one block with direct I/O and DSYNC, reads it back, and removes the file. Gives the alignment in
/// bytes that the kernel reports for the file, where it reports one. A disk that has no room for the block is taken at
/// its word: who starts a broker on it may want to delete something.
pub fn try_direct_io(directory: &Path) -> Result<Option<u64>, (Step, io::Error)> {
    fs::create_dir_all(directory).map_err(|error| (Step::CreateDir, error))?;
    let path = directory.join(format!(".direct-io-probe-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC);
    let opened = options.open(&path).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => (Step::Refused, error),
        _ => (Step::Open, error),
    });
    // A file system without direct I/O refuses the open after it has made the file.
    let result = opened.and_then(|file| {
        if lives_in_memory(&file) {
            return Err((Step::Refused, io::Error::other("the file system lives in memory")));
        }
        write_and_read(&file).map(|()| alignment(&file))
    });
    let _ = fs::remove_file(&path);
    match result {
        Err((_, error)) if error.raw_os_error() == Some(libc::ENOSPC) => Ok(None),
        result => result,
    }
}

/// The block device under a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduler {
    /// The whole disk, as /sys/block names it.
    pub device: String,
    pub active: String,
}

/// `None` where there is no block device, or more than one.
pub fn scheduler(directory: &Path) -> Option<Scheduler> {
    let device = fs::metadata(directory).ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let folder = fs::canonicalize(PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))).ok()?;
    // A partition has no queue of its own: it is its disk's.
    let disk = if folder.join("queue").is_dir() {
        folder
    } else {
        folder.parent()?.to_owned()
    };
    let text = fs::read_to_string(disk.join("queue/scheduler")).ok()?;
    let active = text.split(['[', ']']).nth(1)?.to_owned();
    Some(Scheduler {
        device: disk.file_name()?.to_str()?.to_owned(),
        active,
    })
}

fn write_and_read(file: &File) -> Result<(), (Step, io::Error)> {
    let mut block = AlignedBlock([PATTERN; BLOCK]);
    file.write_all_at(&block.0, 0)
        .map_err(|error| (Step::Write, error))?;
    block.0.fill(0);
    file.read_exact_at(&mut block.0, 0)
        .map_err(|error| (Step::Read, error))?;
    if block.0.iter().any(|byte| *byte != PATTERN) {
        return Err((
            Step::Read,
            io::Error::other("other bytes come back than were written"),
        ));
    }
    Ok(())
}

/// Whether nothing in the file survives the machine: such a file system takes direct I/O and ignores it.
fn lives_in_memory(file: &File) -> bool {
    use std::os::fd::AsRawFd;
    // SAFETY: all fields of statfs are integers, for which zero is a value.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open while `file` lives, and the kernel writes one statfs into a live local.
    let done = unsafe { libc::fstatfs(file.as_raw_fd(), &mut found) };
    done == 0 && [libc::TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.f_type)
}

/// The larger of the alignments that `statx` reports for memory and offsets of direct I/O.
fn alignment(file: &File) -> Option<u64> {
    use std::os::fd::AsRawFd;
    // SAFETY: all fields of statx are integers, for which zero is a value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN);
    // SAFETY: the descriptor is open while `file` lives, the path is an empty C string, and the kernel writes
    // one statx into a live local.
    let done = unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, mask, &mut found) };
    let known = done == 0 && found.stx_mask & libc::STATX_DIOALIGN != 0;
    let largest = u64::from(found.stx_dio_mem_align.max(found.stx_dio_offset_align));
    (known && largest > 0).then_some(largest)
}

#[repr(align(4096))]
struct AlignedBlock([u8; BLOCK]);

/// The kernel's number for ramfs, which the C library does not name.
const RAMFS_MAGIC: libc::__fsword_t = 0x8584_58f6;
const BLOCK: usize = 4096;
const PATTERN: u8 = 0xA5;

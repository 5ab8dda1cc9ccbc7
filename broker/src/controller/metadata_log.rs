//! The metadata log: the cluster's records, durable before they count, in files of the controller's own.
//!
//! Place: used by the controller's thread only; the shards never wait for it. It stands behind [`MetadataStore`], so
//! that a replicated log can take its place.
//!
//! Directory `metadata/`: `snapshot-N` is the whole state up to and with entry N (absent for N = 0), `log-N` the
//! entries after it, both with N as 20 digits.
//!
//! ```text
//! log:      "MSMETLOG" · version u32 · base sequence u64 · crc32c u32 of the bytes before · entries
//! entry:    length u32 of the payload · crc32c u32 of what follows · sequence u64 · payload
//! mark:     0xffffffff · crc32c u32 of the sequence · sequence u64
//! snapshot: "MSMETSNP" · version u32 · sequence u64 · length u64 · payload · crc32c u32 of the bytes before
//! ```
//! All numbers little-endian. An entry's sequence is its predecessor's plus one. The mark stands behind the last entry
//! and names its sequence; the next entry is written over it.
//!
//! Invariants: an entry is written only when all before it are durable, so damage can be a torn write only at the very
//! end: that is cut. Damage before a valid entry is not a torn write: the store refuses to open. So it does where the
//! mark says that the entry was durable: it is written after the entry's sync, itself without one, so that what was
//! acknowledged is not taken for torn after anything but a power cut at that moment. After a failed write
//! or sync nothing is appended until a restart has looked at what is there; and an entry that no mark vouches for is
//! written once more by that start before anybody acts on it. A write that finds no room is none of these: what there
//! is of it is cut off, and once there is room entries go on.

mod reading;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use millstream_log::planted::{self, Bug};

use self::reading::{ENTRY_MAX, LOG_HEADER, SNAPSHOT_MAGIC, Store, VERSION, log_header, mark, read_store};
pub use self::reading::{MARK_LEN, mark_at};
use super::metadata_disk::{HostDirectory, MetadataDisk};

/// A place for the metadata's entries that keeps them.
pub trait MetadataStore {
    /// Adds one entry; it is durable on return. Its sequence comes back.
    fn append(&mut self, payload: &[u8]) -> io::Result<u64>;

    /// Replaces all entries so far by one state.
    fn replace(&mut self, snapshot: &[u8]) -> io::Result<()>;

    /// Bytes of entries since the last snapshot.
    fn log_bytes(&self) -> u64;
}

/// The store in a directory.
#[derive(Debug)]
pub struct MetadataLog<D = HostDirectory> {
    disk: D,
    /// The file that entries go to, and its length.
    file: String,
    bytes: u64,
    /// Sequence of the last entry.
    last: u64,
    /// Something lies behind the entries: it is cut off before the next one is added, and not earlier, so that a start
    /// that is refused changes nothing.
    torn: bool,
    /// A write failed: what the file holds is not known.
    poisoned: bool,
    /// The store is ours as long as this lives.
    _lock: Option<File>,
}

/// What a store held when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub snapshot: Option<Vec<u8>>,
    /// In order, after the snapshot.
    pub entries: Vec<Vec<u8>>,
    /// Bytes of a torn last entry, which the next entry is written over.
    pub torn_bytes: u64,
    /// The file of the entries, and where they end in it, exclusive.
    pub log: PathBuf,
    pub end: u64,
}

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum MetadataLogError {
    Io {
        path: PathBuf,
        error: io::Error,
    },
    /// Another process has it open.
    Locked {
        path: PathBuf,
    },
    /// Written by a newer version.
    NewerFormat {
        path: PathBuf,
        found: u32,
    },
    /// Not a torn end: entries that were acknowledged are unreadable.
    Damaged {
        path: PathBuf,
        at: u64,
        what: &'static str,
    },
}

impl MetadataLog {
    /// Opens the store of a directory of the host, which nobody else has open; creates it unless `is_begun`: then it
    /// has held entries, and one without a log has lost them. See [`MetadataLog::open_on`].
    pub fn open(directory: &Path, is_begun: bool) -> Result<(Self, Contents), MetadataLogError> {
        if is_begun {
            Self::look(directory)?;
        }
        let disk = HostDirectory::make(directory).map_err(|error| io_error(directory, error))?;
        let lock = lock(&directory.join(LOCK))?;
        let (mut log, contents) = Self::open_on(disk, directory)?;
        log._lock = Some(lock);
        Ok((log, contents))
    }

    /// Whether a store has files of this name.
    pub fn is_name(name: &str) -> bool {
        let numbered = ["snapshot-", "log-"]
            .iter()
            .find_map(|kind| name.strip_prefix(kind));
        let is_number = |rest: &str| rest.len() == 20 && rest.bytes().all(|byte| byte.is_ascii_digit());
        name == LOCK || name == UNFINISHED_SNAPSHOT || numbered.is_some_and(is_number)
    }

    /// What a store that has held entries holds; nothing is changed. Whoever has it open may be writing.
    pub fn look(directory: &Path) -> Result<Contents, MetadataLogError> {
        let store = read_store(&mut HostDirectory::existing(directory), directory)?;
        if store.good == 0 {
            return Err(MetadataLogError::Damaged {
                path: directory.join(store.file),
                at: 0,
                what: match store.is_there {
                    true => "the file ends within its header",
                    false => "the file is missing",
                },
            });
        }
        Ok(store.contents)
    }
}

impl<D: MetadataDisk> MetadataLog<D> {
    /// Opens or creates the store. A torn end is cut when the next entry comes. `directory` is what errors call the
    /// place.
    pub fn open_on(mut disk: D, directory: &Path) -> Result<(Self, Contents), MetadataLogError> {
        let fail = |error| io_error(directory, error);
        // A process that was killed may have made files whose names no sync has made durable.
        disk.sync_names().map_err(fail)?;
        let Store {
            contents,
            base,
            file,
            is_there,
            is_marked,
            mut good,
        } = read_store(&mut disk, directory)?;
        let path = directory.join(&file);
        let fail = |error| io_error(&path, error);
        if good == 0 {
            // The first start, or a crash between the file's creation and its first sync.
            disk.create(&file, &log_header(base)).map_err(fail)?;
            good = LOG_HEADER as u64;
        }
        if !is_there {
            disk.sync_names().map_err(fail)?;
        }
        remove_older(&mut disk, base);
        let mut log = Self {
            disk,
            file,
            bytes: good,
            last: base + contents.entries.len() as u64,
            torn: contents.torn_bytes > 0,
            poisoned: false,
            _lock: None,
        };
        if !log.torn
            && !is_marked
            && let Some(payload) = contents.entries.last()
        {
            log.settle(payload).map_err(fail)?;
        }
        Ok((log, contents))
    }

    /// The last entry may be known to the operating system alone: its writer was killed before the sync, or the sync
    /// failed and another one would not say so again. What is to be believed is written anew, with what it is synced.
    fn settle(&mut self, payload: &[u8]) -> io::Result<()> {
        let entry = entry(self.last, payload);
        let at = self.bytes - entry.len() as u64;
        self.disk.write(&self.file, at, &entry)?;
        self.disk.sync(&self.file)?;
        self.mark();
        Ok(())
    }

    /// Says that the last entry is durable. Nothing is lost where that fails: an entry without a mark may be torn.
    fn mark(&mut self) {
        let _ = self.disk.write(&self.file, self.bytes, &mark(self.last));
    }

    /// Cuts off what an entry has left that could not be written, or says that this is still to be done. The broker may
    /// end in good order yet, and after that a torn end is one that was lost.
    fn take_back(&mut self) {
        self.torn = self.disk.truncate(&self.file, self.bytes).is_err();
        if !self.torn && self.bytes > LOG_HEADER as u64 {
            self.mark();
        }
    }

    /// Makes a snapshot and the log behind it, whose name is `file`.
    fn prepare_snapshot(&mut self, snapshot: &[u8], file: &str) -> io::Result<()> {
        self.disk.create(UNFINISHED_SNAPSHOT, snapshot)?;
        // The log first: a snapshot without its log would be a store that lost entries.
        self.disk.create(file, &log_header(self.last))?;
        self.disk.sync_names()?;
        self.disk
            .rename(UNFINISHED_SNAPSHOT, &name("snapshot", self.last))
    }

    /// What fails in here stops the log.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if self.poisoned {
            return Err(io::Error::other("an earlier write of the metadata log failed"));
        }
        let result = work(self);
        self.poisoned = result.is_err();
        result
    }
}

impl<D: MetadataDisk> MetadataStore for MetadataLog<D> {
    fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
        if payload.len() > ENTRY_MAX as usize {
            return Err(io::Error::other("a metadata batch is too large"));
        }
        self.guarded(|log| {
            let entry = entry(log.last + 1, payload);
            if log.torn {
                log.disk.truncate(&log.file, log.bytes)?;
                log.torn = false;
            }
            if let Err(error) = log.disk.write(&log.file, log.bytes, &entry) {
                log.take_back();
                return match is_full(&error) {
                    true => Ok(Err(error)),
                    false => Err(error),
                };
            }
            log.disk.sync(&log.file).inspect_err(|_| log.take_back())?;
            log.last += 1;
            log.bytes += entry.len() as u64;
            log.mark();
            Ok(Ok(log.last))
        })?
    }

    fn replace(&mut self, snapshot: &[u8]) -> io::Result<()> {
        let file = name("log", self.last);
        if file == self.file {
            return Ok(());
        }
        self.guarded(|log| {
            let mut bytes = SNAPSHOT_MAGIC.to_vec();
            bytes.extend_from_slice(&VERSION.to_le_bytes());
            bytes.extend_from_slice(&log.last.to_le_bytes());
            bytes.extend_from_slice(&(snapshot.len() as u64).to_le_bytes());
            bytes.extend_from_slice(snapshot);
            bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            match log.prepare_snapshot(&bytes, &file) {
                // Until the snapshot has its name nobody looks at the new files.
                Err(error) if is_full(&error) => {
                    let _ = log.disk.remove(&file);
                    let _ = log.disk.remove(UNFINISHED_SNAPSHOT);
                    return Ok(Err(error));
                }
                prepared => prepared?,
            }
            if !planted::has(Bug::SnapshotNameNotSynced) {
                log.disk.sync_names()?;
            }
            (log.file, log.bytes, log.torn) = (file, LOG_HEADER as u64, false);
            remove_older(&mut log.disk, log.last);
            Ok(Ok(()))
        })?
    }

    fn log_bytes(&self) -> u64 {
        self.bytes
    }
}

/// The disk has no room. Quotas of the file system are no other case.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// An entry's bytes.
fn entry(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend_from_slice(payload);
    let length = u32::try_from(payload.len()).expect("entries are bounded");
    let mut entry = length.to_le_bytes().to_vec();
    entry.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    entry.extend_from_slice(&body);
    entry
}

impl fmt::Display for MetadataLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetadataLogError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            MetadataLogError::Locked { path } => write!(
                f,
                "another process uses this data directory (it holds {}); stop it, or choose another with --data-dir",
                path.display()
            ),
            MetadataLogError::NewerFormat { path, found } => write!(
                f,
                "{} has format {found}, this program knows {VERSION}: start the newer version that wrote it",
                path.display()
            ),
            MetadataLogError::Damaged { path, at, what } => write!(
                f,
                "the cluster's metadata is damaged: {} at byte {at}: {what}. Topics that were acknowledged cannot be \
                 read, so nothing is served; restore the file from a backup of the data directory",
                path.display()
            ),
        }
    }
}

fn lock(path: &Path) -> Result<File, MetadataLogError> {
    let fail = |error| io_error(path, error);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(MetadataLogError::Locked { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}

/// Removes what a newer snapshot has made superfluous. A failure leaves files that the next start removes.
fn remove_older(disk: &mut impl MetadataDisk, base: u64) {
    for file in disk.list().unwrap_or_default() {
        let number = file
            .strip_prefix("snapshot-")
            .or_else(|| file.strip_prefix("log-"));
        if number
            .and_then(|number| number.parse::<u64>().ok())
            .is_some_and(|number| number < base)
        {
            let _ = disk.remove(&file);
        }
    }
}

fn name(kind: &str, sequence: u64) -> String {
    format!("{kind}-{sequence:020}")
}

fn io_error(path: &Path, error: io::Error) -> MetadataLogError {
    MetadataLogError::Io {
        path: path.into(),
        error,
    }
}

/// The store's directory, below the data directory.
pub const METADATA: &str = "metadata";
/// Held by the process that has the store open.
const LOCK: &str = "lock";
const UNFINISHED_SNAPSHOT: &str = "snapshot.tmp";

#[cfg(test)]
mod tests;

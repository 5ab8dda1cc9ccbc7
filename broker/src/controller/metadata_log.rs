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
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::reading::{ENTRY_HEADER, SNAPSHOT_HEADER};
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("millstream-metadata-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn log_path(&self, base: u64) -> PathBuf {
            self.0.join(name("log", base))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn filled(directory: &Directory, entries: &[&[u8]]) {
        let (mut log, _) = MetadataLog::open(&directory.0, false).unwrap();
        for entry in entries {
            log.append(entry).unwrap();
        }
    }

    #[test]
    fn entries_and_snapshots_come_back() {
        let directory = Directory::new("back");
        filled(&directory, &[b"a", b"bc", b""]);
        let (mut log, contents) = MetadataLog::open(&directory.0, false).unwrap();
        assert_eq!(contents.entries, [b"a".to_vec(), b"bc".to_vec(), b"".to_vec()]);
        log.replace(b"state").unwrap();
        assert_eq!(log.append(b"d").unwrap(), 4);
        drop(log);
        let (_, contents) = MetadataLog::open(&directory.0, false).unwrap();
        assert_eq!(contents.snapshot.as_deref(), Some(&b"state"[..]));
        assert_eq!(contents.entries, [b"d".to_vec()]);
        assert_eq!(
            fs::read_dir(&directory.0).unwrap().count(),
            3,
            "older files are gone"
        );
    }

    #[test]
    fn a_torn_end_is_cut_at_every_length() {
        let directory = Directory::new("torn");
        filled(&directory, &[b"first", b"second"]);
        let whole = fs::read(directory.log_path(0)).unwrap();
        let first_end = LOG_HEADER + ENTRY_HEADER + 5;
        for cut in first_end..whole.len() - MARK_LEN {
            fs::write(directory.log_path(0), &whole[..cut]).unwrap();
            let (mut log, contents) = MetadataLog::open(&directory.0, false).unwrap();
            assert_eq!(contents.entries, [b"first".to_vec()], "cut at {cut}");
            let torn = Some(cut - first_end).filter(|torn| *torn > MARK_LEN);
            assert_eq!(contents.torn_bytes, torn.unwrap_or(0) as u64);
            assert_eq!(log.append(b"again").unwrap(), 2);
        }
        fs::write(directory.log_path(0), &whole[..10]).unwrap();
        assert_eq!(MetadataLog::open(&directory.0, false).unwrap().1.entries.len(), 0);
    }

    #[test]
    fn damage_before_a_valid_entry_is_refused() {
        let directory = Directory::new("damage");
        filled(&directory, &[b"first", b"second", b"third"]);
        let whole = fs::read(directory.log_path(0)).unwrap();
        for at in 0..whole.len() - MARK_LEN {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(directory.log_path(0), &bytes).unwrap();
            let opened = MetadataLog::open(&directory.0, false);
            assert!(
                matches!(opened, Err(MetadataLogError::Damaged { .. })),
                "byte {at}"
            );
        }
    }

    /// Places that look like entries, with lengths that reach far, are no reason to sum up the file again and again.
    #[test]
    fn damage_in_a_large_log_is_told_at_once() {
        let directory = Directory::new("large");
        filled(&directory, &[]);
        let mut bytes = log_header(0);
        for sequence in 1..=100_000u64 {
            let body = [&sequence.to_le_bytes()[..], &[2, 0, 0, 1, 0, 8, 0, 0]].concat();
            bytes.extend_from_slice(&8u32.to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
            bytes.extend_from_slice(&body);
        }
        let torn = bytes.len() - 3;
        bytes[LOG_HEADER + 20] ^= 1;
        fs::write(directory.log_path(0), &bytes).unwrap();
        let begun = std::time::Instant::now();
        let opened = MetadataLog::open(&directory.0, false);
        assert!(matches!(opened, Err(MetadataLogError::Damaged { at: 24, .. })));
        // Nothing valid follows: every place is looked at.
        bytes.truncate(torn);
        for entry in bytes[LOG_HEADER..].chunks_mut(24) {
            entry[4] ^= 1;
        }
        fs::write(directory.log_path(0), &bytes).unwrap();
        let (_, contents) = MetadataLog::open(&directory.0, false).unwrap();
        assert_eq!(contents.torn_bytes, (torn - LOG_HEADER) as u64);
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }

    /// A power cut may take the mark and leave the entry, or leave what the mark stood on torn.
    #[test]
    fn an_entry_without_its_mark_may_be_torn() {
        let directory = Directory::new("mark");
        filled(&directory, &[b"first", b"second"]);
        let whole = fs::read(directory.log_path(0)).unwrap();
        let end = whole.len() - MARK_LEN;
        assert_eq!(mark_at(&whole[end..]), Some(2));
        for len in end..whole.len() {
            fs::write(directory.log_path(0), &whole[..len]).unwrap();
            let contents = MetadataLog::open(&directory.0, true).unwrap().1;
            assert_eq!((contents.entries.len(), contents.torn_bytes), (2, 0));
            assert_eq!(
                fs::read(directory.log_path(0)).unwrap(),
                whole,
                "it is marked again"
            );
        }
        let mut torn = whole[..end].to_vec();
        torn[end - 1] ^= 1;
        fs::write(directory.log_path(0), &torn).unwrap();
        assert_eq!(MetadataLog::open(&directory.0, true).unwrap().1.entries.len(), 1);
    }

    type Files = BTreeMap<String, Vec<u8>>;

    /// A disk in memory whose power may go: what was synced, and what the operating system shows.
    #[derive(Clone, Debug)]
    struct Cached {
        durable: Files,
        shown: Files,
        /// Written and not synced: file, place and bytes.
        dirty: Vec<(String, u64, Vec<u8>)>,
        syncs_fail: bool,
        /// They stop in the middle.
        writes_fail: bool,
        /// Bytes that files may have together.
        room: usize,
    }

    impl Default for Cached {
        fn default() -> Self {
            Self {
                durable: Files::new(),
                shown: Files::new(),
                dirty: Vec::new(),
                syncs_fail: false,
                writes_fail: false,
                room: usize::MAX,
            }
        }
    }

    fn put(files: &mut Files, name: &str, at: u64, bytes: &[u8]) {
        let file = files.entry(name.to_owned()).or_default();
        file.resize(file.len().max(at as usize + bytes.len()), 0);
        file[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    impl Cached {
        fn power_cut(&mut self) {
            self.shown = self.durable.clone();
            self.dirty.clear();
        }

        fn used(&self) -> usize {
            self.shown.values().map(Vec::len).sum()
        }
    }

    impl MetadataDisk for Cached {
        fn list(&mut self) -> io::Result<Vec<String>> {
            Ok(self.shown.keys().cloned().collect())
        }

        fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
            Ok(self.shown[name].clone())
        }

        fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.shown.insert(name.to_owned(), Vec::new());
            self.write(name, 0, bytes)?;
            self.sync(name)
        }

        fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
            let longer = (at as usize + bytes.len()).saturating_sub(self.shown[name].len());
            let short = longer.saturating_sub(self.room.saturating_sub(self.used()));
            let written = &bytes[..(bytes.len() - short) / (1 + usize::from(self.writes_fail))];
            put(&mut self.shown, name, at, written);
            self.dirty.push((name.to_owned(), at, written.to_vec()));
            match short {
                _ if self.writes_fail => Err(io::Error::from_raw_os_error(5)),
                0 => Ok(()),
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn sync(&mut self, name: &str) -> io::Result<()> {
            let own = self.dirty.extract_if(.., |(file, _, _)| file == name);
            let own: Vec<_> = own.collect();
            if self.syncs_fail {
                return Err(io::Error::from_raw_os_error(5));
            }
            own.iter()
                .for_each(|(name, at, bytes)| put(&mut self.durable, name, *at, bytes));
            Ok(())
        }

        fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
            if self.syncs_fail {
                return Err(io::Error::from_raw_os_error(5));
            }
            for files in [&mut self.shown, &mut self.durable] {
                files.get_mut(name).unwrap().truncate(len as usize);
            }
            Ok(())
        }

        fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
            for files in [&mut self.shown, &mut self.durable] {
                let bytes = files.remove(from).unwrap();
                files.insert(to.to_owned(), bytes);
            }
            Ok(())
        }

        fn remove(&mut self, name: &str) -> io::Result<()> {
            self.shown.remove(name);
            self.durable.remove(name);
            Ok(())
        }

        fn sync_names(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An entry whose sync failed is shown to the next start. Whatever that one does for its sake is right after a
    /// power cut as well.
    #[test]
    fn what_a_start_believes_is_durable() {
        let open = |disk: &Cached| MetadataLog::open_on(disk.clone(), Path::new("metadata")).unwrap();
        let (mut log, _) = open(&Cached::default());
        log.append(b"first").unwrap();
        log.disk.syncs_fail = true;
        log.append(b"second").unwrap_err();
        log.disk.syncs_fail = false;
        let (mut log, contents) = open(&log.disk);
        assert_eq!(contents.entries, [b"first".to_vec(), b"second".to_vec()]);
        log.disk.power_cut();
        let (_, contents) = open(&log.disk);
        assert_eq!(contents.entries, [b"first".to_vec(), b"second".to_vec()]);
    }

    /// After an orderly end nobody would take such an end for one that a power cut tore.
    #[test]
    fn what_a_failed_write_left_is_cut_off() {
        let open = |disk: &Cached| MetadataLog::open_on(disk.clone(), Path::new("metadata")).unwrap();
        let (mut log, _) = open(&Cached::default());
        log.append(b"first").unwrap();
        log.disk.writes_fail = true;
        log.append(&[7; 200]).unwrap_err();
        log.disk.writes_fail = false;
        log.append(b"second").unwrap_err();
        let (mut log, contents) = open(&log.disk);
        assert_eq!((contents.entries.len(), contents.torn_bytes), (1, 0));
        log.append(b"second").unwrap();
        let (_, contents) = open(&log.disk);
        assert_eq!(contents.entries, [b"first".to_vec(), b"second".to_vec()]);
    }

    #[test]
    fn a_disk_without_room_refuses_and_goes_on_once_there_is_some() {
        let open = |disk: &Cached| MetadataLog::open_on(disk.clone(), Path::new("metadata")).unwrap();
        let is_full = |result: io::Result<()>| result.is_err_and(|error| is_full(&error));
        let (mut log, _) = open(&Cached::default());
        log.append(b"first").unwrap();
        let whole = log.disk.used();
        // With room for some of an entry, of a snapshot, and of the log behind a snapshot.
        for room in 0..100 {
            let (mut log, contents) = open(&log.disk);
            assert_eq!(contents.entries.len(), 1);
            log.disk.room = whole + room;
            let refused = log.append(&[7; 200]).map(drop);
            assert!(is_full(refused), "{room}");
            let snapshot = log.replace(b"state");
            assert!(snapshot.is_ok() || is_full(snapshot), "{room}");
            let (_, contents) = open(&log.disk);
            assert_eq!(contents.torn_bytes, 0, "{room}");
            let is_snapshot = contents.snapshot.is_some();
            assert_eq!(contents.entries.len(), usize::from(!is_snapshot), "{room}");
            log.disk.room = usize::MAX;
            log.append(b"second").unwrap();
            log.replace(b"later").unwrap();
            log.append(b"third").unwrap();
            log.disk.power_cut();
            let (_, contents) = open(&log.disk);
            assert_eq!(contents.snapshot.as_deref(), Some(&b"later"[..]));
            assert_eq!(contents.entries, [b"third".to_vec()]);
            assert_eq!(log.disk.shown.len(), 2, "{:?}", log.disk.shown.keys());
        }
    }

    #[test]
    fn a_store_that_has_begun_is_never_begun_anew() {
        let directory = Directory::new("begun");
        let is_refused = |directory: &Directory| {
            let before: Vec<_> = fs::read_dir(&directory.0).into_iter().flatten().collect();
            let opened = MetadataLog::open(&directory.0, true);
            let after: Vec<_> = fs::read_dir(&directory.0).into_iter().flatten().collect();
            assert_eq!(before.len(), after.len(), "nothing is made");
            opened.is_err()
        };
        assert!(is_refused(&directory), "no directory");
        filled(&directory, &[b"x"]);
        let log = directory.log_path(0);
        let whole = fs::read(&log).unwrap();
        fs::write(&log, &whole[..LOG_HEADER - 1]).unwrap();
        assert!(is_refused(&directory), "less than a header");
        fs::remove_file(&log).unwrap();
        assert!(is_refused(&directory), "no log");
        fs::write(&log, &whole).unwrap();
        MetadataLog::open(&directory.0, true)
            .unwrap()
            .0
            .replace(b"state")
            .unwrap();
        fs::remove_file(directory.0.join(name("snapshot", 1))).unwrap();
        assert!(is_refused(&directory), "no snapshot");
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = Directory::new("lock");
        let _first = MetadataLog::open(&directory.0, false).unwrap();
        assert!(matches!(
            MetadataLog::open(&directory.0, false),
            Err(MetadataLogError::Locked { .. })
        ));
    }

    #[test]
    fn a_newer_format_is_refused() {
        let directory = Directory::new("newer");
        filled(&directory, &[]);
        let mut bytes = fs::read(directory.log_path(0)).unwrap();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..20]).to_le_bytes();
        bytes[20..24].copy_from_slice(&crc);
        fs::write(directory.log_path(0), &bytes).unwrap();
        assert!(matches!(
            MetadataLog::open(&directory.0, false),
            Err(MetadataLogError::NewerFormat { found: 2, .. })
        ));
    }

    #[test]
    fn a_damaged_snapshot_is_refused() {
        let directory = Directory::new("snapshot");
        filled(&directory, &[b"x"]);
        MetadataLog::open(&directory.0, false)
            .unwrap()
            .0
            .replace(b"state")
            .unwrap();
        let path = directory.0.join(name("snapshot", 1));
        let mut bytes = fs::read(&path).unwrap();
        bytes[SNAPSHOT_HEADER] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(
            MetadataLog::open(&directory.0, false),
            Err(MetadataLogError::Damaged { .. })
        ));
    }
}

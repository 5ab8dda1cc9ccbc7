//! The metadata log, in order and damaged at every byte.

use std::collections::BTreeMap;
use std::fs;

use super::reading::{ENTRY_HEADER, SNAPSHOT_HEADER};
use super::*;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-metadata-{name}-{}", std::process::id()));
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

//! The files of the metadata log, read: the newest snapshot, the entries after it, and what of their end counts.

use std::path::Path;

use millstream_log::planted::{self, Bug};

use super::super::metadata_disk::MetadataDisk;
use super::{Contents, MetadataLogError, io_error, name};

/// What a store's files hold, and where entries go on.
pub(super) struct Store {
    pub(super) contents: Contents,
    pub(super) base: u64,
    /// The file that entries go to.
    pub(super) file: String,
    pub(super) is_there: bool,
    /// A mark says that its last entry was durable.
    pub(super) is_marked: bool,
    /// Exclusive end of its whole entries, or 0 where its header is not whole either.
    pub(super) good: u64,
}

/// Reads the newest snapshot and the entries after it; changes nothing.
pub(super) fn read_store(disk: &mut impl MetadataDisk, directory: &Path) -> Result<Store, MetadataLogError> {
    let fail = |error| io_error(directory, error);
    let names = disk.list().map_err(fail)?;
    let base = newest(&names, "snapshot-");
    let mut contents = Contents::default();
    if base > 0 {
        let file = name("snapshot", base);
        let bytes = disk.read(&file).map_err(fail)?;
        contents.snapshot = Some(read_snapshot(&directory.join(file), &bytes, base)?);
    }
    let file = name("log", base);
    let path = directory.join(&file);
    let damaged = |what| MetadataLogError::Damaged {
        path: path.clone(),
        at: 0,
        what,
    };
    let is_there = names.contains(&file);
    if !is_there && newest(&names, "log-") > base {
        return Err(damaged(
            "it is missing, and so is the snapshot that the newest log belongs to",
        ));
    }
    if !is_there && base > 0 {
        return Err(damaged("the log that belongs to the snapshot is missing"));
    }
    let bytes = match is_there {
        true => disk.read(&file).map_err(|error| io_error(&path, error))?,
        false => Vec::new(),
    };
    let mut good = 0;
    if bytes.len() >= LOG_HEADER {
        check_log_header(&path, &bytes, base)?;
        good = read_entries(&path, &bytes, base, &mut contents.entries)?;
    } else if base > 0 {
        // It was whole before the snapshot got its name.
        return Err(damaged("the file ends within its header"));
    }
    // So few bytes are no entry: it is the mark, whole or not.
    let last = base + contents.entries.len() as u64;
    let rest = bytes.len().saturating_sub(good);
    let is_marked = mark_at(&bytes[good..]) == Some(last);
    contents.torn_bytes = match is_marked || rest <= MARK_LEN {
        true => rest.saturating_sub(MARK_LEN) as u64,
        false => rest as u64,
    };
    (contents.log, contents.end) = (path, good as u64);
    Ok(Store {
        contents,
        base,
        file,
        is_there,
        is_marked,
        good: good as u64,
    })
}

pub(super) fn log_header(base: u64) -> Vec<u8> {
    let mut header = LOG_MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&base.to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

fn check_log_header(path: &Path, bytes: &[u8], base: u64) -> Result<(), MetadataLogError> {
    let damaged = |what| MetadataLogError::Damaged {
        path: path.into(),
        at: 0,
        what,
    };
    if bytes[..8] != *LOG_MAGIC {
        return Err(damaged("this is not a metadata log"));
    }
    if crc32c::crc32c(&bytes[..20]) != u32_at(bytes, 20) {
        return Err(damaged("the header's checksum does not match"));
    }
    check_version(path, u32_at(bytes, 8))?;
    if u64_at(bytes, 12) != base {
        return Err(damaged("the file belongs to another snapshot"));
    }
    Ok(())
}

/// Reads entries up to a torn end, whose position is returned.
fn read_entries(
    path: &Path,
    bytes: &[u8],
    base: u64,
    entries: &mut Vec<Vec<u8>>,
) -> Result<usize, MetadataLogError> {
    let mut at = LOG_HEADER;
    while at < bytes.len() {
        let next = base + entries.len() as u64 + 1;
        match entry_at(bytes, at) {
            Some((_, payload)) if is_dropped(bytes, at, payload) => break,
            Some((sequence, payload)) if sequence == next => {
                entries.push(payload.to_vec());
                at += ENTRY_HEADER + payload.len();
            }
            _ => {
                let is_marked = |at: usize| mark_at(&bytes[at..]).is_some_and(|sequence| sequence >= next);
                let what = if planted::has(Bug::MetadataDamageCut) {
                    break;
                } else if (at + 1..bytes.len()).any(|at| is_later_entry(bytes, at, next)) {
                    "an entry is unreadable, and valid entries follow it"
                } else if (at..bytes.len()).any(is_marked) {
                    "the last entry is unreadable, and it was whole once"
                } else if planted::has(Bug::MetadataDeletedOnDamage) {
                    entries.clear();
                    return Ok(LOG_HEADER);
                } else {
                    break;
                };
                return Err(MetadataLogError::Damaged {
                    path: path.into(),
                    at: at as u64,
                    what,
                });
            }
        }
    }
    Ok(at)
}

/// Whether a valid entry after that one lies at `at`. Most places are told by the sequence that they would have,
/// without a checksum: summing up at each would take seconds for a log of some megabytes.
fn is_later_entry(bytes: &[u8], at: usize, missing: u64) -> bool {
    let left = bytes.len() - at;
    if left < ENTRY_HEADER {
        return false;
    }
    let sequence = u64_at(bytes, at + 8);
    let last = missing + (bytes.len() / ENTRY_HEADER) as u64;
    sequence > missing && sequence <= last && entry_at(bytes, at).is_some()
}

/// Only where that bug is planted.
fn is_dropped(bytes: &[u8], at: usize, payload: &[u8]) -> bool {
    let end = at + ENTRY_HEADER + payload.len();
    planted::has(Bug::MetadataEntryDropped) && end + MARK_LEN >= bytes.len()
}

/// The sequence that a mark at the beginning of `bytes` names.
pub fn mark_at(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.get(..MARK_LEN).filter(|bytes| bytes[..4] == [0xff; 4])?;
    let sequence = u64_at(bytes, 8);
    (bytes == mark(sequence)).then_some(sequence)
}

pub(super) fn mark(sequence: u64) -> [u8; MARK_LEN] {
    let mut mark = [0xff; MARK_LEN];
    mark[8..].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc32c::crc32c(&mark[8..]);
    mark[4..8].copy_from_slice(&crc.to_le_bytes());
    mark
}

fn entry_at(bytes: &[u8], at: usize) -> Option<(u64, &[u8])> {
    if bytes.len() - at < ENTRY_HEADER {
        return None;
    }
    let length = u32_at(bytes, at);
    let end = at + ENTRY_HEADER + length as usize;
    if length > ENTRY_MAX || end > bytes.len() || crc32c::crc32c(&bytes[at + 8..end]) != u32_at(bytes, at + 4)
    {
        return None;
    }
    Some((u64_at(bytes, at + 8), &bytes[at + ENTRY_HEADER..end]))
}

fn read_snapshot(path: &Path, bytes: &[u8], sequence: u64) -> Result<Vec<u8>, MetadataLogError> {
    let damaged = |what| MetadataLogError::Damaged {
        path: path.into(),
        at: 0,
        what,
    };
    if bytes.len() < SNAPSHOT_HEADER + 4 || bytes[..8] != *SNAPSHOT_MAGIC {
        return Err(damaged("this is not a metadata snapshot"));
    }
    let end = bytes.len() - 4;
    if crc32c::crc32c(&bytes[..end]) != u32_at(bytes, end) {
        return Err(damaged("the checksum does not match"));
    }
    check_version(path, u32_at(bytes, 8))?;
    if u64_at(bytes, 12) != sequence || u64_at(bytes, 20) != (end - SNAPSHOT_HEADER) as u64 {
        return Err(damaged("the header does not match the file"));
    }
    Ok(bytes[SNAPSHOT_HEADER..end].to_vec())
}

fn check_version(path: &Path, found: u32) -> Result<(), MetadataLogError> {
    if found > VERSION {
        return Err(MetadataLogError::NewerFormat {
            path: path.into(),
            found,
        });
    }
    Ok(())
}

/// The number of the newest file of a kind, 0 when there is none.
fn newest(names: &[String], kind: &str) -> u64 {
    names
        .iter()
        .filter_map(|file| file.strip_prefix(kind)?.parse().ok())
        .max()
        .unwrap_or(0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(super) const LOG_MAGIC: &[u8; 8] = b"MSMETLOG";
pub(super) const SNAPSHOT_MAGIC: &[u8; 8] = b"MSMETSNP";
pub(super) const VERSION: u32 = 1;
pub(super) const LOG_HEADER: usize = 24;
pub(super) const ENTRY_HEADER: usize = 16;
pub const MARK_LEN: usize = 16;
pub(super) const SNAPSHOT_HEADER: usize = 28;
/// Bytes of one batch of records.
pub(super) const ENTRY_MAX: u32 = 16 << 20;

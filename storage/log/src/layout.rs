//! Where things lie in a data directory, and the sizes that every format shares. The bytes are in
//! `docs/formats.md`.

use alloc::format;
use alloc::string::String;

use crate::id::{JournalId, SegmentId};

/// The unit of direct I/O. A block is written whole; every write starts and ends at a multiple of it.
pub const BLOCK: u64 = 4096;
/// Where a segment's data begins in its file; before it lies the header.
pub const SEGMENT_DATA_AT: u64 = BLOCK;

/// The version of the directory as a whole; a higher one than ours is refused.
pub const FORMAT_VERSION: u32 = 1;

pub const IDENTITY: &str = "identity";
pub const LOCK: &str = "lock";
pub const SEGMENTS: &str = "segments";
pub const QUARANTINE: &str = "quarantine";

pub fn journal(id: JournalId) -> String {
    format!("journal-{}", id.get())
}

/// The checkpoint's two slots are two files, so that each may grow by itself: `slot` is 0 or 1.
pub fn checkpoint(id: JournalId, slot: usize) -> String {
    assert!(slot < 2, "a checkpoint has two slots");
    format!("checkpoint-{}-{}", id.get(), ["a", "b"][slot])
}

pub fn rescue(id: JournalId) -> String {
    format!("rescue-{}", id.get())
}

/// The folder of a segment within [`SEGMENTS`]: the low byte of the id, so that the folders fill evenly.
pub fn segment_folder(id: SegmentId) -> String {
    format!("{:02x}", id.get() & 0xff)
}

/// A segment's path below the data directory.
pub fn segment(id: SegmentId) -> String {
    format!("{SEGMENTS}/{}/{:016x}.seg", segment_folder(id), id.get())
}

/// A sealed segment's sidecar index.
pub fn sidecar(id: SegmentId) -> String {
    format!("{SEGMENTS}/{}/{:016x}.idx", segment_folder(id), id.get())
}

/// What a file's name says that it is; `None` for a name that this program never gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileName {
    Journal(JournalId),
    Checkpoint(JournalId, usize),
    Rescue(JournalId),
    Segment(SegmentId),
    Sidecar(SegmentId),
}

impl FileName {
    /// Reads the last component of a path.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(hex) = name.strip_suffix(".seg") {
            return segment_id(hex).map(Self::Segment);
        }
        if let Some(hex) = name.strip_suffix(".idx") {
            return segment_id(hex).map(Self::Sidecar);
        }
        if let Some(number) = name.strip_prefix("journal-") {
            return journal_id(number).map(Self::Journal);
        }
        if let Some(number) = name.strip_prefix("rescue-") {
            return journal_id(number).map(Self::Rescue);
        }
        let (number, slot) = name.strip_prefix("checkpoint-")?.rsplit_once('-')?;
        let slot = ["a", "b"].iter().position(|&known| known == slot)?;
        journal_id(number).map(|id| Self::Checkpoint(id, slot))
    }
}

fn segment_id(hex: &str) -> Option<SegmentId> {
    let plain = hex.len() == 16
        && hex
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if plain {
        u64::from_str_radix(hex, 16).ok().map(SegmentId::new)
    } else {
        None
    }
}

fn journal_id(number: &str) -> Option<JournalId> {
    let plain = number.bytes().all(|digit| digit.is_ascii_digit());
    if plain {
        number.parse().ok().map(JournalId::new)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let (journal_id, segment_id) = (JournalId::new(7), SegmentId::new(0xab_0000_0001_02cd));
        let last = |path: &str| FileName::parse(path.rsplit('/').next().unwrap());
        assert_eq!(last(&journal(journal_id)), Some(FileName::Journal(journal_id)));
        assert_eq!(
            last(&checkpoint(journal_id, 1)),
            Some(FileName::Checkpoint(journal_id, 1))
        );
        assert_eq!(last(&rescue(journal_id)), Some(FileName::Rescue(journal_id)));
        assert_eq!(last(&segment(segment_id)), Some(FileName::Segment(segment_id)));
        assert_eq!(last(&sidecar(segment_id)), Some(FileName::Sidecar(segment_id)));
        assert_eq!(segment(segment_id), "segments/cd/00ab0000000102cd.seg");
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in [
            "",
            "lost+found",
            "journal-",
            "journal-+1",
            "checkpoint-1",
            "00ab.seg",
            "checkpoint-1-c",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}

//! Checkpoints and journals as their files hold them, whatever a start would make of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use millstream_log::layout::{self, FileName};
use millstream_log::{
    ChainPoint, Checkpoint, CheckpointHead, FormatError, JournalId, Round, RoundReader, Step,
};

use crate::cli::Failure;

/// The journals and checkpoints of a directory, by their ids.
pub fn journal_ids(path: &Path) -> Result<BTreeSet<JournalId>, Failure> {
    let names = fs::read_dir(path).map_err(|error| cannot_read(path, &error))?;
    let ids = names.filter_map(
        |entry| match FileName::parse(entry.ok()?.file_name().to_str()?)? {
            FileName::Journal(id) | FileName::Checkpoint(id, _) => Some(id),
            _ => None,
        },
    );
    Ok(ids.collect())
}

/// Both slots of a checkpoint; a missing file is a short one.
pub fn checkpoint_slots(path: &Path, id: JournalId) -> [Result<Checkpoint, FormatError>; 2] {
    [0, 1].map(|slot| {
        let bytes = fs::read(path.join(layout::checkpoint(id, slot))).map_err(|_| FormatError::Short)?;
        Checkpoint::decode(&bytes)
    })
}

/// Follows a journal's chain, round by round, from where its checkpoint needs it.
pub fn walk_journal(
    path: &Path,
    head: &CheckpointHead,
    mut each: impl FnMut(&Round<'_>, u64) -> Result<(), Failure>,
) -> Result<ChainPoint, Failure> {
    let journal = path.join(layout::journal(head.journal.id));
    let file = File::open(&journal).map_err(|error| cannot_read(&journal, &error))?;
    let mut reader = RoundReader::new(
        head.journal,
        head.ring_bytes,
        head.tail,
        head.raised_at,
        head.incarnation,
    );
    let (mut at, mut bytes) = (0, Vec::new());
    loop {
        let need = match reader.step(at, &bytes) {
            Step::Need { at, len } => (at, len),
            Step::Round { round, at } => {
                each(&round, at)?;
                continue;
            }
            Step::End(point) => return Ok(point),
        };
        at = need.0;
        let ahead = (head.ring_bytes - at).min(READ_AHEAD);
        bytes = read_at(&file, at, need.1.max(ahead)).map_err(|error| cannot_read(&journal, &error))?;
        // A file that was cut short ends its chain.
        bytes.resize(bytes.len().max(need.1 as usize), 0);
    }
}

/// As many bytes as the file has there, at most `len`.
fn read_at(file: &File, at: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(&format!("{} cannot be read", path.display()), error)
}

const READ_AHEAD: u64 = 1 << 20;

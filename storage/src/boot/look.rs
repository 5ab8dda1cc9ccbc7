//! What a start would find in a data directory, found without changing a byte of it.
//!
//! Place: for the tools that read a directory no broker serves; the reading is that of a start ([`super::journals`]),
//! through a [`Door`] that cannot write. Where a start would end, this goes on and tells so.

use std::path::Path;

use millstream_log::{Identity, Recovered, RunMemory, layout};
use millstream_ring::Ring;

use super::KnownTopics;
use super::door::Door;
use super::journals;
use super::partitions::lost_partitions;
use super::told::{Finding, Means, Told};
use crate::error::OpenError;

/// A directory as the next start would have it.
pub struct Looked<M = Vec<u8>> {
    /// `None` where it does not read.
    pub identity: Option<Identity>,
    pub recovered: Recovered<M>,
    /// A checkpoint is lost: there may be partitions of which `recovered` does not tell.
    pub is_blind: bool,
}

/// Looks at identity, checkpoints, journals and rescue files. `each` hears what is not as it should be.
pub fn look<R: Ring, M: RunMemory>(
    ring: &mut R,
    dir: &Path,
    topics: &dyn KnownTopics,
    each: &mut dyn FnMut(Finding),
) -> Result<Looked<M>, OpenError> {
    look_through(&mut Door::to_look(ring), dir, topics, each)
}

pub(super) fn look_through<R: Ring, M: RunMemory>(
    door: &mut Door<'_, R>,
    dir: &Path,
    topics: &dyn KnownTopics,
    each: &mut dyn FnMut(Finding),
) -> Result<Looked<M>, OpenError> {
    let identity = look_at_identity(door, dir, topics, each)?;
    let replayed = journals::replay(door, dir, &mut Told::Look(each))?;
    let mut recovered = replayed.recovered;
    // The next start has as many shards as there are journals, as far as anybody can tell.
    let lost = lost_partitions(topics, &recovered, recovered.journals.len());
    recovered.partitions.extend(lost);
    Ok(Looked {
        identity,
        recovered,
        is_blind: replayed.is_blind,
    })
}

fn look_at_identity<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    topics: &dyn KnownTopics,
    each: &mut dyn FnMut(Finding),
) -> Result<Option<Identity>, OpenError> {
    let names = door.list(dir)?;
    let is_ours = |name: &str| layout::FileName::parse(name).is_some();
    let Some(entry) = names.iter().find(|entry| entry.name == layout::IDENTITY) else {
        if !names.iter().any(|entry| is_ours(&entry.name)) {
            return Err(OpenError::NotADirectory {
                path: dir.display().to_string(),
            });
        }
        let what = super::missing_identity(dir);
        each(Finding::of_file(
            layout::IDENTITY.to_owned(),
            what,
            Means::Refused,
        ));
        return Ok(None);
    };
    let path = dir.join(layout::IDENTITY);
    let (file, _) = door.open(&path, false)?;
    let bufs = door.read_all(&path, file, entry.size)?;
    door.close(file);
    let decoded = super::decode_identity(&path, bufs.first().map_or(&[], |buf| buf));
    match decoded.and_then(|identity| super::belongs(&identity, topics).map(|()| identity)) {
        Ok(identity) => Ok(Some(identity)),
        Err(OpenError::BadIdentity { what }) => {
            each(Finding::of_file(
                layout::IDENTITY.to_owned(),
                what,
                Means::Refused,
            ));
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

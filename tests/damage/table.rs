//! The table of what damage does. See `main.rs` for how a row is checked.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::directory::{State, Template, Templates};

/// One kind of damage to one kind of file.
pub struct Row {
    pub state: State,
    pub file: File,
    pub act: Act,
    pub start: Start,
    /// Partitions that are not served whole; "@round" is the one whose round in the journal was damaged. All others
    /// are, and take appends; with "@doubted" not those of that journal, of which it may have held more.
    pub lost: &'static [&'static str],
    /// What `log verify` ends with, and a part of what it says.
    pub verify: (i32, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    Identity,
    Lock,
    /// Journal 1, in the first round that holds a batch.
    Journal,
    /// The slot of journal 1 that counts, and the other one.
    NewestCheckpoint,
    OlderCheckpoint,
    /// Of `large-0`: the first segment, and its index; the last segment.
    SealedSegment,
    SealedHeader,
    Sidecar,
    ActiveSegment,
    /// Of `small-0`.
    SmallSegment,
    Rescue,
    MetadataLock,
    Snapshot,
    /// In the first entry, in the last one, in the mark behind it, and in the header.
    MetadataLog,
    MetadataEnd,
    MetadataMark,
    MetadataHeader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Flip,
    /// A block of 4 KiB.
    Zero,
    Truncate,
    /// With another file of the kind; of a file that a directory has once, with that of another cluster's directory, if
    /// that has one.
    Swap,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Without a word.
    Serves,
    /// With a warning that has this part, at the start or when a reader comes to it.
    Says(&'static str),
    Refused(&'static str),
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.state, self.file, self.act)
    }
}

impl File {
    pub fn path(self, template: &Template) -> String {
        let segments = |topic: &str| &template.segments[&(topic.to_owned(), 0)];
        let metadata = |kind: &str| {
            let names = fs::read_dir(template.data.join("metadata")).expect("a folder");
            let names = names.map(|name| name.expect("a name").file_name().to_string_lossy().into_owned());
            let name = names.filter(|name| name.starts_with(kind)).max();
            format!("metadata/{}", name.expect("a file of the metadata"))
        };
        match self {
            File::Identity => "identity".to_owned(),
            File::Lock => "lock".to_owned(),
            File::Journal => "journal-1".to_owned(),
            File::NewestCheckpoint => template.checkpoints()[0].clone(),
            File::OlderCheckpoint => template.checkpoints()[1].clone(),
            File::SealedSegment | File::SealedHeader => segments("large")[0].clone(),
            File::Sidecar => segments("large")[0].replace(".seg", ".idx"),
            File::ActiveSegment => segments("large").last().expect("a segment").clone(),
            File::SmallSegment => segments("small")[0].clone(),
            File::Rescue => {
                let names = fs::read_dir(&template.data).expect("a folder");
                let names =
                    names.map(|name| name.expect("a name").file_name().to_string_lossy().into_owned());
                names
                    .filter(|name| name.starts_with("rescue-"))
                    .max()
                    .expect("a rescue file")
            }
            File::MetadataLock => "metadata/lock".to_owned(),
            File::Snapshot => metadata("snapshot-"),
            File::MetadataLog | File::MetadataEnd | File::MetadataMark | File::MetadataHeader => {
                metadata("log-")
            }
        }
    }

    /// The byte that is flipped, in the block that is zeroed; where the file is cut.
    pub fn place(self, template: &Template) -> usize {
        let len = || {
            fs::metadata(template.data.join(self.path(template)))
                .expect("a file")
                .len() as usize
        };
        match self {
            File::Lock | File::MetadataLock => 0,
            File::Identity => 20,
            File::Journal => template.batch_in_journal().map_or(4096 + 100, |(at, _)| at),
            File::NewestCheckpoint | File::OlderCheckpoint => 200,
            // In the sixth of the batches.
            File::SealedSegment => 4096 + 550_000,
            File::SealedHeader => 30,
            File::Sidecar => 40,
            File::ActiveSegment => 4096 + 50_000,
            File::SmallSegment => 4096 + 500,
            File::Rescue => 300,
            File::Snapshot => 60,
            File::MetadataLog => 24 + 20,
            File::MetadataEnd => len() - 16 - 3,
            File::MetadataMark => len() - 3,
            File::MetadataHeader => 14,
        }
    }

    /// Another file of the kind.
    pub fn other(self, templates: &Templates, template: &Template, data: &Path) -> PathBuf {
        let stranger = |path: &str| templates.stranger.join(path);
        let of_other = |at: usize| data.join(&template.segments[&("other".to_owned(), 0)][at]);
        match self {
            File::Identity => stranger("identity"),
            File::Journal => data.join("journal-2"),
            File::NewestCheckpoint => data.join(&template.checkpoints()[1]),
            File::OlderCheckpoint => {
                let path = data.join(self.path(template).replace("checkpoint-1", "checkpoint-2"));
                assert!(path.exists());
                path
            }
            File::SealedSegment | File::SealedHeader => of_other(0),
            File::Sidecar => of_other(0).with_extension("idx"),
            File::ActiveSegment => of_other(template.segments[&("other".to_owned(), 0)].len() - 1),
            File::SmallSegment => data.join(&template.segments[&("small".to_owned(), 1)][0]),
            File::Snapshot
            | File::MetadataLog
            | File::MetadataEnd
            | File::MetadataMark
            | File::MetadataHeader => {
                let path = self.path(template);
                let kind = path
                    .trim_start_matches("metadata/")
                    .split('-')
                    .next()
                    .expect("a kind")
                    .to_owned();
                let names = fs::read_dir(stranger("metadata")).expect("a folder");
                let mut paths = names.map(|name| name.expect("a name").path());
                let found = paths.find(|path| {
                    path.file_name()
                        .is_some_and(|name| name.to_string_lossy().starts_with(&format!("{kind}-")))
                });
                found.expect("a file of the metadata")
            }
            // There is one of them: with another file of its journal.
            File::Rescue => data.join(&template.checkpoints()[1]),
            File::Lock | File::MetadataLock => unreachable!("they are empty"),
        }
    }
}

use Act::*;
use File::*;
use Start::*;
use State::*;

const fn row(
    state: State,
    file: File,
    act: Act,
    start: Start,
    lost: &'static [&'static str],
    verify: (i32, &'static str),
) -> Row {
    Row {
        state,
        file,
        act,
        start,
        lost,
        verify,
    }
}

#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // The identity never changes: nothing is lost with it, and nothing is believed without it.
    row(Ended, Identity, Flip, Refused("put back the one of any backup"), &[], (6, "LOST")),
    row(Ended, Identity, Zero, Refused("put back the one of any backup"), &[], (6, "LOST")),
    row(Ended, Identity, Truncate, Refused("put back the one of any backup"), &[], (6, "LOST")),
    row(Ended, Identity, Swap, Refused("put back the one of any backup"), &[], (6, "LOST")),
    row(Ended, Identity, Delete, Refused("put back the one of any backup"), &[], (6, "LOST")),
    // Locks say nothing but that somebody holds them.
    row(Ended, Lock, Delete, Serves, &[], (0, "")),
    row(Ended, MetadataLock, Delete, Serves, &[], (0, "")),
    // After an orderly end nothing in the journal counts.
    row(Ended, Journal, Flip, Serves, &[], (0, "")),
    row(Ended, Journal, Zero, Serves, &[], (0, "")),
    row(Ended, Journal, Truncate, Says("it is made anew"), &[], (6, "nothing is lost")),
    row(Ended, Journal, Swap, Serves, &[], (0, "")),
    row(Ended, Journal, Delete, Says("it is made anew"), &[], (6, "nothing is lost")),
    // After a kill it holds what was written last.
    row(Killed, Journal, Flip, Says("is damaged"), &["@round", "@doubted"], (6, "a round of the journal")),
    row(Killed, Journal, Zero, Says("is damaged"), &["@round", "@doubted"], (6, "a round of the journal")),
    row(Killed, Journal, Truncate, Refused("journal-1 has"), &[], (6, "LOST")),
    row(Killed, Journal, Swap, Refused("none of its rounds"), &[], (6, "none of its rounds")),
    row(Killed, Journal, Delete, Refused("journal-1 is missing"), &[], (6, "journal-1")),
    // Checkpoints.
    row(Ended, NewestCheckpoint, Flip, Serves, &[], (0, "")),
    row(Ended, NewestCheckpoint, Zero, Serves, &[], (0, "")),
    row(Ended, NewestCheckpoint, Truncate, Serves, &[], (0, "")),
    row(Ended, NewestCheckpoint, Swap, Refused("neither"), &[], (6, "LOST")),
    row(Ended, NewestCheckpoint, Delete, Says("it is missing"), &[], (6, "DAMAGED")),
    row(Ended, OlderCheckpoint, Flip, Says("checkpoint"), &[], (6, "DAMAGED")),
    row(Ended, OlderCheckpoint, Zero, Says("checkpoint"), &[], (6, "DAMAGED")),
    row(Ended, OlderCheckpoint, Truncate, Says("checkpoint"), &[], (6, "DAMAGED")),
    row(Ended, OlderCheckpoint, Swap, Says("checkpoint"), &[], (6, "DAMAGED")),
    row(Ended, OlderCheckpoint, Delete, Says("checkpoint"), &[], (6, "DAMAGED")),
    // The one before it and the journal tell everything, until the journal writes over what that one needs.
    row(Killed, NewestCheckpoint, Flip, Says("checkpoint-1"), &[], (6, "nothing is lost")),
    row(Killed, NewestCheckpoint, Zero, Says("checkpoint-1"), &[], (6, "nothing is lost")),
    row(Killed, NewestCheckpoint, Truncate, Says("checkpoint-1"), &[], (6, "nothing is lost")),
    row(Killed, NewestCheckpoint, Swap, Refused("neither"), &[], (6, "LOST")),
    row(Killed, NewestCheckpoint, Delete, Says("it is missing"), &[], (6, "nothing is lost")),
    row(Killed, OlderCheckpoint, Flip, Serves, &[], (0, "note")),
    row(Killed, OlderCheckpoint, Zero, Serves, &[], (0, "note")),
    row(Killed, OlderCheckpoint, Truncate, Serves, &[], (0, "note")),
    row(Killed, OlderCheckpoint, Swap, Serves, &[], (0, "note")),
    row(Killed, OlderCheckpoint, Delete, Says("checkpoint"), &[], (6, "DAMAGED")),
    // Segments.
    row(Ended, SealedSegment, Flip, Says("large"), &["large-0"], (6, "large-0, offset 5")),
    row(Ended, SealedSegment, Zero, Says("large"), &["large-0"], (6, "large-0, offset 5")),
    row(Ended, SealedSegment, Truncate, Says("large"), &["large-0"], (6, "large-0, offsets 5")),
    row(Ended, SealedSegment, Swap, Says("large"), &["large-0", "other-0"], (6, "header")),
    row(Ended, SealedSegment, Delete, Says("large"), &["large-0"], (6, "missing")),
    row(Ended, SealedHeader, Flip, Says("large"), &["large-0"], (6, "header")),
    row(Ended, SealedHeader, Zero, Says("large"), &["large-0"], (6, "header")),
    row(Ended, SealedHeader, Truncate, Says("large"), &["large-0"], (6, "header")),
    row(Ended, ActiveSegment, Flip, Says("large"), &["large-0"], (6, "large-0")),
    row(Ended, ActiveSegment, Zero, Says("large"), &["large-0"], (6, "large-0")),
    row(Ended, ActiveSegment, Truncate, Says("large"), &["large-0"], (6, "large-0")),
    row(Ended, ActiveSegment, Swap, Says("large"), &["large-0", "other-0"], (6, "header")),
    row(Ended, ActiveSegment, Delete, Says("large"), &["large-0"], (6, "missing")),
    row(Ended, SmallSegment, Flip, Says("small"), &["small-0"], (6, "small-0")),
    row(Ended, SmallSegment, Zero, Says("small"), &["small-0"], (6, "small-0")),
    row(Ended, SmallSegment, Truncate, Says("small"), &["small-0"], (6, "small-0")),
    row(Ended, SmallSegment, Swap, Says("small"), &["small-0", "small-1"], (6, "header")),
    row(Ended, SmallSegment, Delete, Says("small"), &["small-0"], (6, "missing")),
    // The journal holds all of it.
    row(Killed, SmallSegment, Delete, Serves, &[], (0, "")),
    row(Killed, ActiveSegment, Delete, Says("large"), &["large-0"], (6, "missing")),
    // The index of a sealed segment is made anew.
    row(Ended, Sidecar, Flip, Says("rebuilt"), &[], (6, "DAMAGED")),
    row(Ended, Sidecar, Zero, Says("rebuilt"), &[], (6, "DAMAGED")),
    row(Ended, Sidecar, Truncate, Says("rebuilt"), &[], (6, "DAMAGED")),
    row(Ended, Sidecar, Swap, Says("rebuilt"), &[], (6, "DAMAGED")),
    row(Ended, Sidecar, Delete, Says("rebuilt"), &[], (6, "DAMAGED")),
    // What was rescued of a partition that is out of service.
    row(Rescued, Rescue, Flip, Says("rescue"), &["large-0"], (6, "rescue")),
    row(Rescued, Rescue, Zero, Says("rescue"), &["large-0"], (6, "rescue")),
    row(Rescued, Rescue, Truncate, Says("rescue"), &["large-0"], (6, "rescue")),
    row(Rescued, Rescue, Swap, Says("rescue"), &["large-0"], (6, "rescue")),
    row(Rescued, Rescue, Delete, Says("large"), &["large-0"], (6, "large-0")),
    // The cluster's metadata.
    row(Ended, Snapshot, Flip, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, Snapshot, Zero, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, Snapshot, Truncate, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, Snapshot, Swap, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, Snapshot, Delete, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataLog, Flip, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataLog, Zero, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataLog, Truncate, Refused("closed in good order"), &[], (6, "LOST")),
    row(Ended, MetadataLog, Swap, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataLog, Delete, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataEnd, Flip, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataEnd, Truncate, Refused("closed in good order"), &[], (6, "LOST")),
    row(Ended, MetadataMark, Flip, Serves, &[], (0, "")),
    row(Killed, MetadataEnd, Flip, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Killed, MetadataEnd, Truncate, Says("a topic that nobody knows"), &["late-b-0"], (6, "does not know")),
    row(Ended, MetadataHeader, Flip, Refused("metadata is damaged"), &[], (6, "LOST")),
    row(Ended, MetadataHeader, Truncate, Refused("metadata is damaged"), &[], (6, "LOST")),
];

/// Places of a file that has rows of its own besides.
const PLACES: [File; 4] = [SealedHeader, MetadataEnd, MetadataMark, MetadataHeader];

#[test]
fn every_file_meets_every_damage() {
    let files = [
        Identity,
        Lock,
        Journal,
        NewestCheckpoint,
        OlderCheckpoint,
        SealedSegment,
        SealedHeader,
        Sidecar,
        ActiveSegment,
        SmallSegment,
        Rescue,
        MetadataLock,
        Snapshot,
        MetadataLog,
        MetadataEnd,
        MetadataMark,
        MetadataHeader,
    ];
    assert!(TABLE.iter().all(|row| files.contains(&row.file)));
    for file in files.into_iter().filter(|file| !PLACES.contains(file)) {
        let acts = [Flip, Zero, Truncate, Swap, Delete].into_iter();
        let is_empty = [Lock, MetadataLock].contains(&file);
        for act in acts.filter(|act| !is_empty || *act == Delete) {
            let is_there = |row: &Row| (row.file, row.act) == (file, act);
            assert!(TABLE.iter().any(is_there), "{file:?}, {act:?}");
        }
    }
}

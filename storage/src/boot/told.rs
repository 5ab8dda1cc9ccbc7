//! What reading a directory has to tell: a start hears what an operator should know and ends at what it cannot get
//! past, a look hears everything and goes on.

use std::ops::Range;

use millstream_log::PartitionKey;
use millstream_protocol::types::Offset;

use crate::error::OpenError;

/// One thing in a data directory that is not as it should be, or that a start will change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its path below the data directory.
    pub file: String,
    /// The file's byte where it begins; `None` where it is the file as a whole.
    pub at: Option<u64>,
    /// Whose records it concerns, if it is one partition's.
    pub partition: Option<PartitionKey>,
    /// The offsets that it concerns.
    pub offsets: Option<Range<Offset>>,
    /// In plain words, no full stop at its end.
    pub what: String,
    pub means: Means,
}

/// What a finding comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// Damage: no start gets past it, and nothing of the directory is served.
    Refused,
    /// Damage: the next start takes the partition out of service from the first of the offsets on.
    Fenced,
    /// Damage: the partition is taken out of service when a reader comes to the first of the offsets.
    FencedWhenRead,
    /// Damage: the metadata lost the topic. Its records are kept, and served to nobody.
    Unknown,
    /// Damage without loss: the same is known from elsewhere, and is written anew.
    Rebuilt,
    /// What a power cut leaves: it was never acknowledged, and the next start cuts it off.
    Cut,
    /// No damage: the next start moves it to the quarantine.
    PutAside,
    /// No damage: the next start removes it, as what was committed asks for.
    Removed,
    /// No damage: nothing depends on it.
    Ignored,
}

impl Means {
    /// What was written is not there any more.
    pub fn is_damage(self) -> bool {
        self.is_loss() || self == Means::Rebuilt
    }

    /// And cannot be had from elsewhere in the directory.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Means::Refused | Means::Fenced | Means::FencedWhenRead | Means::Unknown
        )
    }
}

/// Who hears it.
pub(super) enum Told<'a> {
    /// Lines for the report of a start.
    Start(&'a mut Vec<String>),
    Look(&'a mut dyn FnMut(Finding)),
}

impl Told<'_> {
    /// What a start cannot get past. A look goes on with what else there is.
    pub(super) fn refuse(&mut self, file: &str, error: OpenError) -> Result<(), OpenError> {
        let Told::Look(each) = self else {
            return Err(error);
        };
        let what = match error {
            OpenError::Damaged { what } | OpenError::BadIdentity { what } => what,
            other => other.to_string(),
        };
        each(Finding::of_file(file.to_owned(), what, Means::Refused));
        Ok(())
    }

    /// What an operator should know.
    pub(super) fn warn(&mut self, finding: Finding) {
        match self {
            Told::Start(report) => report.push(format!("{}: {}", finding.file, finding.what)),
            Told::Look(each) => each(finding),
        }
    }

    /// What a start need not speak of.
    pub(super) fn mention(&mut self, finding: impl FnOnce() -> Finding) {
        if let Told::Look(each) = self {
            each(finding());
        }
    }
}

impl Finding {
    /// Of a file as a whole.
    pub(super) fn of_file(file: String, what: String, means: Means) -> Finding {
        Finding {
            file,
            at: None,
            partition: None,
            offsets: None,
            what,
            means,
        }
    }

    pub(super) fn at(self, at: u64) -> Finding {
        Finding { at: Some(at), ..self }
    }

    pub(super) fn of_partition(self, partition: PartitionKey, offsets: Range<Offset>) -> Finding {
        Finding {
            partition: Some(partition),
            offsets: Some(offsets),
            ..self
        }
    }
}

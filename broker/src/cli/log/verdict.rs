//! A finding in words: what is wrong and where, what it comes to, and what to do about it.

use millstream_protocol::types::Offset;
use millstream_storage::boot::{Finding, Means};
use serde::Serialize;

/// One finding as it is printed.
#[derive(Serialize)]
pub struct Verdict {
    kind: &'static str,
    severity: Severity,
    file: String,
    /// Of the file.
    byte: Option<u64>,
    topic: Option<String>,
    partition: Option<i32>,
    /// The first offset concerned.
    from: Option<i64>,
    /// Exclusive; absent where nothing tells it.
    end: Option<i64>,
    what: String,
    means: String,
    todo: &'static str,
}

/// What the exit code and the colour go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What a power cut leaves, or what is not ours: no damage.
    Note,
    /// Something was damaged, and nothing is lost by it.
    Damaged,
    /// Acknowledged records cannot be read.
    Lost,
}

impl Verdict {
    /// `topic`: of the finding's partition, by name where that is known.
    pub fn new(finding: Finding, topic: Option<String>) -> Verdict {
        let severity = match finding.means {
            means if means.is_loss() => Severity::Lost,
            means if means.is_damage() => Severity::Damaged,
            _ => Severity::Note,
        };
        let offsets = finding.offsets.as_ref();
        Verdict {
            kind: "finding",
            severity,
            means: meaning(&finding),
            todo: todo(&finding),
            byte: finding.at,
            topic,
            partition: finding.partition.map(|key| key.partition.get()),
            from: offsets.map(|offsets| offsets.start.get()),
            end: offsets
                .map(|offsets| offsets.end)
                .filter(|end| *end < Offset::MAX)
                .map(Offset::get),
            file: finding.file,
            what: finding.what,
        }
    }

    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The partition's name, and how many of its offsets are lost.
    pub fn loss(&self) -> Option<(String, i64)> {
        let name = format!("{}-{}", self.topic.as_ref()?, self.partition?);
        let count = self.end? - self.from?;
        (self.severity == Severity::Lost).then_some((name, count))
    }

    /// The first line, which tells what it is about.
    pub fn head(&self) -> String {
        let of = match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => format!("{topic}-{partition}"),
            _ => return self.file.clone(),
        };
        match (self.from, self.end) {
            (Some(from), Some(end)) if end == from + 1 => format!("{of}, offset {from}"),
            (Some(from), Some(end)) if end > from => format!("{of}, offsets {from} to {}", end - 1),
            (Some(from), _) => format!("{of}, from offset {from} on"),
            _ => of,
        }
    }

    /// The lines below it.
    pub fn body(&self) -> Vec<String> {
        let place = match self.byte {
            Some(byte) => format!("{}, byte {byte}: {}", self.file, self.what),
            None => format!("{}: {}", self.file, self.what),
        };
        vec![
            place,
            format!("This means: {}.", self.means),
            format!("To do: {}.", self.todo),
        ]
    }
}

fn meaning(finding: &Finding) -> String {
    let from = finding
        .offsets
        .as_ref()
        .map_or(Offset::ZERO, |offsets| offsets.start);
    match finding.means {
        Means::Refused => "no broker starts with this, and nothing of the directory is served".to_owned(),
        Means::Fenced => format!(
            "from the next start on the partition serves what lies below offset {from} and refuses everything else, \
             writes too; other partitions are not touched"
        ),
        Means::FencedWhenRead => format!(
            "the partition serves what lies below offset {from}; when a reader comes to it, everything from there on \
             is refused, writes too; other partitions are not touched"
        ),
        Means::Unknown => "its records are kept, and served to nobody".to_owned(),
        Means::Rebuilt => "nothing is lost: it is written anew".to_owned(),
        Means::Cut => "no acknowledged record is lost: the next start cuts it off".to_owned(),
        Means::PutAside => "the next start moves it to quarantine/, and serves nothing of it".to_owned(),
        Means::Removed => "the next start removes it, as what was committed asks for".to_owned(),
        Means::Ignored => "nothing depends on it".to_owned(),
    }
}

fn todo(finding: &Finding) -> &'static str {
    let is_metadata = finding
        .file
        .starts_with(crate::controller::metadata_log::METADATA);
    match finding.means {
        Means::Refused if finding.file == millstream_log::layout::IDENTITY => {
            "put back this file from any backup of this directory; it never changes"
        }
        Means::Refused if is_metadata => {
            "restore the metadata directory from a backup; topics created since are then unknown, and their records \
             kept"
        }
        Means::Refused => {
            "restore the data directory from a backup, or move it away and start with an empty one"
        }
        Means::Fenced | Means::FencedWhenRead => {
            "restore the data directory from a backup; or give up these offsets and all behind them: \
             `millstream log repair --scan`, then with --accept-loss"
        }
        Means::Unknown => "restore the metadata directory from a backup that knows the topic",
        Means::Rebuilt => "nothing; where nobody touched the file, look at the health of the device",
        Means::Cut | Means::Removed => "nothing",
        Means::PutAside => "nothing; look at it before you delete it: it may hold records",
        Means::Ignored => "nothing",
    }
}

//! `millstream log verify`: a data directory read to its last byte while no broker has it, and nothing changed.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use millstream_log::PartitionKey;
use millstream_machine::cluster::image::ClusterImage;
use millstream_protocol::types::TopicId;
use millstream_storage::boot::{self, DirectoryLock, Finding, Inspected, Watch};
use millstream_storage::{KnownTopics, OpenError, TopicFate};
use serde::Serialize;

use super::directory::ring;
use super::dump::data_dir;
use super::metadata_look;
use super::sink::Sink;
use super::verdict::{Severity, Verdict};
use crate::cli::args::ConfigArgs;
use crate::cli::output::count;
use crate::cli::{Exit, Failure};
use crate::config::units;
use crate::controller::metadata_log::METADATA;
use crate::startup::metadata::TopicsOf;
use crate::telemetry::logging::use_colour;

/// Read everything in a data directory, and say what is damaged, where, and what to do about it
///
/// Nothing is changed. No broker may be running; none starts meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct VerifyArgs {
    /// The data directory [default: the one that `millstream start` would use]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Print one JSON document a line; the last one is the summary
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Serialize)]
struct Summary {
    kind: &'static str,
    whole: bool,
    journals: usize,
    rounds: u64,
    partitions: usize,
    segments: u64,
    batches: u64,
    bytes: u64,
    /// Partitions that lost something, and how many offsets of each, where that is known.
    lost: BTreeMap<String, i64>,
    damaged: usize,
    notes: usize,
}

pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let path = data_dir(&args.data_dir, &args.config)?;
    let unseen = |error: OpenError| Failure::new(Exit::Unseen, error.to_string());
    let _lock = match path.is_dir() {
        true => DirectoryLock::to_look(&path).map_err(unseen)?,
        false => {
            let path = path.display().to_string();
            return Err(unseen(OpenError::NotADirectory { path }));
        }
    };
    let mut ring = ring().map_err(|failure| Failure::new(Exit::Unseen, failure.message))?;
    let mut printer = Printer::new(args.json);
    let metadata = match metadata_look::look(&path, &mut |finding| printer.found(finding)) {
        Ok(found) => found,
        Err(failure) => return printer.fail(failure),
    };
    let topics: &dyn KnownTopics = match &metadata.image {
        Some(image) => &TopicsOf::new(image),
        None => &|_: TopicId| TopicFate::Live,
    };
    printer.image = metadata.image.clone();
    let inspected = boot::inspect(&mut ring, &path, topics, &[METADATA], &mut printer);
    match inspected {
        Ok(inspected) => {
            if let Some(torn) = metadata.into_torn(inspected.clean) {
                printer.found(torn);
            }
            printer.finish(&path, inspected)
        }
        Err(error) => printer.fail(unseen(error)),
    }
}

/// Prints what is found at once, and on a terminal how far it has come.
struct Printer {
    sink: Sink,
    /// For the names of topics.
    image: Option<Arc<ClusterImage>>,
    colour: bool,
    /// A line that says how far it is stands on the terminal.
    shows: bool,
    shown: Instant,
    lost: BTreeMap<String, i64>,
    counts: [usize; 3],
    failure: Option<Failure>,
}

impl Printer {
    fn new(json: bool) -> Printer {
        Printer {
            sink: Sink::new(json),
            image: None,
            colour: !json && use_colour(io::stdout().is_terminal()),
            shows: false,
            shown: Instant::now(),
            lost: BTreeMap::new(),
            counts: [0; 3],
            failure: None,
        }
    }

    fn name(&self, key: PartitionKey) -> String {
        let known = self.image.as_ref().and_then(|image| {
            let deleted = image.deleted_topics().find(|(id, _)| *id == key.topic);
            let deleted = deleted.map(|(_, name)| format!("{name} (deleted)"));
            image
                .topic(key.topic)
                .map(|topic| topic.name.to_string())
                .or(deleted)
        });
        known.unwrap_or_else(|| key.topic.to_string())
    }

    fn put(&mut self, verdict: &Verdict) -> Result<(), Failure> {
        let (label, colour) = match verdict.severity() {
            Severity::Lost => ("LOST", AnsiColor::Red),
            Severity::Damaged => ("DAMAGED", AnsiColor::Yellow),
            Severity::Note => ("note", AnsiColor::Cyan),
        };
        let style = match self.colour {
            true => colour.on_default().bold(),
            false => Style::new(),
        };
        self.sink.put(verdict, || {
            let body: String = verdict
                .body()
                .iter()
                .map(|line| format!("\n    {line}"))
                .collect();
            format!("{style}{label:8}{style:#}{}{body}", verdict.head())
        })
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shows) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// The way out with an exit code that says that not everything could be looked at.
    fn fail(mut self, failure: Failure) -> Result<(), Failure> {
        self.clear();
        self.sink.finish()?;
        Err(failure)
    }

    fn finish(mut self, path: &Path, inspected: Inspected) -> Result<(), Failure> {
        self.clear();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let [notes, damaged, lost] = self.counts;
        let whole = damaged + lost == 0;
        let summary = Summary {
            kind: "summary",
            whole,
            journals: inspected.journals,
            rounds: inspected.rounds,
            partitions: inspected.partitions,
            segments: inspected.segments,
            batches: inspected.batches,
            bytes: inspected.bytes,
            lost: std::mem::take(&mut self.lost),
            damaged: damaged + lost,
            notes,
        };
        self.sink.put(&summary, || summary.to_text(path, lost))?;
        self.sink.finish()?;
        if whole {
            return Ok(());
        }
        let message = match lost {
            0 => "damage was found; nothing is lost by it, see above",
            _ => "damage was found, and acknowledged records are lost or not served; see above",
        };
        Err(Failure::new(Exit::Damaged, message))
    }
}

impl Watch for Printer {
    fn found(&mut self, finding: Finding) {
        self.clear();
        let name = finding.partition.map(|key| self.name(key));
        let verdict = Verdict::new(finding, name);
        self.counts[verdict.severity() as usize] += 1;
        if let Some((partition, offsets)) = verdict.loss() {
            *self.lost.entry(partition).or_default() += offsets;
        }
        if let Err(failure) = self.put(&verdict) {
            self.failure.get_or_insert(failure);
        }
    }

    fn progress(&mut self, done: u64, of: u64) {
        if !io::stderr().is_terminal() || self.shown.elapsed() < SHOW_EVERY {
            return;
        }
        (self.shown, self.shows) = (Instant::now(), true);
        let percent = done.min(of) * 100 / of.max(1);
        let _ = write!(io::stderr(), "\r\x1b[K{percent} % of {}", units::show_bytes(of));
    }
}

impl Summary {
    fn to_text(&self, path: &Path, lost: usize) -> String {
        let read = format!(
            "{}: {}, {}, {} bytes of them, whole batches: {}; {}, rounds: {}",
            path.display(),
            count(self.partitions, "partition"),
            count(self.segments as usize, "segment"),
            self.bytes,
            self.batches,
            count(self.journals, "journal"),
            self.rounds,
        );
        let verdict = match (self.whole, lost) {
            (true, _) => "Everything is as it was written.".to_owned(),
            (false, 0) => "Damaged as above, and nothing is lost.".to_owned(),
            _ if self.lost.is_empty() => "Acknowledged records are lost or not served.".to_owned(),
            _ => {
                let each = self.lost.iter().map(|(name, offsets)| match offsets {
                    0 => name.clone(),
                    offsets => format!("{name} ({})", count(*offsets as usize, "offset")),
                });
                format!("Lost or not served: {}.", each.collect::<Vec<_>>().join(", "))
            }
        };
        format!("{read}\n{verdict}")
    }
}

const SHOW_EVERY: Duration = Duration::from_millis(200);
const AFTER_HELP: &str = "\
Examples:
  millstream log verify
  millstream log verify --data-dir /var/lib/millstream --json

Exit codes:
  0  everything is as it was written, or as a power cut may leave it
  6  something is damaged; the last line says whether anything is lost
  7  the directory could not be looked at: in use, no data directory, of a newer format, not readable";

//! `millstream log dump`: what Kafka's DumpLogSegments shows, journal, checkpoints and metadata included.

use std::path::{Path, PathBuf};

use millstream_log::layout::{self, FileName};
use millstream_log::{PartitionKey, RecoveredPartition};
use millstream_protocol::record::batch::BatchView;

use super::batches::dump_batch;
use super::directory::DataDirectory;
use super::partition_bytes::{Found, SegmentBytes};
use super::sink::Sink;
use super::verdict::Verdict;
use super::{journal_dump, sidecar_dump, state_dump};
use crate::cli::args::ConfigArgs;
use crate::cli::{Exit, Failure};
use crate::config::{Config, Key, Raw, Sources};
use crate::telemetry::civil_time;

/// Print what lies in a data directory: batches, records, journal rounds, checkpoints, metadata
///
/// Shows each partition as a start would find it: segments up to their recorded ends, and over them what only
/// the journal holds. It only reads; a broker may be running, but what it writes at that moment may look
/// torn.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DumpArgs {
    /// Segment files, or their sidecar indexes, to show alone [default: all segments]
    segments: Vec<PathBuf>,

    /// The data directory [default: the one that `millstream start` would use]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Only this topic
    #[arg(long, short = 't', value_name = "NAME")]
    topic: Option<String>,

    /// Only this partition
    #[arg(long, short = 'p', value_name = "PARTITION")]
    partition: Option<i32>,

    /// Show the records in each batch
    #[arg(long, short = 'r')]
    records: bool,

    /// Show each partition's offsets, epochs and segments, and no batches
    #[arg(long)]
    state: bool,

    /// Show the journals' rounds
    #[arg(long)]
    journal: bool,

    /// Show the checkpoints
    #[arg(long)]
    checkpoint: bool,

    /// Show the cluster's metadata
    #[arg(long)]
    metadata: bool,

    /// Print one JSON document a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: &DumpArgs) -> Result<(), Failure> {
    let mut sink = Sink::new(args.json);
    let path = data_dir(&args.data_dir, &args.config)?;
    let directory = match args.segments.first() {
        Some(segment) => DataDirectory::open(&directory_of(segment)?)?,
        None => DataDirectory::open(&path)?,
    };
    for finding in &directory.damage {
        sink.damaged += 1;
        let verdict = Verdict::new(finding.clone(), None);
        sink.put(&verdict, || {
            format!("{}\n| {}", verdict.head(), verdict.body().join("\n| "))
        })?;
    }
    if args.metadata {
        dump_metadata(&mut sink, &directory)?;
    }
    if args.checkpoint {
        state_dump::dump_checkpoints(&mut sink, &directory)?;
    }
    if args.journal {
        let name = |key: PartitionKey| format!("{}-{}", directory.topic_name(key.topic), key.partition.get());
        journal_dump::dump_journals(&mut sink, &directory.path, &name)?;
    }
    if !(args.metadata || args.checkpoint || args.journal) {
        dump_partitions(&mut sink, args, &directory)?;
    }
    match sink.finish()? {
        0 => Ok(()),
        damaged => Err(Failure::new(
            Exit::Damaged,
            format!("{damaged} damaged or unreadable parts were found; see above"),
        )),
    }
}

/// The directory that is named, or that the configuration names.
pub fn data_dir(named: &Option<String>, config: &ConfigArgs) -> Result<PathBuf, Failure> {
    let flags = named
        .iter()
        .map(|path| (Key::DataDir, Raw::Text(path.clone())))
        .collect();
    let sources = Sources {
        config_file: config.config.clone(),
        flags,
        ..Sources::from_environment()
    };
    Ok(Config::load(&sources)?.data_dir.value)
}

/// The data directory that a segment file lies in.
fn directory_of(segment: &Path) -> Result<PathBuf, Failure> {
    let name = segment.file_name().and_then(|name| name.to_str());
    let wrong = |what: &str| Failure::new(Exit::Usage, format!("{}: {what}", segment.display()));
    let parsed = name.and_then(FileName::parse);
    if !matches!(parsed, Some(FileName::Segment(_) | FileName::Sidecar(_))) {
        return Err(wrong(
            "only segments and their indexes are named alone; --journal, --checkpoint and --metadata show more",
        ));
    }
    let whole = segment
        .canonicalize()
        .map_err(|error| Failure::io(&format!("{}", segment.display()), &error))?;
    // segments/<two digits>/<id>.seg or .idx
    let directory = whole
        .ancestors()
        .nth(3)
        .filter(|path| path.join(layout::IDENTITY).is_file());
    directory.map(Path::to_owned).ok_or_else(|| {
        wrong("it lies in no data directory, and only the directory's journals tell where a segment ends")
    })
}

fn dump_metadata(sink: &mut Sink, directory: &DataDirectory) -> Result<(), Failure> {
    if let Some(identity) = &directory.identity {
        let created = civil_time::format_millis(identity.created_at.get());
        sink.note(&format!("{} was made at {created}", directory.path.display()))?;
    }
    directory.metadata.dump(sink)
}

fn dump_partitions(sink: &mut Sink, args: &DumpArgs, directory: &DataDirectory) -> Result<(), Failure> {
    let partitions = directory.partitions(args.topic.as_deref(), args.partition);
    if partitions.is_empty() && (args.topic.is_some() || args.partition.is_some()) {
        let message = "no such partition has records in this directory; --state shows those that have";
        return Err(Failure::new(Exit::NotFound, message));
    }
    let wanted: Vec<FileName> = args
        .segments
        .iter()
        .filter_map(|path| FileName::parse(path.file_name()?.to_str()?))
        .collect();
    for (topic, partition) in partitions {
        if args.state {
            state_dump::dump_partition(sink, topic, partition)?;
        } else {
            dump_batches(sink, args, &directory.path, &topic, partition, &wanted)?;
        }
    }
    Ok(())
}

fn dump_batches(
    sink: &mut Sink,
    args: &DumpArgs,
    data_dir: &Path,
    topic: &str,
    partition: &RecoveredPartition,
    wanted: &[FileName],
) -> Result<(), Failure> {
    let state = &partition.state;
    if let Some(damage) = partition.damage {
        sink.damaged += 1;
        sink.note(&format!(
            "{topic}-{} is damaged from offset {} on ({:?}); `millstream log repair` tells what can be done",
            state.key().partition.get(),
            damage.at.get(),
            damage.reason
        ))?;
    }
    for segment in state.segments() {
        if wanted.contains(&FileName::Sidecar(segment.id)) {
            sidecar_dump::dump_sidecar(sink, data_dir, segment)?;
        }
        if !wanted.is_empty() && !wanted.contains(&FileName::Segment(segment.id)) {
            continue;
        }
        let path = data_dir.join(layout::segment(segment.id));
        sink.note(&format!(
            "Dumping {topic}-{} {}",
            state.key().partition.get(),
            path.display()
        ))?;
        sink.note(&format!("Log starting offset: {}", segment.base_offset.get()))?;
        let bytes = SegmentBytes::open(data_dir, segment, &partition.dirty)
            .map_err(|error| Failure::io(&format!("{} cannot be read", path.display()), &error))?;
        bytes.walk(|found| match found {
            Found::Batch {
                position,
                bytes,
                in_journal,
            } => {
                let (batch, _) = BatchView::parse(&bytes).expect("the walk has parsed it");
                let place = layout::SEGMENT_DATA_AT + position;
                let stored_in = if in_journal { "journal" } else { "segment" };
                dump_batch(sink, &batch, place, stored_in, args.records)
            }
            Found::Unreadable { position, left, why } => {
                sink.damaged += 1;
                let place = layout::SEGMENT_DATA_AT + position;
                sink.note(&format!(
                    "{left} bytes from position {place} on are no batches: {why}"
                ))
            }
        })?;
    }
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  millstream log dump --topic orders --partition 0 --records
  millstream log dump --state
  millstream log dump --journal --checkpoint --metadata --json
  millstream log dump millstream-data/segments/07/0000010000000007.seg
  millstream log dump millstream-data/segments/07/0000010000000007.idx";

//! `millstream topic trim`: deletes the oldest records.

use std::collections::BTreeMap;

use crate::cli::args::ClientArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Page, confirm};
use crate::cli::position::parse_position;
use crate::client::Position;

/// Delete a topic's oldest records
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct TrimArgs {
    /// The topic
    name: String,

    /// The first record to keep: an offset, -N for the last N, a time such as 2026-11-21T12:00 or 7d (ago),
    /// or end
    #[arg(long, value_name = "POSITION", value_parser = parse_position, allow_hyphen_values = true)]
    before: Position,

    /// Only this partition; may be given several times [default: all]
    #[arg(long, short = 'p', value_name = "PARTITION")]
    partition: Vec<i32>,

    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub fn run(args: &TrimArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let topic = cluster.topic(&args.name, false)?;
    let all = topic.partitions.iter().map(|partition| partition.index);
    let partitions: Vec<i32> = if args.partition.is_empty() {
        all.collect()
    } else {
        args.partition.clone()
    };
    let marks = cluster.watermarks(&args.name, &partitions)?;
    let times = match args.before {
        Position::Time(at) => cluster.offsets_at(&args.name, &partitions, at)?,
        _ => BTreeMap::new(),
    };
    let mut before = BTreeMap::new();
    for (&partition, marks) in &marks {
        let offset = match args.before {
            Position::Beginning => marks.start,
            Position::End => marks.end,
            Position::Offset(offset) => offset,
            Position::Last(count) => marks.end.saturating_sub(count).max(marks.start),
            Position::Time(_) => times.get(&partition).copied().flatten().unwrap_or(marks.end),
        };
        if offset > marks.start {
            before.insert(partition, offset);
        }
    }
    let records: i64 = before
        .iter()
        .map(|(partition, offset)| offset - marks[partition].start)
        .sum();
    let question = format!("Delete {records} records of {} for good?", args.name);
    if records > 0 && !args.yes && !confirm(&question)? {
        return Err(Failure::new(Exit::Failed, "nothing was deleted"));
    }
    let starts = cluster.delete_records(&args.name, &before)?;
    let rows = marks.iter().map(|(partition, marks)| {
        let start = starts.get(partition).copied().unwrap_or(marks.start);
        [
            partition.to_string(),
            marks.start.to_string(),
            start.to_string(),
            marks.end.to_string(),
        ]
    });
    let mut page = Page::new();
    page.table(
        ["PARTITION", "START BEFORE", "START", "END"],
        &rows.collect::<Vec<_>>(),
    );
    page.print()
}

const AFTER_HELP: &str = "\
Examples:
  millstream topic trim orders --before 7d
  millstream topic trim orders --before 120000 --partition 3 --yes
  millstream topic trim orders --before end";

//! `millstream group reset-offsets`: where a group goes on.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::args::ClientArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Page, confirm, print_json};
use crate::cli::position::parse_position;
use crate::client::{AsMember, Cluster, GroupOffsets, Position};

/// Set where a group goes on to read
///
/// Nobody may be in the group meanwhile. Nothing but what the group has committed changes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ResetOffsetsArgs {
    /// The group; one that does not exist is made
    name: String,

    /// The topic
    #[arg(long, short = 't', value_name = "TOPIC")]
    topic: String,

    /// Only this partition; may be given several times [default: all]
    #[arg(long, short = 'p', value_name = "PARTITION")]
    partition: Vec<i32>,

    /// The next record to read: beginning, end, an offset, -N for the last N, a time such as 2026-11-21T12:00 or 7d
    /// (ago)
    #[arg(long, value_name = "POSITION", value_parser = parse_position, allow_hyphen_values = true)]
    to: Position,

    /// Show what would be committed, and commit nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Row {
    topic: String,
    partition: i32,
    before: Option<i64>,
    after: i64,
}

pub fn run(args: &ResetOffsetsArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let after = wanted(args, &mut cluster)?;
    let group = &args.name;
    let before = match cluster
        .group_offsets(group, AsMember::default())
        .map_err(Failure::from)
    {
        Err(failure) if failure.exit == Exit::NotFound => GroupOffsets::new(),
        found => found?,
    };
    let rows = after.iter().map(|(place, offset)| Row {
        topic: place.0.clone(),
        partition: place.1,
        before: before.get(place).copied(),
        after: *offset,
    });
    let rows: Vec<Row> = rows.collect();
    if !args.dry_run {
        let question = format!("Set the offsets of {group} in {}?", args.topic);
        if !args.yes && !confirm(&question)? {
            return Err(Failure::new(Exit::Failed, "nothing was changed"));
        }
        cluster
            .commit_offsets(group, AsMember::default(), &after)
            .map_err(Failure::from)?;
    }
    if args.json {
        return print_json(&rows);
    }
    let mut page = Page::new();
    let cells = rows.iter().map(|row| {
        [
            row.topic.clone(),
            row.partition.to_string(),
            row.before.map_or("-".to_owned(), |before| before.to_string()),
            row.after.to_string(),
        ]
    });
    page.table(
        ["TOPIC", "PARTITION", "BEFORE", "AFTER"],
        &cells.collect::<Vec<_>>(),
    );
    page.print()
}

/// What is to be committed, within what there is.
fn wanted(args: &ResetOffsetsArgs, cluster: &mut Cluster) -> Result<GroupOffsets, Failure> {
    let topic = cluster.topic(&args.topic, false)?;
    let partitions: Vec<i32> = match args.partition.is_empty() {
        true => topic.partitions.iter().map(|partition| partition.index).collect(),
        false => args.partition.clone(),
    };
    let marks = cluster.watermarks(&args.topic, &partitions)?;
    let times = match args.to {
        Position::Time(at) => cluster.offsets_at(&args.topic, &partitions, at)?,
        _ => BTreeMap::new(),
    };
    let offsets = marks.into_iter().map(|(partition, marks)| {
        let time = times.get(&partition).copied().flatten();
        ((args.topic.clone(), partition), args.to.within(marks, time))
    });
    Ok(offsets.collect())
}

const AFTER_HELP: &str = "\
Examples:
  millstream group reset-offsets billing --topic orders --to beginning
  millstream group reset-offsets billing --topic orders --to 2026-11-21T12:00 --yes
  millstream group reset-offsets billing --topic orders --partition 3 --to -100 --dry-run";

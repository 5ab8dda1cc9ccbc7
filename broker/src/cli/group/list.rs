//! `millstream group list`.

use serde::Serialize;

use crate::cli::args::ClientArgs;
use crate::cli::exit::Failure;
use crate::cli::output::{Page, print_json};

/// List the groups
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ListArgs {
    /// Only groups in this state; may be given several times
    #[arg(long, value_name = "STATE", value_parser = STATES, ignore_case = true)]
    state: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Row {
    name: String,
    state: String,
    kind: String,
    protocol_type: String,
}

pub fn run(args: &ListArgs) -> Result<(), Failure> {
    let groups = args.client.connect()?.groups()?;
    let wanted = |state: &str| {
        let mut states = args.state.iter();
        args.state.is_empty() || states.any(|wanted| wanted.eq_ignore_ascii_case(state))
    };
    let rows: Vec<Row> = groups
        .into_iter()
        .filter(|group| wanted(&group.state))
        .map(|group| Row {
            name: group.id,
            state: group.state,
            kind: group.kind,
            protocol_type: group.protocol_type,
        })
        .collect();
    if args.json {
        return print_json(&rows);
    }
    let mut page = Page::new();
    if rows.is_empty() {
        page.line("There are no such groups; a consumer that names one makes it.");
    } else {
        let cells = rows
            .iter()
            .map(|row| [row.name.clone(), row.state.clone(), row.kind.clone()]);
        page.table(["GROUP", "STATE", "PROTOCOL"], &cells.collect::<Vec<_>>());
    }
    page.print()
}

/// As Kafka calls them; of groups of either protocol.
const STATES: [&str; 7] = [
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "Stable",
    "Empty",
    "Dead",
];
const AFTER_HELP: &str = "\
Examples:
  millstream group list
  millstream group list --state empty
  millstream group list --brokers broker-1.example:9092 --json";

//! The command line of `millstream-bench`.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{
    bare_loop, commit, compare, end_with_parent, fetch, produce, roofline, run as run_scenario, scenarios,
    show, suite,
};

/// Load a broker over Kafka's protocol and say what it can do, and what the machine could do at all.
#[derive(Debug, Parser)]
#[command(name = "millstream-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run_scenario::RunScenarioArgs),
    Scenarios(scenarios::ScenariosArgs),
    Produce(produce::ProduceArgs),
    Fetch(fetch::FetchArgs),
    Commit(commit::CommitArgs),
    Compare(compare::CompareArgs),
    Show(show::ShowArgs),
    Roofline(roofline::RooflineArgs),
    Suite(suite::SuiteArgs),
    BareLoop(bare_loop::BareLoopArgs),
    EndWithParent(end_with_parent::EndWithParentArgs),
}

/// Run what the command line asks for.
pub fn run() -> ExitCode {
    let result: Result<(), Box<dyn Error>> = match &Cli::parse().command {
        Command::Run(args) => run_scenario::run(args),
        Command::Scenarios(args) => scenarios::run(args),
        Command::Produce(args) => produce::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Commit(args) => commit::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Show(args) => show::run(args),
        Command::Roofline(args) => roofline::run(args),
        Command::Suite(args) => suite::run(args),
        Command::BareLoop(args) => bare_loop::run(args),
        Command::EndWithParent(args) => end_with_parent::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millstream-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }
}

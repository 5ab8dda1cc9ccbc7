//! The command line: one help tree for the broker and its tools.
//!
//! Place: the outermost room. `start` hands over to `startup::run` and stays; every other command is a
//! short-lived tool that talks to a broker through `client`, or reads a data directory that no broker holds.

mod args;
mod base64;
mod client;
mod cluster;
mod completions;
mod config;
mod consume;
mod exit;
mod group;
mod interrupt;
mod log;
mod output;
mod position;
mod produce;
mod record_format;
mod start;
mod topic;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};

/// The whole program: parses the arguments, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or_default() {
        Command::Start(args) => start::run(*args),
        Command::Topic(args) => topic::run(&args),
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Group(args) => group::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Client(args) => client::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(std::io::stderr(), "millstream: {}", failure.message);
            failure.exit.into()
        }
    }
}

/// A streaming broker that speaks the Kafka protocol, and the tools that go with it.
///
/// Without a command it starts a broker on 127.0.0.1:9092 that keeps its records in ./millstream-data.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, after_help = AFTER_HELP, styles = args::STYLES)]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(Box<start::StartArgs>),
    Topic(topic::TopicArgs),
    Produce(Box<produce::ProduceArgs>),
    Consume(Box<consume::ConsumeArgs>),
    Group(group::GroupArgs),
    Config(config::ConfigCommandArgs),
    Client(client::ClientCommandArgs),
    Cluster(cluster::ClusterArgs),
    Log(log::LogArgs),
    Completions(completions::CompletionsArgs),
}

impl Default for Command {
    fn default() -> Command {
        Command::Start(Box::default())
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream                                       start a broker, no configuration needed
  millstream start --listen 0.0.0.0:9092           serve other machines too
  millstream produce greetings hello               write a first record (this creates the topic)
  millstream consume greetings                     read it again

Exit codes:
  0  done                                  4  no such topic, partition, offset or group
  1  refused or failed                     5  it exists already
  2  wrong usage or configuration          6  damaged data was found
  3  no broker could be reached            7  a data directory could not be looked at";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_tree_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every page that runs something shows how, and every page says what it is for.
    #[test]
    fn every_page_of_help_has_examples() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing about itself");
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(after.contains("Examples:"), "{path} has no examples");
            for inner in command.get_subcommands() {
                check(inner, &path);
            }
        }
        check(&Cli::command(), "");
    }

    /// An example that the program itself refuses would be worse than none.
    #[test]
    fn every_example_parses() {
        fn examples(command: &clap::Command, into: &mut Vec<String>) {
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let shown = after
                .split("Examples:")
                .nth(1)
                .unwrap_or_default()
                .split("\n\n")
                .next()
                .unwrap_or_default();
            into.extend(
                shown
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned),
            );
            for inner in command.get_subcommands() {
                examples(inner, into);
            }
        }
        let mut lines = Vec::new();
        examples(&Cli::command(), &mut lines);
        assert!(!lines.is_empty());
        for line in lines {
            // The command stands left of its explanation, and of what it is piped into or fed from.
            let command = line.split("   ").next().unwrap_or_default();
            let own = command
                .split('|')
                .find(|part| part.trim().starts_with("millstream"))
                .unwrap_or_default();
            let own = own.split([';', '<', '>', '#']).next().unwrap_or_default();
            assert!(!own.trim().is_empty(), "no millstream command in: {line}");
            if let Err(error) = Cli::try_parse_from(words(own)) {
                panic!("{line}\n{error}");
            }
        }
    }

    /// Splits like a shell as far as single quotes go.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }
}

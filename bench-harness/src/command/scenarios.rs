//! `millstream-bench scenarios`: what can be run, and what it looks like.

use std::error::Error;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::command::{print, run};
use crate::scenario::built_in::BUILT_IN;
use crate::scenario::file;

/// List the built-in scenarios, or print one of them: a file to begin one's own with.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ScenariosArgs {
    /// The scenario to print.
    pub name: Option<String>,
    /// List as JSON.
    #[arg(long, conflicts_with = "name")]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    title: String,
}

pub fn run(args: &ScenariosArgs) -> Result<(), Box<dyn Error>> {
    if let Some(name) = &args.name {
        let (_, text) = run::read(name)?;
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    let mut list = Vec::with_capacity(BUILT_IN.len());
    for scenario in BUILT_IN {
        list.push(Listed {
            name: scenario.name,
            title: file::parse(scenario.name, scenario.text)?.title,
        });
    }
    let width = list.iter().map(|listed| listed.name.len()).max().unwrap_or(0);
    print(args.json, &list, || {
        let line = |listed: &Listed| format!("{:width$}  {}\n", listed.name, listed.title);
        list.iter().map(line).collect()
    })
}

const EXAMPLES: &str = "\
Examples:
  What there is:
    millstream-bench scenarios
  A scenario of one's own:
    millstream-bench scenarios produce-rate > mine.toml
    millstream-bench run mine.toml --brokers 127.0.0.1:9092";

//! `millstream-bench show`: what a run left behind, once more as text, JSON or a page.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;

use crate::command::compare::load;
use crate::command::output::OutputArgs;

/// Show a run that was written by --json-file: as text, or as a page with plots.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    #[arg(value_name = "RUN.json")]
    pub run: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

pub fn run(args: &ShowArgs) -> Result<(), Box<dyn Error>> {
    args.output.give(&load(&args.run)?)
}

const EXAMPLES: &str = "\
Examples:
  The table:
    millstream-bench show run.json
  A page with plots, for a browser:
    millstream-bench show run.json --html run.html";

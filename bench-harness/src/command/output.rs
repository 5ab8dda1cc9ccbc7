//! What a run leaves behind: text or JSON on standard output, and files.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::command::print;
use crate::page::page;
use crate::report::run_text;
use crate::result::RunResult;

/// Where the results of a run go.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the results as JSON to this file as well, for `millstream-bench compare`.
    #[arg(long, value_name = "FILE")]
    pub json_file: Option<PathBuf>,
    /// Write the results as a page with plots to this file; it needs no network and no other file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Do not show on the terminal how a load goes while it runs.
    #[arg(long, short)]
    pub quiet: bool,
}

impl OutputArgs {
    /// Prints the results and writes the files that were asked for.
    pub fn give(&self, result: &RunResult) -> Result<(), Box<dyn Error>> {
        if let Some(path) = &self.json_file {
            write(path, &serde_json::to_vec(result)?)?;
        }
        if let Some(path) = &self.html {
            write(path, page(result).as_bytes())?;
        }
        print(self.json, result, || run_text(result))
    }
}

fn write(path: &Path, contents: &[u8]) -> Result<(), String> {
    std::fs::write(path, contents).map_err(|error| format!("{}: {error}", path.display()))
}

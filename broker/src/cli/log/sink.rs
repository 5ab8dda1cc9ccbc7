//! Where a dump goes: lines for people, or one JSON document a line.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::cli::Failure;
use crate::cli::exit::output_failed;

pub struct Sink {
    out: BufWriter<Stdout>,
    json: bool,
    /// What was found damaged, for the exit code.
    pub damaged: usize,
}

impl Sink {
    pub fn new(json: bool) -> Sink {
        Sink {
            out: BufWriter::new(io::stdout()),
            json,
            damaged: 0,
        }
    }

    /// The object's JSON, or the line that stands for it.
    pub fn put(&mut self, object: &impl Serialize, line: impl FnOnce() -> String) -> Result<(), Failure> {
        let done = if self.json {
            let text = serde_json::to_string(object).expect("our own types serialise");
            writeln!(self.out, "{text}")
        } else {
            writeln!(self.out, "{}", line())
        };
        done.map_err(|error| output_failed(&error))
    }

    /// A line that only people need.
    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        writeln!(self.out, "{text}").map_err(|error| output_failed(&error))
    }

    pub fn finish(mut self) -> Result<usize, Failure> {
        self.out.flush().map_err(|error| output_failed(&error))?;
        Ok(self.damaged)
    }
}

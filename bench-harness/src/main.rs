//! The `millstream-bench` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_bench::cli::run()
}

//! The `millstream` binary: everything is in the library, so that tests can reach it.

use std::process::ExitCode;

/// Frames of requests are large, short-lived and freed by other threads than made them: the system's allocator gives
/// their pages back each time, and every request pays for them anew (a tenth of the CPU at 1 KiB × 500 a batch).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millstream::cli::main()
}

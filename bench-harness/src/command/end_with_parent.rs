//! `millstream-bench end-with-parent`: between the generator and a broker that it starts, so that no broker is
//! left behind, however the generator ends.
//!
//! The kernel's death signal is set for the calling process alone and survives `exec`: this process asks for it
//! and then becomes the broker.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Become another program, to be killed when the process that started this one ends.
#[derive(Args, Debug)]
#[command(hide = true)]
pub struct EndWithParentArgs {
    /// The process that started this one.
    #[arg(long)]
    pub parent: i32,
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

pub fn run(args: &EndWithParentArgs) -> Result<(), Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that ended before the line above sends no signal any more.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(args.parent) {
        return Err("the parent has ended".into());
    }
    let (program, arguments) = args.command.split_first().ok_or("no command")?;
    let error = Command::new(program).args(arguments).exec();
    Err(format!("{}: {error}", program.display()).into())
}

//! `end-with-starter PID COMMAND [ARGUMENT]…`: becomes a command that is killed when the thread that started it ends,
//! however it ends. PID is the process of that thread.
//!
//! The kernel's death signal is set for the calling process alone and survives `exec`.

#![forbid(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let starter = arguments
        .next()
        .and_then(|text| text.to_str()?.parse::<i32>().ok());
    let starter = starter.expect("the starter's process");
    let command = arguments.next().expect("a command");
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a signal may be asked for");
    // Who ended before the line above sends no signal any more.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
    assert_eq!(parent, Some(starter), "the starter has ended");
    let failed = Command::new(command).args(arguments).exec();
    panic!("the command cannot be run: {failed}");
}

//! `without-io-uring COMMAND [ARGUMENT]…`: runs a command in which io_uring_setup fails with EPERM, as under a
//! container's seccomp profile.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next().expect("a command");
    let rules = BTreeMap::from([(IO_URING_SETUP, Vec::new())]);
    let architecture = std::env::consts::ARCH
        .try_into()
        .expect("an architecture with filters");
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(EPERM),
        architecture,
    );
    let program: BpfProgram = filter
        .expect("a filter of one rule")
        .try_into()
        .expect("a filter that compiles");
    apply_filter(&program).expect("a filter may be installed");
    let failed = Command::new(command).args(arguments).exec();
    panic!("the command cannot be run: {failed}");
}

/// The same number on all architectures that are younger than it.
const IO_URING_SETUP: i64 = 425;
const EPERM: u32 = 1;

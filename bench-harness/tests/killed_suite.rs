//! A generator that is killed leaves no broker behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_killed_suite_leaves_no_broker_behind() {
    let scratch = Scratch::new("killed");
    let mut suite = suite(&scratch.0);
    let broker = wait_for_pid(&scratch.0);
    assert!(is_running(broker), "the broker ran");
    suite.kill().expect("the suite runs");
    suite.wait().expect("the suite ends");
    wait_until(|| !is_running(broker), "the broker outlived the suite");
}

#[test]
fn an_interrupted_suite_leaves_no_broker_behind() {
    let scratch = Scratch::new("interrupted");
    let mut suite = suite(&scratch.0);
    let broker = wait_for_pid(&scratch.0);
    let pid = rustix::process::Pid::from_child(&suite);
    // The first asks for an orderly end, which waits for this broker to listen; the second ends at once.
    for _ in 0..2 {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the suite runs");
        std::thread::sleep(Duration::from_millis(100));
    }
    suite.wait().expect("the suite ends");
    wait_until(|| !is_running(broker), "the broker outlived the suite");
}

/// A suite whose broker only notes its process and sleeps.
fn suite(scratch: &Path) -> Child {
    let broker = scratch.join("broker");
    let pid_file = scratch.join("pid");
    let script = format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", pid_file.display());
    fs::write(&broker, script).expect("a script");
    fs::set_permissions(&broker, fs::Permissions::from_mode(0o755)).expect("a program");
    Command::new(env!("CARGO_BIN_EXE_millstream-bench"))
        .args(["suite", "--only", "idle", "--broker-bin"])
        .arg(&broker)
        .arg("--data-dir")
        .arg(scratch.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the suite starts")
}

fn wait_for_pid(scratch: &Path) -> u32 {
    let mut pid = None;
    wait_until(
        || {
            let text = fs::read_to_string(scratch.join("pid")).unwrap_or_default();
            pid = text.trim().parse().ok();
            pid.is_some()
        },
        "no broker was started",
    );
    pid.expect("waited for")
}

/// A process that ended and that nobody has collected yet does not run.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool, otherwise: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("millstream-bench-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

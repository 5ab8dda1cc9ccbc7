//! Tests that are killed leave no broker behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::process::Broker;

#[test]
fn a_broker_ends_with_the_test_that_started_it() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        be_killed();
    }
    let this = std::env::current_exe().expect("a test has a path");
    let mut test = Command::new(this)
        .args([
            "--exact",
            "orphans::a_broker_ends_with_the_test_that_started_it",
            "--nocapture",
        ])
        .env(TO_BE_KILLED, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test starts again");
    let lines = BufReader::new(test.stdout.take().expect("a pipe")).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once(PID)?.1.trim().to_owned()))
        .expect("a broker was started");
    assert!(is_running(&pid), "the broker ran");
    test.kill().expect("a child can be killed");
    test.wait().expect("a child can be waited for");
    let until = Instant::now() + Duration::from_secs(10);
    while is_running(&pid) {
        assert!(Instant::now() < until, "broker {pid} outlived its test");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// This test in a process of its own, with a broker, until it is killed.
fn be_killed() -> ! {
    let broker = Broker::start(&["--cores", "1"]);
    println!("\n{PID}{}", broker.pid());
    std::thread::sleep(Duration::from_secs(60));
    panic!("nobody killed it");
}

/// A process that ended and that nobody has collected yet does not run.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

const TO_BE_KILLED: &str = "MILLSTREAM_TEST_TO_BE_KILLED";
const PID: &str = "the broker is process ";

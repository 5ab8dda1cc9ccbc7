//! Scenarios from end to end against a broker in this process.

mod fake_broker;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use fake_broker::{FakeBroker, Manners};
use millstream_bench::result::NamedOutcome;
use millstream_bench::scenario::file;
use millstream_bench::scenario::round::Stage;
use millstream_bench::target::Target;
use rustix::process::{Pid, Signal, kill_process};

const TAIL: &str = r#"
title = "two loads at once"

[topics.events]
partitions = 2

[[produce]]
name = "writers"
connections = 2
record-bytes = 100
records-per-batch = 10
rate = "2000 records/s"

[[consume]]
name = "readers"
connections = 2
from = "end"
fan-out = true
"#;

#[test]
fn loads_of_a_round_keep_their_names_and_share_the_window() {
    let broker = FakeBroker::start(Manners {
        fetch_delay: Duration::from_millis(20),
        ..Manners::default()
    });
    // A batch every 250 ms: as long takes a fetch that waits for the next one, the way to the consumer far less.
    let slow = TAIL.replace("2000 records/s", "40 records/s");
    let loads = round(&broker, &slow, Duration::from_secs(2)).unwrap();
    let [writers, readers] = &loads[..] else {
        panic!("an outcome for each load")
    };
    assert_eq!((&*writers.name, &*readers.name), ("writers", "readers"));
    let (writers, readers) = (&writers.outcome, &readers.outcome);
    assert_eq!((writers.seconds, readers.seconds), (2.0, 2.0));
    assert!((writers.started_at - readers.started_at).abs() < 0.1);
    assert!((50..=90).contains(&writers.records), "{writers:?}");
    assert!(
        readers.records > writers.records * 3 / 2,
        "each of two reads everything: {readers:?}"
    );
    assert!(
        (20_000.0..200_000.0).contains(&readers.latency.p50_us),
        "{:?}",
        readers.latency
    );
    assert_eq!(
        (writers.records_missing, readers.records_missing),
        (None, Some(0))
    );
    assert!(broker.state().topics.is_empty(), "what was made is deleted");
}

#[test]
fn what_a_reader_did_not_get_in_time_is_told() {
    let broker = FakeBroker::start(Manners {
        fetch_delay: Duration::from_secs(10),
        ..Manners::default()
    });
    let loads = round(&broker, TAIL, Duration::from_secs(1)).unwrap();
    let readers = &loads[1].outcome;
    assert!(readers.records_missing > Some(0), "{readers:?}");
    let caution = millstream_bench::report::caution(readers).unwrap();
    assert!(caution.contains("records had not arrived"), "{caution}");
}

#[test]
fn a_backlog_is_read_over_and_over_by_records_beside_idle_connections() {
    let broker = FakeBroker::start(Manners::default());
    let text = r#"
title = "a backlog"
[topics.old]
partitions = 4
preload = { amount = "200 records", record-bytes = 10, records-per-batch = 10 }
[[consume]]
name = "readers"
connections = 2
from = "beginning"
repeat = true
[[idle]]
name = "sleepers"
connections = 50
heartbeat-seconds = 1
"#;
    let loads = round(&broker, text, Duration::from_secs(1)).unwrap();
    let [readers, sleepers] = &loads[..] else {
        panic!("an outcome for each load")
    };
    assert!(readers.outcome.records > 200, "{readers:?}");
    assert!((10..=60).contains(&sleepers.outcome.requests), "{sleepers:?}");
    assert_eq!(broker.state().produced, 20);
}

#[test]
fn a_load_that_fails_ends_the_round_and_its_topics_are_deleted() {
    let broker = FakeBroker::start(Manners {
        closes_at_fetch: true,
        ..Manners::default()
    });
    let begun = Instant::now();
    let error = round(&broker, TAIL, Duration::from_secs(3600)).unwrap_err();
    assert!(
        error.starts_with("readers: the broker closed a connection"),
        "{error}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "the others end as well"
    );
    assert!(broker.state().topics.is_empty());
}

#[test]
fn ctrl_c_ends_with_what_was_seen() {
    let broker = FakeBroker::start(Manners::default());
    let run = start(&broker, "seen", TAIL);
    wait_until(|| broker.state().produced > 50);
    std::thread::sleep(Duration::from_millis(300));
    let result = interrupt(run);
    assert_eq!(result["interrupted"], true);
    assert_eq!(result["rounds"].as_array().unwrap().len(), 1);
    let loads = &result["rounds"][0]["loads"];
    assert_eq!(
        (&loads[0]["name"], &loads[1]["name"]),
        (&"writers".into(), &"readers".into())
    );
    for load in [&loads[0], &loads[1]] {
        assert!(load["outcome"]["records"].as_u64().unwrap() > 0, "{load}");
    }
    assert!(broker.state().topics.is_empty(), "what was made is deleted");
}

#[test]
fn ctrl_c_during_the_preload_ends_without_a_round() {
    let broker = FakeBroker::start(Manners::default());
    let endless = TAIL.replace(
        "partitions = 2",
        "partitions = 2\npreload = { amount = \"1000 GB\" }",
    );
    let run = start(&broker, "preload", &endless);
    wait_until(|| broker.state().produced > 5);
    let result = interrupt(run);
    assert_eq!(result["interrupted"], true);
    assert_eq!(result["rounds"].as_array().unwrap().len(), 0);
    assert!(broker.state().topics.is_empty(), "what was made is deleted");
}

#[test]
fn a_wrong_file_ends_with_its_line_and_a_code() {
    let path = scenario_file("wrong", &TAIL.replace("fan-out", "fanout"));
    let output = Command::new(env!("CARGO_BIN_EXE_millstream-bench"))
        .arg("run")
        .arg(&path)
        .output()
        .unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let seen = String::from_utf8(output.stderr).unwrap();
    let line = format!(
        "millstream-bench: {}:18: unknown field `fanout`, expected",
        path.display()
    );
    assert!(seen.starts_with(&line), "{seen}");
}

fn round(broker: &FakeBroker, text: &str, measure: Duration) -> Result<Vec<NamedOutcome>, String> {
    let stage = Stage {
        scenario: &file::parse("test", text).unwrap(),
        target: Target {
            address: broker.address,
            pid: None,
        },
        warmup: Duration::from_millis(100),
        measure,
        prefix: "bench-test".to_owned(),
        rate_factor: 1.0,
        rounds: 1,
        quiet: true,
        stop: &AtomicBool::new(false),
    };
    stage.round(1).map_err(|error| error.to_string())
}

/// A run of an hour.
fn start(broker: &FakeBroker, name: &str, text: &str) -> (Child, PathBuf) {
    let path = scenario_file(name, text);
    let child = Command::new(env!("CARGO_BIN_EXE_millstream-bench"))
        .arg("run")
        .arg(&path)
        .args([
            "--seconds",
            "3600",
            "--warmup",
            "0",
            "--rounds",
            "2",
            "--json",
            "--brokers",
        ])
        .arg(broker.address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the run starts");
    (child, path)
}

fn interrupt((child, path): (Child, PathBuf)) -> serde_json::Value {
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    fs::remove_file(path).expect("the file is there");
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).expect("a report")
}

fn scenario_file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("millstream-bench-{name}-{}.toml", std::process::id()));
    fs::write(&path, text).expect("a scenario");
    path
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "it never came so far");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Files that are right, and what a user sees of those that are not.

use super::*;

const WHOLE: &str = r#"
title = "everything at once"
seconds = 1.5
warmup = 0
rounds = 2

[topics.events]
partitions = 8
configs = { "retention.bytes" = -1, "cleanup.policy" = "delete", "preallocate" = true }

[topics.old]
partitions = 4
preload = { amount = "5000 records", record-bytes = 10 }

[[produce]]
name = "writers"
topic = "events"
connections = 3
partitions-per-request = 4
acks = "leader"
idempotent = true
rate = "2 MB/s"

[[consume]]
name = "live"
topic = "events"
connections = 2
from = "end"
fan-out = true
partition-bytes = "64 KiB"

[[consume]]
name = "drainers"
topic = "old"
connections = 2
from = "beginning"
repeat = true

[[idle]]
name = "sleepers"
connections = 100
"#;

#[test]
fn a_whole_file_is_read_with_its_defaults() {
    let file = parse("m.toml", WHOLE).unwrap();
    assert_eq!(
        (file.measure(), file.warmup(), file.rounds()),
        (Duration::from_millis(1500), Duration::ZERO, 2)
    );
    let configs: Vec<(&str, &str)> = (file.topics["events"].configs.iter())
        .map(|(name, value)| (name.as_str(), value.0.as_str()))
        .collect();
    assert_eq!(
        configs,
        [
            ("cleanup.policy", "delete"),
            ("preallocate", "true"),
            ("retention.bytes", "-1")
        ]
    );
    let preload = file.topics["old"].preload.unwrap();
    assert_eq!(preload.amount, Amount::Records(5000));
    assert_eq!(
        (preload.record_bytes.get(), preload.records_per_batch.get()),
        (10, 100)
    );
    let loads = file.loads();
    let names: Vec<&str> = loads.iter().map(Load::name).collect();
    assert_eq!(names, ["writers", "live", "drainers", "sleepers"]);
    let Load::Produce(writers) = loads[0] else {
        panic!("{loads:?}")
    };
    assert_eq!(
        (writers.acks, writers.rate),
        (Acks::Leader, Some(Rate::Bytes(2e6)))
    );
    assert_eq!((writers.in_flight.get(), writers.record_bytes.get()), (5, 1024));
}

#[test]
fn what_is_read_at_the_end_or_deleted_by_time_says_when_it_was_sent() {
    let file = parse("m.toml", WHOLE).unwrap();
    assert!(file.is_stamped("events"));
    assert!(!file.is_stamped("old"));
    let by_time = WHOLE.replace(
        "partitions = 4",
        "partitions = 4\nconfigs = { \"retention.ms\" = 60000 }",
    );
    assert!(parse("m.toml", &by_time).unwrap().is_stamped("old"));
}

#[test]
fn a_load_that_names_no_topic_has_the_only_one() {
    let text = "title = 't'\n[topics.one]\npartitions = 1\n[[produce]]\nname = 'w'\nconnections = 1\n";
    let file = parse("m.toml", text).unwrap();
    assert!(matches!(file.loads()[..], [Load::Produce(load)] if load.topic == "one"));
    let error = parse("m.toml", &format!("{text}[topics.two]\npartitions = 1\n")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("m.toml:4: this load has no topic: add topic"),
        "{error}"
    );
}

/// `wrong` in the place of `right`: what the user sees begins with `seen`.
fn refused(right: &str, wrong: &str, seen: &str) {
    assert!(WHOLE.contains(right), "{right}");
    let error = parse("m.toml", &WHOLE.replacen(right, wrong, 1))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with(seen), "{wrong:?} gives:\n{error}\nnot:\n{seen}");
    assert!(
        error.contains("`millstream-bench scenarios"),
        "what to do: {error}"
    );
}

#[test]
fn what_is_no_toml_or_no_field_is_refused_with_its_line() {
    refused(
        "connections = 3",
        "conections = 3",
        "m.toml:18: unknown field `conections`, expected one of `name`",
    );
    refused("connections = 3", "connections = ", "m.toml:18: ");
    refused(
        "connections = 3",
        "connections = '3'",
        "m.toml:18: invalid type: string \"3\", expected i64\n  connections",
    );
    refused(
        "connections = 3",
        "",
        "m.toml:15: missing field `connections`\n  [[produce]]",
    );
    refused(
        "connections = 3",
        "connections = 0",
        "m.toml:18: 0 is not a whole number from 1 to 60000",
    );
    refused(
        "\"2 MB/s\"",
        "\"fast\"",
        "m.toml:22: \"fast\" is no rate: write it as \"50 MB/s\"",
    );
    refused(
        "\"5000 records\"",
        "\"some\"",
        "m.toml:13: \"some\" is no amount: write it as \"256 MiB\"",
    );
    refused(
        "\"64 KiB\"",
        "\"64\"",
        "m.toml:30: \"64\" is no size: write it as \"64 KiB\"",
    );
    refused(
        "\"leader\"",
        "\"none\"",
        "m.toml:20: unknown variant `none`, expected `all` or `leader`",
    );
    refused(
        "\"end\"",
        "\"middle\"",
        "m.toml:28: unknown variant `middle`, expected `beginning` or `end`",
    );
    refused(
        "= true }",
        "= [] }",
        "m.toml:9: a configuration is text, a number, true or false",
    );
    refused(
        "[[idle]]",
        "[[sleep]]",
        "m.toml:39: unknown field `sleep`, expected one of",
    );
}

#[test]
fn what_cannot_be_run_is_refused_with_its_load_and_the_way_out() {
    let writers = "m.toml:15: ";
    let same = "partitions-per-request = 3 does not divide the 8 partitions of events";
    refused("request = 4", "request = 3", &format!("{writers}{same}"));
    refused(
        "\"events\"",
        "\"event\"",
        &format!("{writers}there is no [topics.event]; there are: events, old"),
    );
    refused(
        "\"writers\"",
        "\"live\"",
        "m.toml:24: two loads have the name live",
    );
    refused(
        "\"writers\"",
        "\"a b\"",
        &format!("{writers}the load name \"a b\" must have"),
    );
    refused(
        "idempotent = true",
        "record-bytes = 4",
        &format!("{writers}record-bytes is below 8"),
    );
    refused(
        "idempotent = true",
        "record-bytes = 9_000_000",
        &format!("{writers}a request of "),
    );
    refused(
        "fan-out = true",
        "connections2 = 1",
        "m.toml:29: unknown field `connections2`",
    );
    refused(
        "fan-out = true",
        "repeat = true",
        "m.toml:24: repeat = true reads a preload over and over",
    );
    refused(
        "\"64 KiB\"",
        "\"100 MiB\"",
        "m.toml:24: an answer may have 8 partitions of 104857600 bytes",
    );
    let few = "m.toml:32: 4 partitions cannot keep 5 connections busy: have fewer connections";
    refused(
        "connections = 2\nfrom = \"beginning\"",
        "connections = 5\nfrom = \"beginning\"",
        few,
    );
    refused("preload = {", "#", "m.toml:32: repeat = true reads a preload");
    refused(
        "seconds = 1.5",
        "seconds = 0",
        "m.toml: seconds = 0 is not between 0.001 and ",
    );
}

#[test]
fn the_file_of_the_documentation_can_be_run() {
    let page = include_str!("../../../../docs/bench.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let file = parse("docs/bench.md", text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(file.loads().len(), 4);
}

#[test]
fn a_knee_has_one_rate_to_begin_with() {
    let with = |knee: &str| {
        parse(
            "m.toml",
            &WHOLE.replace("[topics.old]", &format!("[knee]\n{knee}\n[topics.old]")),
        )
    };
    let file = with("p99 = '10ms'").unwrap();
    let (knee, load) = file.knee().unwrap();
    assert_eq!((knee.p99.0, &*load.name), (Duration::from_millis(10), "writers"));
    assert!(parse("m.toml", WHOLE).unwrap().knee().is_none());
    let error = with("p99 = 'soon'").unwrap_err().to_string();
    assert!(error.starts_with("m.toml:12: \"soon\" is no time"), "{error}");
    let without = WHOLE
        .replace("rate = \"2 MB/s\"", "")
        .replace("[topics.old]", "[knee]\np99 = '1s'\n[topics.old]");
    let error = parse("m.toml", &without).unwrap_err().to_string();
    assert!(error.starts_with("m.toml:11: [knee] seeks one rate"), "{error}");
}

#[test]
fn a_file_without_a_load_is_refused() {
    let error = parse("m.toml", "title = 't'\n[topics.one]\npartitions = 1\n").unwrap_err();
    assert!(
        error.to_string().starts_with("m.toml: there are 0 loads"),
        "{error}"
    );
    let nothing_to_read =
        "title = 't'\n[topics.one]\npartitions = 1\n[[consume]]\nname = 'r'\nconnections = 1\nfrom = 'end'\n";
    let error = parse("m.toml", nothing_to_read).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("m.toml:4: there is nothing to read"),
        "{error}"
    );
}

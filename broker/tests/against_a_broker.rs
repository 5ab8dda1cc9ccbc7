//! The tools against the broker, both as the user starts them: the same binary, a socket between them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

#[test]
fn records_go_in_and_come_out_in_every_compression() {
    let broker = Broker::start("codecs");
    let lines: String = (0..500)
        .map(|number| format!("key-{} value {number}\n", number % 7))
        .collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.run_with(&["produce", codec, "-z", codec, "-K", " ", "-H", "h=1"], &lines);
        let read = broker.run(&["consume", codec, "-F", "%k %s %h\\n"]);
        assert_eq!(read, lines.replace('\n', " h=1\n"), "{codec}");
    }
    assert_eq!(broker.run(&["consume", "zstd", "--from", "-1"]), "value 499\n");
    assert_eq!(
        broker.run(&["consume", "zstd", "--from", "7", "-n", "2", "-F", "%o,"]),
        "7,8,"
    );
    assert_eq!(
        broker.run(&["consume", "zstd", "--from", "1h", "-n", "1", "-F", "%o"]),
        "0"
    );

    let json = broker.run(&["consume", "gzip", "--json", "-n", "3"]);
    broker.run_with(&["produce", "copy", "--json"], &json);
    let copied = broker.run(&["consume", "copy", "-F", "%T %k %s %h\\n"]);
    assert_eq!(
        copied,
        broker.run(&["consume", "gzip", "-n", "3", "-F", "%T %k %s %h\\n"])
    );
}

#[test]
fn topics_live_through_their_commands() {
    let broker = Broker::start("topics");
    broker.run(&["topic", "create", "t", "-p", "3", "-s", "retention.ms=7d"]);
    assert_eq!(broker.fails(&["topic", "create", "t"], 5), "");
    broker.run(&["topic", "create", "t", "--if-not-exists"]);
    broker.run(&[
        "topic",
        "alter",
        "t",
        "-p",
        "4",
        "-s",
        "max.message.bytes=2MiB",
        "-u",
        "retention.ms",
    ]);
    let described = broker.run(&["topic", "describe", "t"]);
    assert!(
        described.contains("4 partitions") && described.contains("2097152"),
        "{described}"
    );
    assert!(!described.contains("retention.ms"), "{described}");
    broker.run_with(&["produce", "t", "-p", "3"], "a\nb\nc\n");
    let trimmed = broker.run(&["topic", "trim", "t", "--before", "-1", "-p", "3", "-y"]);
    assert!(
        trimmed
            .lines()
            .last()
            .unwrap()
            .split_whitespace()
            .eq(["3", "0", "2", "3"]),
        "{trimmed}"
    );
    assert_eq!(broker.run(&["consume", "t"]), "c\n");
    assert!(
        broker
            .run(&["topic", "list", "--json"])
            .contains("\"partitions\": 4")
    );
    assert!(broker.run(&["cluster", "info", "--apis"]).contains("Produce"));
    broker.run(&["topic", "delete", "t", "-y"]);
    for gone in [
        &["topic", "delete", "t", "-y"][..],
        &["consume", "t"],
        &["topic", "describe", "t"],
    ] {
        broker.fails(gone, 4);
    }
    broker.fails(&["topic", "create", "no blanks"], 1);
}

#[test]
fn a_member_that_is_told_to_end_commits_what_it_showed_and_leaves() {
    let broker = Broker::start("interrupted");
    broker.run(&["topic", "create", "t"]);
    broker.run_with(&["produce", "t"], "a\nb\nc\n");
    for (signal, offset) in [("-INT", "3"), ("-TERM", "4")] {
        let mut command = binary();
        command.args([
            "consume",
            "t",
            "-g",
            "g",
            "--follow",
            "--brokers",
            &broker.address,
        ]);
        let mut member = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = BufReader::new(member.stdout.take().unwrap()).lines();
        let mut last = String::new();
        while !["c", "d"].contains(&&*last) {
            last = shown.next().expect("a line").unwrap();
        }
        // Long before it commits by itself.
        let pid = member.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(member.wait().unwrap().code(), Some(0));
        let listed = broker.run(&["group", "list"]);
        assert!(has_row(&listed, &["g", "Empty", "consumer"]), "{listed}");
        let described = broker.run(&["group", "describe", "g"]);
        assert!(
            has_row(&described, &["t", "0", offset, offset, "0", "-"]),
            "{described}"
        );
        broker.run_with(&["produce", "t"], "d\n");
    }
}

/// Whole lines whose words are these.
fn has_row(table: &str, words: &[&str]) -> bool {
    let mut lines = table.lines();
    lines.any(|line| line.split_whitespace().eq(words.iter().copied()))
}

#[test]
fn groups_read_on_are_looked_at_moved_and_deleted() {
    let broker = Broker::start("groups");
    broker.run(&["topic", "create", "t", "-p", "2"]);
    broker.run_with(&["produce", "t", "-p", "0"], "a\nb\nc\nd\n");
    assert_eq!(broker.run(&["consume", "t", "-g", "g", "-n", "1"]), "a\n");
    let listed = broker.run(&["group", "list"]);
    assert!(has_row(&listed, &["g", "Empty", "consumer"]), "{listed}");
    let described = broker.run(&["group", "describe", "g"]);
    assert!(
        has_row(&described, &["t", "0", "1", "4", "3", "-"]),
        "{described}"
    );
    assert_eq!(broker.run(&["consume", "t", "-g", "g"]), "b\nc\nd\n");
    assert_eq!(broker.run(&["consume", "t", "-g", "g"]), "");
    let reset = ["group", "reset-offsets", "g", "-t", "t", "--to", "-2", "-y"];
    let would = broker.run(&[&reset[..], &["--dry-run"]].concat());
    assert!(has_row(&would, &["t", "0", "4", "2"]), "{would}");
    assert_eq!(broker.run(&["consume", "t", "-g", "g"]), "", "nothing was moved");
    broker.run(&reset);
    assert_eq!(broker.run(&["consume", "t", "-g", "g"]), "c\nd\n");
    // What nobody has read yet begins where it is said.
    assert_eq!(broker.run(&["consume", "t", "-g", "h", "--from", "-1"]), "d\n");
    assert!(
        broker
            .run(&["group", "describe", "h", "--json"])
            .contains("\"committed\": 4")
    );
    for names in [["g", "nog", "h"], ["nog", "g", "h"]] {
        let described = broker.fails(&[&["group", "describe"], &names[..]].concat(), 4);
        assert!(
            described.contains("g (Empty") && described.contains("h (Empty"),
            "one that there is not hides none: {described}"
        );
    }
    assert!(has_row(
        &broker.run(&["group", "list", "--state", "empty"]),
        &["g", "Empty", "consumer"]
    ));
    assert!(
        !broker
            .run(&["group", "list", "--state", "Stable"])
            .contains("Empty")
    );
    let said = broker.millstream(&["group", "list", "--state", "nonsense"], "");
    assert_eq!(said.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("Reconciling"),
        "the states that there are"
    );
    broker.run(&["group", "delete", "g", "h", "-y"]);
    for gone in [&["group", "delete", "g", "-y"][..], &["group", "describe", "g"]] {
        broker.fails(gone, 4);
    }
    broker.run(&["group", "delete", "g", "-y", "--if-exists"]);
}

#[test]
fn configs_of_brokers_change_while_they_run() {
    let broker = Broker::start("configs");
    broker.run(&["topic", "create", "t"]);
    broker.run(&[
        "config",
        "alter",
        "-s",
        "log.retention.ms=3d",
        "-s",
        "message.max.bytes=2MiB",
    ]);
    let set = broker.run(&["config", "describe"]);
    assert!(
        has_row(&set, &["log.retention.ms", "259200000", "cluster"]),
        "{set}"
    );
    let of_topic = broker.run(&["config", "describe", "-t", "t"]);
    assert!(
        has_row(&of_topic, &["max.message.bytes", "2097152", "cluster"]),
        "{of_topic}"
    );
    broker.run(&["config", "alter", "--broker", "1", "-s", "log.retention.ms=1d"]);
    let one = broker.run(&["config", "describe", "log.retention.ms"]);
    assert!(
        has_row(&one, &["log.retention.ms", "86400000", "broker"]),
        "{one}"
    );
    broker.run(&["config", "alter", "-u", "log.retention.ms", "--dry-run"]);
    let all = broker.run(&["config", "describe", "--all", "--json"]);
    assert!(all.contains("\"ssl.keystore.location\""), "{all}");
    broker.fails(&["config", "alter", "-s", "node.id=7"], 1);
    broker.fails(&["config", "alter"], 2);
    broker.fails(&["config", "describe", "no.such"], 4);
    broker.fails(&["config", "describe", "-t", "unknown"], 4);
}

#[test]
fn a_killed_brokers_directory_is_dumped_as_it_is_found() {
    let mut broker = Broker::start("dump");
    broker.run_with(&["produce", "t", "--timestamp", "@1000", "-k", "k"], "one\ntwo\n");
    broker.process.kill().unwrap();
    broker.process.wait().unwrap();
    let dump = broker.run(&["log", "dump", "--records"]);
    for part in [
        "baseOffset: 0 lastOffset: 1 count: 2",
        "CreateTime: 1000",
        "isvalid: true storedIn: journal",
        "| offset: 1 CreateTime: 1000 keySize: 1 valueSize: 3 sequence: 1 headerKeys: [] key: k payload: two",
    ] {
        assert!(dump.contains(part), "{part}\n{dump}");
    }
    assert!(
        broker
            .run(&["log", "dump", "--journal"])
            .contains("| tail partition: t-0")
    );
    assert!(
        broker
            .run(&["log", "dump", "--metadata"])
            .contains("| topicCreated name: t")
    );
    assert!(
        broker
            .run(&["log", "dump", "--state"])
            .contains("partition: t-0 start: 0 end: 2")
    );
    assert!(
        broker
            .run(&["log", "dump", "--checkpoint"])
            .contains("checkpoint: journal")
    );
    broker.fails(&["log", "dump", "-t", "nope"], 4);
    assert!(
        broker
            .run(&["log", "repair", "--scan"])
            .contains("No partition is damaged")
    );
}

#[test]
fn damage_is_named_and_given_up_only_when_told_to() {
    let mut broker = Broker::start("repair");
    let line = format!("{}\n", "x".repeat(999));
    broker.run_with(&["produce", "t"], &line.repeat(3_000));
    broker.run_with(&["produce", "other"], "untouched\n");
    broker.stop();

    let segment = broker.run(&["log", "dump", "-t", "t", "--json", "--state"]);
    let id = segment
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let path = broker
        .directory
        .join(format!("millstream-data/segments/{}/{id}.seg", &id[14..]));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    broker.run(&["log", "repair"]);
    let shown = broker.fails(&["log", "repair", "--scan"], 6);
    let from: i64 = shown
        .split("offsets ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        shown.starts_with("t-0: ") && shown.contains(&format!("offsets {from} to 2999")),
        "{shown}"
    );
    assert!((1..2_100).contains(&from), "{shown}");
    assert_eq!(
        broker
            .fails(&["log", "dump", "-t", "t"], 6)
            .matches("isvalid: false")
            .count(),
        1
    );

    assert!(
        broker
            .run(&["log", "repair", "--scan", "--accept-loss"])
            .contains("are lost")
    );
    assert!(
        broker
            .run(&["log", "repair", "--scan"])
            .contains("No partition is damaged")
    );
    broker.restart();
    assert_eq!(broker.run(&["consume", "t"]).lines().count() as i64, from);
    assert_eq!(broker.run(&["consume", "other"]), "untouched\n");
    broker.run_with(&["produce", "t"], "again\n");
    let last = broker.run(&["consume", "t", "--from", "-1", "-F", "%o %s"]);
    assert_eq!(last, format!("{from} again"));
}

#[test]
fn a_signal_asks_how_the_broker_is() {
    let broker = Broker::start("status");
    broker.run(&["topic", "create", "t", "-p", "6"]);
    let value = "v".repeat(10_000);
    broker.run_with(&["produce", "t"], &format!("{value}\n").repeat(100));
    for _ in 0..2 {
        broker.signal("-USR1");
        let process = broker.log_line("status of the process");
        assert!(
            field(&process, "shards") == 2 && field(&process, "resident_bytes") > 1 << 20,
            "{process}"
        );
        let shards = [(); 2].map(|()| broker.log_line("status of a shard"));
        let sum = |name: &str| shards.iter().map(|line| field(line, name)).sum::<u64>();
        assert_eq!(sum("partitions_led"), 6);
        assert!(
            (1_000_000..1_200_000).contains(&sum("cache_held_bytes")),
            "{shards:?}"
        );
        assert!(sum("cache_limit_bytes") > sum("cache_held_bytes"));
        assert!(sum("journal_bytes") >= sum("journal_live_bytes") && sum("receive_buffers") > 0);
    }
}

/// The number behind `name=` in a line of the log.
fn field(line: &str, name: &str) -> u64 {
    let mut words = line.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{name} of {line}"))
}

const PATIENCE: Duration = Duration::from_secs(20);

/// The binary with nothing of ours in its environment.
fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLSTREAM_") {
            command.env_remove(name);
        }
    }
    command
}

/// A broker on a free port, in a directory of its own.
struct Broker {
    process: Child,
    address: String,
    directory: PathBuf,
    /// Lines of its log after the one that says that it is ready.
    log: Receiver<String>,
}

impl Broker {
    fn start(name: &str) -> Broker {
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broker-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let (process, address, log) = Broker::launch(&directory);
        Broker {
            process,
            address,
            directory,
            log,
        }
    }

    /// Waits for the line that says where it listens.
    fn launch(directory: &Path) -> (Child, String, Receiver<String>) {
        let mut command = binary();
        command
            .current_dir(directory)
            .args(["start", "--listen", "127.0.0.1:0", "--cores", "2"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let address = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("the broker is not ready:\n{seen}"))
                .unwrap();
            if let Some(rest) = line.split("ready on ").nth(1) {
                break rest.split([':', ' ', ',']).take(2).collect::<Vec<_>>().join(":");
            }
            seen.push_str(&line);
        };
        // A full pipe must not hold it up, whether the test reads its log or not.
        let (sender, log) = channel();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        });
        (process, address, log)
    }

    /// In good order.
    fn stop(&mut self) {
        self.signal("-TERM");
        assert!(self.process.wait().unwrap().success());
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The next line of its log that has this in it.
    fn log_line(&self, part: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap();
            if line.contains(part) {
                return line;
            }
        }
    }

    fn restart(&mut self) {
        (self.process, self.address, self.log) = Broker::launch(&self.directory);
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> String {
        self.expect(arguments, input, 0)
    }

    /// What it printed before it failed with this code.
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        self.expect(arguments, "", code)
    }

    fn expect(&self, arguments: &[&str], input: &str, code: i32) -> String {
        let output = self.millstream(arguments, input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn millstream(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = binary();
        command
            .current_dir(&self.directory)
            .args(arguments)
            .env("MILLSTREAM_BROKERS", &self.address);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // A tool that fails early does not read all of it.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

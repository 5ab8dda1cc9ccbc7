//! The binary as a script sees it: exit codes, what goes to which stream, and no broker anywhere.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `millstream` in an empty directory of its own.
fn millstream(directory: &Directory, arguments: &[&str]) -> Output {
    run(directory, env!("CARGO_BIN_EXE_millstream"), arguments)
}

/// Runs a program with nothing of ours in the environment.
fn run(directory: &Directory, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLSTREAM_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(&directory.0)
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn check(directory: &Directory, arguments: &[&str], code: i32, part_of_stderr: &str) -> String {
    let output = millstream(directory, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(part_of_stderr), "{arguments:?}: {stderr}");
    assert!(!stderr.contains('\x1b'), "no colour without a terminal: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn help_and_version_succeed() {
    let directory = Directory::new("help");
    assert!(check(&directory, &["--help"], 0, "").contains("Exit codes:"));
    assert!(check(&directory, &["topic", "create", "--help"], 0, "").contains("Examples:"));
    assert!(check(&directory, &["--version"], 0, "").starts_with("millstream "));
    assert!(check(&directory, &["completions", "bash"], 0, "").contains("complete"));
}

#[test]
fn wrong_usage_is_two() {
    let directory = Directory::new("usage");
    check(&directory, &["strat"], 2, "'start'");
    check(&directory, &["start", "--cores", "none"], 2, "--cores");
    check(
        &directory,
        &["start", "--set", "num.partition=1"],
        2,
        "Did you mean `num.partitions`?",
    );
    check(&directory, &["consume", "t", "--from", "soon"], 2, "beginning");
    check(&directory, &["consume", "t", "--format", "%q"], 2, "%s value");
    directory.write("millstream.toml", "listne = \"127.0.0.1:1\"\n");
    check(
        &directory,
        &["start"],
        2,
        "millstream.toml:1: `listne` is not a setting",
    );
    check(&directory, &["topic", "list"], 2, "Did you mean `listen`?");
}

#[test]
fn no_broker_is_three_and_the_configuration_says_where_it_was_looked_for() {
    let directory = Directory::new("unreachable");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    check(&directory, &["topic", "list", "--brokers", &free], 3, &free);
    directory.write("millstream.toml", &format!("[client]\nbrokers = [\"{free}\"]\n"));
    check(&directory, &["cluster", "info"], 3, &free);
    check(&directory, &["produce", "t", "v"], 3, "--brokers HOST:PORT");
    check(&directory, &["consume", "t"], 3, &free);
}

#[test]
fn no_data_directory_is_four() {
    let directory = Directory::new("dump");
    check(&directory, &["log", "dump"], 4, "--data-dir");
}

#[test]
fn the_printed_configuration_is_one() {
    let directory = Directory::new("print");
    let printed = check(
        &directory,
        &["start", "--print-config", "--listen", "127.0.0.1:19092"],
        0,
        "",
    );
    assert!(printed.contains("listen = [\"127.0.0.1:19092\"]"), "{printed}");
    directory.write("printed.toml", &printed);
    let again = check(
        &directory,
        &["start", "--print-config", "--config", "printed.toml"],
        0,
        "",
    );
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| {
                line.split("  # ")
                    .next()
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(values(&printed), values(&again));
    assert!(again.contains("# printed.toml:"), "{again}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let directory = Directory::new("pipe");
    let shell = format!(
        "{} start --print-config | head -1",
        env!("CARGO_BIN_EXE_millstream")
    );
    let output = run(&directory, "sh", &["-c", &shell]);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

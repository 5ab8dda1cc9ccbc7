//! Every refusal to start: the exit code, and a message that says what to do.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use millstream_tests::process::{Broker, free_address, millstream, refused, scratch_folder};

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound address").to_string();
    let folder = Folder::new();
    check(
        start(&folder.0, &["--listen", &address]),
        1,
        &[&address, "in use by another process", "--listen HOST:PORT"],
    );
}

#[test]
fn an_address_of_another_machine() {
    let folder = Folder::new();
    // Reserved for documentation (RFC 5737): nobody's.
    check(
        start(&folder.0, &["--listen", "192.0.2.1:9092"]),
        1,
        &["192.0.2.1:9092", "choose an address of this host"],
    );
}

#[test]
fn a_directory_without_rights() {
    let folder = Folder::new();
    let mut command = start(Path::new("/proc/millstream"), &[]);
    command.current_dir(&folder.0);
    check(command, 1, &["/proc/millstream", "cannot be used", "--data-dir"]);
    if !is_root() {
        skip("a directory of another user's: only root can become somebody else");
        return;
    }
    // Below a folder that everybody may look into.
    let binary = std::env::temp_dir().join(format!("millstream-refusals-{}", std::process::id()));
    std::fs::copy(millstream_tests::process::binary(), &binary).expect("a copy of the binary");
    let mut command = Command::new(&binary);
    command
        .env_clear()
        .args(["start", "--data-dir"])
        .arg(std::env::temp_dir().join("millstream-of-nobody"))
        .args(["--listen", &free_address().to_string()]);
    let owned = std::env::temp_dir().join("millstream-of-nobody");
    std::fs::create_dir_all(&owned).expect("a folder");
    std::fs::set_permissions(&owned, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("rights can be set");
    command.current_dir("/").uid(NOBODY).gid(NOBODY);
    let (code, said) = refused(command);
    std::fs::remove_file(&binary).expect("the copy can be removed");
    std::fs::remove_dir_all(&owned).expect("the folder can be removed");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("Permission denied") && said.contains("--data-dir"),
        "{said}"
    );
}

#[test]
fn a_file_system_in_memory() {
    let folder = PathBuf::from(format!("/dev/shm/millstream-{}", std::process::id()));
    if !Path::new("/dev/shm").is_dir() {
        skip("no /dev/shm here");
        return;
    }
    check(
        start(&folder, &[]),
        1,
        &["/dev/shm/millstream", "direct I/O", "ext4 or XFS"],
    );
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn io_uring_forbidden() {
    let folder = Folder::new();
    let inner = start(&folder.0, &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_without-io-uring"));
    command.env_clear();
    command.arg(inner.get_program()).args(inner.get_args());
    check(
        command,
        1,
        &[
            "io_uring",
            "seccomp",
            "io_uring_setup",
            "kernel.io_uring_disabled",
        ],
    );
}

#[test]
fn a_second_process_and_a_newer_format() {
    let mut broker = Broker::start(&["--cores", "1"]);
    let data = broker.data_dir();
    check(
        start(&data, &[]),
        1,
        &[
            "another process uses this data directory",
            "stop it, or choose another with --data-dir",
        ],
    );
    assert!(broker.is_running());
    assert!(broker.terminate().0);
    let identity = data.join("identity");
    let mut block = std::fs::read(&identity).expect("the directory has an identity");
    block[FORMAT_VERSION_AT] += 1;
    std::fs::write(&identity, block).expect("it can be written");
    check(
        start(&data, &[]),
        1,
        &["has format 2", "knows formats up to 1", "start the newer version"],
    );
}

#[test]
fn wrong_keys_flags_and_variables() {
    let folder = Folder::new();
    let toml = folder.0.join("broker.toml");
    let with = |text: &str| {
        std::fs::write(&toml, text).expect("a file can be written");
        start(
            &folder.0.join("data"),
            &["--config", toml.to_str().expect("UTF-8")],
        )
    };
    check(
        with("cores = 1\nlisen = \"127.0.0.1:1\"\n"),
        2,
        &["broker.toml:2", "`lisen`", "Did you mean `listen`?"],
    );
    check(
        with("[broker]\nnum.partitions = 1\nlog.retension.ms = 5\n"),
        2,
        &["broker.toml:3", "Did you mean `log.retention.ms`?"],
    );
    check(
        with("[log]\nlevel = \"inof\"\n"),
        2,
        &["broker.toml:2", "Did you mean `info`?"],
    );
    check(with("cores = \n"), 2, &["broker.toml:1"]);
    check(start(&folder.0, &["--core", "1"]), 2, &["--core", "'--cores'"]);
    check(
        start(&folder.0, &["--listen", "127.0.0.1:99999"]),
        2,
        &["--listen", "`99999` is not a port"],
    );
    let mut command = start(&folder.0, &[]);
    command.env("MILLSTREAM_LISTN", "127.0.0.1:1");
    check(
        command,
        2,
        &["MILLSTREAM_LISTN", "Did you mean `MILLSTREAM_LISTEN`?"],
    );
    let mut command = start(&folder.0, &[]);
    command.env("MILLSTREAM_CORES", "many");
    check(command, 2, &["MILLSTREAM_CORES"]);
}

#[track_caller]
fn check(command: Command, code: i32, parts: &[&str]) {
    let (found, said) = refused(command);
    assert_eq!(found, Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// A start on a free port, where the flags name none.
fn start(data_dir: &Path, flags: &[&str]) -> Command {
    let mut command = millstream();
    command.arg("start").arg("--data-dir").arg(data_dir);
    if !flags.contains(&"--listen") {
        command.args(["--listen", &free_address().to_string()]);
    }
    command.args(flags);
    command
}

pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
    status.lines().any(|line| {
        line.strip_prefix("Uid:")
            .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
    })
}

/// Says loudly what is not tested; where CI runs, it must be.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must test this, but there is {why}"
    );
    eprintln!("SKIPPED: {why}");
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(scratch_folder())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NOBODY: u32 = 65_534;
/// Of the identity file's block (docs/formats.md).
const FORMAT_VERSION_AT: usize = 12;

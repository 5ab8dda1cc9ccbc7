//! A disk that fills up, small enough to be filled: writes are refused with a code that clients try again on, reads and
//! deletion go on, and room that comes back is noticed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::delete_topics::DeleteTopicsRequest;
use millstream_tests::process::{Broker, scratch_folder};
use millstream_tests::wire::Connection;

use super::damage::write;
use super::refusals::{is_root, skip};

#[test]
fn a_full_disk_refuses_writes_only_and_recovers_by_itself() {
    let Some(disk) = Disk::mount() else {
        return;
    };
    let mut broker = Broker::start_in(disk.folder.join("broker"), &["--cores", "1"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    client.create_topic("kept", 1, &[]);
    client.create_topic("large", 1, &[]);
    assert_eq!(write(&mut client, "kept", 0, 1, b"before"), (0, 0));
    let value = vec![b'x'; 900_000];
    for number in 0..LARGE_RECORDS {
        assert_eq!(write(&mut client, "large", 0, number, &value).0, 0);
    }

    // Below the threshold, but not full: nothing has failed when writes begin to be refused.
    disk.leave(THRESHOLD - (32 << 20));
    let refused = until(&mut client, |code| code != 0);
    let code = ErrorCode::from_code(refused).expect("a known code");
    assert!(code.is_retriable(), "{code:?}");
    for part in [
        FULL,
        "below 1GiB (`free_space_min`)",
        "--free-space-min",
        "from 1.1GiB on",
    ] {
        broker.must_have_said(part);
    }
    broker.terminate();
    let ended = broker.log().len();
    broker.restart();
    let log = broker.log().split_off(ended);
    let ready = log.find("ready on").expect("a broker that is ready");
    assert!(log[..ready].contains(FULL), "a start tells of a full disk: {log}");
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(write(&mut client, "kept", 0, 2, b"refused").0, refused);
    let kept = client.read_all("kept", 0, 0);
    assert_eq!(kept[0].value, b"before");
    assert_eq!(client.read_all("large", 0, LARGE_RECORDS - 2).len(), 2);

    delete(&mut client, "large");
    assert_eq!(until(&mut client, |code| code == 0), 0, "room came back");
    broker.must_have_said("there is room on the disk again");

    // Full at once, between two looks at the space, while writes go on.
    client.create_topic("large", 1, &[]);
    disk.fill();
    let mut accepted = client.read_all("kept", 0, 0).len() as i64;
    let mut refusals = 0;
    let end = Instant::now() + Duration::from_secs(30);
    while refusals < 20 {
        assert!(Instant::now() < end, "a full disk takes everything");
        match write(&mut client, "kept", 0, 3, &value[..500_000]) {
            (0, offset) => {
                assert_eq!(offset, accepted);
                accepted += 1;
            }
            (code, _) => {
                let code = ErrorCode::from_code(code).expect("a known code");
                assert!(code.is_retriable(), "{code:?}");
                refusals += 1;
            }
        }
    }
    assert_eq!(client.read_all("kept", 0, 0).len() as i64, accepted);
    disk.free();
    assert_eq!(until(&mut client, |code| code == 0), 0, "room came back");
    let log = broker.log();
    assert!(
        !log.contains("fenced") && !log.contains("no more appends"),
        "a full disk is no damage: {log}"
    );
}

/// Writes until the answer is as wanted; the last code.
#[track_caller]
fn until(client: &mut Connection, wanted: impl Fn(i16) -> bool) -> i16 {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let (code, _) = write(client, "kept", 0, 2, b"more");
        if wanted(code) {
            return code;
        }
        assert!(Instant::now() < end, "{code} is answered all the time");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn delete(client: &mut Connection, topic: &str) {
    let request = DeleteTopicsRequest {
        topic_names: vec![topic],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let reply = client.call(&request, 5).expect("a reply");
    let response = reply.read::<DeleteTopicsRequest<'_>>();
    assert_eq!(response.responses[0].error_code, 0);
}

/// A small file system of its own, in a file.
struct Disk {
    folder: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// `None`, loudly, where this process may not mount.
    fn mount() -> Option<Self> {
        if !is_root() {
            skip("a file system of the test's own: only root mounts one");
            return None;
        }
        let outer = scratch_folder();
        let image = outer.join("disk.img");
        File::create(&image)
            .and_then(|file| file.set_len(DISK_BYTES))
            .expect("a sparse file");
        let folder = outer.join("mounted");
        std::fs::create_dir(&folder).expect("a folder");
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .args([&image, &folder])
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            std::fs::remove_dir_all(&outer).expect("a scratch folder can be removed");
            skip("a loop device to be mounted");
            return None;
        }
        std::fs::create_dir(folder.join("broker")).expect("a folder");
        Some(Self { folder, image })
    }

    /// Takes all but so many bytes of what is free.
    fn leave(&self, bytes: u64) {
        let free = free_bytes(&self.folder);
        let length = free.saturating_sub(bytes).to_string();
        let ballast = self.folder.join(format!("ballast-{length}"));
        run(Command::new("fallocate").args(["-l", &length]).arg(ballast));
    }

    /// Takes everything.
    fn fill(&self) {
        for bytes in [64 << 20, 4 << 20, 256 << 10, 16 << 10] {
            for number in 0.. {
                let ballast = self.folder.join(format!("ballast-{bytes}-{number}"));
                let length = bytes.to_string();
                let taken = Command::new("fallocate")
                    .args(["-l", &length])
                    .arg(ballast)
                    .output();
                if !taken.expect("fallocate(1) runs").status.success() {
                    break;
                }
            }
        }
    }

    /// Gives back all that was taken.
    fn free(&self) {
        for entry in std::fs::read_dir(&self.folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().contains("ballast-") {
                std::fs::remove_file(path).expect("a file can be removed");
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The kernel closes the rings of a killed process a moment after it is gone.
        let mut attempts = 50;
        while !Command::new("umount")
            .arg(&self.folder)
            .output()
            .is_ok_and(|output| output.status.success())
        {
            attempts -= 1;
            assert!(attempts > 0, "{} stays busy", self.folder.display());
            std::thread::sleep(Duration::from_millis(100));
        }
        let outer = self.image.parent().expect("a scratch folder");
        std::fs::remove_dir_all(outer).expect("a scratch folder can be removed");
    }
}

fn free_bytes(folder: &Path) -> u64 {
    let output = Command::new("stat")
        .args(["-f", "-c", "%a %S"])
        .arg(folder)
        .output()
        .expect("stat(1) runs");
    let text = String::from_utf8(output.stdout).expect("numbers");
    let mut numbers = text
        .split_whitespace()
        .map(|word| word.parse::<u64>().expect("a number"));
    let (blocks, size) = (
        numbers.next().expect("free blocks"),
        numbers.next().expect("their size"),
    );
    blocks * size
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{command:?} does not succeed"
    );
}

const DISK_BYTES: u64 = 3 << 30;
const FULL: &str = "the disk is full: only";
/// Below which appends are refused.
const THRESHOLD: u64 = 1 << 30;
/// Together more than the distance between being full and having room again.
const LARGE_RECORDS: i64 = 150;

//! The walls: who may depend on whom, and who may reach the world.

use crate::source::{Tree, Violation, behind_doors, violation, words};

/// Who may depend on whom, as ARCHITECTURE.md draws it: our rooms, then the crates that are walls too.
pub const WALLS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("protocol/compress", &["millstream-protocol"]),
    ("storage/log", &["millstream-protocol"]),
    ("storage/ring", &["io-uring", "libc"]),
    (
        "storage",
        &["millstream-log", "millstream-ring", "millstream-protocol"],
    ),
    ("broker/machine", &["millstream-protocol"]),
    (
        "broker",
        &[
            "millstream-machine",
            "millstream-storage",
            "millstream-log",
            "millstream-ring",
            "millstream-protocol",
            "millstream-compress",
            "millstream-tuning",
            "glommio",
            "libc",
        ],
    ),
    (
        "bench-harness",
        &["millstream-protocol", "millstream-ring", "rustix"],
    ),
    ("tuning", &["io-uring", "libc"]),
];

/// Crates that reach the world: each only where the table above names it.
const WALLED_CRATES: &[&str] = &["glommio", "io-uring", "libc", "tokio", "mio", "rustix", "nix"];

const MACHINES: &[&str] = &["protocol/src", "storage/log/src", "broker/machine/src"];

const ENGINE: &[&str] = &[
    "protocol/src",
    "storage",
    "broker/machine",
    "broker/src/shard",
    "broker/src/server",
    "broker/src/partition",
];

pub fn manifests_keep_the_walls(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (room, allowed) in WALLS {
        let path = format!("{room}/Cargo.toml");
        let Some(manifest) = tree.get(&path) else {
            found.push(violation(&path, "the room has no manifest".into()));
            continue;
        };
        for name in product_dependencies(&manifest.text) {
            let walled = name.starts_with("millstream") || WALLED_CRATES.contains(&name);
            if walled && !allowed.contains(&name) {
                found.push(violation(&path, format!("depends on {name}")));
            }
        }
    }
    found
}

pub fn every_room_has_a_wall(tree: &Tree) -> Vec<Violation> {
    tree.manifests()
        .filter_map(|path| path.strip_suffix("/Cargo.toml"))
        .filter(|room| !room.starts_with("tests") && WALLS.iter().all(|(known, _)| known != room))
        .map(|room| violation(room, "has no row in the table of walls".into()))
        .collect()
}

/// Names under `[dependencies]`, whatever the target.
fn product_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-dependencies");
            return None;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or("");
        (inside && !name.is_empty() && !name.starts_with('#')).then_some(name)
    })
}

pub fn storage_knows_no_messages(tree: &Tree) -> Vec<Violation> {
    words(
        tree,
        &["storage/src", "storage/log/src"],
        &["millstream_protocol::message", "protocol::message"],
    )
}

pub fn machines_are_pure(tree: &Tree) -> Vec<Violation> {
    let banned = [
        "async ",
        ".await",
        "std::time",
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "std::env",
        "std::process",
        "rand::",
        "getrandom",
    ];
    let mut found = Vec::new();
    for (path, file) in tree.below(MACHINES) {
        for word in banned {
            if file.product_code().contains(word) {
                found.push(violation(path, format!("`{word}` in a machine")));
            }
        }
    }
    found
}

pub fn machines_declare_themselves(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for folder in MACHINES {
        let path = format!("{folder}/lib.rs");
        let code = tree.get(&path).map(|file| file.code.as_str()).unwrap_or_default();
        if !code.contains("#![no_std]") && !code.contains("#![cfg_attr(not(test), no_std)]") {
            found.push(violation(&path, "is not `no_std`".into()));
        }
        if !code.contains("#![forbid(unsafe_code)]") {
            found.push(violation(&path, "does not forbid unsafe code".into()));
        }
        let linked = code
            .match_indices("extern crate std;")
            .any(|(at, _)| !code[..at].trim_end().ends_with("#[cfg(test)]"));
        if linked {
            found.push(violation(&path, "links std outside of tests".into()));
        }
    }
    found
}

pub fn unsafe_stays_in_the_ring(tree: &Tree) -> Vec<Violation> {
    let doors = [
        "storage/ring/",
        "tuning/src/probe",
        "tests/fuzz",
        "tests/wire/allocator",
        "tests/support/allocator",
    ];
    tree.sources()
        .filter(|(path, _)| !doors.iter().any(|door| path.starts_with(door)))
        .filter(|(path, _)| !HOST_UNSAFE.contains(path))
        .filter(|(_, file)| uses_unsafe(&file.code))
        .map(|(path, _)| violation(path, "`unsafe` outside of the ring's rooms".into()))
        .collect()
}

/// Host files that call the runtime's or the kernel's unsafe entry points, each block with its proof.
const HOST_UNSAFE: &[&str] = &[
    "broker/src/shard/allocator.rs",
    "broker/src/shard/host.rs",
    "broker/src/startup/kernel.rs",
    "broker/tests/turns/allocations.rs",
];

fn uses_unsafe(code: &str) -> bool {
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
        .iter()
        .any(|word| code.contains(word))
}

pub fn files_stay_behind_doors(tree: &Tree) -> Vec<Violation> {
    let folders = ["storage/src", "broker/src"];
    let doors = [
        "storage/src/boot",
        "storage/src/identity",
        "storage/src/lock",
        "broker/src/cli",
        "broker/src/config",
        "broker/src/controller",
        "broker/src/startup",
        "broker/src/telemetry",
        "broker/src/main.rs",
    ];
    behind_doors(
        tree,
        &folders,
        &doors,
        &[
            "std::fs",
            "fs::File",
            "File::open",
            "File::create",
            "OpenOptions::new",
        ],
    )
}

pub fn sockets_stay_behind_doors(tree: &Tree) -> Vec<Violation> {
    let folders = [
        "storage/src",
        "storage/log/src",
        "broker/src",
        "broker/machine/src",
    ];
    let doors = [
        "broker/src/client",
        "broker/src/cli",
        "broker/src/controller",
        "broker/src/startup",
    ];
    behind_doors(
        tree,
        &folders,
        &doors,
        &["TcpStream", "TcpListener", "UdpSocket", "UnixStream"],
    )
}

pub fn one_clock(tree: &Tree) -> Vec<Violation> {
    let doors = [
        "broker/src/shard/clock.rs",
        "broker/src/client",
        "broker/src/cli",
        "broker/src/controller",
        "broker/src/startup",
        "broker/src/telemetry",
        "storage/ring/src/uring",
        "storage/ring/benches",
        "storage/ring/examples",
        "storage/ring/tests",
        "storage/tests",
        "storage/benches",
        "storage/examples",
    ];
    behind_doors(
        tree,
        &["storage", "broker"],
        &doors,
        &["Instant::now", "SystemTime::now", "clock_gettime"],
    )
}

pub fn no_async_in_the_engine(tree: &Tree) -> Vec<Violation> {
    tree.below(ENGINE)
        .filter(|(path, _)| *path != "broker/src/shard/host.rs")
        .filter(|(_, file)| {
            file.code.contains("async fn") || file.code.contains("async move") || awaits(&file.code)
        })
        .map(|(path, _)| violation(path, "async code outside of the shard's host".into()))
        .collect()
}

/// The word alone, not the start of a field's name.
fn awaits(code: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    code.split(".await").skip(1).any(|rest| !goes_on(rest))
}

pub fn one_error_map(tree: &Tree) -> Vec<Violation> {
    tree.below(&["broker/src", "storage"])
        .filter(|(path, _)| *path != "broker/src/error.rs")
        .filter(|(_, file)| file.code.contains("for ErrorCode"))
        .map(|(path, _)| {
            violation(
                path,
                "maps an error to a Kafka code outside of broker/src/error.rs".into(),
            )
        })
        .collect()
}

pub fn glommio_hosts_the_loop(tree: &Tree) -> Vec<Violation> {
    behind_doors(
        tree,
        &["storage", "broker", "bench-harness"],
        &["broker/src/shard/host.rs"],
        &["glommio"],
    )
}

/// `spawn_local` takes a process-wide lock and runs the task at once, a task that is cancelled or dropped leaks, an
/// urgent queue can be left runnable while its executor sleeps, `DmaFile` sends operations to the wrong ring after an
/// empty file, its streams ignore short writes, and its sockets and channels wake a loop other than ours.
pub fn the_host_avoids_known_faults(tree: &Tree) -> Vec<Violation> {
    let faulty = [
        "spawn_",
        "Task",
        "cancel",
        "select",
        "Latency::Matters",
        "DmaFile",
        "StreamWriter",
        "glommio::net",
        "glommio::channels",
    ];
    words(tree, &["broker/src/shard/host.rs"], &faulty)
}

/// The doors: work that the kernel has no ring operation for, on a thread of its own; and the count of each
/// address's connections, taken when one is accepted or ends.
pub fn no_locks_where_records_pass(tree: &Tree) -> Vec<Violation> {
    let folders = [
        "protocol/src",
        "storage/src",
        "storage/log/src",
        "storage/ring/src",
        "broker/machine/src",
        "broker/src/shard",
        "broker/src/server",
        "broker/src/partition",
    ];
    let doors = ["storage/ring/src/uring/helper.rs", "broker/src/shard/table.rs"];
    behind_doors(tree, &folders, &doors, &["Mutex", "RwLock", "Condvar"])
}

pub fn records_stay_closed(tree: &Tree) -> Vec<Violation> {
    let doors = [
        "broker/src/cli",
        "broker/src/client",
        "broker/src/partition/record_search.rs",
        // No records: what clients push of their metrics.
        "broker/src/shard/client_metrics.rs",
    ];
    behind_doors(
        tree,
        &["storage/src", "broker/src"],
        &doors,
        &["millstream_compress"],
    )
}

pub fn no_hash_order(tree: &Tree) -> Vec<Violation> {
    words(tree, MACHINES, &["HashMap", "HashSet"])
}

//! The rules, one entry each: what it holds, how it looks, and a violation that it must catch.

use crate::source::{File, Tree, Violation};

pub struct Rule {
    pub name: &'static str,
    pub check: fn(&Tree) -> Vec<Violation>,
    pub plant: Plant,
}

/// Text appended to a file of the tree, and the path that the rule must then blame.
pub struct Plant {
    pub path: &'static str,
    pub text: &'static str,
    pub blamed: &'static str,
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "a room knows only the rooms below it",
        check: manifests_keep_the_walls,
        plant: Plant {
            path: "storage/log/Cargo.toml",
            text: "\n[dependencies]\nmillstream-storage.workspace = true\n",
            blamed: "storage/log",
        },
    },
    Rule {
        name: "storage knows no Kafka messages",
        check: storage_knows_no_messages,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "use millstream_protocol::message::x;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "a machine has no runtime, file, socket, clock or randomness",
        check: machines_are_pure,
        plant: Plant {
            path: "broker/machine/src/planted.rs",
            text: "use std::time::SystemTime;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "a machine's crate is no_std and free of unsafe",
        check: machines_declare_themselves,
        plant: Plant {
            path: "storage/log/src/lib.rs",
            text: "\nextern crate std;\n",
            blamed: "storage/log",
        },
    },
    Rule {
        name: "unsafe stays in the ring's rooms",
        check: unsafe_stays_in_the_ring,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "fn f() { unsafe { g() } }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "an unsafe block has its proof",
        check: unsafe_has_its_proof,
        plant: Plant {
            path: "storage/ring/src/planted.rs",
            text: "fn f() { unsafe { g() } }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "files are opened only behind the doors",
        check: files_stay_behind_doors,
        plant: Plant {
            path: "broker/src/shard/planted.rs",
            text: "fn f() { std::fs::read(p); }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "sockets are opened only behind the doors",
        check: sockets_stay_behind_doors,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "use std::net::TcpStream;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "the clock is read in one place of the engine",
        check: one_clock,
        plant: Plant {
            path: "broker/src/shard/planted.rs",
            text: "fn f() { Instant::now(); }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "the engine is a loop, not a web of tasks",
        check: no_async_in_the_engine,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "async fn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "operating errors meet Kafka's codes in one file",
        check: one_error_map,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "impl From<AppendError> for ErrorCode {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "no iteration in hash order in a machine",
        check: no_hash_order,
        plant: Plant {
            path: "storage/log/src/planted.rs",
            text: "use hashbrown::HashMap;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "every file is part of its crate",
        check: every_file_is_imported,
        plant: Plant {
            path: "protocol/src/orphan.rs",
            text: "//! Nobody's.\n",
            blamed: "orphan",
        },
    },
    Rule {
        name: "every file has a front page",
        check: every_file_has_a_front_page,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: "fn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "nothing is left undone in the tree",
        check: nothing_left_undone,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: concat!("// FIX", "ME later\n"),
            blamed: "planted",
        },
    },
    Rule {
        name: "no test is switched off",
        check: no_ignored_tests,
        plant: Plant {
            path: "tests/planted.rs",
            text: "#[ignore]\nfn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "lints are expected with a reason, never allowed",
        check: expect_not_allow,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "#[allow(dead_code)]\nfn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "no code in comments",
        check: no_code_in_comments,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "// let x = f(y);\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "a function fits two screens",
        check: functions_are_short,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: LONG_FUNCTION,
            blamed: "planted",
        },
    },
    Rule {
        name: "a file is one concept",
        check: files_are_short,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: LONG_FILE,
            blamed: "planted",
        },
    },
    Rule {
        name: "a line has 120 columns at most",
        check: lines_are_short,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: LONG_LINE,
            blamed: "planted",
        },
    },
];

/// Who may depend on whom, as `layout.md` and ARCHITECTURE.md draw it: our rooms, then the crates that are walls too.
const WALLS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("protocol/compress", &["millstream-protocol"]),
    ("storage/log", &["millstream-protocol"]),
    ("storage/ring", &["io-uring", "libc"]),
    (
        "storage",
        &[
            "millstream-log",
            "millstream-ring",
            "millstream-protocol",
            "millstream-compress",
            "libc",
        ],
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
        &[
            "millstream-protocol",
            "millstream-ring",
            "millstream-tuning",
            "rustix",
        ],
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
];

const FUNCTION_LINES_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 120;

fn manifests_keep_the_walls(tree: &Tree) -> Vec<Violation> {
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

/// Names under `[dependencies]`.
fn product_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
            return None;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or("");
        (inside && !name.is_empty() && !name.starts_with('#')).then_some(name)
    })
}

fn storage_knows_no_messages(tree: &Tree) -> Vec<Violation> {
    words(
        tree,
        &["storage/src", "storage/log/src"],
        &["millstream_protocol::message", "protocol::message"],
    )
}

fn machines_are_pure(tree: &Tree) -> Vec<Violation> {
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

fn machines_declare_themselves(tree: &Tree) -> Vec<Violation> {
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

fn unsafe_stays_in_the_ring(tree: &Tree) -> Vec<Violation> {
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
    "broker/src/shard/host.rs",
    "broker/src/startup/membarrier.rs",
    "broker/src/startup/signals.rs",
];

fn unsafe_has_its_proof(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        let (code, text): (Vec<&str>, Vec<&str>) = (file.code.lines().collect(), file.text.lines().collect());
        for (at, line) in code.iter().enumerate() {
            let block = line.contains("unsafe {") || line.contains("unsafe impl");
            let proven = || {
                text[at.saturating_sub(8)..=at]
                    .iter()
                    .any(|line| line.contains("SAFETY:"))
            };
            if block && !proven() {
                found.push(violation(path, format!("line {}: no SAFETY comment", at + 1)));
            }
        }
    }
    found
}

fn uses_unsafe(code: &str) -> bool {
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
        .iter()
        .any(|word| code.contains(word))
}

fn files_stay_behind_doors(tree: &Tree) -> Vec<Violation> {
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

fn sockets_stay_behind_doors(tree: &Tree) -> Vec<Violation> {
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

fn one_clock(tree: &Tree) -> Vec<Violation> {
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
    ];
    behind_doors(
        tree,
        &["storage", "broker"],
        &doors,
        &["Instant::now", "SystemTime::now", "clock_gettime"],
    )
}

fn no_async_in_the_engine(tree: &Tree) -> Vec<Violation> {
    tree.below(ENGINE)
        .filter(|(path, _)| *path != "broker/src/shard/host.rs")
        .filter(|(_, file)| {
            file.code.contains("async fn") || file.code.contains("async move") || file.code.contains(".await")
        })
        .map(|(path, _)| violation(path, "async code outside of the shard's host".into()))
        .collect()
}

fn one_error_map(tree: &Tree) -> Vec<Violation> {
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

fn no_hash_order(tree: &Tree) -> Vec<Violation> {
    words(tree, MACHINES, &["HashMap", "HashSet"])
}

fn every_file_is_imported(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, _) in tree.sources() {
        let Some((folder, name)) = path.rsplit_once('/') else {
            continue;
        };
        let inside_src = path.contains("/src/");
        if !inside_src || matches!(name, "lib.rs" | "main.rs") || path.contains("/src/bin/") {
            continue;
        }
        let (home, module) = match name {
            "mod.rs" => folder.rsplit_once('/').expect("a module folder has a parent"),
            _ => (folder, name.trim_end_matches(".rs")),
        };
        let parents = [
            format!("{home}/lib.rs"),
            format!("{home}/main.rs"),
            format!("{home}/mod.rs"),
            format!("{home}.rs"),
        ];
        let declared = parents
            .iter()
            .filter_map(|parent| tree.get(parent))
            .any(|file| declares(file, module));
        if !declared {
            found.push(violation(path, "no `mod` line names it".into()));
        }
    }
    found
}

fn declares(file: &File, module: &str) -> bool {
    let line = format!("mod {module};");
    file.code.lines().any(|code| {
        let code = code.trim_start();
        code == line
            || code
                .strip_prefix("pub ")
                .or_else(|| code.strip_prefix("pub(crate) "))
                == Some(&line)
            || (code.ends_with(&format!(" {line}")) && code.starts_with("pub"))
    })
}

fn every_file_has_a_front_page(tree: &Tree) -> Vec<Violation> {
    tree.sources()
        .filter(|(_, file)| !file.text.trim_start().starts_with("//!"))
        .map(|(path, _)| violation(path, "does not open with `//!`".into()))
        .collect()
}

fn nothing_left_undone(tree: &Tree) -> Vec<Violation> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        for mark in marks {
            if file.text.contains(mark) {
                found.push(violation(path, format!("`{mark}`")));
            }
        }
    }
    found
}

fn no_ignored_tests(tree: &Tree) -> Vec<Violation> {
    words(tree, &[""], &["#[ignore"])
}

fn expect_not_allow(tree: &Tree) -> Vec<Violation> {
    words(tree, &[""], &["#[allow(", "#![allow("])
}

fn no_code_in_comments(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        for (number, line) in file.text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("// ") else {
                continue;
            };
            let starts = [
                "let ", "if ", "for ", "return ", "self.", "pub ", "fn ", "use ", "#[",
            ];
            let ends = comment.ends_with(';') || comment.ends_with('{') || comment.ends_with("()");
            if ends && starts.iter().any(|start| comment.starts_with(start)) {
                found.push(violation(path, format!("line {}: `{comment}`", number + 1)));
            }
        }
    }
    found
}

fn functions_are_short(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        let lines: Vec<&str> = file.code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if !is_function(line.trim_start())
                || line.trim_end().ends_with('}')
                || line.trim_end().ends_with(';')
            {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[start..]
                .iter()
                .position(|line| line.trim_end() == close)
                .unwrap_or(0);
            if length > FUNCTION_LINES_MAX {
                found.push(violation(
                    path,
                    format!("line {}: a function of {length} lines", start + 1),
                ));
            }
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let line = line
        .strip_prefix("pub ")
        .or_else(|| line.strip_prefix("pub(crate) "))
        .unwrap_or(line);
    let line = line.strip_prefix("pub(super) ").unwrap_or(line);
    ["fn ", "const fn ", "async fn ", "unsafe fn "]
        .iter()
        .any(|start| line.starts_with(start))
}

fn files_are_short(tree: &Tree) -> Vec<Violation> {
    tree.sources()
        .map(|(path, file)| (path, file.product_code().lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| violation(path, format!("{lines} lines before its tests: split it")))
        .collect()
}

fn lines_are_short(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.sources() {
        for (number, line) in file.text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !line.contains("http") {
                found.push(violation(
                    path,
                    format!("line {}: {} columns", number + 1, line.chars().count()),
                ));
            }
        }
    }
    found
}

fn words(tree: &Tree, folders: &[&str], banned: &[&str]) -> Vec<Violation> {
    behind_doors(tree, folders, &[], banned)
}

fn behind_doors(tree: &Tree, folders: &[&str], doors: &[&str], banned: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.below(folders) {
        if doors.iter().any(|door| path.starts_with(door)) {
            continue;
        }
        for word in banned {
            if file.product_code().contains(word) {
                found.push(violation(path, format!("`{word}`")));
            }
        }
    }
    found
}

fn violation(path: &str, what: String) -> Violation {
    Violation {
        path: path.to_owned(),
        what,
    }
}

const LONG_LINE: &str = include_str!("long_line.txt");
const LONG_FUNCTION: &str = include_str!("long_function.txt");
const LONG_FILE: &str = include_str!("long_file.txt");

//! The rules, one entry each: what it holds, how it looks, and a violation that it must catch.

use crate::source::{Tree, Violation};
use crate::{habits, walls};

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
        check: walls::manifests_keep_the_walls,
        plant: Plant {
            path: "storage/log/Cargo.toml",
            text: "\n[dependencies]\nmillstream-storage.workspace = true\n",
            blamed: "storage/log",
        },
    },
    Rule {
        name: "every room has a wall",
        check: walls::every_room_has_a_wall,
        plant: Plant {
            path: "storage/planted/Cargo.toml",
            text: "[package]\nname = \"millstream-planted\"\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "storage knows no Kafka messages",
        check: walls::storage_knows_no_messages,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "use millstream_protocol::message::x;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "a machine has no runtime, file, socket, clock or randomness",
        check: walls::machines_are_pure,
        plant: Plant {
            path: "broker/machine/src/planted.rs",
            text: "use std::time::SystemTime;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "a machine's crate is no_std and free of unsafe",
        check: walls::machines_declare_themselves,
        plant: Plant {
            path: "storage/log/src/lib.rs",
            text: "\nextern crate std;\n",
            blamed: "storage/log",
        },
    },
    Rule {
        name: "unsafe stays in the ring's rooms",
        check: walls::unsafe_stays_in_the_ring,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "fn f() { unsafe { g() } }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "an unsafe block has its proof",
        check: habits::unsafe_has_its_proof,
        plant: Plant {
            path: "storage/ring/src/planted.rs",
            text: ANOTHERS_PROOF,
            blamed: "planted",
        },
    },
    Rule {
        name: "files are opened only behind the doors",
        check: walls::files_stay_behind_doors,
        plant: Plant {
            path: "broker/src/shard/planted.rs",
            text: "fn f() { std::fs::read(p); }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "sockets are opened only behind the doors",
        check: walls::sockets_stay_behind_doors,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "use std::net::TcpStream;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "the clock is read in one place of the engine",
        check: walls::one_clock,
        plant: Plant {
            path: "broker/src/shard/planted.rs",
            text: "fn f() { Instant::now(); }\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "the engine is a loop, not a web of tasks",
        check: walls::no_async_in_the_engine,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "async fn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "operating errors meet Kafka's codes in one file",
        check: walls::one_error_map,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "impl From<AppendError> for ErrorCode {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "glommio hosts the loop and nothing else",
        check: walls::glommio_hosts_the_loop,
        plant: Plant {
            path: "broker/src/server/planted.rs",
            text: "use glommio::Task;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "the loop's host uses nothing of glommio that is known to fail",
        check: walls::the_host_avoids_known_faults,
        plant: Plant {
            path: "broker/src/shard/host.rs",
            text: "fn f() { glommio::spawn_local(async {}); }\n",
            blamed: "broker/src/shard/host.rs",
        },
    },
    Rule {
        name: "no locks where records pass",
        check: walls::no_locks_where_records_pass,
        plant: Plant {
            path: "broker/src/partition/planted.rs",
            text: "use std::sync::Mutex;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "records are opened only for tools and time look-ups",
        check: walls::records_stay_closed,
        plant: Plant {
            path: "broker/src/partition/planted.rs",
            text: "use millstream_compress::Body;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "no iteration in hash order in a machine",
        check: walls::no_hash_order,
        plant: Plant {
            path: "storage/log/src/planted.rs",
            text: "use hashbrown::HashMap;\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "every file is part of its crate",
        check: habits::every_file_is_imported,
        plant: Plant {
            path: "protocol/src/orphan.rs",
            text: "//! Nobody's.\n",
            blamed: "orphan",
        },
    },
    Rule {
        name: "every file has a front page",
        check: habits::every_file_has_a_front_page,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: "fn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "nothing is left undone in the tree",
        check: habits::nothing_left_undone,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: concat!("// FIX", "ME later\n"),
            blamed: "planted",
        },
    },
    Rule {
        name: "no test is switched off",
        check: habits::no_ignored_tests,
        plant: Plant {
            path: "tests/planted.rs",
            text: "#[ignore]\nfn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "lints are expected with a reason, never allowed",
        check: habits::expect_not_allow,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "#[allow(dead_code)]\nfn f() {}\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "no code in comments",
        check: habits::no_code_in_comments,
        plant: Plant {
            path: "storage/src/planted.rs",
            text: "// let x = f(y);\n",
            blamed: "planted",
        },
    },
    Rule {
        name: "a function fits two screens",
        check: habits::functions_are_short,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: LONG_FUNCTION,
            blamed: "planted",
        },
    },
    Rule {
        name: "a file is one concept",
        check: habits::files_are_short,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: LONG_FILE,
            blamed: "planted",
        },
    },
    Rule {
        name: "a file of tests has 800 lines at most",
        check: habits::test_files_are_short,
        plant: Plant {
            path: "tests/planted.rs",
            text: LONG_FILE,
            blamed: "planted",
        },
    },
    Rule {
        name: "a line has 120 columns at most",
        check: habits::lines_are_short,
        plant: Plant {
            path: "tuning/src/planted.rs",
            text: LONG_LINE,
            blamed: "planted",
        },
    },
];

/// The second block goes without.
const ANOTHERS_PROOF: &str = "
fn f() {
    // SAFETY: g is harmless.
    unsafe { g() };
    unsafe { h() };
}
";
const LONG_LINE: &str = include_str!("long_line.txt");
const LONG_FUNCTION: &str = include_str!("long_function.txt");
const LONG_FILE: &str = include_str!("long_file.txt");

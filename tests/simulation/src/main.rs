//! The simulation: whole brokers on simulated machines, real clients' wire format, crashes at any moment.
//!
//! ```text
//! seed ─► swarm (how the world is) ─► workload (what clients send) ─► machine (shards, controller) ─► simulated disk
//!              model (what clients know) ◄── answers ──┘                                                  │ crash
//!                    └──────────────► checker ◄──────── what is served after a start ◄────────────────────┘
//! ```
//!
//! `cargo test -p millstream-simulation` runs a fixed slice. A long search, a seed again:
//! `cargo test --profile simulation -p millstream-simulation -- search COUNT [FROM]` and `… -- replay SEED`.
//! The planted bugs: `cargo test --profile simulation -p millstream-simulation --features planted -- bugs COUNT`, each
//! searched for by at most so many seeds; with a name behind it, that bug alone. Both, written to
//! `docs/reliability.md`: `… --features planted -- report COUNT BUG_SEEDS`; it may be interrupted and goes on.

#![forbid(unsafe_code)]

mod answers;
mod aside;
mod boundaries;
#[cfg(feature = "planted")]
mod bugs;
mod checker;
mod client;
mod durable;
mod eyes;
#[cfg(feature = "planted")]
mod ledger;
mod machine;
mod media;
mod metadata_disk;
mod model;
mod prng;
#[cfg(feature = "planted")]
mod report;
mod requests;
mod run;
mod search;
mod sessions;
mod swarm;
mod workload;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| {
        text.parse::<u64>()
            .unwrap_or_else(|_| panic!("{text} is not a number"))
    };
    match words[..] {
        ["search", count] => search::search(0, number(count)),
        ["search", count, from] => search::search(number(from), number(count)),
        ["replay", seed] => search::replay(number(seed)),
        #[cfg(feature = "planted")]
        ["bugs", count] => bugs::bugs(number(count), None),
        #[cfg(feature = "planted")]
        ["bugs", count, name] => bugs::bugs(number(count), Some(name)),
        #[cfg(feature = "planted")]
        ["report", count, bug_seeds] => report::report(0, number(count), number(bug_seeds)),
        #[cfg(feature = "planted")]
        ["report", count, bug_seeds, from] => report::report(number(from), number(count), number(bug_seeds)),
        _ => search::slice(),
    }
}

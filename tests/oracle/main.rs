//! Millstream against the original: Apache Kafka 4.3.1 and the real process are asked the same, version by version,
//! and every field of their answers is held together. What may differ is listed in `docs/compatibility.md` with its
//! reason; an unlisted difference fails, and so does a listing that nothing needs.
//!
//! `tests/oracle/run` starts it. It needs Java and Maven, so that a plain test run passes over it.

mod admin;
mod broker_configs;
mod committed;
mod compare;
mod configs;
mod consumer_table;
mod consumers;
#[path = "../wire/debug.rs"]
mod debug;
mod fetch;
mod group_configs;
mod kafka;
mod members;
mod metadata;
mod migrations;
mod normal;
mod offsets;
mod produce;
mod quotas;
mod talk;
mod telemetry;
mod topics;
mod versions;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka::Kafka;
use millstream_tests::process::Broker;
use talk::Talk;

type Area = fn(&mut Talk);

/// What is asked, area by area, each over what the ones before have left.
const AREAS: &[(&str, Area)] = &[
    ("versions", versions::ask),
    ("metadata", metadata::ask),
    ("topics", topics::ask),
    ("configs", configs::ask),
    ("produce", produce::ask),
    ("fetch", fetch::ask),
    ("offsets", offsets::ask),
    ("committed", committed::ask),
    ("members", members::ask),
    ("consumers", consumers::ask),
    ("migrations", migrations::ask),
    ("admin", admin::ask),
    ("quotas", quotas::ask),
    ("telemetry", telemetry::ask),
    ("broker_configs", broker_configs::ask),
    ("group_configs", group_configs::ask),
    // Leaves hundreds of groups behind, which go when it pleases their broker.
    ("consumer_table", consumer_table::ask),
];

#[test]
fn kafka_and_millstream_answer_alike() {
    let only = std::env::var("MILLSTREAM_TESTS_AREA").unwrap_or_default();
    assert!(
        only.is_empty() || AREAS.iter().any(|(name, _)| *name == only),
        "no area is called {only}"
    );
    let flags = SETTINGS.map(|(name, value)| format!("{name}={value}"));
    let flags = flags.iter().flat_map(|setting| ["--set", setting]);
    let flags: Vec<_> = ["--cores", "1"].into_iter().chain(flags).collect();
    let ours = Broker::start(&flags);
    let kafka = Kafka::start(&SETTINGS);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let then = i64::try_from((since_1970 - HOURS_AGO).as_millis()).expect("before the end of time");
    let [kafkas, mine] = [kafka.address(), ours.address()].map(|address| {
        let mut talk = Talk::new(address, then);
        for (name, ask) in AREAS {
            if only.is_empty() || *name == only {
                let started = Instant::now();
                ask(&mut talk);
                println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
            }
        }
        talk.steps
    });
    let found = compare::differences(&kafkas, &mine);
    let listing = compare::listing(include_str!("../../docs/compatibility.md"));
    println!("{} answers of each, {} differences", mine.len(), found.len());
    let complaints = compare::complaints(&found, &listing, only.is_empty());
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// Of both.
const SETTINGS: [(&str, &str); 5] = [
    ("group.initial.rebalance.delay.ms", "100"),
    ("group.consumer.migration.policy", "BiDirectional"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
];
const HOURS_AGO: Duration = Duration::from_secs(5 * 3600);

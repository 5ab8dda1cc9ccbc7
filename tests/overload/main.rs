//! More than the broker can hold, from every side: memory stays within what it was granted and a tenth, the process
//! lives, and a client that behaves goes on.
//!
//! A run prints a table. As it stands it is short, and its bounds leave room for a machine that others use as well;
//! `MILLSTREAM_OVERLOAD_SECONDS=20 cargo test --release -p millstream-tests --test overload -- --nocapture` measures
//! what docs/limits.md says.

mod attacks;
mod bystander;
mod crowd;
mod fetches;
mod frames;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack};
use bystander::{Bystander, Latencies};
use millstream_tests::process::Broker;

#[test]
fn memory_and_neighbours_are_safe_from_everybody() {
    crowd::raise_own_descriptors();
    let span = span();
    let mut broker = Broker::start(&["--cores", "2", "--memory", &MEMORY.to_string()]);
    let mut bystander = Bystander::new(broker.address());
    fetches::fill(broker.address());
    println!(
        "granted: {} MiB; after {} MiB of records: {} MiB resident at most",
        MEMORY >> 20,
        fetches::FILLED >> 20,
        broker.peak_resident_bytes() >> 20
    );
    println!("{}", Row::HEAD);
    let rows: Vec<Row> = ATTACKS
        .iter()
        .map(|attack| Row::of(attack, &mut broker, &mut bystander, span))
        .collect();
    for row in rows {
        row.must_be_bearable();
    }
    assert!(broker.is_running());
}

/// How long each attack goes on.
fn span() -> Duration {
    let seconds = std::env::var("MILLSTREAM_OVERLOAD_SECONDS").map(|text| text.parse().expect("seconds"));
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

/// What one attack did.
struct Row {
    name: &'static str,
    peak: u64,
    calm: Latencies,
    during: Latencies,
}

impl Row {
    const HEAD: &'static str = "| attack | peak memory | of the budget | produce p50 before → during | p99 | fetch p50 \
         before → during | p99 |\n|---|---|---|---|---|---|---|";

    fn of(attack: &Attack, broker: &mut Broker, bystander: &mut Bystander, span: Duration) -> Self {
        let started = Instant::now();
        broker.forget_peak();
        let calm = bystander.observe(span / 2);
        let stop = AtomicBool::new(false);
        let address = broker.address();
        let during = thread::scope(|scope| {
            let attackers = scope.spawn(|| (attack.run)(address, &stop));
            // It has to have begun.
            thread::sleep(span / 10);
            let during = bystander.observe(span);
            stop.store(true, Ordering::Relaxed);
            attackers.join().expect("the attack went as it should");
            during
        });
        assert!(broker.is_running(), "the broker ended under {}", attack.name);
        let row = Self {
            name: attack.name,
            peak: broker.peak_resident_bytes(),
            calm,
            during,
        };
        println!(
            "{} {} times in {:?}",
            row.line(),
            row.during.fetch.count(),
            started.elapsed()
        );
        row
    }

    fn line(&self) -> String {
        let pair = |before: Duration, during: Duration| {
            let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
            format!("{:.2} → {:.2} ms", milliseconds(before), milliseconds(during))
        };
        format!(
            "| {} | {} MiB | {:.0} % | {} | {} | {} | {} |",
            self.name,
            self.peak >> 20,
            self.peak as f64 / MEMORY as f64 * 100.0,
            pair(self.calm.produce.median(), self.during.produce.median()),
            pair(self.calm.produce.late(), self.during.produce.late()),
            pair(self.calm.fetch.median(), self.during.fetch.median()),
            pair(self.calm.fetch.late(), self.during.fetch.late()),
        )
    }

    /// The memory to a tenth; the latencies to what a busy machine may add to them.
    fn must_be_bearable(&self) {
        assert!(self.peak <= MEMORY + MEMORY / 10, "{}", self.line());
        for (calm, during) in [
            (&self.calm.produce, &self.during.produce),
            (&self.calm.fetch, &self.during.fetch),
        ] {
            assert!(
                during.median() <= calm.median() * 2 + ELBOW_ROOM,
                "{}",
                self.line()
            );
        }
    }
}

/// What the broker is granted: the least that two shards take.
const MEMORY: u64 = 320 << 20;
/// The attackers themselves keep the test's machine busy.
const ELBOW_ROOM: Duration = Duration::from_millis(250);

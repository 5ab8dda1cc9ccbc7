//! More than the broker can hold, from every side: memory stays within what it was granted and a tenth, the process
//! lives, and a client that behaves goes on.
//!
//! A run prints a table. As it stands it is short, and its bounds leave room for a machine that others use as well;
//! `MILLSTREAM_OVERLOAD_SECONDS=20 cargo test --release -p millstream-tests --test overload -- --nocapture` measures
//! what docs/limits.md says, and MILLSTREAM_OVERLOAD_ONLY picks one attack.

mod attacks;
mod bystander;
mod crowd;
mod fetches;
mod frames;
mod local;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack};
use bystander::{Bystander, Latencies};
use crowd::Crowd;
use local::Load;
use millstream_tests::process::Broker;

#[test]
fn memory_and_neighbours_are_safe_from_everybody() {
    let _machine = MACHINE.lock();
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
    // A part of an attack's name, to look at that one only.
    let only = std::env::var("MILLSTREAM_OVERLOAD_ONLY").unwrap_or_default();
    let rows: Vec<Row> = ATTACKS
        .iter()
        .filter(|attack| attack.name.contains(&only))
        .map(|attack| Row::of(attack, &mut broker, &mut bystander, span))
        .collect();
    for row in rows {
        row.must_be_bearable();
    }
    assert!(broker.is_running());
}

/// With a cache that is empty, so that the memory is theirs.
#[test]
fn ten_thousand_connections_that_do_nothing_take_little() {
    let _machine = MACHINE.lock();
    crowd::raise_own_descriptors();
    let broker = Broker::start(&["--cores", "2", "--memory", &MEMORY.to_string()]);
    let before = broker.peak_resident_bytes();
    let crowd = Crowd::gather(broker.address(), crowd::TEN_THOUSAND);
    thread::sleep(span());
    crowd.must_be_answered();
    let peak = broker.peak_resident_bytes();
    println!(
        "{} MB at most, {} MB without them",
        peak / 1_000_000,
        before / 1_000_000
    );
    assert!(peak <= IDLE_MEMORY, "{peak} bytes");
}

/// How long each attack goes on.
fn span() -> Duration {
    let seconds = std::env::var("MILLSTREAM_OVERLOAD_SECONDS").map(|text| text.parse().expect("seconds"));
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

/// What the bystander meets while others do something.
fn while_others(
    others: &(dyn Fn(&AtomicBool) + Sync),
    bystander: &mut Bystander,
    span: Duration,
) -> Latencies {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| others(&stop));
        // They have to have begun.
        thread::sleep(span / 10);
        let latencies = bystander.observe(span);
        stop.store(true, Ordering::Relaxed);
        others.join().expect("they went on as they should");
        latencies
    })
}

/// What one attack did.
struct Row {
    name: &'static str,
    peak: u64,
    calm: Latencies,
    /// Beside a load that takes as much of the machine and does not come near the broker, where one would.
    beside: Option<Latencies>,
    during: Latencies,
}

impl Row {
    const HEAD: &'static str = "| attack | peak memory | of the budget | produce p50 before, beside → during | p99 | \
         fetch p50 before, beside → during | p99 |\n|---|---|---|---|---|---|---|";

    fn of(attack: &Attack, broker: &mut Broker, bystander: &mut Bystander, span: Duration) -> Self {
        let started = Instant::now();
        broker.forget_peak();
        let calm = bystander.observe(span / 2);
        let folder = broker.data_dir().with_file_name("beside");
        let beside = (attack.takes != Load::Nothing).then(|| {
            std::fs::create_dir_all(&folder).expect("a folder");
            let beside = while_others(&|stop| attack.takes.run(&folder, stop), bystander, span / 2);
            std::fs::remove_dir_all(&folder).expect("a folder of the test");
            beside
        });
        let address = broker.address();
        let crowd = Crowd::gather(address, attack.crowd);
        let during = while_others(&|stop| (attack.run)(address, stop), bystander, span);
        crowd.must_be_answered();
        assert!(broker.is_running(), "the broker ended under {}", attack.name);
        let row = Self {
            name: attack.name,
            peak: broker.peak_resident_bytes(),
            calm,
            beside,
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
        let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
        let times = |of: fn(&Latencies) -> Duration| {
            let beside = self
                .beside
                .as_ref()
                .map_or("–".into(), |beside| format!("{:.2}", milliseconds(of(beside))));
            let (calm, during) = (milliseconds(of(&self.calm)), milliseconds(of(&self.during)));
            format!("{calm:.2}, {beside} → {during:.2} ms")
        };
        format!(
            "| {} | {} MiB | {:.0} % | {} | {} | {} | {} |",
            self.name,
            self.peak >> 20,
            self.peak as f64 / MEMORY as f64 * 100.0,
            times(|latencies| latencies.produce.median()),
            times(|latencies| latencies.produce.late()),
            times(|latencies| latencies.fetch.median()),
            times(|latencies| latencies.fetch.late()),
        )
    }

    /// The memory to a tenth; the latencies to twice of what they were, or of what they are beside a load that has as
    /// much of the machine.
    fn must_be_bearable(&self) {
        assert!(self.peak <= MEMORY + MEMORY / 10, "{}", self.line());
        for of in [
            (|latencies| latencies.produce.median()) as fn(&Latencies) -> Duration,
            |latencies| latencies.fetch.median(),
        ] {
            let usual = self
                .beside
                .as_ref()
                .map_or(Duration::ZERO, of)
                .max(of(&self.calm));
            assert!(of(&self.during) <= usual * 2 + ELBOW_ROOM, "{}", self.line());
        }
    }
}

/// Each test wants the machine, and its descriptors, for itself.
static MACHINE: Mutex<()> = Mutex::new(());
/// What the broker is granted: the least that two shards take.
const MEMORY: u64 = 320 << 20;
/// What all of the process may take with ten thousand connections, in a debug build as well.
const IDLE_MEMORY: u64 = 100_000_000;
/// The attackers, the shards that they keep busy and the client that is measured share a few cores, and it passes two
/// of these shards: each may cost it a slice of the scheduler's. Where nothing is optimized a shard takes as long for
/// one request of a megabyte as it does for ten otherwise, and others use the machine as well.
const ELBOW_ROOM: Duration = Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 });

//! The glommio host of a shard: one executor pinned to one core, and in it one task that owns the ring and turns.
//!
//! While there was work a moment ago the task waits in its own ring; after that it parks in glommio on the ring's
//! eventfd. The rules of glommio that this stands on: few and long-lived tasks, none ever dropped; `NotImportant`
//! queues and a slow preempt timer; somebody outside who pokes a shard that should run and does not
//! ([`super::watchdog`]).

#![expect(unsafe_code, reason = "glommio takes descriptors as raw numbers")]

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};
use millstream_ring::uring::UringRing;
use millstream_ring::{Completion, Ring, Wait};

use super::clock;
use super::state::Shard;
use super::turn::Next;
use super::watchdog::ShardPulse;

/// Starts the thread of a shard on a core. `start` runs there and makes what only that thread may have.
pub fn spawn(
    core: usize,
    name: String,
    pulse: ShardPulse,
    start: impl FnOnce() -> Option<(Shard, UringRing)> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(core))
            .name(&name)
            .io_memory(EXECUTOR_MEMORY)
            .preempt_timer(PREEMPT_TIMER)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
            .make();
        match executor {
            Ok(executor) => executor.run(async move {
                if let Some((shard, ring)) = start() {
                    serve(shard, ring, pulse).await;
                }
            }),
            Err(error) => tracing::error!(%error, core, "a shard's executor could not be made"),
        }
    })
}

/// Turns until the shard has finished.
async fn serve(mut shard: Shard, mut ring: UringRing, pulse: ShardPulse) {
    let bell = bell(&ring);
    let mut completions = Vec::new();
    loop {
        pulse.beat();
        match shard.turn(&mut ring, clock::now(), &mut completions) {
            Next::Busy => ring.enter(Wait::No, &mut completions),
            Next::Finished => break,
            Next::Wait(until) => {
                let left = Duration::from(until.saturating_since(clock::now().monotonic));
                let flushing = shard.awaiting_flush > 0;
                let patience = if flushing { WAIT_FOR_FLUSH } else { WAIT_IN_RING };
                ring.enter(Wait::Until(left.min(patience)), &mut completions);
                let due = clock::now().monotonic >= until;
                if completions.is_empty() && !due && !flushing && !shard.has_mail() {
                    park(&mut ring, &bell, &pulse, until, &mut completions).await;
                }
            }
        }
        glommio::yield_if_needed().await;
    }
    if let Err(error) = bell.close().await {
        tracing::debug!(%error, "closing the shard's bell");
    }
}

/// Sleeps in glommio until the ring has something, somebody wakes it or the deadline passes.
async fn park(
    ring: &mut UringRing,
    bell: &BufferedFile,
    pulse: &ShardPulse,
    until: millstream_protocol::time::Instant,
    completions: &mut Vec<Completion>,
) {
    if !ring.prepare_park(completions) {
        return;
    }
    pulse.sleep_until(until);
    if let Err(error) = bell.read_at(0, 8).await {
        tracing::warn!(%error, "a shard cannot park");
    }
    pulse.beat();
    ring.unpark();
}

/// The ring's eventfd as a file of glommio's.
fn bell(ring: &UringRing) -> BufferedFile {
    // SAFETY: the ring lives and keeps its descriptor open while it is borrowed here; the file gets one of its own.
    let borrowed = unsafe { BorrowedFd::borrow_raw(ring.park_fd()) };
    let own = borrowed.try_clone_to_owned().expect("a descriptor for the bell");
    // SAFETY: the descriptor was made for this file alone, which closes it.
    unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) }
}

/// Memory for glommio's own buffers, of which a shard uses none.
const EXECUTOR_MEMORY: usize = 1 << 20;
/// Long, because a preemption that is due as an executor wakes makes it run nothing and sleep again.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);
/// A write that somebody waits for is under way: its end is near, and parking would only be in its way.
const WAIT_FOR_FLUSH: Duration = Duration::from_millis(20);
/// Waiting here costs less than parking, but nothing else runs on the executor meanwhile.
const WAIT_IN_RING: Duration = Duration::from_millis(1);

const _: () = assert!(PREEMPT_TIMER.as_millis() >= 100);
const _: () =
    assert!(WAIT_IN_RING.as_millis() <= 1 && WAIT_FOR_FLUSH.as_millis() < PREEMPT_TIMER.as_millis());

//! What a produced record costs in allocations: a bound, so that a new one is noticed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::support::records::{batch, produce, produced};
use crate::support::{Setup, SimBroker};

#[test]
fn a_single_record_takes_few_allocations() {
    let mut broker = SimBroker::start(Setup::default());
    let mut client = broker.connect();
    let mut request = |broker: &mut SimBroker| {
        let answers = produced(&mut client, broker, &produce("t", &[(0, batch(&["v"]))], -1));
        assert_eq!(answers[0].1, 0);
    };
    (0..REQUESTS).for_each(|_| request(&mut broker));
    let before = COUNT.get();
    (0..REQUESTS).for_each(|_| request(&mut broker));
    let each = (COUNT.get() - before) as f64 / REQUESTS as f64;
    println!("{each:.2} allocations a request");
    assert!(
        each > 0.0 && each <= ALLOCATIONS_MAX,
        "{each:.2} allocations a request"
    );
}

/// Counts a thread's allocations while its shard turns.
struct Counting;

// SAFETY: everything is left to the system's allocator; counting touches a thread's own cells, which take no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(start, layout, size) }
    }
}

fn note() {
    if IN_TURN.get() {
        COUNT.set(COUNT.get() + 1);
    }
}

/// Runs a turn; what it allocates counts.
pub fn counted<T>(turn: impl FnOnce() -> T) -> T {
    IN_TURN.set(true);
    let done = turn();
    IN_TURN.set(false);
    done
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

const REQUESTS: u64 = 2_000;
/// One request at a time; its round in the journal and the simulated ring's own books are in it. It was 16.2 when this
/// was written.
const ALLOCATIONS_MAX: f64 = 17.0;

//! Waking a ring that waits: one flag, and a knock only on a ring that sleeps.
//!
//! Protocol: the ring swaps `AWAKE → ASLEEP` before it waits and back to `AWAKE` after; a wake that came in
//! between leaves `NOTIFIED`, which forbids the next wait. Whoever replaces `ASLEEP` by `NOTIFIED` must knock.
//! All accesses are `SeqCst`, so that data published before `wake` is seen by the turn after the wait.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Ends the wait of a ring, from any thread. Cheap while the ring is awake: one atomic swap.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

impl Waker {
    /// The ring's current wait, or its next one, ends at once.
    pub fn wake(&self) {
        if self.notify() {
            self.knock();
        }
    }

    pub(crate) fn new(door: Door) -> Waker {
        Waker {
            shared: Arc::new(Shared {
                state: AtomicU8::new(AWAKE),
                door,
            }),
        }
    }

    /// Leaves the note; true when the ring sleeps and nobody has knocked yet: the caller must.
    pub(crate) fn notify(&self) -> bool {
        self.shared.state.swap(NOTIFIED, Ordering::SeqCst) == ASLEEP
    }

    /// The ring is about to wait. False when there is a note: it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.shared
            .state
            .compare_exchange(AWAKE, ASLEEP, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The ring no longer waits; any note is taken.
    pub(crate) fn wake_up(&self) {
        self.shared.state.store(AWAKE, Ordering::SeqCst);
    }

    pub(crate) fn knock(&self) {
        match &self.shared.door {
            Door::Eventfd { event, .. } => ring_bell(event),
            #[cfg(feature = "sim")]
            Door::Simulated => {}
        }
    }

    /// The eventfd that a knock rings.
    pub(crate) fn event_fd(&self) -> i32 {
        match &self.shared.door {
            Door::Eventfd { event, .. } => event.as_raw_fd(),
            #[cfg(feature = "sim")]
            Door::Simulated => unreachable!("a simulated ring has no descriptor"),
        }
    }

    /// The descriptor of the ring behind this waker, for IORING_OP_MSG_RING. The waker keeps it from being
    /// reused for something else.
    pub(crate) fn ring_fd(&self) -> Option<i32> {
        match &self.shared.door {
            Door::Eventfd { ring, .. } => Some(ring.as_raw_fd()),
            #[cfg(feature = "sim")]
            Door::Simulated => None,
        }
    }
}

/// How a sleeping ring is reached.
#[derive(Debug)]
pub(crate) enum Door {
    /// The ring polls `event`; `ring` is a descriptor of the ring itself.
    Eventfd { event: OwnedFd, ring: OwnedFd },
    #[cfg(feature = "sim")]
    Simulated,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    door: Door,
}

fn ring_bell(event: &OwnedFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: `one` is eight readable bytes, and the descriptor is open as long as its owner lives.
    let written = unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    assert_eq!(
        written, 8,
        "an eventfd takes 2^64 - 2 wakes before it refuses one"
    );
}

const AWAKE: u8 = 0;
const NOTIFIED: u8 = 1;
const ASLEEP: u8 = 2;

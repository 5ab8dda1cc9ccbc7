//! Waking a ring that waits: one flag, and a knock only on a ring that sleeps.
//!
//! Protocol: the ring swaps `AWAKE → ASLEEP` before it waits (`PARKED`: its host waits for it) and back to `AWAKE`
//! after; a wake that came in between leaves `NOTIFIED`, which forbids the next wait. Whoever replaces `ASLEEP` or
//! `PARKED` by `NOTIFIED` must knock, each at its own door.
//! All accesses are `SeqCst`, so that data published before `wake` is seen by the turn after the wait.
//!
//! A parked ring is not reached through the eventfd that it polls: its completion would have to signal the host's
//! eventfd from within the signal of the other, and such a nested signal comes through once in a ring's life and
//! then never again (seen on Linux 6.18; `parking_ends_by_bytes_and_by_wakes` holds it).

use std::os::fd::{AsRawFd, OwnedFd};

use crate::sync::{Arc, AtomicU8, Ordering};

/// Ends the wait of a ring, from any thread. Cheap while the ring is awake: one atomic swap.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

impl Waker {
    /// The ring's current wait, or its next one, ends at once.
    pub fn wake(&self) {
        if let Some(sleep) = self.notify() {
            self.knock(sleep);
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

    /// Leaves the note. Some: the ring sleeps and nobody has knocked yet, so the caller must.
    pub(crate) fn notify(&self) -> Option<Sleep> {
        match self.shared.state.swap(NOTIFIED, Ordering::SeqCst) {
            ASLEEP => Some(Sleep::InRing),
            PARKED => Some(Sleep::InHost),
            _ => None,
        }
    }

    /// The ring is about to wait. False when there is a note: it must not.
    pub(crate) fn fall_asleep(&self, sleep: Sleep) -> bool {
        let state = match sleep {
            Sleep::InRing => ASLEEP,
            Sleep::InHost => PARKED,
        };
        self.shared
            .state
            .compare_exchange(AWAKE, state, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The ring no longer waits; any note is taken.
    pub(crate) fn wake_up(&self) {
        // Swapped and not stored: it acquires what was published before the note that it takes.
        self.shared.state.swap(AWAKE, Ordering::SeqCst);
    }

    pub(crate) fn knock(&self, sleep: Sleep) {
        match (&self.shared.door, sleep) {
            (Door::Eventfd { event, .. }, Sleep::InRing) => ring_bell(event),
            (Door::Eventfd { park, .. }, Sleep::InHost) => ring_bell(park),
            #[cfg(feature = "sim")]
            (Door::Simulated, _) => {}
            #[cfg(all(loom, test))]
            (Door::Modelled(bell), _) => bell.notify(),
        }
    }

    /// The eventfd that a knock rings.
    pub(crate) fn event_fd(&self) -> i32 {
        match &self.shared.door {
            Door::Eventfd { event, .. } => event.as_raw_fd(),
            #[cfg(feature = "sim")]
            Door::Simulated => unreachable!("a simulated ring has no descriptor"),
            #[cfg(all(loom, test))]
            Door::Modelled(_) => unreachable!("a model has no descriptor"),
        }
    }

    /// The eventfd on which the host of a parked ring sleeps.
    pub(crate) fn park_fd(&self) -> i32 {
        match &self.shared.door {
            Door::Eventfd { park, .. } => park.as_raw_fd(),
            #[cfg(feature = "sim")]
            Door::Simulated => unreachable!("a simulated ring has no descriptor"),
            #[cfg(all(loom, test))]
            Door::Modelled(_) => unreachable!("a model has no descriptor"),
        }
    }

    /// The descriptor of the ring behind this waker, for IORING_OP_MSG_RING. The waker keeps it from being
    /// reused for something else.
    pub(crate) fn ring_fd(&self) -> Option<i32> {
        match &self.shared.door {
            Door::Eventfd { ring, .. } => Some(ring.as_raw_fd()),
            #[cfg(feature = "sim")]
            Door::Simulated => None,
            #[cfg(all(loom, test))]
            Door::Modelled(_) => None,
        }
    }
}

/// Where a ring's thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// In `enter`.
    InRing,
    /// On the park eventfd.
    InHost,
}

/// How a sleeping ring is reached.
#[derive(Debug)]
pub(crate) enum Door {
    /// The ring polls `event`, its host reads `park`; `ring` is a descriptor of the ring itself.
    Eventfd {
        event: OwnedFd,
        park: OwnedFd,
        ring: OwnedFd,
    },
    #[cfg(feature = "sim")]
    Simulated,
    #[cfg(all(loom, test))]
    Modelled(std::sync::Arc<loom::sync::Notify>),
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
const PARKED: u8 = 3;

//! Waits end by a wake, by another ring, or by themselves.

use std::time::Duration;

use millstream_ring::{Ring, Wait};

use super::world::World;

pub fn a_wake_before_the_wait_ends_it(world: &mut impl World) {
    let ring = world.ring();
    let waker = ring.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    let mut out = Vec::new();
    // An hour: the test would not end without the wake.
    ring.enter(Wait::Until(Duration::from_secs(3600)), &mut out);
    assert!(out.is_empty());
}

pub fn the_wait_ends_by_itself(world: &mut impl World) {
    let mut out = Vec::new();
    for _ in 0..3 {
        world
            .ring()
            .enter(Wait::Until(Duration::from_millis(5)), &mut out);
    }
    assert!(out.is_empty());
    assert_eq!(world.ring().in_flight(), 0);
}

pub fn rings_wake_each_other(world: &mut impl World) {
    let waker = world.second().waker();
    for _ in 0..100 {
        world.ring().wake_peer(&waker);
        let mut out = Vec::new();
        world.ring().enter(Wait::No, &mut out);
        world
            .second()
            .enter(Wait::Until(Duration::from_secs(3600)), &mut out);
        assert!(out.is_empty());
    }
    assert_eq!(world.ring().in_flight(), 0);
}

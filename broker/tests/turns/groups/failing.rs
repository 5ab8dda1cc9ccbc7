//! Groups whose shard has a disk that does not do its work, or no memory left.

use std::path::Path;
use std::time::Duration;

use super::*;

#[test]
fn a_commit_that_the_disk_does_not_finish_is_answered_in_time() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("offsets.commit.timeout.ms", "100")],
        ..setup(1, 7)
    });
    let mut client = broker.connect();
    assert_eq!(commit(&mut client, &mut broker, "g", 1), 0);
    broker.run_for(STALL);
    stall(&broker);
    let begun = broker.world.now();
    let code = commit(&mut client, &mut broker, "g", 2);
    assert_eq!(code, ErrorCode::CoordinatorNotAvailable as i16);
    let waited = broker.world.now() - begun;
    assert!(
        (Duration::from_millis(100)..STALL).contains(&waited),
        "{waited:?}"
    );
    broker.run_for(2 * STALL);
    assert_eq!(
        committed(&mut client, &mut broker, "g"),
        Ok(2),
        "it was durable after all"
    );
}

/// The coordinator that could not write is given up, and the one that comes after it knows what was durable.
#[test]
fn a_full_disk_costs_a_commit_and_not_the_group() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("offsets.commit.timeout.ms", "200")],
        ..setup(1, 3)
    });
    let mut client = broker.connect();
    assert_eq!(commit(&mut client, &mut broker, "g", 1), 0);
    let space = broker.world.ring().free_space(Path::new("/data")).unwrap();
    broker.world.set_capacity(space.total - space.free);
    broker.run_for(Duration::from_secs(15));
    let refused = commit(&mut client, &mut broker, "g", 2);
    assert_eq!(refused, ErrorCode::CoordinatorNotAvailable as i16);
    broker.world.set_capacity(1 << 40);
    broker.run_for(Duration::from_secs(15));
    assert_eq!(committed(&mut client, &mut broker, "g"), Ok(1));
    assert_eq!(commit(&mut client, &mut broker, "g", 3), 0);
    assert_eq!(committed(&mut client, &mut broker, "g"), Ok(3));
}

#[test]
fn groups_of_a_shard_that_cannot_write_have_no_coordinator() {
    let mut broker = SimBroker::start(setup(1, 3));
    let mut client = broker.connect();
    assert_eq!(commit(&mut client, &mut broker, "g", 1), 0);
    broker.world.set_faults(Faults {
        write_errors: 1000,
        ..Faults::default()
    });
    let refused = commit(&mut client, &mut broker, "g", 2);
    assert_eq!(refused, ErrorCode::NotCoordinator as i16);
    broker.run_for(Duration::from_secs(5));
    let refused = commit(&mut client, &mut broker, "g", 3);
    assert_eq!(refused, ErrorCode::CoordinatorNotAvailable as i16);
}

#[test]
fn groups_of_a_shard_share_its_memory() {
    let mut broker = SimBroker::start(Setup {
        memory_bytes: 32 << 20,
        ..setup(1, 3)
    });
    let mut client = broker.connect();
    let long = "x".repeat(4_000);
    let mut taken = 0;
    let refused = loop {
        let group = format!("group {taken}");
        let mut body = commit_body(&group, 1);
        body.topics[0].partitions[0].committed_metadata = Some(&long);
        match commit_of(&mut client, &mut broker, &body) {
            0 => taken += 1,
            code => break code,
        }
    };
    assert_eq!(refused, ErrorCode::CoordinatorNotAvailable as i16);
    let bytes = taken * 4_000;
    assert!((4 << 20..8 << 20).contains(&bytes), "{bytes} bytes of metadata");
    assert!(broker.shards[0].shard.budget.used() > bytes);
    // What is there may change and go, and others may have its place.
    assert_eq!(commit(&mut client, &mut broker, "group 1", 2), 0);
    assert_eq!(commit(&mut client, &mut broker, "another", 2), 0);
}

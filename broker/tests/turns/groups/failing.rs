//! Groups whose shard has a disk that does not do its work, or no memory left.

use std::path::Path;
use std::time::Duration;

use super::*;
use millstream_protocol::message::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};

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
    assert_eq!(commit(&mut client, &mut broker, "g", 3), refused);
    assert_eq!(groups(&mut client, &mut broker), Vec::<String>::new());
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

/// Who names a large group a thousand times in a small request is told of it as often as there is memory for.
#[test]
fn groups_are_described_within_memory() {
    let mut broker = SimBroker::start(Setup {
        memory_bytes: 32 << 20,
        ..setup(2, 3)
    });
    let mut client = broker.connect();
    let metadata = vec![7; 300 << 10];
    let mut body = join_body("g", "");
    body.protocols[0].metadata = &metadata;
    // Version 3: it is a member at once, when the others had time to come.
    let member = client.call(&mut broker, ApiKey::JoinGroup, 3, &body, |r| {
        decoded::<JoinGroupResponse<'_>>(r, 3).member_id.to_owned()
    });
    assert_eq!(sync(&mut client, &mut broker, &member, 1), b"all of it");
    let body = DescribeGroupsRequest {
        groups: vec!["g"; 1000],
        ..DescribeGroupsRequest::default()
    };
    client.send(&mut broker, ApiKey::DescribeGroups, 5, &body);
    let frame = client.receive(&mut broker);
    assert!(frame.len() < 9 << 20, "{} bytes", frame.len());
    let (_, codes) = response(&frame, ApiKey::DescribeGroups, 5, |r| {
        let answer = decoded::<DescribeGroupsResponse<'_>>(r, 5);
        answer
            .groups
            .iter()
            .map(|group| group.error_code)
            .collect::<Vec<_>>()
    });
    let described = codes.iter().filter(|code| **code == 0).count();
    assert!((5..30).contains(&described), "{described} times");
    let refused = ErrorCode::CoordinatorNotAvailable as i16;
    assert!(codes.iter().all(|code| *code == 0 || *code == refused));
    drop(frame);
    let state = broker
        .shards
        .iter()
        .map(|shard| shard.shard.coordinators.state_bytes())
        .sum::<u64>();
    broker.run_for(Duration::from_secs(1));
    let used = broker
        .shards
        .iter()
        .map(|shard| shard.shard.budget.used())
        .sum::<usize>();
    assert!(
        used < state as usize + (1 << 20),
        "{used} bytes are charged, groups take {state}"
    );
}

//! Groups on a simulated ring: what is answered is durable, and found again by a broker that starts on the disk.

use std::time::Duration;

use crate::support::{Client, Setup, SimBroker, decoded, response};
use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::Encode;
use millstream_protocol::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use millstream_protocol::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use millstream_protocol::message::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use millstream_protocol::message::list_groups::{ListGroupsRequest, ListGroupsResponse};
use millstream_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use millstream_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use millstream_protocol::message::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use millstream_protocol::primitive::Reader;
use millstream_ring::simulated::{Faults, SimOptions};

const COMMIT: i16 = 9;
const FETCH: i16 = 9;
const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const SOON: Duration = Duration::from_secs(20);
const STALL: Duration = Duration::from_millis(500);

#[test]
fn the_first_who_looks_for_a_coordinator_has_the_topic_made() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut client = broker.connect();
    assert_eq!(
        commit(&mut client, &mut broker, "g", 1),
        ErrorCode::NotCoordinator as i16
    );
    for version in 0..=6 {
        let body = FindCoordinatorRequest {
            key: "g",
            coordinator_keys: vec!["g", "h"],
            ..FindCoordinatorRequest::default()
        };
        let found = client.call(&mut broker, ApiKey::FindCoordinator, version, &body, |r| {
            let answer = decoded::<FindCoordinatorResponse<'_>>(r, version);
            match version >= 4 {
                true => answer
                    .coordinators
                    .iter()
                    .map(|found| (found.error_code, found.node_id))
                    .collect(),
                false => vec![(answer.error_code, answer.node_id)],
            }
        });
        let expected = if version >= 4 { 2 } else { 1 };
        assert_eq!(found, vec![(0, 1); expected], "version {version}");
    }
    let image = broker.controller.image();
    assert_eq!(image.topic_by_name("__consumer_offsets").unwrap().partitions, 50);
    assert_eq!(commit(&mut client, &mut broker, "g", 1), 0);
}

#[test]
fn offsets_are_found_again_after_a_crash_whatever_the_shards() {
    for (shards, after, seed) in [(1, 1, 1), (2, 2, 2), (3, 1, 3), (1, 4, 4)] {
        let mut broker = SimBroker::start(setup(shards, seed));
        let mut client = broker.connect();
        for round in 0..3 {
            for group in GROUPS {
                assert_eq!(commit(&mut client, &mut broker, group, round), 0);
            }
        }
        let disk = broker.world.crash(seed);
        let mut broker = SimBroker::restart(&disk, setup(after, seed));
        let mut client = broker.connect();
        for group in GROUPS {
            assert_eq!(committed(&mut client, &mut broker, group), Ok(2), "{group}");
        }
        assert_eq!(committed(&mut client, &mut broker, "stranger"), Ok(-1));
        assert_eq!(groups(&mut client, &mut broker).len(), GROUPS.len());
    }
}

#[test]
fn a_commit_is_not_answered_before_it_is_durable_and_nobody_sees_it_before() {
    for shards in [1, 2] {
        let mut broker = SimBroker::start(setup(shards, 7));
        let (mut client, mut reader) = (broker.connect(), broker.connect());
        assert_eq!(commit(&mut client, &mut broker, "g", 1), 0);
        broker.run_for(STALL);
        stall(&broker);
        client.send(&mut broker, ApiKey::OffsetCommit, COMMIT, &commit_body("g", 2));
        broker.run_for(STALL / 10);
        reader.send(&mut broker, ApiKey::OffsetFetch, FETCH, &fetch_body("g"));
        broker.run_for(STALL / 2);
        assert!(client.poll().is_none(), "answered before the flush");
        assert!(reader.poll().is_none(), "shown before the flush");
        let disk = broker.world.crash(7);
        let mut broker = SimBroker::restart(&disk, setup(shards, 7));
        let mut client = broker.connect();
        let found = committed(&mut client, &mut broker, "g").unwrap();
        assert!([1, 2].contains(&found), "{found}");
    }
}

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

#[test]
fn the_log_of_offsets_stays_short() {
    let mut broker = SimBroker::start(setup(1, 5));
    let mut client = broker.connect();
    let long = "x".repeat(3_000);
    for round in 0..1_500 {
        let mut body = commit_body("g", round);
        body.topics[0].partitions[0].committed_metadata = Some(&long);
        assert_eq!(commit_of(&mut client, &mut broker, &body), 0);
    }
    let log_starts = starts(&broker);
    assert!(log_starts.iter().any(|start| *start > 1_000), "{log_starts:?}");
    let disk = broker.world.crash(5);
    let mut broker = SimBroker::restart(&disk, setup(1, 5));
    let mut client = broker.connect();
    assert_eq!(committed(&mut client, &mut broker, "g"), Ok(1_499));
}

#[test]
fn members_are_found_again_after_a_crash() {
    for shards in [1, 2] {
        let mut broker = SimBroker::start(setup(shards, 9));
        let mut client = broker.connect();
        let (member, generation) = join(&mut client, &mut broker, "g");
        assert_eq!(sync(&mut client, &mut broker, &member, generation), b"all of it");
        assert_eq!(heartbeat(&mut client, &mut broker, &member, generation), 0);
        let disk = broker.world.crash(9);
        let mut broker = SimBroker::restart(&disk, setup(shards, 9));
        let mut client = broker.connect();
        assert_eq!(heartbeat(&mut client, &mut broker, &member, generation), 0);
        let stale = heartbeat(&mut client, &mut broker, &member, generation + 1);
        assert_eq!(stale, ErrorCode::IllegalGeneration as i16);
        assert_eq!(sync(&mut client, &mut broker, &member, generation), b"all of it");
        // Nobody asks while it dies.
        broker.run_for(SOON);
        let dead = heartbeat(&mut client, &mut broker, &member, generation);
        assert_eq!(dead, ErrorCode::UnknownMemberId as i16);
    }
}

#[test]
fn who_waits_for_others_is_sent_away_at_the_end() {
    let mut broker = SimBroker::start(setup(2, 3));
    let mut client = broker.connect();
    let body = join_body("g", "");
    // Version 3: no second join is asked for, so this one waits for others.
    client.send(&mut broker, ApiKey::JoinGroup, 3, &body);
    broker.run_for(Duration::from_millis(50));
    assert!(client.poll().is_none());
    broker.shut_down();
    let frames = client.receive_end(&mut broker, Duration::from_secs(2));
    let (_, code) = response(&frames[0], ApiKey::JoinGroup, 3, |r| {
        decoded::<JoinGroupResponse<'_>>(r, 3).error_code
    });
    assert_eq!(code, ErrorCode::NotCoordinator as i16);
}

const GROUPS: [&str; 5] = ["g", "another", "third", "", "ä😀"];

fn setup(shards: usize, seed: u64) -> Setup {
    Setup {
        shards,
        seed,
        topics: vec![("t", 4), ("__consumer_offsets", 5)],
        options: SimOptions {
            disk_latency: Duration::from_micros(100)..=Duration::from_micros(300),
            slow_latency: STALL..=STALL,
            ..SimOptions::default()
        },
        ..Setup::default()
    }
}

fn stall(broker: &SimBroker) {
    broker.world.set_faults(Faults {
        slow_operations: 1000,
        ..Faults::default()
    });
}

/// Where the logs of the offsets topic start.
fn starts(broker: &SimBroker) -> Vec<i64> {
    let shards = broker.shards.iter().map(|shard| &shard.shard.partitions);
    let logs = shards.flat_map(|partitions| {
        partitions
            .all_logs()
            .into_iter()
            .map(|log| partitions.logs.offsets(log))
    });
    logs.map(|offsets| offsets.start.get()).collect()
}

fn commit_body<'a>(group_id: &'a str, offset: i64) -> OffsetCommitRequest<'a> {
    let partitions = vec![OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: offset,
        committed_metadata: Some("m"),
        ..OffsetCommitRequestPartition::default()
    }];
    OffsetCommitRequest {
        group_id,
        topics: vec![OffsetCommitRequestTopic {
            name: "t",
            partitions,
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

/// Commits an offset; the error code.
fn commit(client: &mut Client, broker: &mut SimBroker, group: &str, offset: i64) -> i16 {
    commit_of(client, broker, &commit_body(group, offset))
}

fn commit_of(client: &mut Client, broker: &mut SimBroker, body: &OffsetCommitRequest<'_>) -> i16 {
    client.call(broker, ApiKey::OffsetCommit, COMMIT, body, |r| {
        decoded::<OffsetCommitResponse<'_>>(r, COMMIT).topics[0].partitions[0].error_code
    })
}

fn fetch_body(group_id: &str) -> OffsetFetchRequest<'_> {
    let topics = vec![OffsetFetchRequestTopics {
        name: "t",
        partition_indexes: vec![1],
        ..OffsetFetchRequestTopics::default()
    }];
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id,
            topics: Some(topics),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    }
}

/// What the group has committed, -1 for nothing; while the coordinator is being loaded, it is asked again.
fn committed(client: &mut Client, broker: &mut SimBroker, group: &str) -> Result<i64, i16> {
    loading(
        client,
        broker,
        ApiKey::OffsetFetch,
        FETCH,
        &fetch_body(group),
        |r| {
            let answer = decoded::<OffsetFetchResponse<'_>>(r, FETCH);
            let group = &answer.groups[0];
            match group.error_code {
                0 => Ok(group.topics[0].partitions[0].committed_offset),
                code => Err(code),
            }
        },
    )
}

fn groups(client: &mut Client, broker: &mut SimBroker) -> Vec<String> {
    let body = ListGroupsRequest::default();
    let found = loading(client, broker, ApiKey::ListGroups, 5, &body, |r| {
        let answer = decoded::<ListGroupsResponse<'_>>(r, 5);
        let groups = answer.groups.iter().map(|group| group.group_id.to_owned());
        match answer.error_code {
            0 => Ok(groups.collect()),
            code => Err(code),
        }
    });
    found.unwrap()
}

/// Asks until there is a coordinator.
fn loading<T>(
    client: &mut Client,
    broker: &mut SimBroker,
    api: ApiKey,
    version: i16,
    body: &impl Encode,
    read: impl Fn(&mut Reader<'_>) -> Result<T, i16>,
) -> Result<T, i16> {
    loop {
        let found = client.call(broker, api, version, body, &read);
        match found {
            Err(code) if code == ErrorCode::CoordinatorLoadInProgress as i16 => {
                broker.run_for(Duration::from_millis(1));
            }
            found => return found,
        }
    }
}

fn join_body<'a>(group_id: &'a str, member_id: &'a str) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol {
            name: "range",
            metadata: b"what I read",
        }],
        ..JoinGroupRequest::default()
    }
}

/// Joins as the only member: its id and the generation.
fn join(client: &mut Client, broker: &mut SimBroker, group: &str) -> (String, i32) {
    let mut member = String::new();
    for expected in [ErrorCode::MemberIdRequired, ErrorCode::None] {
        let body = join_body(group, &member);
        let (code, id, generation) = client.call(broker, ApiKey::JoinGroup, JOIN, &body, |r| {
            let answer = decoded::<JoinGroupResponse<'_>>(r, JOIN);
            (
                answer.error_code,
                answer.member_id.to_owned(),
                answer.generation_id,
            )
        });
        assert_eq!(code, expected as i16);
        if expected == ErrorCode::None {
            return (id, generation);
        }
        member = id;
    }
    unreachable!("returned above")
}

fn sync(client: &mut Client, broker: &mut SimBroker, member_id: &str, generation_id: i32) -> Vec<u8> {
    let body = SyncGroupRequest {
        group_id: "g",
        generation_id,
        member_id,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: vec![SyncGroupRequestAssignment {
            member_id,
            assignment: b"all of it",
        }],
        ..SyncGroupRequest::default()
    };
    client.call(broker, ApiKey::SyncGroup, SYNC, &body, |r| {
        decoded::<SyncGroupResponse<'_>>(r, SYNC).assignment.to_vec()
    })
}

fn heartbeat(client: &mut Client, broker: &mut SimBroker, member_id: &str, generation_id: i32) -> i16 {
    let body = HeartbeatRequest {
        group_id: "g",
        generation_id,
        member_id,
        ..HeartbeatRequest::default()
    };
    client.call(broker, ApiKey::Heartbeat, HEARTBEAT, &body, |r| {
        decoded::<HeartbeatResponse>(r, HEARTBEAT).error_code
    })
}

//! Groups on a simulated ring: what they are asked, and how they come and go.

mod consumer_pace;
mod durable;
mod failing;
mod pace;

use std::time::Duration;

use crate::support::{Client, Setup, SimBroker, decoded, response};
use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::Encode;
use millstream_protocol::message::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
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
use millstream_ring::Ring;
use millstream_ring::simulated::{Faults, SimOptions};

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
fn groups_go_with_the_offsets_topic_and_come_with_a_new_one() {
    let mut broker = SimBroker::start(setup(2, 3));
    let (mut client, mut joining) = (broker.connect(), broker.connect());
    assert_eq!(commit(&mut client, &mut broker, "g", 1), 0);
    joining.send(&mut broker, ApiKey::JoinGroup, 3, &join_body("g", ""));
    broker.run_for(Duration::from_millis(50));
    delete_topic(&mut client, &mut broker, "__consumer_offsets");
    let frame = joining.receive(&mut broker);
    let (_, code) = response(&frame, ApiKey::JoinGroup, 3, |r| {
        decoded::<JoinGroupResponse<'_>>(r, 3).error_code
    });
    assert_eq!(code, ErrorCode::NotCoordinator as i16);
    let gone = ErrorCode::NotCoordinator as i16;
    assert_eq!(commit(&mut client, &mut broker, "g", 2), gone);
    assert_eq!(groups(&mut client, &mut broker), Vec::<String>::new());
    let body = FindCoordinatorRequest {
        key: "g",
        ..FindCoordinatorRequest::default()
    };
    client.call(&mut broker, ApiKey::FindCoordinator, 3, &body, |r| {
        assert_eq!(decoded::<FindCoordinatorResponse<'_>>(r, 3).error_code, 0);
    });
    assert_eq!(committed(&mut client, &mut broker, "g"), Ok(-1));
    assert_eq!(commit(&mut client, &mut broker, "g", 3), 0);
}

#[test]
fn offsets_go_with_their_topic() {
    let mut broker = SimBroker::start(setup(2, 3));
    let mut client = broker.connect();
    for group in GROUPS {
        assert_eq!(commit(&mut client, &mut broker, group, 5), 0);
    }
    delete_topic(&mut client, &mut broker, "t");
    broker.run_for(Duration::from_millis(50));
    for group in GROUPS {
        assert_eq!(committed(&mut client, &mut broker, group), Ok(-1), "{group}");
    }
    let disk = broker.world.crash(3);
    let mut broker = SimBroker::restart(&disk, setup(1, 3));
    let mut client = broker.connect();
    for group in GROUPS {
        assert_eq!(committed(&mut client, &mut broker, group), Ok(-1), "{group}");
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

const COMMIT: i16 = 9;
const FETCH: i16 = 9;
const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const SOON: Duration = Duration::from_secs(20);
const STALL: Duration = Duration::from_millis(500);

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

fn delete_topic(client: &mut Client, broker: &mut SimBroker, name: &str) {
    let body = DeleteTopicsRequest {
        topic_names: vec![name],
        ..DeleteTopicsRequest::default()
    };
    let code = client.call(broker, ApiKey::DeleteTopics, 5, &body, |r| {
        decoded::<DeleteTopicsResponse<'_>>(r, 5).responses[0].error_code
    });
    assert_eq!(code, 0);
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

//! What many groups cost: `cargo bench -p millstream-machine --bench groups` replays 10,000 groups with 100,000 offsets
//! and 20,000 members, prints how long that took and what it takes in memory, then how many commits and heartbeats a
//! core handles.

use std::sync::Arc;
use std::time::Instant as Clock;

use millstream_machine::group::*;
use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};

const GROUPS: usize = 10_000;
const OFFSETS_PER_GROUP: usize = 10;
const MEMBERS_PER_GROUP: usize = 2;

fn main() {
    let records = records();
    let settings = GroupSettings {
        state_bytes_max: 1 << 30,
        ..GroupSettings::default()
    };
    let before = resident_bytes();
    let start = Clock::now();
    let mut groups = GroupCoordinator::new(settings);
    for record in records {
        groups.replay(own(record));
    }
    let mut effects = Effects::default();
    groups.loaded(now(0), &mut effects);
    let took = start.elapsed();
    println!(
        "replay: {} ms for {GROUPS} groups, {} offsets, {} members",
        took.as_millis(),
        GROUPS * OFFSETS_PER_GROUP,
        GROUPS * MEMBERS_PER_GROUP
    );
    println!(
        "memory: {} MB resident more, {} MB by its own count",
        resident_bytes().saturating_sub(before) >> 20,
        groups.live_bytes() >> 20
    );
    measure("heartbeats", &mut groups, |number| {
        GroupRequest::Heartbeat(HeartbeatRequest {
            group_id: format!("group-{}", number % GROUPS),
            generation_id: 7,
            member_id: member_id(number % GROUPS, 0),
            group_instance_id: None,
        })
    });
    measure("commits", &mut groups, |number| {
        GroupRequest::CommitOffsets(CommitRequest {
            group_id: format!("group-{}", number % GROUPS),
            member_id: member_id(number % GROUPS, 1),
            group_instance_id: None,
            generation_id: 7,
            retention_ms: None,
            understands_new_errors: true,
            topics: vec![CommitTopic {
                name: topic(number % OFFSETS_PER_GROUP),
                topic_id: TopicId::ZERO,
                partitions: vec![CommitPartition {
                    partition: PartitionIndex::new(0),
                    offset: number as i64,
                    leader_epoch: None,
                    metadata: String::new(),
                }],
            }],
        })
    });
}

fn measure(what: &str, groups: &mut GroupCoordinator, request: impl Fn(usize) -> GroupRequest) {
    const REQUESTS: usize = 200_000;
    let start = Clock::now();
    let mut effects = Effects::default();
    for number in 0..REQUESTS {
        groups.handle(
            now(1 + number as u64),
            Ticket::new(number as u64),
            request(number),
            &mut effects,
        );
        assert_eq!(effects.replies.len(), 1, "{what} are answered at once");
        effects.replies.clear();
        effects.records.clear();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {:.0} a second", REQUESTS as f64 / seconds);
}

/// With texts and bytes of its own, as a record has that was read from a log.
fn own(record: GroupRecord) -> GroupRecord {
    let text = |text: &Arc<str>| Arc::from(&**text);
    match record {
        GroupRecord::Offset {
            group_id,
            topic,
            partition,
            value,
        } => GroupRecord::Offset {
            group_id: text(&group_id),
            topic: text(&topic),
            partition,
            value,
        },
        other => other,
    }
}

/// Made one by one, so that they are not counted with what keeps them.
fn records() -> impl Iterator<Item = GroupRecord> {
    let topics: Vec<Arc<str>> = (0..OFFSETS_PER_GROUP)
        .map(|number| topic(number).into())
        .collect();
    (0..GROUPS).flat_map(move |group| {
        let group_id: Arc<str> = format!("group-{group}").into();
        let metadata = GroupRecord::Group {
            group_id: Arc::clone(&group_id),
            value: Some(Arc::new(metadata(group))),
        };
        let topics = topics.clone();
        let offsets = topics.into_iter().map(move |topic| GroupRecord::Offset {
            group_id: Arc::clone(&group_id),
            topic,
            partition: PartitionIndex::new(0),
            value: Some(CommittedOffset {
                offset: 1_000_000,
                leader_epoch: Some(LeaderEpoch::new(3)),
                metadata: "".into(),
                commit_timestamp: TimestampMs::new(1),
                expire_timestamp: None,
                topic_id: TopicId::new([9; 16]),
            }),
        });
        std::iter::once(metadata).chain(offsets)
    })
}

fn metadata(group: usize) -> GroupMetadata {
    let member = |number| GroupMember {
        member_id: member_id(group, number).into(),
        group_instance_id: None,
        client_id: "consumer".into(),
        client_host: "/192.0.2.1".into(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: [7; 64].into(),
        assignment: [8; 64].into(),
    };
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 7,
        protocol: Some("cooperative-sticky".into()),
        leader: Some(member_id(group, 0).into()),
        current_state_timestamp: Some(TimestampMs::new(1)),
        members: (0..MEMBERS_PER_GROUP).map(member).collect(),
    }
}

fn member_id(group: usize, number: usize) -> String {
    format!("consumer-{number}-{group:08}-aaaa-bbbb-cccc-0123456789ab")
}

fn topic(number: usize) -> String {
    format!("orders-of-region-{number}")
}

fn now(nanos: u64) -> Now {
    Now {
        monotonic: Instant::from_nanos(nanos),
        wall: TimestampMs::new(1),
    }
}

/// As the kernel counts them.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a process has one");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    4096 * pages.unwrap_or(0_u64)
}

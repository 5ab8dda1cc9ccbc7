//! How soon a group of the consumer protocol has settled.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_protocol::message::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use millstream_protocol::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use millstream_protocol::types::TopicId;

use super::*;

/// What a member keeps between two heartbeats.
struct Consumer {
    client: Client,
    id: String,
    epoch: i32,
    has: BTreeSet<(TopicId, i32)>,
}

impl Consumer {
    fn new(broker: &SimBroker, number: usize) -> Self {
        Self {
            client: broker.connect(),
            id: format!("member-{number:03}"),
            epoch: 0,
            has: BTreeSet::new(),
        }
    }

    /// Heartbeats; the first time it joins.
    fn asks(&mut self, broker: &mut SimBroker) {
        let joins = self.epoch == 0;
        let owned = self.has.iter().map(|&(topic_id, index)| TopicPartitions {
            topic_id,
            partitions: vec![index],
        });
        let body = ConsumerGroupHeartbeatRequest {
            group_id: "g",
            member_id: &self.id,
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec!["t"]),
            topic_partitions: Some(owned.collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.client.send(broker, ApiKey::ConsumerGroupHeartbeat, 1, &body);
    }

    /// Takes what it is told; true where it had to give something up, which it has to say.
    fn hears(&mut self, broker: &mut SimBroker) -> bool {
        let frame = self.client.receive(broker);
        let (_, assigned) = response(&frame, ApiKey::ConsumerGroupHeartbeat, 1, |r| {
            let answer = decoded::<ConsumerGroupHeartbeatResponse<'_>>(r, 1);
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            self.epoch = answer.member_epoch;
            let assigned = answer.assignment?.topic_partitions.into_iter();
            let assigned =
                assigned.flat_map(|it| it.partitions.into_iter().map(move |index| (it.topic_id, index)));
            Some(assigned.collect::<BTreeSet<_>>())
        });
        let Some(assigned) = assigned else { return false };
        let gives_up = !self.has.is_subset(&assigned);
        self.has = assigned;
        gives_up
    }

    fn beats(&mut self, broker: &mut SimBroker) {
        self.asks(broker);
        while self.hears(broker) {
            self.asks(broker);
        }
    }
}

/// Each heartbeats once, one after the other with the same time between them.
fn go_round(members: &mut [Consumer], broker: &mut SimBroker, interval: Duration) {
    let pause = interval / members.len() as u32;
    for member in members {
        broker.world.advance(pause);
        member.beats(broker);
    }
}

/// Whether all have come to the same target, nobody went without, and every partition has one of them.
fn is_settled(members: &[Consumer]) -> bool {
    let all: BTreeSet<_> = members.iter().flat_map(|member| &member.has).collect();
    let count: usize = members.iter().map(|member| member.has.len()).sum();
    let epochs: BTreeSet<i32> = members.iter().map(|member| member.epoch).collect();
    let all_have = members.iter().all(|member| !member.has.is_empty());
    epochs.len() == 1 && all_have && all.len() == PARTITIONS as usize && count == all.len()
}

fn state(broker: &mut SimBroker) -> String {
    let body = ConsumerGroupDescribeRequest {
        group_ids: vec!["g"],
        ..ConsumerGroupDescribeRequest::default()
    };
    let mut client = broker.connect();
    client.call(broker, ApiKey::ConsumerGroupDescribe, 1, &body, |r| {
        let answer = decoded::<ConsumerGroupDescribeResponse<'_>>(r, 1);
        answer.groups[0].group_state.to_owned()
    })
}

/// From the hundredth's first heartbeat until all have been told what they are to have, and have it.
fn settling(interval: Duration) -> Duration {
    let mut broker = SimBroker::start(Setup {
        topics: vec![("t", PARTITIONS), ("__consumer_offsets", 5)],
        ..setup(2, 7)
    });
    let mut members: Vec<Consumer> = (1..100).map(|number| Consumer::new(&broker, number)).collect();
    while !is_settled(&members) {
        go_round(&mut members, &mut broker, BETWEEN_TARGETS);
    }
    broker.world.advance(BETWEEN_TARGETS);
    let started = broker.world.now();
    let mut hundredth = Consumer::new(&broker, 100);
    hundredth.beats(&mut broker);
    members.push(hundredth);
    while !is_settled(&members) {
        go_round(&mut members, &mut broker, interval);
    }
    let took = broker.world.now() - started;
    assert_eq!(state(&mut broker), "Stable");
    assert!(members[99].has.len() == 2 && members.iter().all(|member| member.has.len() == 2));
    took
}

/// Nobody has to wait for anybody but who gets what another one gives up; but everybody learns of a target by its own
/// next heartbeat. So the interval comes in twice: until the last one is told and has given up, and until who waited
/// for that is told. What is left is the broker's.
#[test]
fn a_hundred_consumers_settle_soon_but_for_their_heartbeats() {
    let of_broker = settling(Duration::ZERO);
    println!("{of_broker:?} with heartbeats back to back");
    assert!(of_broker < Duration::from_secs(1), "{of_broker:?}");
    let took = settling(HEARTBEAT_INTERVAL);
    println!("{took:?} with heartbeats every {HEARTBEAT_INTERVAL:?}");
    assert!(took > HEARTBEAT_INTERVAL / 2, "heartbeats are waited for");
    assert!(took < HEARTBEAT_INTERVAL * 2 + Duration::from_secs(1), "{took:?}");
}

/// Two for each of a hundred.
const PARTITIONS: u32 = 200;
/// `group.consumer.heartbeat.interval.ms`, by default.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// `group.consumer.assignment.interval.ms`, by default: a target that is younger would delay the next one.
const BETWEEN_TARGETS: Duration = Duration::from_secs(1);

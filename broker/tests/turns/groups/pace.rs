//! How soon a group is together, and how soon it misses somebody.

use std::time::Duration;

use millstream_protocol::message::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use millstream_protocol::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::*;

/// A member of the classic protocol.
struct Member {
    client: Client,
    id: String,
    leader: String,
}

impl Member {
    fn new(broker: &SimBroker) -> Self {
        Self {
            client: broker.connect(),
            id: String::new(),
            leader: String::new(),
        }
    }

    fn joins(&mut self, broker: &mut SimBroker) {
        self.client
            .send(broker, ApiKey::JoinGroup, 3, &join_body("g", &self.id));
    }

    /// How many members it is told of: all where it leads, or none.
    fn has_joined(&mut self, broker: &mut SimBroker, generation: i32) -> usize {
        let frame = self.client.receive(broker);
        let (_, members) = response(&frame, ApiKey::JoinGroup, 3, |r| {
            let answer = decoded::<JoinGroupResponse<'_>>(r, 3);
            assert_eq!((answer.error_code, answer.generation_id), (0, generation));
            answer.member_id.clone_into(&mut self.id);
            answer.leader.clone_into(&mut self.leader);
            answer.members.len()
        });
        members
    }

    fn syncs(&mut self, broker: &mut SimBroker, generation_id: i32, ids: &[String]) {
        let ids = ids.iter().filter(|_| self.id == self.leader);
        let assignments = ids.map(|id| SyncGroupRequestAssignment {
            member_id: id,
            assignment: id.as_bytes(),
        });
        let body = SyncGroupRequest {
            group_id: "g",
            generation_id,
            member_id: &self.id,
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        self.client.send(broker, ApiKey::SyncGroup, 3, &body);
    }

    fn has_synced(&mut self, broker: &mut SimBroker) {
        let frame = self.client.receive(broker);
        let (_, assignment) = response(&frame, ApiKey::SyncGroup, 3, |r| {
            decoded::<SyncGroupResponse<'_>>(r, 3).assignment.to_vec()
        });
        assert_eq!(assignment, self.id.as_bytes());
    }
}

/// From the answers to all JoinGroups, which are on their way, to those to all SyncGroups.
fn share_out(members: &mut [Member], broker: &mut SimBroker, generation: i32) {
    let told: usize = members
        .iter_mut()
        .map(|member| member.has_joined(broker, generation))
        .sum();
    assert_eq!(told, members.len(), "the leader sees all");
    let ids: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
    for member in members.iter_mut() {
        member.syncs(broker, generation, &ids);
    }
    for member in members {
        member.has_synced(broker);
    }
}

/// From the last JoinGroup to the last answer to a SyncGroup. What is before that is the clients': each learns by its
/// next heartbeat that it has to join again.
#[test]
fn a_hundred_members_are_together_soon_after_the_last_join() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("group.initial.rebalance.delay.ms", "500")],
        ..setup(2, 7)
    });
    let mut members: Vec<Member> = (1..100).map(|_| Member::new(&broker)).collect();
    for member in &mut members {
        member.joins(&mut broker);
    }
    share_out(&mut members, &mut broker, 1);
    let mut hundredth = Member::new(&broker);
    hundredth.joins(&mut broker);
    broker.run_for(Duration::from_millis(20));
    for member in &mut members {
        let code = heartbeat(&mut member.client, &mut broker, &member.id, 1);
        assert_eq!(code, ErrorCode::RebalanceInProgress as i16);
    }
    members.push(hundredth);
    let (_, others) = members.split_last_mut().expect("a hundred");
    let mut last_join = broker.world.now();
    for member in others {
        last_join = broker.world.now();
        member.joins(&mut broker);
    }
    share_out(&mut members, &mut broker, 2);
    let took = broker.world.now() - last_join;
    println!("{took:?} after the last join");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_member_that_is_silent_is_missed_when_its_session_ends() {
    let mut broker = SimBroker::start(setup(2, 8));
    let mut clients = [broker.connect(), broker.connect()];
    for client in &mut clients {
        client.send(&mut broker, ApiKey::JoinGroup, 3, &join_body("g", ""));
    }
    let [first, second] = clients.each_mut().map(|client| {
        let frame = client.receive(&mut broker);
        let (_, found) = response(&frame, ApiKey::JoinGroup, 3, |r| {
            let answer = decoded::<JoinGroupResponse<'_>>(r, 3);
            (answer.member_id.to_owned(), answer.leader.to_owned())
        });
        found
    });
    let silent_since = broker.world.now();
    // The leader alone gets on without the other.
    let [one, other] = &mut clients;
    let (alive, member) = match first.0 == first.1 {
        true => (one, first.0),
        false => (other, second.0),
    };
    sync(alive, &mut broker, &member, 1);
    let session = Duration::from_secs(10);
    let missed = loop {
        let code = heartbeat(alive, &mut broker, &member, 1);
        let silent = broker.world.now() - silent_since;
        if code == ErrorCode::RebalanceInProgress as i16 {
            break silent;
        }
        assert_eq!(code, 0);
        assert!(silent < session * 2, "never missed");
        broker.run_for(Duration::from_millis(100));
    };
    assert!((session..session + session / 10).contains(&missed), "{missed:?}");
}

#[test]
fn a_group_misses_a_silent_member_as_soon_as_it_has_configured() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("group.consumer.min.session.timeout.ms", "6000")],
        ..setup(2, 9)
    });
    let mut client = broker.connect();
    let groups = ["g", "other"];
    let epochs = groups.map(|group| beats(&mut client, &mut broker, group, 0));
    alter_group(
        &mut client,
        &mut broker,
        "g",
        "consumer.session.timeout.ms",
        "6000",
    );
    for (group, epoch) in groups.into_iter().zip(epochs) {
        beats(&mut client, &mut broker, group, epoch);
    }
    let silent_since = broker.world.now();
    let session = Duration::from_secs(6);
    while members(&mut client, &mut broker, "g") == 1 {
        let silent = broker.world.now() - silent_since;
        assert!(silent < session * 2, "never missed");
        broker.run_for(Duration::from_millis(100));
    }
    let missed = broker.world.now() - silent_since;
    assert!((session..session + session / 10).contains(&missed), "{missed:?}");
    assert_eq!(members(&mut client, &mut broker, "other"), 1);
}

/// A heartbeat of the consumer protocol, which joins at epoch 0: the epoch that it is answered.
fn beats(client: &mut Client, broker: &mut SimBroker, group_id: &str, member_epoch: i32) -> i32 {
    let body = ConsumerGroupHeartbeatRequest {
        group_id,
        member_id: "a",
        member_epoch,
        rebalance_timeout_ms: 10_000,
        subscribed_topic_names: Some(vec!["t"]),
        topic_partitions: (member_epoch == 0).then(Vec::new),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let epoch = loading(client, broker, ApiKey::ConsumerGroupHeartbeat, 1, &body, |r| {
        let answer = decoded::<ConsumerGroupHeartbeatResponse<'_>>(r, 1);
        match answer.error_code {
            0 => Ok(answer.member_epoch),
            code => Err(code),
        }
    });
    epoch.unwrap()
}

fn members(client: &mut Client, broker: &mut SimBroker, group: &str) -> usize {
    let body = ConsumerGroupDescribeRequest {
        group_ids: vec![group],
        ..ConsumerGroupDescribeRequest::default()
    };
    client.call(broker, ApiKey::ConsumerGroupDescribe, 1, &body, |r| {
        let answer = decoded::<ConsumerGroupDescribeResponse<'_>>(r, 1);
        assert_eq!(answer.groups[0].error_code, 0);
        answer.groups[0].members.len()
    })
}

fn alter_group(client: &mut Client, broker: &mut SimBroker, group: &str, name: &str, value: &str) {
    let body = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 32,
            resource_name: group,
            configs: vec![AlterableConfig {
                name,
                config_operation: 0,
                value: Some(value),
            }],
        }],
        validate_only: false,
    };
    let code = client.call(broker, ApiKey::IncrementalAlterConfigs, 1, &body, |r| {
        decoded::<IncrementalAlterConfigsResponse<'_>>(r, 1).responses[0].error_code
    });
    assert_eq!(code, 0);
}

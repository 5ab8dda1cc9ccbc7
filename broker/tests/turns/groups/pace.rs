//! How soon a group is together, and how soon it misses somebody.

use std::time::Duration;

use super::*;

#[test]
fn a_hundred_members_are_together_soon_after_the_last_one() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("group.initial.rebalance.delay.ms", "500")],
        ..setup(2, 7)
    });
    let mut clients: Vec<Client> = (0..100).map(|_| broker.connect()).collect();
    for client in &mut clients {
        client.send(&mut broker, ApiKey::JoinGroup, 3, &join_body("g", ""));
    }
    let joined: Vec<(String, String, usize)> = clients
        .iter_mut()
        .map(|client| {
            let frame = client.receive(&mut broker);
            let (_, found) = response(&frame, ApiKey::JoinGroup, 3, |r| {
                let answer = decoded::<JoinGroupResponse<'_>>(r, 3);
                assert_eq!((answer.error_code, answer.generation_id), (0, 1));
                (
                    answer.member_id.to_owned(),
                    answer.leader.to_owned(),
                    answer.members.len(),
                )
            });
            found
        })
        .collect();
    let begun = broker.world.now();
    assert_eq!(
        joined.iter().map(|(_, _, members)| members).sum::<usize>(),
        100,
        "the leader sees all"
    );
    for (client, (member_id, leader, _)) in clients.iter_mut().zip(&joined) {
        let assignments = joined.iter().filter(|_| member_id == leader);
        let assignments = assignments.map(|(member_id, _, _)| SyncGroupRequestAssignment {
            member_id,
            assignment: member_id.as_bytes(),
        });
        let body = SyncGroupRequest {
            group_id: "g",
            generation_id: 1,
            member_id,
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        client.send(&mut broker, ApiKey::SyncGroup, 3, &body);
    }
    for (client, (member_id, _, _)) in clients.iter_mut().zip(&joined) {
        let frame = client.receive(&mut broker);
        let (_, assignment) = response(&frame, ApiKey::SyncGroup, 3, |r| {
            decoded::<SyncGroupResponse<'_>>(r, 3).assignment.to_vec()
        });
        assert_eq!(assignment, member_id.as_bytes());
    }
    let took = broker.world.now() - begun;
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

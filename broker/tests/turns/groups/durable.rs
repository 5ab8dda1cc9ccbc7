//! What groups answered is durable, and found again by a broker that starts on the disk.

use std::time::Duration;

use super::*;

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
fn commits_that_nobody_waits_between_wait_for_the_disk_together() {
    for shards in [1, 2] {
        let mut broker = SimBroker::start(setup(shards, 11));
        let mut client = broker.connect();
        assert_eq!(commit(&mut client, &mut broker, "g", 0), 0);
        broker.run_for(STALL);
        stall(&broker);
        let begun = broker.world.now();
        let sent: Vec<i32> = (1..=MANY)
            .map(|offset| {
                client.send(
                    &mut broker,
                    ApiKey::OffsetCommit,
                    COMMIT,
                    &commit_body("g", offset),
                )
            })
            .collect();
        client.send(&mut broker, ApiKey::OffsetFetch, FETCH, &fetch_body("g"));
        for correlation in sent {
            let frame = client.receive(&mut broker);
            let (found, error) = response(&frame, ApiKey::OffsetCommit, COMMIT, |r| {
                decoded::<OffsetCommitResponse<'_>>(r, COMMIT).topics[0].partitions[0].error_code
            });
            assert_eq!((found, error), (correlation, 0));
        }
        let took = broker.world.now() - begun;
        assert!(
            took < STALL * 4,
            "{took:?} for {MANY} commits, of which each is {STALL:?}"
        );
        // What is asked behind them sees them all.
        let frame = client.receive(&mut broker);
        let (_, offset) = response(&frame, ApiKey::OffsetFetch, FETCH, |r| {
            decoded::<OffsetFetchResponse<'_>>(r, FETCH).groups[0].topics[0].partitions[0].committed_offset
        });
        assert_eq!(offset, MANY);
    }
}

#[test]
fn commits_whose_client_went_away_cost_nobody_anything() {
    let mut broker = SimBroker::start(setup(2, 12));
    let (mut client, mut other) = (broker.connect(), broker.connect());
    assert_eq!(commit(&mut client, &mut broker, "g", 0), 0);
    broker.run_for(STALL);
    stall(&broker);
    for offset in 1..=MANY {
        client.send(
            &mut broker,
            ApiKey::OffsetCommit,
            COMMIT,
            &commit_body("g", offset),
        );
    }
    client.reset();
    broker.run_for(STALL * 4);
    let found = committed(&mut other, &mut broker, "g").unwrap();
    assert!((0..=MANY).contains(&found), "{found}");
}

#[test]
fn the_log_of_offsets_stays_short() {
    let mut broker = SimBroker::start(crowded(1, 5));
    let mut client = broker.connect();
    assert_eq!(commit(&mut client, &mut broker, "quiet", 77), 0);
    let long = "x".repeat(3_000);
    for round in 0..1_500 {
        let mut body = commit_body("g", round);
        body.topics[0].partitions[0].committed_metadata = Some(&long);
        assert_eq!(commit_of(&mut client, &mut broker, &body), 0);
    }
    let log_starts = starts(&broker);
    assert!(log_starts.iter().any(|start| *start > 1_000), "{log_starts:?}");
    let disk = broker.world.crash(5);
    let mut broker = SimBroker::restart(&disk, crowded(1, 5));
    let mut client = broker.connect();
    assert_eq!(committed(&mut client, &mut broker, "g"), Ok(1_499));
    assert_eq!(committed(&mut client, &mut broker, "quiet"), Ok(77));
}

/// Whatever is in the log when the power goes: an acknowledged offset is there, or a later one that was sent.
#[test]
fn no_acknowledged_offset_is_lost_while_snapshots_are_taken() {
    let long = "x".repeat(4_000);
    for seed in 0..12 {
        let mut broker = SimBroker::start(crowded(1 + seed as usize % 2, seed));
        let mut client = broker.connect();
        assert_eq!(commit(&mut client, &mut broker, "quiet", 77), 0);
        let mut sent = [-1; GROUPS.len()];
        let commits = 500 + 53 * seed as i64;
        for offset in 0..commits {
            let which = offset as usize % GROUPS.len();
            let mut body = commit_body(GROUPS[which], offset);
            body.topics[0].partitions[0].committed_metadata = Some(&long);
            sent[which] = offset;
            if offset == commits - 1 {
                client.send(&mut broker, ApiKey::OffsetCommit, COMMIT, &body);
                broker.run_for(Duration::from_micros(40 * seed));
            } else {
                assert_eq!(commit_of(&mut client, &mut broker, &body), 0);
            }
        }
        let disk = broker.world.crash(seed);
        let mut broker = SimBroker::restart(&disk, crowded(1, seed));
        let mut client = broker.connect();
        assert_eq!(committed(&mut client, &mut broker, "quiet"), Ok(77));
        for (group, sent) in GROUPS.iter().zip(sent) {
            let found = committed(&mut client, &mut broker, group).unwrap();
            let unacknowledged = sent == commits - 1 && found == sent - GROUPS.len() as i64;
            assert!(
                found == sent || unacknowledged,
                "seed {seed}: {found} where {sent} was sent"
            );
        }
    }
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

/// All groups in one partition.
fn crowded(shards: usize, seed: u64) -> Setup {
    Setup {
        topics: vec![("t", 4), ("__consumer_offsets", 1)],
        ..setup(shards, seed)
    }
}

const MANY: i64 = 20;

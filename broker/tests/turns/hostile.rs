//! Clients that mean no good, or do none: what they cost is bounded, and nobody else pays.

use super::*;

#[test]
fn hostile_bytes_close_their_connection_and_nothing_else() {
    let mut random = 42u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u32
    };
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut bystander = broker.connect();
    let good = [(0, batch(&["ok"]))];
    let valid = request(ApiKey::Produce, PRODUCE, 1, &produce("t", &good, -1));
    let mut attacks: Vec<Vec<u8>> = vec![
        (-1i32).to_be_bytes().to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
        0i32.to_be_bytes().to_vec(),
        [&1i32.to_be_bytes()[..], b"x"].concat(),
        [&8i32.to_be_bytes()[..], &[0x7f, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
    ];
    for _ in 0..150 {
        // A length that is right, and a body that is not.
        let mut body: Vec<u8> = valid[4..].to_vec();
        for _ in 0..1 + next() % 6 {
            let at = next() as usize % body.len();
            body[at] = next() as u8;
        }
        body.truncate(1 + next() as usize % body.len());
        attacks.push([&(body.len() as i32).to_be_bytes()[..], &body].concat());
    }
    for attack in attacks {
        let mut client = broker.connect();
        client.send_bytes(&mut broker, &attack);
        broker.run_for(Duration::from_millis(2));
        drop(client);
    }
    let (_, error, offset) = produced(&mut bystander, &mut broker, &produce("t", &good, -1))[0];
    assert_eq!(error, 0, "and the log took only whole batches: {offset}");
    let found = fetched(
        &mut bystander,
        &mut broker,
        &fetch("t", &[(0, 0)], Duration::ZERO, 1),
    );
    assert!(found[0].2.iter().all(|value| value == "ok"), "{found:?}");
    broker.run_for(Duration::from_millis(50));
    let open: usize = broker
        .shards
        .iter()
        .map(|shard| shard.shard.connections.len())
        .sum();
    assert_eq!(open, 1, "only the bystander is left");
}

#[test]
fn who_asks_for_little_waits_for_a_share_of_much() {
    const LARGE: usize = 8;
    const ROUNDS: usize = 4;
    let value = "x".repeat(900_000);
    let mut broker = SimBroker::start(Setup {
        options: SimOptions {
            socket_buffer: 1 << 20,
            ..SimOptions::default()
        },
        ..Setup::default()
    });
    let mut little = broker.connect();
    let mut large: Vec<(Client, Vec<u8>, usize)> = (0..LARGE)
        .map(|number| {
            let batches = [(number as i32 % 4, batch(&[&value]))];
            let frame = request(ApiKey::Produce, PRODUCE, 1, &produce("t", &batches, 1));
            (broker.connect(), frame.repeat(ROUNDS), 0)
        })
        .collect();
    // ApiVersions 0.
    let hello = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let all = (LARGE * ROUNDS * value.len()) as u64;
    let appended = |broker: &SimBroker| broker.shards[0].shard.counters.bytes_appended;
    let mut longest = 0;
    while appended(&broker) < all {
        let before = appended(&broker);
        little.send_bytes(&mut broker, &hello);
        while little.poll().is_none() {
            broker.step();
            broker.world.advance(Duration::from_micros(20));
            for (client, bytes, sent) in &mut large {
                *sent += client.try_send_bytes(&bytes[*sent..]);
                client.poll();
            }
        }
        longest = longest.max(appended(&broker) - before);
    }
    // On its way it passes some turns, each of which takes a frame of the others: with turns of any size it was eight.
    assert!(
        longest < 7 * value.len() as u64,
        "{longest} bytes went before a small request"
    );
}

#[test]
fn a_frame_that_drips_is_given_up() {
    let mut broker = SimBroker::start(Setup::default());
    let mut slow = broker.connect();
    let mut idle = broker.connect();
    slow.send_bytes(&mut broker, &1000i32.to_be_bytes());
    for _ in 0..29 {
        slow.send_bytes(&mut broker, &[0]);
        broker.run_for(Duration::from_secs(1));
    }
    assert!(slow.poll().is_none() && !slow.ended, "thirty seconds are allowed");
    broker.run_for(Duration::from_secs(5));
    assert!(slow.poll().is_none() && slow.ended, "and no more");
    assert!(idle.poll().is_none() && !idle.ended, "who sends nothing may stay");
    broker.run_for(Duration::from_secs(700));
    assert!(idle.poll().is_none() && idle.ended, "but not for ever");
}

#[test]
fn a_frame_that_drips_fast_is_given_up_too() {
    let mut broker = SimBroker::start(Setup::default());
    let mut slow = broker.connect();
    slow.send_bytes(&mut broker, &1_000_000i32.to_be_bytes());
    // Dense enough that a sweep hardly ever finds a receive that is not just ending.
    while !slow.ended {
        assert!(
            broker.world.now() < Duration::from_secs(40),
            "it may drip for ever"
        );
        slow.try_send_bytes(&[0]);
        broker.world.advance(Duration::from_millis(10));
        for _ in 0..10 {
            broker.step();
        }
        slow.poll();
    }
    assert!(
        broker.world.now() > Duration::from_secs(29),
        "thirty seconds are allowed"
    );
}

#[test]
fn who_reads_slowly_may_ask_ahead() {
    let options = SimOptions {
        socket_buffer: 4096,
        ..SimOptions::default()
    };
    let mut broker = SimBroker::start(Setup {
        options,
        ..Setup::default()
    });
    let mut slow = broker.connect();
    for _ in 0..8 {
        let large = "x".repeat(200_000);
        produced(
            &mut slow,
            &mut broker,
            &produce("t", &[(0, batch(&[&large]))], -1),
        );
    }
    let mut body = fetch("t", &[(0, 0)], Duration::ZERO, 1);
    body.max_bytes = 4 << 20;
    body.topics[0].partitions[0].partition_max_bytes = 4 << 20;
    for _ in 0..3 {
        slow.send(&mut broker, ApiKey::Fetch, FETCH, &body);
    }
    for _ in 0..500 {
        for _ in 0..20 {
            broker.world.advance(Duration::from_millis(5));
            broker.step();
        }
        slow.poll();
        assert!(!slow.ended, "it is closed after {:?}", broker.world.now());
    }
}

#[test]
fn who_does_not_read_is_bounded_and_closed() {
    let options = SimOptions {
        socket_buffer: 4096,
        ..SimOptions::default()
    };
    let mut broker = SimBroker::start(Setup {
        options,
        ..Setup::default()
    });
    let mut writer = broker.connect();
    for _ in 0..4 {
        let large = "x".repeat(200_000);
        produced(
            &mut writer,
            &mut broker,
            &produce("t", &[(0, batch(&[&large]))], -1),
        );
    }
    let mut deaf = broker.connect();
    let frame = request(ApiKey::Fetch, FETCH, 1, &fetch("t", &[(0, 0)], Duration::ZERO, 1));
    let mut most = 0;
    for _ in 0..2_000 {
        deaf.try_send_bytes(&frame);
        broker.step();
        let charged = broker.shards[0].shard.budget.used();
        most = most.max(charged);
    }
    assert!(
        most < 3 << 20,
        "{most} bytes are held for a client that does not read"
    );
    broker.run_for(Duration::from_secs(65));
    assert_eq!(
        broker.shards[0].shard.connections.len(),
        1,
        "it was closed, the writer was not"
    );
}

#[test]
fn who_is_not_served_keeps_no_receive_buffer_from_the_others() {
    let options = SimOptions {
        socket_buffer: 4096,
        pool_buffers: 32,
        ..SimOptions::default()
    };
    let mut broker = SimBroker::start(Setup {
        options,
        ..Setup::default()
    });
    let mut good = broker.connect();
    let large = "x".repeat(900_000);
    let body = [(0, batch(&[&large]))];
    produced(&mut good, &mut broker, &produce("t", &body, -1));

    let mut halves: Vec<Client> = (0..40).map(|_| broker.connect()).collect();
    for client in &mut halves {
        client.send_bytes(&mut broker, &[0, 0]);
        broker.run_for(Duration::from_micros(20));
    }
    let small = [(1, batch(&["small"]))];
    produced(&mut good, &mut broker, &produce("t", &small, -1));

    let frame = request(ApiKey::Fetch, FETCH, 1, &fetch("t", &[(0, 0)], Duration::ZERO, 1));
    let mut deaf = broker.connect();
    for _ in 0..200 {
        deaf.try_send_bytes(&frame);
        broker.run_for(Duration::from_micros(20));
    }
    produced(&mut good, &mut broker, &produce("t", &small, -1));
    assert!(
        broker.world.now() < Duration::from_secs(5),
        "before any deadline frees buffers"
    );
}

#[test]
fn who_leaves_while_it_is_being_answered_hurts_nobody() {
    let options = SimOptions {
        socket_buffer: 4096,
        ..SimOptions::default()
    };
    for seed in 1..60 {
        let mut broker = SimBroker::start(Setup {
            seed,
            options: options.clone(),
            ..Setup::default()
        });
        let mut good = broker.connect();
        let large = "x".repeat(20_000);
        let batches = [(0, batch(&[&large]))];
        let body = produce("t", &batches, -1);
        produced(&mut good, &mut broker, &body);
        let frame = request(ApiKey::Fetch, FETCH, 1, &fetch("t", &[(0, 0)], Duration::ZERO, 1));
        for round in 0..40 {
            let mut leaving = broker.connect();
            leaving.send_bytes(&mut broker, &[frame.as_slice(), &frame].concat());
            for _ in 0..round {
                broker.step();
                broker.world.advance(Duration::from_micros(3));
            }
            // The send that this lets complete and the end of the connection come in one turn.
            leaving.poll();
            leaving.reset();
            broker.world.advance(Duration::from_micros(50));
            broker.step();
        }
        produced(&mut good, &mut broker, &body);
    }
}

#[test]
fn large_frames_that_drip_do_not_hold_more_than_the_budget() {
    let memory_bytes = 4 << 20;
    let mut broker = SimBroker::start(Setup {
        memory_bytes,
        request_bytes_max: 2 << 20,
        ..Setup::default()
    });
    let mut drippers: Vec<Client> = (0..8).map(|_| broker.connect()).collect();
    let declared = (2i32 << 20).to_be_bytes();
    for client in &mut drippers {
        client.send_bytes(&mut broker, &declared);
    }
    let chunk = vec![0u8; 64 * 1024];
    for _ in 0..200 {
        for client in &mut drippers {
            client.try_send_bytes(&chunk[..16 * 1024]);
        }
        broker.run_for(Duration::from_micros(300));
        let used = broker.shards[0].shard.budget.used();
        assert!(used <= memory_bytes + (2 << 20) + (64 << 10), "{used} bytes");
    }
    let mut bystander = broker.connect();
    let good = [(0, batch(&["ok"]))];
    assert_eq!(
        produced(&mut bystander, &mut broker, &produce("t", &good, -1)),
        [(0, 0, 0)]
    );
}

#[test]
fn large_requests_complete_one_after_the_other_when_memory_is_short() {
    let mut broker = SimBroker::start(Setup {
        memory_bytes: 1 << 20,
        request_bytes_max: 1 << 20,
        ..Setup::default()
    });
    let value = "y".repeat(600_000);
    let batches = [(0, batch(&[&value]))];
    let frame = request(ApiKey::Produce, PRODUCE, 1, &produce("t", &batches, -1));
    let mut clients: Vec<(Client, usize)> = (0..4).map(|_| (broker.connect(), 0)).collect();
    let mut answered = 0;
    broker.run_until(Duration::from_secs(30), |broker| {
        for (client, sent) in &mut clients {
            *sent += client.try_send_bytes(&frame[*sent..]);
            answered += usize::from(client.poll().is_some());
        }
        broker.step();
        answered == 4
    });
}

#[test]
fn accepts_that_end_are_armed_again_and_resets_hurt_nobody_else() {
    for seed in 0..10 {
        let faults = Faults {
            ended_accepts: 500,
            resets: 3,
            ..Faults::default()
        };
        let options = SimOptions {
            faults,
            ..SimOptions::default()
        };
        let mut broker = SimBroker::start(Setup {
            shards: 2,
            seed,
            options,
            ..Setup::default()
        });
        let mut good = 0;
        for _ in 0..30 {
            let mut client = broker.connect();
            client.send(
                &mut broker,
                ApiKey::Produce,
                PRODUCE,
                &produce("t", &[(1, batch(&["z"]))], -1),
            );
            broker.run_until(SOON, |_| {
                let answered = client.poll().is_some();
                good += usize::from(answered);
                answered || client.ended
            });
        }
        assert!(good > 15, "{good} of 30");
    }
}

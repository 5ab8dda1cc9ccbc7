//! Sockets: bytes arrive whole and in order, ends are told, closing settles everything.

use millstream_ring::{Done, IoErrorKind, Op, Ring, Slice, Token, Wait};

use super::world::{ACCEPT, Client, TURN, World, listen, pair, pattern, read_exact, run, wait_for};

pub fn accepts_and_echoes(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let mut pairs: Vec<_> = (0..10).map(|_| pair(world, addr, &mut rest)).collect();
    for round in 0..20u64 {
        for (index, (client, socket)) in pairs.iter_mut().enumerate() {
            let bytes = pattern(64, round * 100 + index as u64);
            assert_eq!(client.write(&bytes), 64);
            let (ring, token) = (world.ring(), Token(index as u64));
            let mut heard = Vec::new();
            while heard.len() < 64 {
                ring.submit(token, Op::RecvPooled { socket: *socket });
                match wait_for(ring, token, &mut rest).result {
                    Ok(Done::Received { buf }) => heard.extend_from_slice(&buf),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(heard, bytes);
            ring.submit(
                token,
                Op::Send {
                    socket: *socket,
                    slices: vec![Slice::from(heard)],
                },
            );
            assert!(matches!(
                wait_for(ring, token, &mut rest).result,
                Ok(Done::Sent { n: 64, .. })
            ));
            assert_eq!(read_exact(ring, client, 64, &mut rest), bytes);
        }
    }
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(world.ring().in_flight(), 1, "the accept");
}

pub fn half_close_is_an_empty_receive(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    client.shutdown_write();
    for _ in 0..2 {
        let done = completed(world.ring(), Op::RecvPooled { socket });
        assert!(
            matches!(&done, Ok(Done::Received { buf }) if buf.is_empty()),
            "{done:?}"
        );
    }
    let done = completed(
        world.ring(),
        Op::RecvInto {
            socket,
            buf: Vec::with_capacity(10),
            limit: 10,
        },
    );
    assert!(
        matches!(&done, Ok(Done::ReceivedInto { buf, n: 0 }) if buf.is_empty()),
        "{done:?}"
    );
    let done = completed(
        world.ring(),
        Op::Send {
            socket,
            slices: vec![Slice::from(b"still".to_vec())],
        },
    );
    assert!(matches!(done, Ok(Done::Sent { n: 5, .. })));
    assert_eq!(read_exact(world.ring(), &mut client, 5, &mut rest), b"still");
}

pub fn a_reset_is_an_error(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (client, socket) = pair(world, addr, &mut rest);
    world.ring().submit(Token(1), Op::RecvPooled { socket });
    world.ring().enter(Wait::No, &mut rest);
    client.reset();
    let received = wait_for(world.ring(), Token(1), &mut rest).result;
    assert_eq!(received.unwrap_err().kind(), IoErrorKind::Disconnected);
    let sent = completed(
        world.ring(),
        Op::Send {
            socket,
            slices: vec![Slice::from(vec![1; 100])],
        },
    );
    assert_eq!(sent.unwrap_err().kind(), IoErrorKind::Disconnected);
    assert!(matches!(
        completed(world.ring(), Op::CloseSocket { socket }),
        Ok(Done::Finished)
    ));
}

pub fn a_large_send_is_whole_and_in_order(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    let bytes = pattern(20 << 20, 77);
    let whole = Slice::from(bytes.clone());
    let slices = (0..20)
        .map(|at| whole.subslice(at << 20..(at + 1) << 20))
        .collect();
    world.ring().submit(Token(5), Op::Send { socket, slices });
    assert_eq!(
        read_exact(world.ring(), &mut client, bytes.len(), &mut rest),
        bytes
    );
    let done = wait_for(world.ring(), Token(5), &mut rest).result;
    assert!(
        matches!(&done, Ok(Done::Sent { n, slices }) if *n == bytes.len() && slices.len() == 20),
        "{done:?}"
    );
}

pub fn many_slices_end_in_a_partial_send(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    let slices: Vec<Slice> = (0..1500u64)
        .map(|at| Slice::from(at.to_le_bytes().to_vec()))
        .collect();
    let expected: Vec<u8> = (0..1500u64).flat_map(u64::to_le_bytes).collect();
    let mut sent = 0;
    while sent < expected.len() {
        let send = Op::Send {
            socket,
            slices: slices[sent / 8..].to_vec(),
        };
        let Ok(Done::Sent { n, .. }) = completed(world.ring(), send) else {
            panic!()
        };
        assert!(n > 0 && n % 8 == 0 && n <= 8 * 1024);
        sent += n;
    }
    assert_eq!(
        read_exact(world.ring(), &mut client, expected.len(), &mut rest),
        expected
    );
}

pub fn receives_into_spare_capacity(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    assert_eq!(client.write(b"length body"), 11);
    let mut buf = Vec::with_capacity(64);
    buf.extend_from_slice(b"kept ");
    let mut total = 0;
    while total < 11 {
        let done = completed(
            world.ring(),
            Op::RecvInto {
                socket,
                buf,
                limit: 11 - total,
            },
        );
        let Ok(Done::ReceivedInto { buf: back, n }) = done else {
            panic!("{done:?}")
        };
        assert!(0 < n && n <= 11 - total);
        (total, buf) = (total + n, back);
    }
    assert_eq!(buf, b"kept length body");
    assert_eq!(client.write(b"xyz"), 3);
    let Ok(Done::ReceivedInto { buf, n: 1 }) = completed(
        world.ring(),
        Op::RecvInto {
            socket,
            buf,
            limit: 1,
        },
    ) else {
        panic!("the limit holds")
    };
    assert_eq!(buf, b"kept length bodyx");
}

pub fn close_settles_what_is_in_flight(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    let ring = world.ring();
    ring.submit(Token(1), Op::RecvPooled { socket });
    // Far more than the two socket buffers hold: nobody reads.
    ring.submit(
        Token(2),
        Op::Send {
            socket,
            slices: vec![Slice::from(pattern(64 << 20, 0))],
        },
    );
    ring.enter(Wait::Until(TURN), &mut rest);
    ring.submit(Token(3), Op::CloseSocket { socket });
    let closed = wait_for(ring, Token(3), &mut rest);
    assert!(matches!(closed.result, Ok(Done::Finished)), "{closed:?}");
    let mut tokens: Vec<_> = rest.iter().map(|completion| completion.token.0).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2], "the cancelled ones came first");
    for op in [
        Op::RecvPooled { socket },
        Op::Shutdown { socket },
        Op::CloseSocket { socket },
    ] {
        assert_eq!(completed(ring, op).unwrap_err().kind(), IoErrorKind::Closed);
    }
    loop {
        match client.read() {
            Ok(None) => ring.enter(Wait::Until(TURN), &mut rest),
            Ok(Some(bytes)) if bytes.is_empty() => break,
            Ok(Some(_)) => {}
            Err(error) => break assert_eq!(error.kind(), IoErrorKind::Disconnected),
        }
    }
}

pub fn a_closed_listener_refuses(world: &mut impl World) {
    let (listener, addr) = listen(world);
    let mut rest = Vec::new();
    let ring = world.ring();
    ring.submit(Token(9), Op::CloseSocket { socket: listener });
    assert!(matches!(
        wait_for(ring, Token(9), &mut rest).result,
        Ok(Done::Finished)
    ));
    let accept = rest.pop().expect("the accept's last completion");
    assert!(accept.token == ACCEPT && !accept.more && accept.result.is_err());
    let (again, bound) = ring.listen(addr).expect("the address is free again");
    assert!(bound == addr && again != listener);
}

pub fn slots_are_reused_under_new_ids(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for wave in 0..20u64 {
        let mut pairs: Vec<_> = (0..100).map(|_| pair(world, addr, &mut rest)).collect();
        let ring = world.ring();
        for (index, (_, socket)) in pairs.iter().enumerate() {
            assert!(seen.insert(*socket), "an id names one socket ever");
            assert!(socket.slot() <= 100, "slots are dense");
            ring.submit(Token(index as u64), Op::RecvPooled { socket: *socket });
            ring.submit(Token(1000 + index as u64), Op::CloseSocket { socket: *socket });
        }
        for index in 0..100 {
            assert!(matches!(
                wait_for(ring, Token(1000 + index), &mut rest).result,
                Ok(Done::Finished)
            ));
            assert!(wait_for(ring, Token(index), &mut rest).result.is_err());
        }
        assert!(rest.is_empty(), "wave {wave}: {rest:?}");
        pairs.clear();
    }
}

pub fn a_used_port_is_refused(world: &mut impl World) {
    let (_, addr) = listen(world);
    assert_eq!(
        world.ring().listen(addr).unwrap_err().kind(),
        IoErrorKind::AddressInUse
    );
}

pub fn shutdown_ends_one_direction(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    assert!(matches!(
        completed(world.ring(), Op::Shutdown { socket }),
        Ok(Done::Finished)
    ));
    loop {
        match client.read().unwrap() {
            Some(bytes) if bytes.is_empty() => break,
            Some(bytes) => panic!("{bytes:?}"),
            None => world.ring().enter(Wait::Until(TURN), &mut rest),
        }
    }
    assert_eq!(client.write(b"to you"), 6);
    let done = completed(world.ring(), Op::RecvPooled { socket });
    assert!(matches!(&done, Ok(Done::Received { buf }) if b"to you".starts_with(buf) && !buf.is_empty()));
    let sent = completed(
        world.ring(),
        Op::Send {
            socket,
            slices: vec![Slice::from(vec![1])],
        },
    );
    assert_eq!(sent.unwrap_err().kind(), IoErrorKind::Disconnected);
}

pub fn sockets_move_between_rings(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    let moved = world.ring().detach_socket(socket);
    assert_eq!(
        completed(world.ring(), Op::RecvPooled { socket })
            .unwrap_err()
            .kind(),
        IoErrorKind::Closed
    );
    let socket = world.second().adopt_socket(moved);
    assert_eq!(client.write(b"hello"), 5);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        match run(world.second(), Op::RecvPooled { socket }) {
            Ok(Done::Received { buf }) => heard.extend_from_slice(&buf),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, b"hello");
}

pub fn addresses_are_told(world: &mut impl World) {
    let (listener, addr) = listen(world);
    assert_eq!(world.ring().local_addr(listener).unwrap(), addr);
    let _client = world.connect(addr);
    let mut rest = Vec::new();
    let Ok(Done::Accepted { socket, peer }) = wait_for(world.ring(), ACCEPT, &mut rest).result else {
        panic!()
    };
    assert_eq!(world.ring().local_addr(socket).unwrap(), addr);
    assert!(peer.ip().is_loopback() && peer.port() != 0 && peer != addr);
    run_close(world.ring(), socket);
    assert_eq!(
        world.ring().local_addr(socket).unwrap_err().kind(),
        IoErrorKind::Closed
    );
}

fn run_close(ring: &mut impl Ring, socket: millstream_ring::SocketId) {
    assert!(matches!(
        completed(ring, Op::CloseSocket { socket }),
        Ok(Done::Finished)
    ));
}

/// The completion of one operation beside an armed accept.
fn completed(ring: &mut impl Ring, op: Op) -> Result<Done, millstream_ring::IoError> {
    let mut rest = Vec::new();
    ring.submit(Token(4242), op);
    let completion = wait_for(ring, Token(4242), &mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    completion.result
}

//! The pool of receive buffers: scarce, shared by all connections, given back from any thread.
//! Both worlds give their rings eight buffers.

use millstream_ring::{Completion, Done, Op, ReceiveBuffers, RecvBuf, Ring, SocketId, Token, Wait};

use super::world::{Client, TURN, TURNS, World, listen, pair, wait_for};

pub fn a_starved_receive_waits_for_a_buffer(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let mut pairs: Vec<_> = (0..10).map(|_| pair(world, addr, &mut rest)).collect();
    let mut held = Vec::new();
    for (index, (client, socket)) in pairs.iter_mut().enumerate() {
        assert_eq!(client.write(&[index as u8]), 1);
        world
            .ring()
            .submit(Token(index as u64), Op::RecvPooled { socket: *socket });
    }
    while held.len() < POOL {
        world.ring().enter(Wait::Until(TURN), &mut rest);
        held.extend(rest.drain(..).map(received));
    }
    world.ring().enter(Wait::Until(TURN), &mut rest);
    assert!(rest.is_empty(), "two receives have no buffer: {rest:?}");
    // One of the two is given up; it must not take the buffer with it.
    let starved: Vec<usize> = (0..10)
        .filter(|at| held.iter().all(|(token, _)| token.0 != *at as u64))
        .collect();
    let (client, socket) = &mut pairs[starved[0]];
    assert_eq!(client.write(b"more"), 4);
    world
        .ring()
        .submit(Token(100), Op::CloseSocket { socket: *socket });
    assert!(wait_for(world.ring(), Token(100), &mut rest).result.is_ok());
    assert!(
        wait_for(world.ring(), Token(starved[0] as u64), &mut rest)
            .result
            .is_err()
    );
    held.pop();
    let last = received(wait_for(world.ring(), Token(starved[1] as u64), &mut rest));
    assert_eq!(last.1[..], [starved[1] as u8]);
    for (token, buf) in &held {
        assert_eq!(buf[..], [token.0 as u8], "held buffers were left alone");
    }
}

pub fn buffers_come_back_from_other_threads(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    let (lend, borrowed) = std::sync::mpsc::channel::<RecvBuf>();
    let reader = std::thread::spawn(move || borrowed.into_iter().map(|buf| sum(&buf)).sum::<u64>());
    let (mut wrote, mut read) = (0u64, 0usize);
    const TOTAL: usize = 400_000;
    let chunk: Vec<u8> = (0..TOTAL).map(|at| (at % 251) as u8).collect();
    let mut written = 0;
    world.ring().submit(Token(1), Op::RecvPooled { socket });
    for _ in 0..TURNS {
        written += client.write(&chunk[written..]);
        world.ring().enter(Wait::Until(TURN), &mut rest);
        for completion in rest.drain(..) {
            let (_, buf) = received(completion);
            (wrote, read) = (wrote + sum(&buf), read + buf.len());
            lend.send(buf).unwrap();
            world.ring().submit(Token(1), Op::RecvPooled { socket });
        }
        if read == TOTAL {
            break;
        }
        // A simulated ring's turns take no time, the reader's do.
        std::thread::yield_now();
    }
    drop(lend);
    assert_eq!((read, reader.join().unwrap()), (TOTAL, wrote));
    assert_eq!(wrote, sum(&chunk));
}

pub fn idle_connections_hold_no_buffer(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let mut pairs: Vec<_> = (0..50).map(|_| pair(world, addr, &mut rest)).collect();
    let sockets: Vec<SocketId> = pairs.iter().map(|(_, socket)| *socket).collect();
    for (index, socket) in sockets.iter().enumerate() {
        world
            .ring()
            .submit(Token(index as u64), Op::RecvPooled { socket: *socket });
    }
    world.ring().enter(Wait::Until(TURN), &mut rest);
    for index in (0..50).rev() {
        assert_eq!(pairs[index].0.write(b"ping"), 4);
        let (_, buf) = received(wait_for(world.ring(), Token(index as u64), &mut rest));
        assert!(b"ping".starts_with(&buf[..]) && !buf.is_empty());
    }
}

pub fn memory_given_back_is_never_a_holders(world: &mut impl World) {
    let (_, addr) = listen(world);
    let mut rest = Vec::new();
    let (mut client, socket) = pair(world, addr, &mut rest);
    let mut receive = |ring: &mut _, byte: u8| {
        assert_eq!(client.write(&[byte]), 1);
        Ring::submit(ring, Token(1), Op::RecvPooled { socket });
        received(wait_for(ring, Token(1), &mut rest)).1
    };
    let held: Vec<RecvBuf> = (1..4).map(|byte| receive(world.ring(), byte)).collect();
    assert_eq!(world.ring().receive_buffers().leased, held.len());
    world.ring().give_back_memory();
    for (buf, byte) in held.iter().zip(1..) {
        assert_eq!(buf[..], [byte], "a held buffer was left alone");
    }
    drop(held);
    for round in 0..3 * POOL {
        world.ring().give_back_memory();
        let buf = receive(world.ring(), round as u8);
        assert_eq!(buf[..], [round as u8]);
        assert_eq!(
            world.ring().receive_buffers(),
            ReceiveBuffers {
                leased: 1,
                total: POOL
            },
            "what was given back is the ring's again"
        );
    }
}

fn received(completion: Completion) -> (Token, RecvBuf) {
    match completion.result {
        Ok(Done::Received { buf }) => (completion.token, buf),
        other => panic!("{other:?}"),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

const POOL: usize = 8;

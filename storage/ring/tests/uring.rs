//! What only the real ring has: threads that wake it, parking, early death, full queues, many connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{
    AlignedBuf, BLOCK, Completion, Done, IoErrorKind, Op, OpenOptions, Ring, Slice, SocketId, Token, Wait,
    Waker,
};

#[test]
fn a_thread_ends_a_long_wait() {
    let mut ring = new_ring();
    let waker = ring.waker();
    let mut out = Vec::new();
    for round in 0..50 {
        let waker = waker.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 40));
            waker.wake();
        });
        let begun = Instant::now();
        ring.enter(Wait::Until(LONG), &mut out);
        assert!(begun.elapsed() < LONG / 2, "the wake was lost");
        thread.join().unwrap();
    }
    assert!(out.is_empty());
}

#[test]
fn a_ring_ends_the_wait_of_another() {
    let (tell, told) = channel::<Waker>();
    let (answer, answered) = channel();
    let sleeper = std::thread::spawn(move || {
        let mut ring = new_ring();
        tell.send(ring.waker()).unwrap();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            ring.enter(Wait::Until(LONG), &mut Vec::new());
            assert!(begun.elapsed() < LONG / 2, "the wake was lost");
            answer.send(()).unwrap();
        }
    });
    let mut ring = new_ring();
    let peer = told.recv().unwrap();
    for round in 0..ROUNDS {
        std::thread::sleep(Duration::from_micros(round % 7 * 50));
        ring.wake_peer(&peer);
        ring.enter(Wait::No, &mut Vec::new());
        answered.recv_timeout(LONG).unwrap();
    }
    sleeper.join().unwrap();
    // The message's own completion is ours, not the caller's.
    let mut out = Vec::new();
    ring.enter(Wait::Until(Duration::from_millis(1)), &mut out);
    assert!(out.is_empty() && ring.in_flight() == 0);
}

#[test]
fn parking_ends_by_bytes_and_by_wakes() {
    let mut ring = new_ring();
    let (mut client, socket) = connection(&mut ring);
    let (park, waker) = (ring.park_fd(), ring.waker());
    let mut out = Vec::new();
    for round in 0..40u8 {
        ring.submit(Token(1), Op::RecvPooled { socket });
        assert!(ring.prepare_park(&mut out), "nothing is there: {out:?}");
        assert!(!readable(park, Duration::ZERO), "no stale signal");
        if round % 2 == 0 {
            let waker = waker.clone();
            let thread = std::thread::spawn(move || waker.wake());
            assert!(readable(park, LONG), "a wake ends the park, round {round}");
            consume(park);
            thread.join().unwrap();
            ring.unpark();
            // The wake's own completion is taken by this turn; otherwise it would end the next park.
            ring.enter(Wait::No, &mut out);
            assert!(out.is_empty());
            assert!(ring.prepare_park(&mut out));
        }
        client.write_all(&[round]).unwrap();
        assert!(readable(park, LONG), "bytes end the park");
        consume(park);
        ring.unpark();
        while out.is_empty() {
            ring.enter(Wait::Until(LONG), &mut out);
        }
        let received = out.pop().unwrap().result;
        assert!(
            matches!(&received, Ok(Done::Received { buf }) if buf[..] == [round]),
            "{received:?}"
        );
    }
}

#[test]
fn who_does_not_read_gets_little() {
    let mut ring = new_ring();
    let (_deaf, socket) = connection(&mut ring);
    let piece = Slice::from(vec![7; 64 << 10]);
    let mut out = Vec::new();
    let mut sent = 0;
    loop {
        let slices = vec![piece.clone()];
        ring.submit(Token(1), Op::Send { socket, slices });
        ring.enter(Wait::Until(Duration::from_millis(300)), &mut out);
        let Some(done) = out.pop() else { break };
        assert!(matches!(done.result, Ok(Done::Sent { .. })), "{done:?}");
        sent += piece.len();
        assert!(
            sent <= 1 << 20,
            "the system takes megabytes for somebody who reads nothing"
        );
    }
    assert!(sent >= 2 * piece.len(), "it takes a reply or two");
}

#[test]
fn parking_is_refused_when_something_is_there() {
    let mut ring = new_ring();
    let (mut client, socket) = connection(&mut ring);
    let mut out = Vec::new();
    ring.waker().wake();
    assert!(!ring.prepare_park(&mut out), "a wake came before");
    client.write_all(b"x").unwrap();
    std::thread::sleep(Duration::from_millis(5));
    ring.submit(Token(1), Op::RecvPooled { socket });
    assert!(!ring.prepare_park(&mut out), "a completion is there");
    assert_eq!(out.len(), 1);
}

#[test]
fn dropping_a_busy_ring_settles_everything() {
    for _ in 0..20 {
        let mut ring = new_ring();
        let (mut client, socket) = connection(&mut ring);
        ring.submit(
            Token(1),
            Op::RecvInto {
                socket,
                buf: Vec::with_capacity(1 << 20),
                limit: 1 << 20,
            },
        );
        ring.submit(
            Token(2),
            Op::Send {
                socket,
                slices: vec![Slice::from(vec![7; 32 << 20])],
            },
        );
        let file = create(&mut ring, "busy");
        for at in 0..8 {
            let slices = vec![AlignedBuf::zeroed(64 * BLOCK).freeze()];
            ring.submit(
                Token(3),
                Op::Write {
                    file,
                    at: at * 64 * BLOCK as u64,
                    slices,
                    durable: true,
                },
            );
        }
        ring.submit(Token(4), Op::List { path: dir() });
        ring.enter(Wait::No, &mut Vec::new());
        let begun = Instant::now();
        drop(ring);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the drop cancels instead of waiting"
        );
        client.set_read_timeout(Some(LONG)).unwrap();
        let mut sink = vec![0; 1 << 20];
        while client.read(&mut sink).is_ok_and(|n| n > 0) {}
    }
}

#[test]
fn more_submissions_than_the_queue_holds() {
    let mut ring = UringRing::new(UringOptions {
        submissions: 4,
        completions: 8,
        pool_buffers: 4,
    })
    .unwrap();
    let file = create(&mut ring, "many");
    const MANY: u64 = 2000;
    for at in 0..MANY {
        let mut buf = AlignedBuf::zeroed(BLOCK);
        buf[..8].copy_from_slice(&at.to_le_bytes());
        let slices = vec![buf.freeze()];
        ring.submit(
            Token(at),
            Op::Write {
                file,
                at: at * BLOCK as u64,
                slices,
                durable: false,
            },
        );
    }
    assert_eq!(ring.in_flight(), MANY as usize);
    let mut seen = vec![false; MANY as usize];
    collect(&mut ring, MANY as usize, |completion| {
        assert!(matches!(completion.result, Ok(Done::Written { n: BLOCK, .. })));
        assert!(!std::mem::replace(&mut seen[completion.token.0 as usize], true));
    });
    for at in 0..MANY {
        let buf = AlignedBuf::zeroed(BLOCK);
        ring.submit(
            Token(at),
            Op::Read {
                file,
                at: at * BLOCK as u64,
                buf,
                len: BLOCK,
            },
        );
    }
    collect(&mut ring, MANY as usize, |completion| match completion.result {
        Ok(Done::Read { buf, n: BLOCK }) => assert_eq!(buf[..8], completion.token.0.to_le_bytes()),
        other => panic!("{other:?}"),
    });
}

#[test]
fn thousands_of_connections_share_a_small_pool() {
    const CONNECTIONS: usize = 2000;
    raise_descriptor_limit();
    let mut ring = UringRing::new(UringOptions {
        pool_buffers: 16,
        ..UringOptions::default()
    })
    .unwrap();
    let (listener, addr) = ring.listen(any_port()).unwrap();
    ring.submit(ACCEPT, Op::Accept { listener });
    let dial = move |_| TcpStream::connect(addr).unwrap();
    let dialing = std::thread::spawn(move || (0..CONNECTIONS).map(dial).collect::<Vec<_>>());
    let mut sockets: Vec<SocketId> = Vec::new();
    let mut out = Vec::new();
    while sockets.len() < CONNECTIONS {
        ring.enter(Wait::Until(LONG), &mut out);
        for Completion { result, .. } in out.drain(..) {
            let Ok(Done::Accepted { socket, .. }) = result else {
                panic!("{result:?}")
            };
            ring.submit(Token(sockets.len() as u64), Op::RecvPooled { socket });
            sockets.push(socket);
        }
    }
    let mut clients = dialing.join().unwrap();
    clients
        .iter_mut()
        .for_each(|client| client.write_all(b"hello").unwrap());
    // All are ready at once, sixteen buffers exist: every receive completes all the same.
    collect(&mut ring, CONNECTIONS, |completion| {
        assert!(matches!(&completion.result, Ok(Done::Received { buf }) if buf[..] == *b"hello"));
    });
    for (index, socket) in sockets.iter().enumerate() {
        ring.submit(Token(index as u64), Op::CloseSocket { socket: *socket });
    }
    collect(&mut ring, CONNECTIONS, |completion| {
        assert!(completion.result.is_ok())
    });
    assert_eq!(ring.in_flight(), 1, "the accept");
}

#[test]
fn a_file_system_without_direct_io_is_told() {
    let path = PathBuf::from("/proc/self/status");
    let options = OpenOptions {
        direct: true,
        ..OpenOptions::default()
    };
    let refused = run(&mut new_ring(), Op::OpenFile { path, options });
    assert_eq!(refused.unwrap_err().kind(), IoErrorKind::Unsupported);
}

#[test]
fn descriptors_are_closed_on_exec() {
    let mut ring = new_ring();
    let (_client, _socket) = connection(&mut ring);
    create(&mut ring, "exec");
    let kinds = [
        "socket:",
        "anon_inode:[io_uring]",
        "anon_inode:[eventfd]",
        "ring-uring",
    ];
    let ours = |fd: RawFd| {
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        kinds
            .iter()
            .find(|kind| target.to_string_lossy().contains(**kind))
            .copied()
    };
    let mut seen = std::collections::BTreeSet::new();
    for (fd, kind) in (3..200).filter_map(|fd| Some((fd, ours(fd)?))) {
        // SAFETY: no memory is passed.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert!(flags < 0 || flags & libc::FD_CLOEXEC != 0, "{fd} is a {kind}");
        seen.insert(kind);
    }
    assert_eq!(seen.len(), kinds.len(), "every kind was looked at");
}

fn new_ring() -> UringRing {
    UringRing::new(UringOptions::default()).unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn connection(ring: &mut UringRing) -> (TcpStream, SocketId) {
    let (listener, addr) = ring.listen(any_port()).unwrap();
    ring.submit(ACCEPT, Op::Accept { listener });
    let client = TcpStream::connect(addr).unwrap();
    let mut socket = None;
    collect(ring, 1, |completion| match completion.result {
        Ok(Done::Accepted { socket: accepted, .. }) => socket = Some(accepted),
        other => panic!("{other:?}"),
    });
    (client, socket.unwrap())
}

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A new direct file, unlinked at once.
fn create(ring: &mut UringRing, name: &str) -> millstream_ring::FileId {
    let path = dir().join(format!("ring-uring-{}-{name}", std::process::id()));
    let options = OpenOptions {
        write: true,
        create: true,
        direct: true,
        ..OpenOptions::default()
    };
    let opened = run(
        ring,
        Op::OpenFile {
            path: path.clone(),
            options,
        },
    );
    let Ok(Done::Opened { file, .. }) = opened else {
        panic!("{opened:?}")
    };
    run(ring, Op::Unlink { path }).unwrap();
    file
}

fn run(ring: &mut UringRing, op: Op) -> Result<Done, millstream_ring::IoError> {
    ring.submit(Token(77), op);
    let mut out = Vec::new();
    loop {
        ring.enter(Wait::Until(LONG), &mut out);
        if let Some(at) = out.iter().position(|completion| completion.token == Token(77)) {
            return out.swap_remove(at).result;
        }
    }
}

/// Waits for `count` completions.
fn collect(ring: &mut UringRing, count: usize, mut each: impl FnMut(Completion)) {
    let (mut out, mut seen, begun) = (Vec::new(), 0, Instant::now());
    while seen < count {
        assert!(begun.elapsed() < 6 * LONG, "{seen} of {count}");
        ring.enter(Wait::Until(LONG), &mut out);
        seen += out.len();
        out.drain(..).for_each(&mut each);
    }
    assert_eq!(seen, count);
}

fn readable(fd: RawFd, timeout: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one writable pollfd is passed, and its count.
    unsafe { libc::poll(&mut poll, 1, timeout.as_millis() as libc::c_int) == 1 }
}

fn consume(fd: RawFd) {
    let mut count = [0u8; 8];
    // SAFETY: eight writable bytes are passed.
    assert_eq!(unsafe { libc::read(fd, count.as_mut_ptr().cast(), 8) }, 8);
}

fn raise_descriptor_limit() {
    let limit = libc::rlimit {
        rlim_cur: 10_000,
        rlim_max: 10_000,
    };
    // SAFETY: a readable rlimit is passed. Where it is refused, the limit that is there may do.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}

const ACCEPT: Token = Token(u64::MAX);
const LONG: Duration = Duration::from_secs(10);
const ROUNDS: u64 = 200;

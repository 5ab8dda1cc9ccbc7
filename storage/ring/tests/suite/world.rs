//! What a test needs around a ring: clients of its sockets, a directory for its files, and turns.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use millstream_ring::{Completion, Done, FileId, IoError, Op, OpenOptions, Ring, SocketId, Token, Wait};

pub trait World {
    type Ring: Ring;
    type Client: Client;

    fn ring(&mut self) -> &mut Self::Ring;
    /// Another ring of the same world.
    fn second(&mut self) -> &mut Self::Ring;
    /// An empty directory of this world.
    fn dir(&self) -> PathBuf;
    fn connect(&mut self, addr: SocketAddr) -> Self::Client;
    /// An address to listen on, any port.
    fn any_port(&self) -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }
}

/// The far end of a connection; nothing here waits.
pub trait Client {
    /// Bytes taken; 0 when none can be now.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// None: nothing is there. Empty: the end of the stream.
    fn read(&mut self) -> Result<Option<Vec<u8>>, IoError>;
    fn shutdown_write(&mut self);
    fn reset(self);
}

/// Enters until the operation with this token completes, keeping everything else in `rest`.
pub fn wait_for(ring: &mut impl Ring, token: Token, rest: &mut Vec<Completion>) -> Completion {
    for _ in 0..TURNS {
        if let Some(at) = rest.iter().position(|completion| completion.token == token) {
            return rest.remove(at);
        }
        ring.enter(Wait::Until(TURN), rest);
    }
    panic!("{token:?} did not complete; others: {rest:?}");
}

/// Submits and waits for the one completion.
pub fn run(ring: &mut impl Ring, op: Op) -> Result<Done, IoError> {
    const ONE: Token = Token(1 << 60);
    ring.submit(ONE, op);
    let mut rest = Vec::new();
    let completion = wait_for(ring, ONE, &mut rest);
    assert!(rest.is_empty(), "nothing else was in flight: {rest:?}");
    assert!(!completion.more);
    completion.result
}

pub fn open(ring: &mut impl Ring, path: PathBuf, options: OpenOptions) -> (FileId, u64) {
    match run(ring, Op::OpenFile { path, options }) {
        Ok(Done::Opened { file, size }) => (file, size),
        other => panic!("{other:?}"),
    }
}

/// A direct, new, writable file.
pub fn create(ring: &mut impl Ring, path: PathBuf) -> FileId {
    let options = OpenOptions {
        write: true,
        create_new: true,
        direct: true,
        ..OpenOptions::default()
    };
    let (file, size) = open(ring, path, options);
    assert_eq!(size, 0);
    file
}

/// A listener with its accept armed under `ACCEPT`.
pub fn listen(world: &mut impl World) -> (SocketId, SocketAddr) {
    let addr = world.any_port();
    let (listener, bound) = world.ring().listen(addr).unwrap();
    world.ring().submit(ACCEPT, Op::Accept { listener });
    (listener, bound)
}

/// A client and the socket that the ring accepted for it.
pub fn pair<W: World>(world: &mut W, addr: SocketAddr, rest: &mut Vec<Completion>) -> (W::Client, SocketId) {
    let client = world.connect(addr);
    let completion = wait_for(world.ring(), ACCEPT, rest);
    assert!(completion.more, "the accept stays armed");
    match completion.result {
        Ok(Done::Accepted { socket, .. }) => (client, socket),
        other => panic!("{other:?}"),
    }
}

/// Reads what the client has been sent until `len` bytes are there, turning the ring meanwhile.
pub fn read_exact(
    ring: &mut impl Ring,
    client: &mut impl Client,
    len: usize,
    rest: &mut Vec<Completion>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..TURNS {
        ring.enter(Wait::No, rest);
        match client.read().unwrap() {
            Some(more) if more.is_empty() => panic!("the stream ended after {} bytes", bytes.len()),
            Some(more) => bytes.extend(more),
            None => ring.enter(Wait::Until(Duration::from_micros(200)), rest),
        }
        if bytes.len() >= len {
            assert_eq!(bytes.len(), len);
            return bytes;
        }
    }
    panic!("{} of {len} bytes came", bytes.len());
}

/// Bytes that tell their position.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64)
        .map(|at| ((at + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

pub const ACCEPT: Token = Token(1 << 61);
pub const TURN: Duration = Duration::from_millis(20);
pub const TURNS: usize = 20_000;

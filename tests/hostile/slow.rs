//! Clients that begin a frame and drip, or fall silent: closed at the deadline of frames, with others unharmed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// All slow clients, on a thread of their own.
pub struct SlowClients {
    thread: JoinHandle<Vec<Duration>>,
}

impl SlowClients {
    pub fn start(address: SocketAddr) -> Self {
        let clients: Vec<TcpStream> = (0..CLIENTS)
            .map(|number| {
                let mut stream = TcpStream::connect(address).expect("a connection");
                // Large enough that the frame is not finished by dripping, some of them larger than one receive.
                let length = if number % 2 == 0 { 1_000i32 } else { 2_000_000 };
                stream.write_all(&length.to_be_bytes()).expect("a length");
                stream.write_all(&[0, 18, 0, 0]).expect("a key and a version");
                stream.set_nonblocking(true).expect("a socket");
                stream
            })
            .collect();
        let thread = thread::spawn(move || drip(clients));
        Self { thread }
    }

    pub fn must_all_have_been_closed(self) {
        let closed = self.thread.join().expect("the slow clients end");
        assert_eq!(closed.len(), CLIENTS, "some may drip for ever");
        let first = closed.iter().min().expect("there are some");
        assert!(
            *first >= Duration::from_secs(25),
            "one was closed after {first:?}"
        );
        println!(
            "slow clients were closed after {first:?} to {:?}",
            closed.iter().max()
        );
    }
}

/// When each of them was closed.
fn drip(clients: Vec<TcpStream>) -> Vec<Duration> {
    let started = Instant::now();
    let mut closed = Vec::new();
    let mut open: Vec<(usize, TcpStream)> = clients.into_iter().enumerate().collect();
    while !open.is_empty() && started.elapsed() < GIVE_UP {
        open.retain_mut(|(number, stream)| {
            // Every third has said what it had to say.
            let dripped = if *number % 3 == 0 {
                Ok(0)
            } else {
                stream.write(&[0])
            };
            let gone = dripped.is_err()
                || !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            if gone {
                closed.push(started.elapsed());
            }
            !gone
        });
        thread::sleep(Duration::from_secs(1));
    }
    closed
}

pub const CLIENTS: usize = 200;
const GIVE_UP: Duration = Duration::from_secs(60);

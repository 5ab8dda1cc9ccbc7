//! Raw connections: what they are sent, and how the broker ends them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Whether the broker closes a connection on which only `bytes` came; it must within a moment.
pub fn closed_after(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = open(address);
    if stream.write_all(bytes).is_err() {
        return true;
    }
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Sends `bytes`, then nothing more, and reads until the broker has closed. Panics if it does not.
pub fn end_of(address: SocketAddr, bytes: &[u8]) {
    let mut stream = open(address);
    // The broker may close before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answered = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answered) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "the broker keeps a connection that is over"
        );
    }
}

/// With its length in front.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len()).expect("a frame that fits");
    [&length.to_be_bytes(), body].concat()
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

const PATIENCE: Duration = Duration::from_secs(10);

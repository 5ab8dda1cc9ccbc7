//! A raw loopback send: bytes from memory, no requests, no records.
//! It is the measure of a fetch: the most that two sockets of this machine carry.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::time::Timespec;

/// Bytes handed to the kernel with one call, on both sides.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Send `source` over and over to everyone who connects, a thread for each. Returns only with an error of the
/// listener.
pub fn send_forever(listener: &TcpListener, source: Arc<[u8]>) -> io::Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        let source = source.clone();
        std::thread::Builder::new()
            .name("raw-send".into())
            .spawn(move || {
                // A write fails when the receiver has seen enough.
                while source
                    .chunks(CHUNK_BYTES)
                    .all(|chunk| stream.write_all(chunk).is_ok())
                {}
            })?;
    }
    Ok(())
}

/// Receive and drop what arrives on `connections` sockets with one thread. Returns bytes a second after
/// `warmup`.
pub fn receive(
    address: SocketAddr,
    connections: usize,
    warmup: Duration,
    measure: Duration,
    stop: &AtomicBool,
) -> io::Result<f64> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::with_capacity(connections);
    for index in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &epoll,
            &stream,
            epoll::EventData::new_u64(index as u64),
            epoll::EventFlags::IN,
        )?;
        streams.push(stream);
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut events = Vec::with_capacity(connections);
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    let start = Instant::now() + warmup;
    let mut received = 0;
    while start.elapsed() < measure && !stop.load(Ordering::Relaxed) {
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&patience))?;
        let measuring = Instant::now() >= start;
        for event in events.drain(..) {
            let n = streams[event.data.u64() as usize].read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if measuring {
                received += n;
            }
        }
    }
    Ok(received as f64 / start.elapsed().as_secs_f64().max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_connections_carry_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || send_forever(&listener, vec![7; 3 << 20].into()));
        let (warmup, measure) = (Duration::from_millis(20), Duration::from_millis(100));
        let rate = receive(address, 2, warmup, measure, &AtomicBool::new(false)).unwrap();
        assert!(rate > 1e7, "{rate} bytes a second");
    }
}

//! One client socket: requests go out in order, answers come back in order.
//! Invariants: at most `in_flight` requests wait for an answer; a request's body is shared, never copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::client::frame_buffer::FrameBuffer;
use crate::limits::{CONNECTIONS_PER_ADDRESS, RESPONSE_BYTES_MAX, SEND_REQUESTS_MAX};

/// A prebuilt request: all of it except length, API key, version and correlation id.
#[derive(Clone, Debug)]
pub struct Request {
    pub api_key: i16,
    pub api_version: i16,
    /// Everything after the correlation id: the rest of the header, then the message.
    pub body: Arc<[u8]>,
}

/// A request that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub correlation_id: i32,
    /// When it was due (open loop) or handed over (closed loop).
    pub due: Instant,
}

/// A non-blocking connection with its queue.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    pub received: FrameBuffer,
    unsent: VecDeque<Unsent>,
    waiting: VecDeque<Waiting>,
    next_correlation: i32,
}

impl Connection {
    /// The connection of this number among those of a load. On the loopback thousands come from several addresses, as
    /// a broker may bound those of each, and an address has only so many ports.
    pub fn open(address: SocketAddr, number: usize) -> io::Result<Self> {
        let stream = match source(address, number) {
            None => TcpStream::connect(address)?,
            Some(source) => {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                socket.bind(&SocketAddr::from((source, 0)).into())?;
                socket.connect(&address.into())?;
                socket.into()
            }
        };
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            received: FrameBuffer::new(RESPONSE_BYTES_MAX),
            unsent: VecDeque::new(),
            waiting: VecDeque::new(),
            next_correlation: 0,
        })
    }

    /// Queue a request; [`Self::flush`] sends it.
    pub fn push(&mut self, request: Request, due: Instant) {
        let correlation_id = self.next_correlation;
        self.next_correlation = correlation_id.wrapping_add(1);
        self.unsent.push_back(Unsent {
            head: head(&request, correlation_id),
            body: request.body,
            sent: 0,
        });
        self.waiting.push_back(Waiting { correlation_id, due });
    }

    /// Hand to the kernel what it takes. Returns whether everything went.
    pub fn flush(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            let mut pieces = [IoSlice::new(&[]); 2 * SEND_REQUESTS_MAX];
            let mut count = 0;
            for unsent in self.unsent.iter().take(SEND_REQUESTS_MAX) {
                for piece in unsent.rest() {
                    pieces[count] = IoSlice::new(piece);
                    count += 1;
                }
            }
            match self.stream.write_vectored(&pieces[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The request that the next answer belongs to.
    pub fn answered(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Requests without an answer, oldest first.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Waiting> {
        self.waiting.iter()
    }

    fn advance(&mut self, mut sent: usize) {
        while let Some(first) = self.unsent.front_mut() {
            let left = first.len() - first.sent;
            if sent < left {
                first.sent += sent;
                return;
            }
            sent -= left;
            self.unsent.pop_front();
        }
        assert_eq!(sent, 0, "the kernel took more than it was given");
    }
}

/// The address to connect from; `None` leaves it to the kernel.
fn source(to: SocketAddr, number: usize) -> Option<Ipv4Addr> {
    let nth = u32::try_from(number / CONNECTIONS_PER_ADDRESS).ok()?;
    let loopback = to.is_ipv4() && to.ip().is_loopback() && nth > 0;
    loopback.then(|| Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + nth))
}

/// Length prefix, api key, api version, correlation id.
type Head = [u8; HEAD_BYTES];

const HEAD_BYTES: usize = 12;

#[derive(Debug)]
struct Unsent {
    head: Head,
    body: Arc<[u8]>,
    sent: usize,
}

impl Unsent {
    fn len(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }

    fn rest(&self) -> [&[u8]; 2] {
        match self.sent.checked_sub(HEAD_BYTES) {
            None => [&self.head[self.sent..], &self.body],
            Some(sent) => [&[], &self.body[sent..]],
        }
    }
}

fn head(request: &Request, correlation_id: i32) -> Head {
    let length = i32::try_from(HEAD_BYTES - 4 + request.body.len()).expect("a request is far below 2 GiB");
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[4..6].copy_from_slice(&request.api_key.to_be_bytes());
    head[6..8].copy_from_slice(&request.api_version.to_be_bytes());
    head[8..].copy_from_slice(&correlation_id.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn thousands_on_the_loopback_come_from_several_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for (number, from) in [(0, "127.0.0.1"), (CONNECTIONS_PER_ADDRESS, "127.0.0.2")] {
            let _connection = Connection::open(address, number).unwrap();
            assert_eq!(listener.accept().unwrap().1.ip().to_string(), from);
        }
        let elsewhere = "10.0.0.1:9092".parse().unwrap();
        assert_eq!(source(elsewhere, 10 * CONNECTIONS_PER_ADDRESS), None);
    }

    #[test]
    fn requests_arrive_whole_and_in_order_through_a_narrow_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::open(listener.local_addr().unwrap(), 0).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let bodies: Vec<Arc<[u8]>> = (0..40u8)
            .map(|i| vec![i; usize::from(i) * 40_000].into())
            .collect();
        for body in &bodies {
            let request = Request {
                api_key: 7,
                api_version: 3,
                body: body.clone(),
            };
            connection.push(request, Instant::now());
        }
        let reader = std::thread::spawn(move || {
            let mut frames = FrameBuffer::new(4 << 20);
            let mut seen = Vec::new();
            while seen.len() < 40 {
                assert!(frames.fill(&mut (&peer).take(50_000)).unwrap() > 0);
                while let Some(frame) = frames.next_frame().unwrap() {
                    seen.push(frames.bytes(frame).to_vec());
                }
            }
            seen
        });
        while !connection.flush().unwrap() {
            std::thread::yield_now();
        }
        for (i, frame) in reader.join().unwrap().iter().enumerate() {
            assert_eq!(frame[..4], [0, 7, 0, 3]);
            assert_eq!(frame[4..8], (i as i32).to_be_bytes());
            assert_eq!(frame[8..], bodies[i][..]);
        }
        assert_eq!(connection.waiting().len(), 40);
    }
}

//! Many connections, and those that send too much or too little.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use millstream_tests::wire::{Connection, PRODUCE, produce};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use socket2::{Domain, Socket, Type};

use super::bystander::batch;

/// Two thousand that begin a frame and drip, or say nothing more.
pub fn half_open(address: SocketAddr, stop: &AtomicBool) {
    give_way();
    let mut slow: Vec<TcpStream> = (0..HALF_OPEN)
        .filter_map(|number| {
            let mut stream = connect(address, number)?;
            let length = if number % 2 == 0 { 1_000i32 } else { 20 << 20 };
            let begin = [&length.to_be_bytes()[..], &[0, 18, 0, 0]].concat();
            stream.write_all(&begin[..2 + number % 6]).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        })
        .collect();
    while !stop.load(Ordering::Relaxed) {
        for stream in slow.iter_mut().step_by(2) {
            let _ = stream.write(&[0]);
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// Frames of the largest size, of which all but the end is sent as fast as it is taken.
pub fn half_sent(address: SocketAddr, stop: &AtomicBool) {
    give_way();
    let bytes = vec![0; 1 << 20];
    let mut slow: Vec<TcpStream> = (0..HALF_SENT)
        .filter_map(|number| {
            let mut stream = connect(address, number)?;
            stream.write_all(&(20i32 << 20).to_be_bytes()).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        })
        .collect();
    let mut left = vec![(20 << 20) - 1; slow.len()];
    while !stop.load(Ordering::Relaxed) {
        for (stream, left) in slow.iter_mut().zip(&mut left) {
            *left -= stream.write(&bytes[..bytes.len().min(*left)]).unwrap_or(0);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Connections from three addresses that ask for something, and stay.
pub struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// So many, or fewer where descriptors do not suffice. Panics where one of them is refused.
    pub fn gather(address: SocketAddr, count: usize) -> Self {
        let streams = (0..count.min(most_connections())).map(|number| {
            connect(address, number).unwrap_or_else(|| panic!("connection {number} is refused"))
        });
        let crowd = Self(streams.collect());
        if count > 0 {
            println!("{} connections", crowd.0.len());
        }
        crowd.must_be_answered();
        crowd
    }

    /// Every one of them asks once more.
    pub fn must_be_answered(&self) {
        // ApiVersions 0.
        let hello = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
        let asked = self.0.iter().filter(|stream| {
            let mut stream: &TcpStream = stream;
            stream.write_all(&hello).is_ok()
        });
        assert_eq!(asked.count(), self.0.len(), "connections that can be asked on");
        let answered = self.0.iter().filter(|stream| is_answered(stream));
        assert_eq!(answered.count(), self.0.len(), "connections that are answered");
    }
}

/// Whether a whole frame comes.
fn is_answered(mut stream: &TcpStream) -> bool {
    let mut length = [0; 4];
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a socket");
    if stream.read_exact(&mut length).is_err() {
        return false;
    }
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).is_ok()
}

/// A crowd does nothing more.
pub fn stay(_: SocketAddr, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Each writes batches of a megabyte without ever waiting for an answer.
pub fn producers(address: SocketAddr, stop: &AtomicBool) {
    let mut maker = Connection::open(address).expect("a connection");
    // Another attack of this kind may have made it.
    let topic = "flood";
    maker.create_topic(
        topic,
        8,
        &[("retention.bytes", "67108864"), ("segment.bytes", "33554432")],
    );
    let bytes = batch(&vec![7; 1_000_000]);
    in_parallel(PRODUCERS, |number| {
        let frame = super::frames::request(&produce(topic, (number % 8) as i32, &bytes, 1), PRODUCE);
        let mut stream = connect(address, number).expect("a connection");
        stream.set_nonblocking(true).expect("a socket");
        let mut answers = vec![0; 64 << 10];
        let mut at = 0;
        while !stop.load(Ordering::Relaxed) {
            match stream.write(&frame[at..]) {
                Ok(n) => at = (at + n) % frame.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("the broker ended a good connection: {error}"),
            }
            let _ = stream.read(&mut answers);
        }
    });
}

/// A socket of the attacker's; its address depends on the number, for one address may not have all connections.
pub fn connect(to: SocketAddr, number: usize) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = Ipv4Addr::new(127, 0, 1, 1 + (number % 3) as u8);
    socket
        .bind(&SocketAddr::new(IpAddr::V4(from), 0).into())
        .expect("a local address");
    socket.connect(&to.into()).ok()?;
    let stream = TcpStream::from(socket);
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    Some(stream)
}

/// Runs it on so many threads, which give way to the broker and to the client that behaves.
pub fn in_parallel(threads: usize, run: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for number in 0..threads {
            let run = &run;
            scope.spawn(move || {
                give_way();
                run(number);
            });
        }
    });
}

/// Attackers have machines of their own: here they take what time is left of this one.
pub fn give_way() {
    setpriority_process(None, 19).expect("less is always allowed");
}

/// As many as ten thousand connections take.
pub fn raise_own_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .expect("the soft limit can be raised");
}

/// As many connections as the broker takes with the descriptors that are granted, without those of others.
fn most_connections() -> usize {
    let granted = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    // It gives half of them to connections, and keeps some free.
    usize::try_from(granted / 2).expect("a count") - OTHERS
}

const HALF_OPEN: usize = 2_000;
const HALF_SENT: usize = 100;
pub const TEN_THOUSAND: usize = 10_000;
const OTHERS: usize = 100;
pub const PRODUCERS: usize = 16;

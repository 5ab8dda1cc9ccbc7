//! Too much of what is allowed.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use millstream_tests::wire::Connection;

use super::Scene;
use super::bystander::send_batch;
use super::connections::framed;

/// Twenty thousand requests, none of whose replies is read before all are written; others are served meanwhile, and
/// every one is answered, in order.
pub fn pipelined_requests(scene: &mut Scene) {
    let mut stream = TcpStream::connect(scene.broker.address()).expect("a connection");
    let mut writer = stream.try_clone().expect("a second handle");
    let flood = thread::spawn(move || {
        for number in 0..REQUESTS {
            // ApiVersions 0.
            let mut body = vec![0, 18, 0, 0];
            body.extend(number.to_be_bytes());
            body.extend((-1i16).to_be_bytes());
            writer.write_all(&framed(&body)).expect("the broker reads");
        }
    });
    scene.bystander.must_be_served("a flood that goes on");
    for number in 0..REQUESTS {
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("a reply");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).expect("a reply");
        assert_eq!(frame[..4], number.to_be_bytes(), "replies in request order");
    }
    flood.join().expect("all were written");
}

/// They ask for megabytes until nothing more can be written and read none of it.
pub fn never_reading(scene: &mut Scene) {
    let mut good = Connection::open(scene.broker.address()).expect("a connection");
    good.create_topic("unread", 1, &[]);
    let value = "x".repeat(900_000);
    for _ in 0..8 {
        assert_eq!(
            send_batch(&mut good, "unread", 0, &super::bystander::batch(&value)).0,
            0
        );
    }
    let frame = fetch_frame();
    let mut deaf: Vec<TcpStream> = (0..DEAF)
        .map(|_| {
            let stream = TcpStream::connect(scene.broker.address()).expect("a connection");
            stream.set_nonblocking(true).expect("a socket");
            stream
        })
        .collect();
    for _ in 0..20 {
        // Those that hold memory while others want some are closed.
        deaf.retain_mut(|stream| {
            let full = (0..50).find_map(|_| match stream.write(&frame) {
                Ok(n) if n == frame.len() => None,
                Err(error) => Some(error.kind()),
                other => panic!("{other:?} of {} bytes", frame.len()),
            });
            full.is_none_or(|kind| kind == ErrorKind::WouldBlock)
        });
        scene.bystander.must_be_served("clients that do not read");
        let resident = scene.broker.resident_bytes();
        assert!(
            resident < super::MEMORY + super::SLACK,
            "{} MiB are resident",
            resident >> 20
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// Five thousand connections that come and go, some with half a request.
pub fn connects(scene: &mut Scene) {
    let address = scene.broker.address();
    let threads: Vec<_> = (0..CONNECTING_THREADS)
        .map(|_| {
            thread::spawn(move || {
                for number in 0..CONNECTS / CONNECTING_THREADS {
                    let mut stream = TcpStream::connect(address).expect("a connection");
                    if number % 3 == 0 {
                        // It may have been closed for its neighbours' number.
                        let _ = stream.write_all(&[0, 0, 1, 0, 0, 18]);
                    }
                }
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        scene
            .bystander
            .must_be_served("a flood of connections that goes on");
    }
    for thread in threads {
        thread.join().expect("all could connect");
    }
}

/// A fetch of a megabyte from the start of the topic.
fn fetch_frame() -> Vec<u8> {
    let mut body: Vec<u8> = Vec::new();
    // Fetch 4, no client id, replica -1, wait 0, at least 1 and at most 2^20 bytes, uncommitted.
    body.extend(1i16.to_be_bytes());
    body.extend(4i16.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    body.extend((-1i16).to_be_bytes());
    body.extend((-1i32).to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    body.extend((1i32 << 20).to_be_bytes());
    body.push(0);
    // One topic, one partition: 0, from offset 0, at most 2^20 bytes.
    body.extend(1i32.to_be_bytes());
    body.extend(6i16.to_be_bytes());
    body.extend(b"unread");
    body.extend(1i32.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(0i64.to_be_bytes());
    body.extend((1i32 << 20).to_be_bytes());
    framed(&body)
}

const REQUESTS: i32 = 20_000;
const DEAF: usize = 100;
const CONNECTS: usize = 5_000;
const CONNECTING_THREADS: usize = 4;

//! Readers that ask for more than there is room for, and those that do not read what they asked for.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use millstream_fuzz::random::Random;
use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream_protocol::message::produce::ProduceRequest;
use millstream_tests::wire::{Connection, FETCH, PRODUCE, produce};

use super::bystander::batch;
use super::crowd;
use super::frames::request;

/// Bytes in the topic, several times what the broker keeps of it in memory.
pub const FILLED: usize = PARTITIONS / 2 * (LARGE * LARGE_COUNT + SMALL * SMALL_COUNT);

/// Every other partition with batches of a megabyte, the others with small ones.
pub fn fill(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("a connection");
    connection.create_topic(TOPIC, PARTITIONS as i32, &[("segment.bytes", "67108864")]);
    let large = batch(&vec![1; LARGE]);
    let small = batch(&vec![2; SMALL]);
    for partition in 0..PARTITIONS {
        let (bytes, count, in_flight) = match partition % 2 {
            0 => (&large, LARGE_COUNT, 8),
            _ => (&small, SMALL_COUNT, 60),
        };
        let mut waiting = 0;
        for _ in 0..count {
            let sent = connection.send(&produce(TOPIC, partition as i32, bytes, 1), PRODUCE);
            sent.expect("the broker reads");
            waiting += 1;
            if waiting == in_flight {
                take(&mut connection);
                waiting -= 1;
            }
        }
        (0..waiting).for_each(|_| take(&mut connection));
    }
}

fn take(connection: &mut Connection) {
    let reply = connection
        .receive::<ProduceRequest<'_>>(PRODUCE)
        .expect("an answer");
    let response = reply.read::<ProduceRequest<'_>>();
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

/// They ask for all, again and again, and read nothing.
pub fn never_reading(address: SocketAddr, stop: &AtomicBool) {
    crowd::give_way();
    let frames: Vec<Vec<u8>> = (0..64).map(|at| everything_from(at * 3)).collect();
    ask_without_reading(address, stop, |number, round| {
        frames[(number + round) % frames.len()].clone()
    });
}

/// They ask for one small batch of another place each time, each of which keeps a large piece of memory.
pub fn pinning(address: SocketAddr, stop: &AtomicBool) {
    crowd::give_way();
    let mut random = Random::new(7);
    ask_without_reading(address, stop, |_, _| {
        let partition = 1 + 2 * random.below(PARTITIONS / 2);
        let offset = random.below(SMALL_COUNT * 9 / 10);
        request(&ask(vec![one(partition, offset as i64, 1)], 1), FETCH)
    });
}

fn ask_without_reading(
    address: SocketAddr,
    stop: &AtomicBool,
    mut frame: impl FnMut(usize, usize) -> Vec<u8>,
) {
    let mut deaf: Vec<Option<TcpStream>> = (0..DEAF).map(|_| None).collect();
    for round in 0.. {
        for (number, slot) in deaf.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if slot.is_none() {
                *slot = crowd::connect(address, number);
                if let Some(stream) = slot {
                    stream.set_nonblocking(true).expect("a socket");
                }
            }
            let Some(stream) = slot else { continue };
            for _ in 0..4 {
                let frame = frame(number, round);
                match stream.write(&frame) {
                    Ok(n) if n == frame.len() => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Closed, or too full for a whole frame.
                    _ => {
                        *slot = None;
                        break;
                    }
                }
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// They read as fast as they can, each from another place, and begin again where they come to the end.
pub fn everything(address: SocketAddr, stop: &AtomicBool) {
    crowd::in_parallel(READERS, |number| {
        let mut stream = crowd::connect(address, number).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        let mut sink = vec![0; 1 << 20];
        let mut at = number as i64 * 5;
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&everything_from(at)).expect("the broker reads");
            let mut length = [0; 4];
            stream.read_exact(&mut length).expect("an answer");
            let mut left = u32::from_be_bytes(length) as usize;
            while left > 0 {
                let end = left.min(sink.len());
                left -= stream.read(&mut sink[..end]).expect("an answer");
            }
            at = (at + 7) % 60;
        }
    });
}

/// All partitions, as much as there is.
fn everything_from(offset: i64) -> Vec<u8> {
    let all = (0..PARTITIONS).map(|partition| one(partition, offset, i32::MAX));
    request(&ask(all.collect(), i32::MAX), FETCH)
}

fn one(partition: usize, offset: i64, partition_max_bytes: i32) -> FetchPartition {
    FetchPartition {
        partition: partition as i32,
        fetch_offset: offset,
        partition_max_bytes,
        ..FetchPartition::default()
    }
}

fn ask(partitions: Vec<FetchPartition>, max_bytes: i32) -> FetchRequest<'static> {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes,
        topics: vec![FetchTopic {
            topic: TOPIC,
            partitions,
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

const TOPIC: &str = "filled";
const PARTITIONS: usize = 4;
const LARGE: usize = 1_000_000;
const LARGE_COUNT: usize = 150;
/// More than what is copied into an answer.
const SMALL: usize = 6_000;
const SMALL_COUNT: usize = 6_000;
const DEAF: usize = 600;
pub const READERS: usize = 32;

//! The loop against small servers of one thread a connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;

use super::*;

/// Sends ten bytes a request and counts one record an answer.
struct Ping;

impl Workload for Ping {
    fn next(&mut self, _: usize, _: Instant) -> Option<Request> {
        Some(Request {
            api_key: 0,
            api_version: 0,
            body: vec![0; 10].into(),
        })
    }

    fn answer(&mut self, _: usize, payload: &[u8]) -> Result<Work, String> {
        if payload.is_empty() {
            Ok(Work {
                records: 1,
                bytes: 100,
            })
        } else {
            Err("not empty".into())
        }
    }
}

/// Answers each request after `delay(when it arrived, since the first)`, in order.
fn server(delay: impl Fn(Duration) -> Duration + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || echo(stream, delay));
        }
    });
    address
}

fn echo(mut stream: TcpStream, delay: impl Fn(Duration) -> Duration) {
    let start = Instant::now();
    let mut request = [0; 22];
    while stream.read_exact(&mut request).is_ok() {
        std::thread::sleep(delay(start.elapsed()));
        let mut answer = [0; 8];
        answer[3] = 4;
        answer[4..].copy_from_slice(&request[8..12]);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn load(address: SocketAddr) -> Load {
    Load {
        address,
        connections: 2,
        in_flight: 1,
        rate: None,
        warmup: Duration::from_millis(50),
        measure: Duration::from_millis(500),
        server_pid: None,
    }
}

#[test]
fn a_closed_loop_measures_the_delay_of_the_server() {
    let address = server(|_| Duration::from_millis(10));
    let outcome = drive(&load(address), &mut Ping, &AtomicBool::new(false)).unwrap();
    assert!(
        (10_000.0..40_000.0).contains(&outcome.latency.p50_us),
        "{:?}",
        outcome.latency
    );
    assert!(
        (25..=100).contains(&outcome.requests),
        "two connections, 10 ms each: {}",
        outcome.requests
    );
    assert_eq!(outcome.records, outcome.requests);
    assert_eq!(outcome.unanswered, 0);
}

#[test]
fn an_open_loop_keeps_its_rate_and_adds_nothing_to_the_latency() {
    let address = server(|_| Duration::from_millis(2));
    let load = Load {
        rate: Some(200.0),
        in_flight: 4,
        ..load(address)
    };
    let outcome = drive(&load, &mut Ping, &AtomicBool::new(false)).unwrap();
    assert!((95..=105).contains(&outcome.requests), "{}", outcome.requests);
    assert!(
        (2_000.0..15_000.0).contains(&outcome.latency.p50_us),
        "{:?}",
        outcome.latency
    );
}

#[test]
fn a_stall_is_charged_to_every_request_that_it_delayed() {
    // One stall of 200 ms: a closed loop would hide it in one request, the open loop owes 200 ms x 500/s
    // of them.
    let stall = |at: Duration| {
        let stalled = at.as_millis().abs_diff(250) < 5;
        Duration::from_millis(if stalled { 200 } else { 0 })
    };
    let load = Load {
        rate: Some(500.0),
        in_flight: 1,
        ..load(server(stall))
    };
    let outcome = drive(&load, &mut Ping, &AtomicBool::new(false)).unwrap();
    assert!(outcome.latency.p99_us > 150_000.0, "{:?}", outcome.latency);
    assert!(outcome.latency.p50_us < 100_000.0, "{:?}", outcome.latency);
    assert!(
        (240..=260).contains(&outcome.requests),
        "it catches up: {}",
        outcome.requests
    );
}

#[test]
fn a_stall_at_the_end_hides_nothing_that_was_due() {
    let stall = |at: Duration| Duration::from_millis(if at.as_millis() > 200 { 1_000 } else { 0 });
    let load = Load {
        rate: Some(500.0),
        in_flight: 1,
        warmup: Duration::ZERO,
        connections: 1,
        ..load(server(stall))
    };
    let outcome = drive(&load, &mut Ping, &AtomicBool::new(false)).unwrap();
    assert_eq!(outcome.latency.samples, 250, "{outcome:?}");
    assert!(outcome.latency.p50_us > 1_000_000.0, "{:?}", outcome.latency);
}

#[test]
fn an_interrupt_reports_what_was_seen() {
    let address = server(|_| Duration::from_millis(1));
    let load = Load {
        measure: Duration::from_secs(3600),
        ..load(address)
    };
    let stop = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let run = scope.spawn(|| drive(&load, &mut Ping, &stop));
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        run.join().unwrap().unwrap()
    });
    assert!(outcome.requests > 10 && outcome.seconds < 5.0, "{outcome:?}");
    assert!(outcome.requests_per_second > 100.0, "{outcome:?}");
}

#[test]
fn a_server_that_closes_ends_the_run_with_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || drop((listener.accept(), listener.accept())));
    let result = drive(&load(address), &mut Ping, &AtomicBool::new(false));
    assert!(matches!(result, Err(DriveError::Socket { .. })), "{result:?}");
}

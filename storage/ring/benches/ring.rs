//! What the ring costs beside a bare io_uring loop: 64-byte echoes over 16 connections, and durable 4 KiB writes.
//!
//! `cargo bench -p millstream-ring` prints both, alternating, several rounds each. The client is a bare loop on a
//! thread of its own. `MILLSTREAM_BENCH_DIR` names the directory of the written file.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, squeue, types};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{
    AlignedBuf, AllocateMode, BLOCK, Completion, Done, FileId, Op, OpenOptions, Ring, Slice, SocketId, Token,
    Wait,
};

fn main() {
    for _ in 0..ROUNDS {
        report("bare", echo(bare_echo));
        report("ring", echo(ring_echo));
    }
    let dir = std::env::var_os("MILLSTREAM_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = dir.join(format!("ring-bench-{}", std::process::id()));
    for _ in 0..ROUNDS {
        println!("4 KiB durable: bare {:?}", bare_writes(&path));
        println!("4 KiB durable: ring {:?}", ring_writes(&path));
    }
    std::fs::remove_file(&path).expect("the file of the writes");
}

fn report(server: &str, (rate, cpu): (f64, f64)) {
    println!("echo 64 B × {CONNECTIONS}: {server} {rate:8.0}/s, {cpu:5.0} ns of the server's CPU each");
}

/// Echoes a second that the server reaches, and its CPU time for each.
fn echo(server: fn(Sender<SocketAddr>, &AtomicBool)) -> (f64, f64) {
    let (bound, addr) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let server = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            server(bound, &stop);
            thread_cpu()
        }
    });
    let (rate, echoes) = client(addr.recv().expect("the server listens"));
    stop.store(true, Ordering::Relaxed);
    let cpu = server.join().expect("the server ends");
    (rate, cpu.as_nanos() as f64 / echoes as f64)
}

/// One message in flight on each connection.
fn client(addr: SocketAddr) -> (f64, u64) {
    let mut ring = bare_ring();
    let fds: Vec<RawFd> = (0..CONNECTIONS).map(|_| connect(addr)).collect();
    let mut buffers = vec![[0u8; 64]; CONNECTIONS];
    let (mut count, mut total, mut begun) = (0u64, 0u64, Instant::now());
    for (index, fd) in fds.iter().enumerate() {
        push(&mut ring, send(*fd, buffers[index].as_ptr(), index));
    }
    let mut warm = false;
    loop {
        ring.submit_and_wait(1).expect("an enter");
        let done: Vec<(u64, i32)> = ring
            .completion()
            .map(|entry| (entry.user_data(), entry.result()))
            .collect();
        for (key, result) in done {
            assert_eq!(result, 64);
            let index = (key >> 1) as usize;
            if key & 1 == 1 {
                count += 1;
                push(&mut ring, send(fds[index], buffers[index].as_ptr(), index));
            } else {
                push(&mut ring, receive(fds[index], buffers[index].as_mut_ptr(), index));
            }
        }
        if !warm && begun.elapsed() > WARM {
            (warm, total, count, begun) = (true, count, 0, Instant::now());
        }
        if warm && begun.elapsed() > MEASURED {
            let rate = count as f64 / begun.elapsed().as_secs_f64();
            // SAFETY: the descriptors are ours and used no more.
            fds.iter()
                .for_each(|fd| assert_eq!(unsafe { libc::close(*fd) }, 0));
            return (rate, total + count);
        }
    }
}

fn bare_echo(bound: Sender<SocketAddr>, stop: &AtomicBool) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    bound
        .send(listener.local_addr().expect("bound"))
        .expect("the client waits");
    let mut ring = bare_ring();
    let fds: Vec<RawFd> = (0..CONNECTIONS).map(|_| accept(&listener)).collect();
    let mut buffers = vec![[0u8; 64]; CONNECTIONS];
    for (index, fd) in fds.iter().enumerate() {
        push(&mut ring, receive(*fd, buffers[index].as_mut_ptr(), index));
    }
    while !stop.load(Ordering::Relaxed) {
        ring.submit_and_wait(1).expect("an enter");
        let done: Vec<(u64, i32)> = ring
            .completion()
            .map(|entry| (entry.user_data(), entry.result()))
            .collect();
        for (key, result) in done {
            let index = (key >> 1) as usize;
            match (key & 1 == 1, result) {
                (_, ..=0) => return,
                (true, _) => push(&mut ring, send(fds[index], buffers[index].as_ptr(), index)),
                (false, _) => push(&mut ring, receive(fds[index], buffers[index].as_mut_ptr(), index)),
            }
        }
    }
}

fn ring_echo(bound: Sender<SocketAddr>, stop: &AtomicBool) {
    let mut ring = UringRing::new(UringOptions::default()).expect("a ring");
    let (listener, addr) = ring
        .listen("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    bound.send(addr).expect("the client waits");
    ring.submit(Token(u64::MAX), Op::Accept { listener });
    let mut sockets: Vec<SocketId> = Vec::new();
    let mut spare: Vec<Vec<Slice>> = Vec::new();
    let mut out: Vec<Completion> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        ring.enter(Wait::Until(Duration::from_millis(10)), &mut out);
        for Completion { token, result, .. } in out.drain(..) {
            match result {
                Ok(Done::Accepted { socket, .. }) => {
                    ring.submit(Token(sockets.len() as u64), Op::RecvPooled { socket });
                    sockets.push(socket);
                }
                Ok(Done::Received { buf }) if !buf.is_empty() => {
                    let mut slices = spare.pop().unwrap_or_default();
                    slices.push(Slice::from(buf));
                    ring.submit(
                        token,
                        Op::Send {
                            socket: sockets[token.0 as usize],
                            slices,
                        },
                    );
                }
                Ok(Done::Sent { mut slices, .. }) => {
                    slices.clear();
                    spare.push(slices);
                    ring.submit(
                        token,
                        Op::RecvPooled {
                            socket: sockets[token.0 as usize],
                        },
                    );
                }
                _ => return,
            }
        }
    }
}

/// Median and 99th percentile of one write.
fn bare_writes(path: &Path) -> (Duration, Duration) {
    drop(file_ring(path));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path);
    let file = file.expect("the file of the writes");
    let mut ring = bare_ring();
    let buf = AlignedBuf::zeroed(BLOCK);
    let times = (0..WRITES).map(|at| {
        let begun = Instant::now();
        let write = opcode::Write::new(types::Fd(file.as_raw_fd()), buf.as_ptr(), BLOCK as u32);
        push(
            &mut ring,
            write.offset(position(at)).rw_flags(libc::RWF_DSYNC).build(),
        );
        ring.submit_and_wait(1).expect("an enter");
        let result = ring.completion().next().expect("a completion").result();
        assert_eq!(result, BLOCK as i32);
        begun.elapsed()
    });
    percentiles(times.collect())
}

fn ring_writes(path: &Path) -> (Duration, Duration) {
    let (mut ring, file) = file_ring(path);
    let mut slices = vec![AlignedBuf::zeroed(BLOCK).freeze()];
    let mut out = Vec::new();
    let times = (0..WRITES).map(|at| {
        let begun = Instant::now();
        let slices_now = std::mem::take(&mut slices);
        ring.submit(
            Token(1),
            Op::Write {
                file,
                at: position(at),
                slices: slices_now,
                durable: true,
            },
        );
        ring.enter(Wait::Until(Duration::from_secs(1)), &mut out);
        match out.pop().expect("a completion").result {
            Ok(Done::Written {
                n: BLOCK,
                slices: back,
            }) => slices = back,
            other => panic!("{other:?}"),
        }
        begun.elapsed()
    });
    percentiles(times.collect())
}

fn thread_cpu() -> Duration {
    // SAFETY: all zeroes is a valid `timespec`, and the call fills it.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time), 0);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A ring with the file open: 16 MiB of written space.
fn file_ring(path: &Path) -> (UringRing, FileId) {
    let mut ring = UringRing::new(UringOptions::default()).expect("a ring");
    let options = OpenOptions {
        write: true,
        create: true,
        direct: true,
        ..OpenOptions::default()
    };
    let file = match run(
        &mut ring,
        Op::OpenFile {
            path: path.to_owned(),
            options,
        },
    ) {
        Done::Opened { file, .. } => file,
        other => panic!("{other:?}"),
    };
    run(
        &mut ring,
        Op::Allocate {
            file,
            at: 0,
            len: FILE,
            mode: AllocateMode::Zeroed,
        },
    );
    run(&mut ring, Op::Datasync { file });
    (ring, file)
}

fn run(ring: &mut UringRing, op: Op) -> Done {
    ring.submit(Token(0), op);
    let mut out = Vec::new();
    while out.is_empty() {
        ring.enter(Wait::Until(Duration::from_secs(1)), &mut out);
    }
    out.pop().expect("one completion").result.expect("a working disk")
}

fn position(write: u64) -> u64 {
    write * BLOCK as u64 % FILE
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn bare_ring() -> IoUring {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(256)
        .expect("a ring")
}

fn push(ring: &mut IoUring, entry: squeue::Entry) {
    // SAFETY: every buffer of this bench outlives its ring's last completion.
    unsafe { ring.submission().push(&entry).expect("room in the queue") };
}

fn send(fd: RawFd, buf: *const u8, index: usize) -> squeue::Entry {
    opcode::Send::new(types::Fd(fd), buf, 64)
        .build()
        .user_data((index as u64) << 1)
}

fn receive(fd: RawFd, buf: *mut u8, index: usize) -> squeue::Entry {
    opcode::Recv::new(types::Fd(fd), buf, 64)
        .build()
        .user_data((index as u64) << 1 | 1)
}

fn connect(addr: SocketAddr) -> RawFd {
    let stream = TcpStream::connect(addr).expect("a server");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.into_raw_fd()
}

fn accept(listener: &TcpListener) -> RawFd {
    let (stream, _) = listener.accept().expect("a client");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.into_raw_fd()
}

const ROUNDS: usize = 4;
const CONNECTIONS: usize = 16;
const WARM: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_millis(1000);
const WRITES: u64 = 2000;
const FILE: u64 = 16 << 20;

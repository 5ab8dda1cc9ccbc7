//! What only the simulated ring has: seeds, faults, power cuts.
#![cfg(feature = "sim")]

mod calls;
mod kept;
mod meddling;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_ring::simulated::{DiskImage, Faults, OpKind, PowerCut, SimOptions, SimRing, SimWorld};
use millstream_ring::{
    AlignedBuf, BLOCK, Completion, Done, IoError, IoErrorKind, Op, OpenOptions, Ring, Slice, SocketId, Token,
    Wait,
};

use crate::calls::{block, new_file, next, open, read, run, write};

#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let world = hostile(seed);
        mixed_workload(&world);
        (
            world.trace(),
            world.now(),
            world.events(),
            world.boundaries(),
            checksum(&world.crash(seed)),
        )
    };
    let traces: BTreeSet<u64> = (0..20)
        .map(|seed| {
            let first = run(seed);
            assert_eq!(first, run(seed), "seed {seed} replays");
            first.0
        })
        .collect();
    assert_eq!(traces.len(), 20, "seeds differ");
}

/// The smallest log that is right: a record is durable when its write completes. And the same with one rule broken.
#[test]
fn acknowledged_records_survive_a_cut_at_every_boundary() {
    for seed in 0..20 {
        let boundaries = write_records(&SimWorld::new(seed, SimOptions::default()), Sync::Write).1;
        assert!(boundaries >= 20);
        for cut in 0..boundaries {
            for broken in [Sync::Write, Sync::File] {
                let world = SimWorld::new(seed, SimOptions::default());
                world.cut_power_at(PowerCut::AtBoundary(cut));
                let (acked, _) = write_records(&world, broken);
                assert!(world.is_off());
                for crash in 0..3 {
                    check_records(&world.crash(crash), acked).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_missing_sync_loses_records_in_some_crash() {
    for broken in [Sync::Nothing, Sync::NoDirectory, Sync::BeforeTheWrite] {
        let lost = (0..20).any(|seed| {
            let world = SimWorld::new(seed, SimOptions::default());
            world.cut_power_at(PowerCut::AtEvent(40));
            let (acked, _) = write_records(&world, broken);
            (0..10).any(|crash| check_records(&world.crash(crash), acked).is_err())
        });
        assert!(lost, "{broken:?} must not survive");
    }
}

#[test]
fn a_datasync_covers_only_what_was_complete_when_it_was_submitted() {
    let mut lost = 0;
    for seed in 0..40 {
        let world = SimWorld::new(seed, SimOptions::default());
        let mut ring = world.ring();
        let file = new_file(&mut ring);
        write(&mut ring, file, 0, 1, true).unwrap();
        ring.submit(
            Token(5),
            Op::Write {
                file,
                at: 0,
                slices: vec![block(2)],
                durable: false,
            },
        );
        ring.submit(Token(6), Op::Datasync { file });
        let mut out = Vec::new();
        let first = next(&mut ring, &mut out).token;
        next(&mut ring, &mut out);
        if first == Token(5) {
            // The write was over before the sync was: it may have seen it, and promises nothing all the same.
            let left = world.crash(seed).read(Path::new("/log")).unwrap();
            lost += usize::from(left.contains(&1));
        }
        run(&mut ring, Op::Datasync { file }).unwrap();
        assert_eq!(
            world.crash(seed).read(Path::new("/log")).unwrap(),
            [2; BLOCK],
            "this one covers it"
        );
    }
    assert!(lost > 5, "{lost}");
}

#[test]
fn a_cut_world_is_silent_and_the_next_one_goes_on() {
    let world = SimWorld::new(9, SimOptions::default());
    world.cut_power_at(PowerCut::AtBoundary(9));
    let (acked, _) = write_records(&world, Sync::Write);
    let (now, trace) = (world.now(), world.trace());
    let mut ring = world.ring();
    ring.submit(Token(1), Op::List { path: "/".into() });
    let mut out = Vec::new();
    ring.enter(Wait::Until(Duration::from_secs(9)), &mut out);
    assert!(out.is_empty() && world.is_off());
    assert_eq!((world.now(), world.trace()), (now, trace));
    let next = SimWorld::restart(&world.crash(1), 2, SimOptions::default());
    let mut ring = next.ring();
    let file = open(
        &mut ring,
        "/log",
        OpenOptions {
            write: true,
            direct: true,
            ..OpenOptions::default()
        },
    );
    assert_eq!(
        read(&mut ring, file, 0).unwrap()[0],
        1,
        "{acked} were acknowledged"
    );
    write(&mut ring, file, 0, 99, true).unwrap();
    assert!(next.boundaries() == 2);
    assert_eq!(next.image().read(Path::new("/log")).unwrap()[0], 99);
}

#[test]
fn writes_in_flight_may_be_partly_there() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let world = SimWorld::new(seed, SimOptions::default());
        let mut ring = world.ring();
        let file = new_file(&mut ring);
        for at in 0..4 {
            write(&mut ring, file, at, 1, true).unwrap();
        }
        let mut buf = AlignedBuf::zeroed(4 * BLOCK);
        buf.fill(2);
        ring.submit(
            Token(1),
            Op::Write {
                file,
                at: 0,
                slices: vec![buf.freeze()],
                durable: true,
            },
        );
        ring.enter(Wait::No, &mut Vec::new());
        let bytes = world.crash(seed).read(Path::new("/log")).unwrap();
        assert!(bytes.iter().all(|byte| [1, 2].contains(byte)));
        seen.insert(bytes.chunks(512).filter(|sector| sector[0] == 2).count());
    }
    assert!(seen.contains(&0) && seen.len() > 10, "{seen:?}");
}

#[test]
fn chosen_operations_fail_and_promise_nothing() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    write(&mut ring, file, 0, 1, true).unwrap();
    world.fail_when(|op| {
        let chosen = op.kind == OpKind::Write && op.path == Path::new("/log") && op.at == BLOCK as u64;
        chosen.then_some(IoError::new(libc::EIO))
    });
    assert_eq!(
        write(&mut ring, file, 1, 7, true).unwrap_err().kind(),
        IoErrorKind::Io
    );
    write(&mut ring, file, 0, 2, true).unwrap();
    world.fail_when(|op| (op.kind == OpKind::Datasync).then_some(IoError::new(libc::EIO)));
    write(&mut ring, file, 0, 3, false).unwrap();
    assert_eq!(
        run(&mut ring, Op::Datasync { file }).unwrap_err().kind(),
        IoErrorKind::Io
    );
    let firsts: BTreeSet<u8> = (0..30)
        .map(|seed| world.crash(seed).read(Path::new("/log")).unwrap()[0])
        .collect();
    assert_eq!(firsts, [2, 3].into(), "a failed sync promises nothing");
    let len = world.image().read(Path::new("/log")).unwrap().len();
    assert!((BLOCK..=2 * BLOCK).contains(&len), "as much as was begun: {len}");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let world = SimWorld::new(
        3,
        SimOptions {
            capacity: 4 * BLOCK as u64,
            ..SimOptions::default()
        },
    );
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    for at in 0..4 {
        write(&mut ring, file, at, 1, true).unwrap();
    }
    assert_eq!(ring.free_space(Path::new("/log")).unwrap().free, 0);
    assert_eq!(
        write(&mut ring, file, 4, 1, true).unwrap_err().kind(),
        IoErrorKind::NoSpace
    );
    write(&mut ring, file, 0, 2, true).unwrap();
    world.set_capacity(5 * BLOCK as u64);
    write(&mut ring, file, 4, 1, true).unwrap();
}

#[test]
fn faults_happen_at_their_rates() {
    let faults = Faults {
        short_writes: 300,
        short_reads: 300,
        read_errors: 100,
        ..Faults::default()
    };
    let faults = Faults {
        write_errors: 100,
        sync_errors: 100,
        latent_read_errors: 50,
        ..faults
    };
    let world = SimWorld::new(
        5,
        SimOptions {
            faults,
            ..SimOptions::default()
        },
    );
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    let mut counts = [0; 5];
    for round in 0..300u64 {
        let slices = vec![AlignedBuf::zeroed(4 * BLOCK).freeze()];
        match run(
            &mut ring,
            Op::Write {
                file,
                at: round % 8 * BLOCK as u64,
                slices,
                durable: false,
            },
        ) {
            Ok(Done::Written { n, .. }) => counts[0] += usize::from(n < 4 * BLOCK),
            Err(error) => counts[1] += usize::from(error.kind() == IoErrorKind::Io),
            other => panic!("{other:?}"),
        }
        match run(
            &mut ring,
            Op::Read {
                file,
                at: 0,
                buf: AlignedBuf::zeroed(4 * BLOCK),
                len: 4 * BLOCK,
            },
        ) {
            Ok(Done::Read { n, .. }) => counts[2] += usize::from(n < 4 * BLOCK),
            Err(error) => counts[3] += usize::from(error.kind() == IoErrorKind::Io),
            other => panic!("{other:?}"),
        }
        counts[4] += usize::from(run(&mut ring, Op::Datasync { file }).is_err());
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

#[test]
fn misdirected_writes_land_elsewhere() {
    let faults = Faults {
        misdirected_writes: 1000,
        ..Faults::default()
    };
    let world = SimWorld::new(6, SimOptions::default());
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    for at in 0..16 {
        write(&mut ring, file, at, at as u8, true).unwrap();
    }
    world.set_faults(faults);
    write(&mut ring, file, 3, 200, true).unwrap();
    let bytes = world.image().read(Path::new("/log")).unwrap();
    let hit = bytes.chunks(BLOCK).position(|block| block[0] == 200);
    assert!(hit.is_some_and(|at| at != 3), "{hit:?}");
}

#[test]
fn lost_writes_leave_what_was_there() {
    let world = SimWorld::new(6, SimOptions::default());
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    write(&mut ring, file, 0, 5, true).unwrap();
    world.set_faults(Faults {
        lost_writes: 1000,
        ..Faults::default()
    });
    write(&mut ring, file, 0, 6, true).unwrap();
    write(&mut ring, file, 1, 6, true).unwrap();
    assert_eq!(world.image().read(Path::new("/log")), Some(vec![5; BLOCK]));
    world.set_faults(Faults::default());
    write(&mut ring, file, 0, 7, true).unwrap();
    assert_eq!(world.image().read(Path::new("/log")), Some(vec![7; BLOCK]));
}

#[test]
fn slow_operations_take_their_time_and_hold_up_nothing_else() {
    let slow = Duration::from_secs(1);
    let options = SimOptions {
        slow_latency: slow..=slow,
        ..SimOptions::default()
    };
    let world = SimWorld::new(6, options);
    let (mut ring, mut other) = (world.ring(), world.ring());
    let file = new_file(&mut ring);
    let options = OpenOptions {
        write: true,
        ..OpenOptions::default()
    };
    let another = open(&mut other, "/log", options);
    world.set_faults(Faults {
        slow_operations: 1000,
        ..Faults::default()
    });
    ring.submit(Token(1), Op::Datasync { file });
    let mut out = Vec::new();
    ring.enter(Wait::No, &mut out);
    world.set_faults(Faults::default());
    let before = world.now();
    write(&mut other, another, 0, 1, true).unwrap();
    assert!(world.now() - before < slow / 100 && out.is_empty());
    world.advance_to_completion(2 * slow);
    ring.enter(Wait::No, &mut out);
    assert_eq!(out.len(), 1);
    assert!(world.now() - before >= slow && world.now() - before < 2 * slow);
}

#[test]
fn damage_at_rest() {
    let world = SimWorld::new(6, SimOptions::default());
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    write(&mut ring, file, 0, 5, true).unwrap();
    let mut image = world.image();
    image.overwrite(Path::new("/log"), 100, b"flip");
    image.spoil(Path::new("/log"), 512);
    assert_eq!(image.paths(), [PathBuf::from("/log")]);
    assert_eq!(image.read(Path::new("/log")), None, "a sector cannot be read");
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let mut ring = world.ring();
    let file = open(
        &mut ring,
        "/log",
        OpenOptions {
            write: true,
            ..OpenOptions::default()
        },
    );
    assert_eq!(read(&mut ring, file, 0).unwrap_err().kind(), IoErrorKind::Io);
    let first = run(
        &mut ring,
        Op::Read {
            file,
            at: 0,
            buf: AlignedBuf::zeroed(BLOCK),
            len: 512,
        },
    );
    assert!(matches!(&first, Ok(Done::Read { buf, n: 512 }) if buf[100..104] == *b"flip"));
    write(&mut ring, file, 0, 6, true).unwrap();
    assert_eq!(
        read(&mut ring, file, 0).unwrap(),
        [6; BLOCK],
        "written again, readable again"
    );
}

#[test]
fn direct_io_can_be_missing() {
    let world = SimWorld::new(
        1,
        SimOptions {
            refuse_direct: true,
            ..SimOptions::default()
        },
    );
    let options = OpenOptions {
        write: true,
        create: true,
        direct: true,
        ..OpenOptions::default()
    };
    let refused = run(
        &mut world.ring(),
        Op::OpenFile {
            path: "/log".into(),
            options,
        },
    );
    assert_eq!(refused.unwrap_err().kind(), IoErrorKind::Unsupported);
}

#[test]
fn accepts_end_and_connections_break() {
    let faults = Faults {
        ended_accepts: 500,
        resets: 200,
        ..Faults::default()
    };
    let world = SimWorld::new(
        8,
        SimOptions {
            faults,
            ..SimOptions::default()
        },
    );
    let mut ring = world.ring();
    let (listener, addr) = ring.listen("127.0.0.1:9092".parse().unwrap()).unwrap();
    let (mut ended, mut broken, mut out) = (0, 0, Vec::new());
    ring.submit(Token(0), Op::Accept { listener });
    for _ in 0..50 {
        let mut client = world.connect(addr).unwrap();
        let accepted = next(&mut ring, &mut out);
        if !accepted.more {
            ended += 1;
            ring.submit(Token(0), Op::Accept { listener });
        }
        let Ok(Done::Accepted { socket, .. }) = accepted.result else {
            panic!("{:?}", accepted.result)
        };
        client.write(b"hello").unwrap();
        ring.submit(Token(1), Op::RecvPooled { socket });
        broken += usize::from(next(&mut ring, &mut out).result.is_err());
        ring.submit(Token(2), Op::CloseSocket { socket });
        next(&mut ring, &mut out);
    }
    assert!(ended > 10 && broken > 3, "{ended} {broken}");
    let nobody = world.connect("127.0.0.1:1".parse().unwrap()).err().unwrap();
    assert_eq!(nobody.errno, libc::ECONNREFUSED);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sync {
    /// Durable writes.
    Write,
    /// Plain writes, each followed by a datasync.
    File,
    /// Wrong: the directory is never synced.
    NoDirectory,
    /// Wrong: plain writes.
    Nothing,
    /// Wrong: the datasync is submitted with the write, not after it.
    BeforeTheWrite,
}

/// Writes records 1, 2, … into blocks of a new file; how many were acknowledged, and the boundaries passed.
fn write_records(world: &SimWorld, sync: Sync) -> (u64, u64) {
    let mut ring = world.ring();
    let mut acked = 0;
    let mut work = || -> Option<()> {
        let options = OpenOptions {
            write: true,
            create_new: true,
            direct: true,
            ..OpenOptions::default()
        };
        let Done::Opened { file, .. } = alive(
            world,
            &mut ring,
            Op::OpenFile {
                path: "/log".into(),
                options,
            },
        )?
        else {
            panic!()
        };
        if sync != Sync::NoDirectory {
            alive(world, &mut ring, Op::SyncDir { path: "/".into() })?;
        }
        for record in 0..10u64 {
            let durable = matches!(sync, Sync::Write | Sync::NoDirectory);
            let slices = vec![block(record as u8 + 1)];
            let write = Op::Write {
                file,
                at: record * BLOCK as u64,
                slices,
                durable,
            };
            if sync == Sync::BeforeTheWrite {
                ring.submit(Token(5), write);
                alive(world, &mut ring, Op::Datasync { file })?;
            } else {
                alive(world, &mut ring, write)?;
            }
            if sync == Sync::File {
                alive(world, &mut ring, Op::Datasync { file })?;
            }
            acked += 1;
        }
        Some(())
    };
    work();
    (acked, world.boundaries())
}

fn check_records(image: &DiskImage, acked: u64) -> Result<(), String> {
    if acked == 0 {
        return Ok(());
    }
    let bytes = image.read(Path::new("/log")).ok_or("the file is gone")?;
    for record in 0..acked {
        let at = record as usize * BLOCK;
        let block = bytes
            .get(at..at + BLOCK)
            .ok_or(format!("record {record} is cut off"))?;
        if block.iter().any(|byte| *byte != record as u8 + 1) {
            return Err(format!("record {record} of {acked} is damaged"));
        }
    }
    Ok(())
}

/// The operation's result; None when the power went first.
fn alive(world: &SimWorld, ring: &mut SimRing, op: Op) -> Option<Done> {
    ring.submit(Token(1), op);
    let mut out = Vec::new();
    while !world.is_off() {
        ring.enter(Wait::Until(Duration::from_millis(10)), &mut out);
        if let Some(at) = out.iter().position(|completion| completion.token == Token(1)) {
            return Some(out.swap_remove(at).result.unwrap());
        }
    }
    None
}

fn hostile(seed: u64) -> SimWorld {
    let faults = Faults {
        short_writes: 100,
        short_reads: 100,
        read_errors: 20,
        ..Faults::default()
    };
    let faults = Faults {
        write_errors: 20,
        misdirected_writes: 20,
        lost_writes: 20,
        slow_operations: 20,
        resets: 10,
        ended_accepts: 100,
        ..faults
    };
    SimWorld::new(
        seed,
        SimOptions {
            faults,
            ..SimOptions::default()
        },
    )
}

/// Files and sockets at once, with errors as they come.
fn mixed_workload(world: &SimWorld) {
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    let (listener, addr) = ring.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut clients: Vec<_> = (0..8).map(|_| world.connect(addr).unwrap()).collect();
    let mut sockets: Vec<SocketId> = Vec::new();
    ring.submit(Token(0), Op::Accept { listener });
    let mut out = Vec::new();
    for round in 0..200u64 {
        for client in &mut clients {
            let _ = client.write(&round.to_le_bytes());
            let _ = client.read();
        }
        let slices = vec![block(round as u8), block(!round as u8)];
        ring.submit(
            Token(1),
            Op::Write {
                file,
                at: round % 16 * BLOCK as u64,
                slices,
                durable: round % 3 == 0,
            },
        );
        ring.submit(
            Token(2),
            Op::Read {
                file,
                at: 0,
                buf: AlignedBuf::zeroed(4 * BLOCK),
                len: 4 * BLOCK,
            },
        );
        ring.enter(Wait::Until(Duration::from_micros(300)), &mut out);
        for Completion { token, result, more } in out.drain(..) {
            match (token, result) {
                (Token(0), result) => {
                    if let Ok(Done::Accepted { socket, .. }) = result {
                        ring.submit(Token(10 + sockets.len() as u64), Op::RecvPooled { socket });
                        sockets.push(socket);
                    }
                    if !more {
                        ring.submit(Token(0), Op::Accept { listener });
                    }
                }
                (Token(index @ 10..), Ok(Done::Received { buf })) if !buf.is_empty() => {
                    let socket = sockets[index as usize - 10];
                    ring.submit(
                        Token(3),
                        Op::Send {
                            socket,
                            slices: vec![Slice::from(buf)],
                        },
                    );
                }
                (Token(3), Ok(Done::Sent { .. })) => {}
                _ => {}
            }
        }
    }
}

fn checksum(image: &DiskImage) -> u64 {
    let bytes = image
        .paths()
        .into_iter()
        .flat_map(|path| image.read(&path).unwrap_or_default());
    bytes.fold(17, |sum, byte| {
        sum.wrapping_mul(0x100_0000_01B3) ^ u64::from(byte)
    })
}

/// Images of all boundaries, of one run that goes on, are what runs that are cut at each would leave.
#[test]
fn acknowledged_records_are_in_the_image_of_every_boundary() {
    let taken = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let world = SimWorld::new(5, SimOptions::default());
    let images = taken.clone();
    world.at_boundaries(move |image| images.borrow_mut().push(image));
    let watched = (write_records(&world, Sync::Write), world.trace());
    let images = taken.take();
    assert_eq!(images.len() as u64, watched.0.1);
    world.leave_boundaries();
    alive(&world, &mut world.ring(), Op::SyncDir { path: "/".into() }).unwrap();
    assert!(world.boundaries() > watched.0.1 && taken.take().is_empty());
    for (cut, image) in images.iter().enumerate() {
        let world = SimWorld::new(5, SimOptions::default());
        world.cut_power_at(PowerCut::AtBoundary(cut as u64));
        let (acked, _) = write_records(&world, Sync::Write);
        check_records(image, acked).unwrap();
    }
    let unwatched = SimWorld::new(5, SimOptions::default());
    assert_eq!(
        (write_records(&unwatched, Sync::Write), unwatched.trace()),
        watched
    );
}

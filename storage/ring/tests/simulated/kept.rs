//! What outlives a process, and what a failed operation leaves behind.

use std::collections::BTreeSet;
use std::path::Path;

use millstream_ring::simulated::{DiskImage, OpKind, SimOptions, SimRing, SimWorld};
use millstream_ring::{BLOCK, FileId, IoError, Op, OpenOptions, Ring, Token, Wait};

use crate::calls::{block, new_file, open, read, run, write};

const LOG: &str = "/log";

#[test]
fn a_kill_takes_nothing_that_was_seen_and_makes_nothing_durable() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let world = SimWorld::new(seed, SimOptions::default());
        let mut ring = world.ring();
        let file = new_file(&mut ring);
        write(&mut ring, file, 0, 1, true).unwrap();
        write(&mut ring, file, 0, 2, false).unwrap();
        write(&mut ring, file, 1, 1, true).unwrap();
        let op = Op::Write {
            file,
            at: BLOCK as u64,
            slices: vec![block(2)],
            durable: true,
        };
        ring.submit(Token(5), op);
        ring.enter(Wait::No, &mut Vec::new());
        let next = SimWorld::restart(&world.kill(seed), seed, SimOptions::default());
        let bytes = next.image().read(Path::new(LOG)).unwrap();
        assert_eq!(bytes[..BLOCK], [2; BLOCK], "{seed}");
        seen.insert(bytes[BLOCK..].iter().filter(|byte| **byte == 2).count());
        let cuts = (0..9).map(|cut| next.crash(cut).read(Path::new(LOG)).unwrap());
        assert!(cuts.into_iter().any(|left| left != bytes), "{seed}");
        let mut ring = next.ring();
        let file = reopened(&mut ring);
        run(&mut ring, Op::Datasync { file }).unwrap();
        assert!((0..9).all(|cut| next.crash(cut).read(Path::new(LOG)).unwrap() == bytes));
    }
    assert!(
        seen.contains(&0) && seen.contains(&BLOCK) && seen.len() > 4,
        "without, with, and with some of its effect: {seen:?}"
    );
}

#[test]
fn a_failed_write_may_have_begun() {
    let mut begun = BTreeSet::new();
    for seed in 0..60 {
        let world = SimWorld::new(seed, SimOptions::default());
        let mut ring = world.ring();
        let file = new_file(&mut ring);
        write(&mut ring, file, 0, 1, true).unwrap();
        fail(&world, Some(OpKind::Write));
        write(&mut ring, file, 0, 2, true).unwrap_err();
        let now = world.image().read(Path::new(LOG)).unwrap();
        let count = now.iter().take_while(|byte| **byte == 2).count();
        assert!(
            now[count..].iter().all(|byte| *byte == 1),
            "{seed}: only its front"
        );
        begun.insert(count);
        let may_be_old = (0..40).any(|cut| byte_after(&world.crash(cut)) == 1);
        assert!(may_be_old, "{seed}: nothing of it is durable");
    }
    assert!(begun.contains(&0) && begun.contains(&BLOCK), "{begun:?}");
}

#[test]
fn a_flush_after_one_that_failed_covers_only_what_is_written_again() {
    let mut was_lost = false;
    for seed in 0..40 {
        let world = SimWorld::new(seed, SimOptions::default());
        let mut ring = world.ring();
        let file = new_file(&mut ring);
        write(&mut ring, file, 0, 1, true).unwrap();
        write(&mut ring, file, 0, 2, false).unwrap();
        write(&mut ring, file, 1, 2, false).unwrap();
        fail(&world, Some(OpKind::Datasync));
        run(&mut ring, Op::Datasync { file }).unwrap_err();
        fail(&world, None);
        run(&mut ring, Op::Datasync { file }).unwrap();
        assert_eq!(read(&mut ring, file, 0).unwrap()[0], 2, "nobody sees it");
        let lengths: BTreeSet<usize> = (0..40)
            .map(|cut| world.crash(cut).read(Path::new(LOG)).unwrap().len())
            .collect();
        assert_eq!(lengths, [BLOCK, 2 * BLOCK].into(), "{seed}");
        was_lost |= (0..9).any(|cut| byte_after(&world.crash(cut)) == 1);
        // The next process sees what the device has, and can flush it.
        let next = SimWorld::restart(&world.kill(seed), seed, SimOptions::default());
        let mut ring_after = next.ring();
        let file_after = reopened(&mut ring_after);
        run(&mut ring_after, Op::Datasync { file: file_after }).unwrap();
        let found = next.image().read(Path::new(LOG)).unwrap();
        assert!((0..9).all(|cut| next.crash(cut).read(Path::new(LOG)).unwrap() == found));
        for at in 0..2 {
            write(&mut ring, file, at, 2, false).unwrap();
        }
        run(&mut ring, Op::Datasync { file }).unwrap();
        let left = |cut| world.crash(cut).read(Path::new(LOG)).unwrap();
        assert!((0..9).all(|cut| left(cut) == [2; 2 * BLOCK]), "{seed}");
    }
    assert!(was_lost);
}

#[test]
fn a_sync_after_one_that_failed_covers_its_names() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut ring = world.ring();
    let sync = || Op::SyncDir { path: "/".into() };
    let is_there = |world: &SimWorld| -> BTreeSet<bool> {
        let there = |cut| !world.crash(cut).paths().is_empty();
        (0..40).map(there).collect()
    };
    let create = OpenOptions {
        write: true,
        create: true,
        ..OpenOptions::default()
    };
    open(&mut ring, LOG, create);
    fail(&world, Some(OpKind::SyncDir));
    run(&mut ring, sync()).unwrap_err();
    assert_eq!(is_there(&world), [false, true].into());
    fail(&world, None);
    run(&mut ring, sync()).unwrap();
    assert_eq!(is_there(&world), [true].into());
}

fn fail(world: &SimWorld, failing: Option<OpKind>) {
    world.fail_when(move |op| (failing == Some(op.kind)).then_some(IoError::new(libc::EIO)));
}

fn byte_after(image: &DiskImage) -> u8 {
    image.read(Path::new(LOG)).unwrap()[0]
}

fn reopened(ring: &mut SimRing) -> FileId {
    let options = OpenOptions {
        write: true,
        direct: true,
        ..OpenOptions::default()
    };
    open(ring, LOG, options)
}

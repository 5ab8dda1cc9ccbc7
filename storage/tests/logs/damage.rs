//! Journals and checkpoints with damage in them: what a start fences, what it cuts, and what goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_log::{Checkpoint, JournalId, layout};
use millstream_ring::simulated::{DiskImage, SimOptions, SimRing, SimWorld};

use crate::common::{Host, batch, key, small_options};

const DIR: &str = "/data";
const BLOCK: u64 = 4096;

fn open(world: &SimWorld) -> Host<SimRing> {
    world.advance(Duration::from_secs(1));
    Host::open(world.ring(), Path::new(DIR), &small_options(), 1).unwrap()
}

fn restart(image: &DiskImage) -> (SimWorld, Host<SimRing>) {
    let world = SimWorld::restart(image, 1, SimOptions::default());
    let host = open(&world);
    (world, host)
}

/// What is acknowledged and nothing later.
fn append(host: &mut Host<SimRing>, partition: i32, value: &[u8]) {
    let log = match host.logs().lookup(key(partition)) {
        Some(log) => log,
        None => host.create(partition),
    };
    host.append(log, &batch(&[value])).unwrap();
    host.flush(log);
}

fn end(host: &mut Host<SimRing>, partition: i32) -> i64 {
    let log = host.logs().lookup(key(partition)).unwrap();
    host.logs().offsets(log).end.get()
}

fn slots() -> [PathBuf; 2] {
    [0, 1].map(|slot| Path::new(DIR).join(layout::checkpoint(JournalId::new(1), slot)))
}

/// The slot that counts.
fn newest_slot(image: &DiskImage) -> PathBuf {
    let generation = |path: &PathBuf| {
        let bytes = image.read(path).unwrap_or_default();
        Checkpoint::decode(&bytes).map_or(0, |checkpoint| checkpoint.head.generation)
    };
    slots().into_iter().max_by_key(generation).unwrap()
}

/// A cut stands in both slots: when one of them is lost, the bytes that were cut do not come back.
#[test]
fn a_cut_outlives_the_loss_of_a_checkpoint_slot() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    append(&mut host, 0, &[7; 60_000]);
    drop(host);
    // The direct write of the last round, which nothing has settled yet, is not what it should be.
    let mut image = world.image();
    let segment = image
        .paths()
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .unwrap();
    let whole = image.read(&segment).unwrap();
    image.overwrite(&segment, 5 * BLOCK, &[8]);
    let (world, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 1, "{:?}", host.report);
    drop(host);
    let mut image = world.image();
    let newest = newest_slot(&image);
    image.remove(&newest);
    // By now the bytes are what they were meant to be.
    image.overwrite(&segment, 5 * BLOCK, &whole[5 * BLOCK as usize..][..1]);
    let (_, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 1, "what was cut came back: {:?}", host.report);
}

/// Where the start looks into a segment anyway, it sees whose segment that is.
#[test]
fn a_last_block_in_a_file_that_is_another_segments_is_not_taken_in() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    for partition in 0..2 {
        append(&mut host, partition, &[7; 60_000]);
    }
    host.shut_down();
    world.advance(Duration::from_secs(1));
    let mut image = world.image();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "seg");
    let segments: Vec<PathBuf> = image.paths().into_iter().filter(is_segment).collect();
    let strange = image.read(&segments[1]).unwrap()[..BLOCK as usize].to_vec();
    image.overwrite(&segments[0], 0, &strange);
    let (_, mut host) = restart(&image);
    let appended: Vec<bool> = (0..2)
        .map(|partition| {
            let log = host.logs().lookup(key(partition)).unwrap();
            host.append(log, &batch(&[b"more"])).is_ok()
        })
        .collect();
    assert_eq!(
        appended.iter().filter(|appended| **appended).count(),
        1,
        "{appended:?}"
    );
}

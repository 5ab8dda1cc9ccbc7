//! The same machine kept as busy by others: what a client that behaves meets beside a load that never comes near the
//! broker. The attackers of a test, the shards that serve them and the disk are all on one machine; a broker cannot
//! give back what is not its own.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::OFlags;

use super::crowd;

/// What an attack keeps busy besides the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing worth naming.
    Nothing,
    /// Every core and the disk: so many threads that give way each read megabytes from a file and copy them, and as
    /// many as there are shards copy memory and do not give way.
    Reads { threads: usize },
    /// The same, but that each of the threads that give way writes megabytes to a file of its own.
    Writes { threads: usize },
}

impl Load {
    /// Goes on until it is told to stop. Its files are in `folder`, and are removed with it.
    pub fn run(self, folder: &Path, stop: &AtomicBool) {
        match self {
            Self::Nothing => {}
            Self::Reads { threads } => {
                let path = folder.join("load");
                write_around(&path, |piece| piece == FILE_PIECES);
                beside_shards(stop, || {
                    crowd::in_parallel(threads, |number| read(&path, number, stop));
                });
            }
            Self::Writes { threads } => beside_shards(stop, || {
                crowd::in_parallel(threads, |number| {
                    write_around(&folder.join(format!("load{number}")), |_| {
                        stop.load(Ordering::Relaxed)
                    });
                });
            }),
        }
    }
}

fn beside_shards(stop: &AtomicBool, run: impl FnOnce()) {
    thread::scope(|scope| {
        (0..SHARDS).for_each(|_| {
            scope.spawn(|| copy(stop));
        });
        run();
    });
}

fn copy(stop: &AtomicBool) {
    let from = vec![1_u8; PIECE];
    let mut to = vec![0_u8; PIECE];
    while !stop.load(Ordering::Relaxed) {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
    }
}

/// Past the page cache, as the broker reads; each thread begins elsewhere.
fn read(path: &Path, number: usize, stop: &AtomicBool) {
    let file = open(path, OFlags::DIRECT);
    let mut buffer = vec![0_u8; PIECE + BLOCK];
    let at = buffer.as_ptr().align_offset(BLOCK);
    let mut taken = vec![0_u8; PIECE];
    for piece in 5 * number.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let place = (piece % FILE_PIECES * PIECE) as u64;
        file.read_exact_at(&mut buffer[at..at + PIECE], place)
            .expect("a file of that size");
        taken.copy_from_slice(std::hint::black_box(&buffer[at..at + PIECE]));
        std::hint::black_box(&mut taken);
    }
}

/// Synchronous, past the page cache, around a file of some size until `done` with so many pieces: as the broker's own
/// writes are.
fn write_around(path: &Path, done: impl Fn(usize) -> bool) {
    let file = open(path, OFlags::DIRECT | OFlags::DSYNC);
    let buffer = vec![7_u8; PIECE + BLOCK];
    let at = buffer.as_ptr().align_offset(BLOCK);
    for piece in 0.. {
        if done(piece) {
            return;
        }
        let place = (piece % FILE_PIECES * PIECE) as u64;
        file.write_all_at(&buffer[at..at + PIECE], place)
            .expect("room on the disk");
    }
}

fn open(path: &Path, flags: OFlags) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .expect("a file")
}

/// The broker of this test has as many.
const SHARDS: usize = 2;
const PIECE: usize = 1 << 20;
const BLOCK: usize = 4096;
const FILE_PIECES: usize = 64;

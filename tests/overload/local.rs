//! The same machine kept as busy by others: what a client that behaves meets beside a load that never comes near the
//! broker. The attackers of a test, the shards that serve them and the disk are all on one machine; a broker cannot
//! give back what is not its own.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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
    /// Every core: memory is copied by so many threads that give way, and by as many as there are shards that do not.
    Cores { threads: usize },
    /// As the above, and the disk: each of the threads that give way writes megabytes to a file of its own.
    Disk { threads: usize },
}

impl Load {
    /// Goes on until it is told to stop. Its files are in `folder`, and are removed with it.
    pub fn run(self, folder: &Path, stop: &AtomicBool) {
        match self {
            Self::Nothing => {}
            Self::Cores { threads } => beside_shards(stop, || {
                crowd::in_parallel(threads, |_| copy(stop));
            }),
            Self::Disk { threads } => beside_shards(stop, || {
                crowd::in_parallel(threads, |number| {
                    write(&folder.join(format!("load{number}")), stop)
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

/// Synchronous, past the page cache, around a file of some size: as the broker's own writes are.
fn write(path: &Path, stop: &AtomicBool) {
    let flags = OFlags::DIRECT | OFlags::DSYNC;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .expect("a file");
    let buffer = vec![7_u8; PIECE + BLOCK];
    let at = buffer.as_ptr().align_offset(BLOCK);
    for piece in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if piece % FILE_PIECES == 0 {
            std::io::Seek::rewind(&mut file).expect("a file");
        }
        file.write_all(&buffer[at..at + PIECE]).expect("room on the disk");
    }
}

/// The broker of this test has as many.
const SHARDS: usize = 2;
const PIECE: usize = 1 << 20;
const BLOCK: usize = 4096;
const FILE_PIECES: usize = 64;

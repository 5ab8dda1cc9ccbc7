//! Commits of a file system's own journal that this process has under way.
//!
//! ext4 begins a write by noting its time in the file's inode. While a commit writes that inode's block to the journal,
//! whoever begins a write waits, also where he said that he would not (`file_modified` in `ext4_dio_write_checks`,
//! Linux 6.18): with a disk that hangs, a shard would stand still with all its connections. A commit begins with a sync
//! of a new name, of a new length or of space that was never written. Who asks for one says so here, and meanwhile
//! rings leave the beginning of writes to threads of the kernel's; at other times these would only cost latency.
//!
//! What is left to chance are commits that others ask for, and those that ext4 makes every five seconds.

use std::sync::atomic::{AtomicU32, Ordering};

/// A commit that may be under way until this is dropped. Any thread.
#[derive(Debug)]
pub struct Commit(());

impl Commit {
    pub fn begin() -> Commit {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Commit(())
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the beginning of a write may have to wait. An order to other memory is not needed: it is a guess.
pub(crate) fn is_under_way() -> bool {
    UNDER_WAY.load(Ordering::Relaxed) > 0
}

/// Of all threads: file systems are shared as well.
static UNDER_WAY: AtomicU32 = AtomicU32::new(0);

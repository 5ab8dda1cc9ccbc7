//! What lies on a simulated disk when the power is off, or the process is gone.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::inode::SECTOR;
use super::options::Lie;

/// What a power cut, a kill or a stop left: durable, but for what a killed process had not flushed. Cheap to clone; a
/// world begins from it with `SimWorld::restart`.
#[derive(Clone, Debug)]
pub struct DiskImage {
    pub(super) disk: Disk,
}

impl DiskImage {
    /// All files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk.paths()
    }

    /// The bytes of a file. None: there is none, or one of its sectors cannot be read.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let file = &self.disk.files[&self.disk.lookup(path)?];
        file.read(0, file.size as usize)
    }

    /// A file's size in bytes. None: there is none.
    pub fn size(&self, path: &Path) -> Option<u64> {
        Some(self.disk.files[&self.disk.lookup(path)?].size)
    }

    /// Changes bytes at rest, as a bit flip or a foreign hand would. Within the file's size.
    pub fn overwrite(&mut self, path: &Path, at: u64, bytes: &[u8]) {
        let ino = self.disk.lookup(path).expect("a file of the image");
        let file = self.disk.files.get_mut(&ino).expect("named above");
        assert!(at + bytes.len() as u64 <= file.size, "within the file");
        file.corrupt(0, at, bytes);
    }

    /// Replaces all bytes of a file, of whatever length; makes it where its directory is there.
    pub fn put(&mut self, path: &Path, bytes: &[u8]) {
        if self.disk.lookup(path).is_some() {
            self.remove(path);
        }
        let ino = self
            .disk
            .open(path, true, true, true)
            .expect("the directory is there");
        self.disk.close(ino);
        let file = self.disk.files.get_mut(&ino).expect("made above");
        file.write(0, 0, bytes);
        file.flush(None, |_| true);
        self.disk
            .sync_dir(path.parent().expect("a file has a directory"))
            .expect("the directory of a file");
    }

    /// Makes the 512-byte sector at `at` unreadable (EIO) until it is written again.
    pub fn spoil(&mut self, path: &Path, at: u64) {
        let ino = self.disk.lookup(path).expect("a file of the image");
        self.disk
            .files
            .get_mut(&ino)
            .expect("named above")
            .spoil(at / SECTOR as u64);
    }

    /// Sectors that do not hold what they should, because the device lied, lost or changed them; by path and place.
    pub fn lies(&self) -> Vec<Lie> {
        self.disk.lies()
    }

    /// Up to `len` bytes of a file from `at` on; fewer at its end. None: there is no such file, or a sector cannot be
    /// read.
    pub fn read_at(&self, path: &Path, at: u64, len: usize) -> Option<Vec<u8>> {
        self.disk.files[&self.disk.lookup(path)?].read(at, len)
    }

    /// The bytes of a file as they should be. None: there is none.
    pub fn truth(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.disk.files[&self.disk.lookup(path)?].truth(0, usize::MAX))
    }

    /// Puts one sector right.
    pub fn heal(&mut self, lie: &Lie) {
        let ino = self.disk.lookup(&lie.path).expect("a file of the image");
        let file = self.disk.files.get_mut(&ino).expect("named above");
        file.heal(lie.at / SECTOR as u64);
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &Path) {
        self.disk.unlink(path).expect("a file of the image");
        self.disk
            .sync_dir(path.parent().expect("a file has a directory"))
            .expect("the directory of a file");
    }

    /// Bytes that the disk can hold from now on.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.disk.capacity = bytes;
    }
}

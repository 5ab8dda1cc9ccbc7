//! The metadata log's door to the disk: the few things that it asks of a file system, in one directory.
//!
//! Place: below [`super::metadata_log`]; a test puts a simulated disk behind it.
//! Invariant: what a call promises to be durable survives a power cut once the call has returned.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use millstream_ring::Commit;

/// One directory. Names are those of files in it.
pub trait MetadataDisk {
    /// The names of all files, in any order.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// All bytes of a file.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a file of these bytes, over whatever had the name. Durable, save for the name itself.
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes `bytes` from `at` on, which is the file's end. They are durable after [`MetadataDisk::sync`]; of a write
    /// that fails some may be there.
    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what was written to a file. What a failed sync has not made durable, no later one does.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Cuts a file to `len` bytes; durable.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Renames over whatever `to` was. Durable after [`MetadataDisk::sync_names`].
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`MetadataDisk::sync_names`].
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Makes the names of the directory durable.
    fn sync_names(&mut self) -> io::Result<()>;
}

/// A directory of the host's file system.
#[derive(Debug)]
pub struct HostDirectory {
    path: PathBuf,
    /// The file that was appended to last.
    open: Option<(String, File)>,
}

impl HostDirectory {
    /// A directory that is there, or whose listing fails.
    pub fn existing(path: &Path) -> HostDirectory {
        HostDirectory {
            path: path.into(),
            open: None,
        }
    }

    /// Makes the directory, durably, unless it is there.
    pub fn make(path: &Path) -> io::Result<HostDirectory> {
        make_durably(path)?;
        Ok(Self::existing(path))
    }

    fn writable(&mut self, name: &str) -> io::Result<&File> {
        let file = match self.open.take() {
            Some((open, file)) if open == name => file,
            _ => OpenOptions::new().write(true).open(self.path.join(name))?,
        };
        Ok(&self.open.insert((name.to_owned(), file)).1)
    }
}

impl MetadataDisk for HostDirectory {
    fn list(&mut self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.open = None;
        let file = File::create(self.path.join(name))?;
        let _commit = Commit::begin();
        file.write_all_at(bytes, 0)?;
        file.sync_all()
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.writable(name)?.write_all_at(bytes, at)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let _commit = Commit::begin();
        self.writable(name)?.sync_data()
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let _commit = Commit::begin();
        let file = self.writable(name)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open = None;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let _commit = Commit::begin();
        File::open(&self.path)?.sync_all()
    }
}

/// Makes a directory and those above it; each new name is durable in its parent.
fn make_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

//! The metadata log's directory on the simulated disk.
//!
//! Invariant: as with a host's file system, a call returns when it is done; shards do not turn meanwhile, what they
//! have in flight goes on.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::controller::metadata_disk::MetadataDisk;
use millstream_ring::simulated::SimRing;
use millstream_ring::{
    AlignedBuf, Completion, Done, FileId, IoError, Op, OpenOptions, Ring, Slice, Token, Wait,
};

/// See the module's page.
pub struct SimDirectory {
    ring: SimRing,
    path: PathBuf,
    completions: Vec<Completion>,
}

impl SimDirectory {
    /// Makes the directory and the one above it, durably, unless they are there.
    pub fn make(ring: SimRing, path: &Path) -> io::Result<SimDirectory> {
        let mut directory = SimDirectory {
            ring,
            path: path.into(),
            completions: Vec::new(),
        };
        for path in [path.parent().expect("a directory below the data directory"), path] {
            match directory.run(Op::MakeDir { path: path.into() }) {
                Err(error) if error.errno != EEXIST => return Err(error.into()),
                Err(_) => continue,
                Ok(_) => directory.run(Op::SyncDir {
                    path: path.parent().expect("not the root").into(),
                })?,
            };
        }
        Ok(directory)
    }

    fn run(&mut self, op: Op) -> Result<Done, IoError> {
        self.ring.submit(Token(0), op);
        for _ in 0..PATIENCE {
            self.ring
                .enter(Wait::Until(Duration::from_millis(100)), &mut self.completions);
            if let Some(completion) = self.completions.pop() {
                return completion.result;
            }
        }
        Err(IoError::new(ETIMEDOUT))
    }

    fn with_file<T>(
        &mut self,
        name: &str,
        options: OpenOptions,
        work: impl FnOnce(&mut Self, FileId, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = self.path.join(name);
        let Done::Opened { file, size } = self.run(Op::OpenFile { path, options })? else {
            unreachable!("opening completes as opened")
        };
        let result = work(self, file, size);
        self.run(Op::CloseFile { file })?;
        result
    }

    fn write_at(&mut self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let op = Op::Write {
                file,
                at: at + done as u64,
                slices: vec![Slice::from(bytes[done..].to_vec())],
                durable: false,
            };
            let Done::Written { n, .. } = self.run(op)? else {
                unreachable!("a write completes as written")
            };
            done += n;
        }
        Ok(())
    }
}

impl MetadataDisk for SimDirectory {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let path = self.path.clone();
        let Done::Listed(entries) = self.run(Op::List { path })? else {
            unreachable!("listing completes as listed")
        };
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.with_file(name, OpenOptions::default(), |directory, file, size| {
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < size {
                let len = size as usize - bytes.len();
                let op = Op::Read {
                    file,
                    at: bytes.len() as u64,
                    buf: AlignedBuf::zeroed(len.next_multiple_of(4096)),
                    len,
                };
                let Done::Read { buf, n } = directory.run(op)? else {
                    unreachable!("a read completes as a read")
                };
                if n == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes.extend_from_slice(&buf[..n]);
            }
            Ok(bytes)
        })
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let options = OpenOptions {
            write: true,
            create: true,
            ..OpenOptions::default()
        };
        self.with_file(name, options, |directory, file, _| {
            directory.run(Op::Truncate { file, len: 0 })?;
            directory.write_at(file, 0, bytes)?;
            directory.run(Op::Datasync { file })?;
            Ok(())
        })
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.with_file(name, WRITE, |directory, file, _| {
            directory.write_at(file, at, bytes)
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.with_file(name, WRITE, |directory, file, _| {
            directory.run(Op::Datasync { file })?;
            Ok(())
        })
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.with_file(name, WRITE, |directory, file, _| {
            directory.run(Op::Truncate { file, len })?;
            directory.run(Op::Datasync { file })?;
            Ok(())
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        self.run(Op::Rename { from, to })?;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        self.run(Op::Unlink { path })?;
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let path = self.path.clone();
        self.run(Op::SyncDir { path })?;
        Ok(())
    }
}

const WRITE: OpenOptions = OpenOptions {
    write: true,
    create: false,
    create_new: false,
    direct: false,
    dsync: false,
};
/// Steps of a tenth of a second: a disk that is silent for longer has lost its power.
const PATIENCE: u32 = 100;
const EEXIST: i32 = 17;
const ETIMEDOUT: i32 = 110;

//! One process per data directory.
//!
//! The only place of the crate that opens a file without the ring: a lock belongs to a descriptor of this
//! process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use millstream_log::layout;

use crate::error::OpenError;

/// The directory is ours as long as this lives; the system lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: Option<File>,
}

impl DirectoryLock {
    pub(crate) fn acquire(dir: &Path) -> Result<DirectoryLock, OpenError> {
        let path = dir.join(layout::LOCK);
        let io = |error: std::io::Error| OpenError::Io {
            what: format!("cannot lock {}: {error}", path.display()),
            errno: error.raw_os_error().unwrap_or(0),
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        // A process that was killed holds it until its writes in flight are done.
        for _ in 0..PATIENCE {
            match file.try_lock() {
                Ok(()) => return Ok(DirectoryLock { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
        Err(OpenError::Locked {
            path: path.display().to_string(),
        })
    }

    /// Keeps a start away as long as this lives, and changes nothing: a directory without a lock file has no broker.
    /// Any number of processes may look.
    pub fn to_look(dir: &Path) -> Result<DirectoryLock, OpenError> {
        let path = dir.join(layout::LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(DirectoryLock::none()),
            Err(error) => {
                return Err(OpenError::Io {
                    what: format!("cannot open {}: {error}", path.display()),
                    errno: error.raw_os_error().unwrap_or(0),
                });
            }
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(DirectoryLock { _file: Some(file) }),
            Err(_) => Err(OpenError::Locked {
                path: path.display().to_string(),
            }),
        }
    }

    /// For a simulated disk, which no second process can see.
    pub(crate) fn none() -> DirectoryLock {
        DirectoryLock { _file: None }
    }
}

/// Two seconds.
const PATIENCE: u32 = 200;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

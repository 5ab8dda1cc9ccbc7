//! The world of the real ring: loopback and a directory on this machine's disk.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use millstream_ring::IoError;
use millstream_ring::uring::{UringOptions, UringRing};

use super::world::{Client, World};

pub struct UringWorld {
    ring: UringRing,
    second: UringRing,
    dir: PathBuf,
}

impl UringWorld {
    pub fn new() -> UringWorld {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ring-contract-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).unwrap();
        // A small ring, so that its queues run full.
        let options = UringOptions {
            submissions: 8,
            completions: 16,
            pool_buffers: 8,
        };
        let ring = UringRing::new(options).unwrap();
        UringWorld {
            ring,
            second: UringRing::new(options).unwrap(),
            dir,
        }
    }
}

impl World for UringWorld {
    type Ring = UringRing;
    type Client = TcpClient;

    fn ring(&mut self) -> &mut UringRing {
        &mut self.ring
    }

    fn second(&mut self) -> &mut UringRing {
        &mut self.second
    }

    fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    fn connect(&mut self, addr: SocketAddr) -> TcpClient {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nonblocking(true).unwrap();
        TcpClient { stream }
    }
}

impl Drop for UringWorld {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub struct TcpClient {
    stream: TcpStream,
}

impl Client for TcpClient {
    fn write(&mut self, bytes: &[u8]) -> usize {
        match self.stream.write(bytes) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, IoError> {
        let mut bytes = vec![0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(n) => {
                bytes.truncate(n);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn shutdown_write(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn reset(self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the option's value is a readable `linger` of the length that is passed.
        let set = unsafe {
            let (value, size) = (
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                value,
                size,
            )
        };
        assert_eq!(set, 0);
    }
}

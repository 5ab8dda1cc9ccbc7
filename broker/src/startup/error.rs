//! Why a broker did not start, each with what to do about it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A refusal to start. Its text is for the operator: what is wrong, then what to do.
#[derive(Debug)]
pub enum StartError {
    /// No listener, no core, a value that the machine cannot satisfy.
    Config(String),
    /// Another process has the address.
    AddressInUse(SocketAddr),
    /// The address cannot be bound for another reason.
    Listen { address: SocketAddr, reason: String },
    /// The kernel is older than the one that the ring needs.
    KernelTooOld { found: String, needed: &'static str },
    /// io_uring is switched off or filtered away.
    RingUnavailable(String),
    /// The data directory cannot be created, read, written or opened without the page cache.
    DataDir { path: PathBuf, reason: String },
    /// What lies in the data directory cannot be served (locked, newer format, damaged metadata log).
    Storage(String),
    /// A thread could not be started.
    Thread(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(what) => write!(f, "{what}"),
            StartError::AddressInUse(address) => write!(
                f,
                "{address} is in use by another process; stop it, or choose another address with --listen HOST:PORT"
            ),
            StartError::Listen { address, reason } => write!(
                f,
                "cannot listen on {address}: {reason}; choose an address of this host with --listen HOST:PORT"
            ),
            StartError::KernelTooOld { found, needed } => write!(
                f,
                "this kernel ({found}) is too old; Linux {needed} or newer is needed for its io_uring"
            ),
            StartError::RingUnavailable(reason) => write!(
                f,
                "io_uring cannot be used: {reason}; set kernel.io_uring_disabled=0 (sysctl), or in a container allow \
                 io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile"
            ),
            StartError::DataDir { path, reason } => {
                write!(
                    f,
                    "the data directory {} cannot be used: {reason}",
                    path.display()
                )
            }
            StartError::Storage(reason) => write!(f, "{reason}"),
            StartError::Thread(reason) => write!(f, "a thread could not be started: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

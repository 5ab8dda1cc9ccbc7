//! Why a broker did not start, each with what to do about it.

use std::fmt;
use std::net::SocketAddr;

use millstream_tuning::checks::CheckError;

/// A refusal to start. Its text is for the operator: what is wrong, then what to do.
#[derive(Debug)]
pub enum StartError {
    /// No listener, no core, a value that the machine cannot satisfy.
    Config(String),
    /// Another process has the address.
    AddressInUse(SocketAddr),
    /// The address cannot be bound for another reason.
    Listen { address: SocketAddr, reason: String },
    /// The host or the data directory lacks something.
    Host(CheckError),
    /// io_uring is switched off or filtered away.
    RingUnavailable(String),
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
            StartError::Host(error) => write!(f, "{error}"),
            StartError::RingUnavailable(reason) => write!(
                f,
                "io_uring cannot be used: {reason}; set kernel.io_uring_disabled=0 (sysctl), or in a container allow \
                 io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile"
            ),
            StartError::Storage(reason) => write!(f, "{reason}"),
            StartError::Thread(reason) => write!(f, "a thread could not be started: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

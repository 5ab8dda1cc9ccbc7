//! Start and stop of a broker process: configuration in, checks, storage, controller, shards, signals.
//! Invariants: nothing is served before the storage is replayed and an unclean start is recorded; every refusal to
//! start says what to do about it.

mod checks;
mod config;
mod error;
mod kernel;
mod memory;
pub mod metadata;
mod run;
mod running;
mod signals;

pub use config::{
    BrokerConfig, CoreSet, DEFAULT_NODE_ID, DEFAULT_PORT, FREE_SPACE_BYTES_MIN_DEFAULT, HostPort,
};
pub use error::StartError;
pub use run::run;

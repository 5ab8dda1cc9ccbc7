//! Millstream's broker: the shell around the machines, and the library behind the `millstream` binary.
//! One pinned thread per core turns completions of its ring into requests, decisions of the machines and new
//! submissions; a plain thread keeps the cluster's metadata.

#![deny(unsafe_code)]

pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod error;
pub mod limits;
pub mod partition;
pub mod server;
pub mod shard;
pub mod startup;
pub mod telemetry;

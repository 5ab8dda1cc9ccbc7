//! The controller: a plain thread that keeps the cluster's metadata and decides about it, never in a shard's way.

pub mod client;
pub mod command;
pub mod metadata_disk;
pub mod metadata_log;
pub mod thread;

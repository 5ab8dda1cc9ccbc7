//! The controller: a plain thread that keeps the cluster's metadata and decides about it, never in a shard's way.

pub mod metadata_log;

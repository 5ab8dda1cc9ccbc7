//! A shard: one core, one ring, the partitions and connections that it owns.
//! Invariant: everything of a shard is touched by its own thread only; other shards send it messages.

pub mod mailbox;
pub mod slab;
pub mod token;

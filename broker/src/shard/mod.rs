//! A shard: one core, one ring, the partitions and connections that it owns.
//! Invariant: everything of a shard is touched by its own thread only; other shards send it messages.

pub mod allocator;
pub mod budget;
pub mod calls;
pub mod client_metrics;
pub mod clock;
pub mod connection_limits;
pub mod counters;
pub mod health;
pub mod host;
mod image;
pub mod mailbox;
mod memory;
pub mod messages;
pub mod quotas;
mod shutdown;
pub mod slab;
mod sockets;
pub mod space;
pub mod state;
mod status;
pub mod table;
pub mod token;
pub mod turn;
pub mod watchdog;

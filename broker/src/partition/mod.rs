//! The partitions of a shard: the machines' decisions carried out over the storage's logs.
//! Place: works for requests of this shard's connections and for pieces that other shards sent, alike: the answer goes
//! to the call's origin.

pub mod fetch;
pub mod produce;
pub mod query;
mod record_search;
pub mod rules;
pub mod service;

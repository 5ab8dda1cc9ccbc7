//! The logs of a shard from outside: what they promise, and what a power cut leaves of it.

mod cold_reads;
mod common;
mod contract;
mod crash;
mod damage;
mod direct_writes;
mod failures;
mod fairness;
mod indexes;
mod lost_files;
mod memory;
mod newcomers;
mod rescue;
mod shards;

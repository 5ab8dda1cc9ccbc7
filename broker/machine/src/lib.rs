//! The broker's decisions as deterministic machines: metadata, configurations, produce and fetch checks,
//! consumer groups, parked requests, clients' metrics.
//!
//! Place: driven only by the broker's shell. Everything that comes from outside (moments, random ids, request
//! fields) is a parameter, and everything decided is a return value.
//!
//! Invariants: no clock, randomness, files or sockets; two runs over the same input decide the same; nothing
//! grows beyond a bound that its constructor is given.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod cluster;
pub mod config;
pub mod fetch_session;
pub mod group;
pub mod limits;
pub mod partition;
mod pattern;
pub mod purgatory;
pub mod quota;
pub mod telemetry;
#[cfg(test)]
mod testing;

//! The Kafka protocol's server: connections, order, one handler for each API.

pub mod connection;

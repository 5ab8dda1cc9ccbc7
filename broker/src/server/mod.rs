//! The Kafka protocol's server: connections, order, one handler for each API.

pub mod connection;
pub mod dispatch;
pub mod handlers;
pub mod reply;
mod throttle;

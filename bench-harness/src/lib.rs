//! Load generator and reports. It knows a broker only by its socket, and the log of one that it started.
#![forbid(unsafe_code)]

pub mod bare;
pub mod broker_status;
pub mod cli;
pub mod client;
pub mod command;
pub mod compare;
pub mod honesty;
pub mod host;
pub mod latency;
pub mod limits;
pub mod live;
pub mod page;
pub mod plot;
pub mod recorder;
pub mod report;
pub mod result;
pub mod scenario;
pub mod series;
pub mod server_series;
pub mod target;
pub mod wire;
pub mod workload;

//! Load generator and reports. It knows a broker only by its socket.
#![forbid(unsafe_code)]

pub mod client;
pub mod host;
pub mod limits;
pub mod recorder;

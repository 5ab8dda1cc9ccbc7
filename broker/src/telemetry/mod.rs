//! What the broker says about itself.

pub mod civil_time;
mod log_writer;
pub mod logging;

//! What the broker says about itself.

pub mod civil_time;
pub mod levels;
mod log_writer;
pub mod logging;

//! What the broker says about itself.

pub mod civil_time;
pub mod logging;

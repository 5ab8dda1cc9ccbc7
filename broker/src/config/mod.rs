//! Configuration: what the operator asked for, where each value came from, and one precedence.
//!
//! Place: read once at start by `cli::start` (and by the tools, to find a broker); the broker itself sees
//! only the finished `startup::BrokerConfig`.
//!
//! ```text
//! flag  >  environment (MILLSTREAM_…)  >  millstream.toml  >  default
//! ```
//!
//! Every source hands the same [`Raw`] values to the same parser (`effective`), so a setting means the same
//! thing wherever it is written, and a wrong one is refused with the place that it was written at.

mod address;
mod broker_config;
mod broker_settings;
mod cores;
mod effective;
mod error;
mod file;
mod key;
mod nearest;
mod print;
mod source;
pub mod units;

pub use address::Address;
pub use broker_config::ResolveError;
pub use broker_settings::resolve_units;
pub use effective::{Config, LogFormat, Setting};
pub use error::ConfigError;
pub use key::{KEYS, Key, KeySpec};
pub use nearest::nearest;
pub use source::{Raw, Source, Sources};

/// Where a configuration file is looked for when none is named; the first one that exists is read.
pub const SEARCH_PATH: [&str; 2] = ["millstream.toml", "/etc/millstream/millstream.toml"];

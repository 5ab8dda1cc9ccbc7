//! Configurations: what there is, what a text means, and which of several values counts.
//!
//! Place: `definition` says what a configuration is, `topic`, `broker`, `group` and `client_metrics` are the tables,
//! `lacking` names what Kafka has besides, `settings` holds what the broker was started with and `map` what was set
//! while it ran; `effective` decides among them, `topic_config` gives the result as numbers.

pub mod broker;
pub mod client_metrics;
pub mod definition;
pub mod effective;
pub mod group;
mod iso_duration;
pub mod lacking;
pub mod map;
pub mod settings;
pub mod topic;
pub mod topic_config;

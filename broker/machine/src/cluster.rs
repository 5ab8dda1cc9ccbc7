//! The cluster's metadata: records that say what happened, the image that they add up to, and the decisions
//! that make new ones.
//!
//! Place: the controller's thread decides on the image and makes the records durable; applied to the image
//! they are handed to every shard, which only reads.

pub mod alter_client_quotas;
pub mod alter_configs;
pub mod config_resource;
mod config_rules;
pub mod controller;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_topics;
pub mod group_configs;
pub mod image;
pub mod internal_topic;
pub mod record;
pub mod snapshot;
pub mod topic_name;

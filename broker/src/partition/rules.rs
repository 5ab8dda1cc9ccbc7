//! What a partition's configuration means for those who use it.

use millstream_log::LogConfig;
use millstream_machine::config::topic_config::TopicConfig;
use millstream_machine::partition::produce::ProduceRules;
use millstream_protocol::types::LeaderEpoch;

/// The rules of one partition, derived from the image.
#[derive(Clone, Debug)]
pub struct PartitionRules {
    pub leader_epoch: LeaderEpoch,
    /// The broker alone writes to it.
    pub internal: bool,
    pub topic: TopicConfig,
    pub produce: ProduceRules,
    pub log: LogConfig,
}

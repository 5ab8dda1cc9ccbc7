//! ElectLeaders: makes another replica of a partition its leader (KIP-460).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(ElectLeaders: ElectLeadersRequest<'a>, ElectLeadersResponse<'r>);

message! {
    pub struct ElectLeadersRequest<'a> {
        /// 0: the preferred replica; 1: any that lives, if none is in sync.
        election_type: i8 [1..],
        /// Null for all.
        topic_partitions: Option<Vec<TopicPartitions<'a>>> [0..],
        timeout_ms: i32 [0..] default(60_000),
    }
}

message! {
    pub struct TopicPartitions<'a> {
        topic: &'a str [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    pub struct ElectLeadersResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [1..],
        replica_election_results: Vec<ReplicaElectionResult<'a>> [0..],
    }
}

message! {
    pub struct ReplicaElectionResult<'a> {
        topic: &'a str [0..],
        partition_result: Vec<PartitionResult<'a>> [0..],
    }
}

message! {
    pub struct PartitionResult<'a> {
        partition_id: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
    }
}

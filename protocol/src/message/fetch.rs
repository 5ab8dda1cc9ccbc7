//! Fetch: records from partitions, within a session or without one (KIP-227). From version 13 on topics go by
//! id.

use alloc::vec::Vec;

use super::leader::{LeaderIdAndEpoch, NodeEndpoint};
use super::schema::{exchange, message};
use super::value::Records;
use crate::types::TopicId;

exchange!(Fetch: FetchRequest<'a>, FetchResponse<'r>);

message! {
    pub struct FetchRequest<'a> {
        /// Set by followers; a mismatch is refused.
        cluster_id: Option<&'a str> [12..] tag(0),
        /// -1 for a consumer; a follower in versions from 15 on is named by `replica_state`.
        replica_id: i32 [0..=14] default(-1),
        replica_state: ReplicaState [15..] tag(1),
        /// How long the broker may wait for `min_bytes`.
        max_wait_ms: i32 [0..],
        min_bytes: i32 [0..],
        /// Of records in the response; one batch may exceed it so that a reader always gets on.
        max_bytes: i32 [3..] default(i32::MAX),
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 [4..],
        /// 0 outside a session, and to ask for one.
        session_id: i32 [7..],
        /// -1: no session, or the end of one; 0: a new one; from 1 on the number of the request in its
        /// session.
        session_epoch: i32 [7..] default(-1),
        /// In a session only those that are new or changed.
        topics: Vec<FetchTopic<'a>> [0..],
        /// What the session is to drop.
        forgotten_topics_data: Vec<ForgottenTopic<'a>> [7..],
        /// The consumer's rack, to be sent to a near replica; empty for none.
        rack_id: &'a str [11..],
    }
}

message! {
    pub struct ReplicaState {
        replica_id: i32 [15..] default(-1),
        replica_epoch: i64 [15..] default(-1),
    }
}

message! {
    pub struct FetchTopic<'a> {
        topic: &'a str [0..=12],
        topic_id: TopicId [13..],
        partitions: Vec<FetchPartition> [0..],
    }
}

message! {
    pub struct FetchPartition {
        partition: i32 [0..],
        /// The epoch that the client knows of; -1 for none.
        current_leader_epoch: i32 [9..] default(-1),
        /// The first offset wanted.
        fetch_offset: i64 [0..],
        /// The epoch of the last record that was fetched, to find divergence; -1 for none.
        last_fetched_epoch: i32 [12..] default(-1),
        /// A follower's own log start; -1 from consumers.
        log_start_offset: i64 [5..] default(-1),
        partition_max_bytes: i32 [0..],
        /// The follower's log directory.
        replica_directory_id: TopicId [17..] tag(0),
        /// A follower's own high watermark.
        high_watermark: i64 [18..] default(i64::MAX) tag(1),
    }
}

message! {
    pub struct ForgottenTopic<'a> {
        topic: &'a str [7..=12],
        topic_id: TopicId [13..],
        partitions: Vec<i32> [7..],
    }
}

message! {
    pub struct FetchResponse<'a> {
        throttle_time_ms: i32 [1..],
        error_code: i16 [7..],
        /// 0 where there is no session.
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse<'a>> [0..],
        /// The addresses of the leaders that the partitions name.
        node_endpoints: Vec<NodeEndpoint<'a>> [16..] tag(0),
    }
}

message! {
    pub struct FetchableTopicResponse<'a> {
        topic: &'a str [0..=12],
        topic_id: TopicId [13..],
        partitions: Vec<PartitionData<'a>> [0..],
    }
}

message! {
    pub struct PartitionData<'a> {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        /// -1 after an error.
        high_watermark: i64 [0..],
        /// Below it all transactions are decided.
        last_stable_offset: i64 [4..] default(-1),
        log_start_offset: i64 [5..] default(-1),
        /// Where the client's log and this one part; set only if they do (KIP-320).
        diverging_epoch: EpochEndOffset [12..] tag(0),
        /// Where to turn to after NOT_LEADER_OR_FOLLOWER (KIP-951).
        current_leader: LeaderIdAndEpoch [12..] tag(1),
        /// For the cluster metadata log alone.
        snapshot_id: SnapshotId [12..] tag(2),
        /// Null for readers of uncommitted records.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4..],
        /// -1 for this one.
        preferred_read_replica: i32 [11..] default(-1),
        /// Whole batches; the first may begin before the offset asked for.
        records: Records<'a> [0..],
    }
}

message! {
    pub struct EpochEndOffset {
        epoch: i32 [12..] default(-1),
        end_offset: i64 [12..] default(-1),
    }
}

message! {
    pub struct SnapshotId {
        end_offset: i64 [0..] default(-1),
        epoch: i32 [0..] default(-1),
    }
}

message! {
    pub struct AbortedTransaction {
        producer_id: i64 [4..],
        first_offset: i64 [4..],
    }
}

//! From a frame to its handler: one look at the API table, nothing else.
//! Invariants: a version that is not served is answered where the client can read the answer, else the connection
//! closes; a body that does not decode closes its connection and nothing else.

use millstream_protocol::api::{self, ApiKey, ApiSpec};
use millstream_protocol::error::DecodeError;
use millstream_protocol::header::RequestHeader;
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::CorrelationId;
use millstream_ring::Slice;

use super::connection::pipeline::RequestSequence;
use super::handlers;
use super::reply::ReplyTo;
use crate::limits::REQUEST_ELEMENT_BYTES;
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// A request on its way to a handler.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub to: ReplyTo,
    /// The whole frame; record batches are borrowed from it.
    pub frame: &'a Slice,
    pub client_id: Option<&'a str>,
}

/// Decodes what is left of the frame and answers it, now or later.
pub type Handler = fn(&mut Shard, Request<'_>, &mut Reader<'_>) -> Result<(), DecodeError>;

/// Handles one frame of a connection.
pub fn dispatch(shard: &mut Shard, connection: Key, request: RequestSequence, frame: &Slice) {
    shard.counters.requests += 1;
    let routed = route(shard, connection, request, frame);
    shard.end_timing();
    if let Err(error) = routed {
        let peer = shard
            .connections
            .get(connection)
            .map(|connection| connection.peer);
        if let Some(peer) = peer {
            shard.complain(format_args!("closing {peer}: {error}"));
        }
        shard.abort(connection);
    }
}

fn route(
    shard: &mut Shard,
    connection: Key,
    request: RequestSequence,
    frame: &Slice,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame);
    let (key, version, correlation) = (reader.i16()?, reader.i16()?, CorrelationId::new(reader.i32()?));
    let spec = api::spec(key).ok_or(DecodeError::UnknownApi(key))?;
    let to = ReplyTo {
        connection,
        request,
        spec,
        version,
        correlation,
    };
    if !spec.serves(version) {
        return handlers::unsupported::handle(shard, to, frame);
    }
    let Some(handler) = handler(spec) else {
        return handlers::unsupported::handle(shard, to, frame);
    };
    // What an element takes, decoded and answered, is many times what it is on the wire.
    let elements = shard.options.memory_bytes / REQUEST_ELEMENT_BYTES;
    let mut reader = Reader::of_elements(frame, elements);
    let header = RequestHeader::decode(&mut reader)?;
    shard.note_client(connection, header.client_id);
    shard.begin_timing(to);
    handler(
        shard,
        Request {
            to,
            frame,
            client_id: header.client_id,
        },
        &mut reader,
    )
}

/// `None` for an API that the table has and that nobody handles yet: ApiVersions does not show it.
pub fn handler(spec: &ApiSpec) -> Option<Handler> {
    let handler: Handler = match spec.key {
        ApiKey::Produce => handlers::produce::handle,
        ApiKey::Fetch => handlers::fetch::handle,
        ApiKey::ListOffsets => handlers::list_offsets::handle,
        ApiKey::Metadata => handlers::metadata::handle,
        ApiKey::ApiVersions => handlers::api_versions::handle,
        ApiKey::CreateTopics => handlers::create_topics::handle,
        ApiKey::DeleteTopics => handlers::delete_topics::handle,
        ApiKey::DeleteRecords => handlers::delete_records::handle,
        ApiKey::InitProducerId => handlers::init_producer_id::handle,
        ApiKey::OffsetForLeaderEpoch => handlers::offset_for_leader_epoch::handle,
        ApiKey::DescribeConfigs => handlers::describe_configs::handle,
        ApiKey::AlterConfigs => handlers::alter_configs::handle,
        ApiKey::CreatePartitions => handlers::create_partitions::handle,
        ApiKey::IncrementalAlterConfigs => handlers::incremental_alter_configs::handle,
        ApiKey::DescribeCluster => handlers::describe_cluster::handle,
        ApiKey::OffsetCommit => handlers::offset_commit::handle,
        ApiKey::OffsetFetch => handlers::offset_fetch::handle,
        ApiKey::FindCoordinator => handlers::find_coordinator::handle,
        ApiKey::JoinGroup => handlers::join_group::handle,
        ApiKey::Heartbeat => handlers::heartbeat::handle,
        ApiKey::LeaveGroup => handlers::leave_group::handle,
        ApiKey::SyncGroup => handlers::sync_group::handle,
        ApiKey::DescribeGroups => handlers::describe_groups::handle,
        ApiKey::ListGroups => handlers::list_groups::handle,
        ApiKey::DeleteGroups => handlers::delete_groups::handle,
        ApiKey::OffsetDelete => handlers::offset_delete::handle,
        ApiKey::ConsumerGroupHeartbeat => handlers::consumer_group_heartbeat::handle,
        ApiKey::ConsumerGroupDescribe => handlers::consumer_group_describe::handle,
        ApiKey::AlterPartitionReassignments => handlers::alter_partition_reassignments::handle,
        ApiKey::DescribeLogDirs => handlers::describe_log_dirs::handle,
        ApiKey::DescribeProducers => handlers::describe_producers::handle,
        ApiKey::DescribeQuorum => handlers::describe_quorum::handle,
        ApiKey::DescribeTopicPartitions => handlers::describe_topic_partitions::handle,
        ApiKey::DescribeTransactions => handlers::describe_transactions::handle,
        ApiKey::DescribeUserScramCredentials => handlers::describe_user_scram_credentials::handle,
        ApiKey::ElectLeaders => handlers::elect_leaders::handle,
        ApiKey::ListConfigResources => handlers::list_config_resources::handle,
        ApiKey::ListPartitionReassignments => handlers::list_partition_reassignments::handle,
        ApiKey::UpdateFeatures => handlers::update_features::handle,
        ApiKey::DescribeClientQuotas => handlers::describe_client_quotas::handle,
        ApiKey::AlterClientQuotas => handlers::alter_client_quotas::handle,
        ApiKey::ListTransactions => handlers::list_transactions::handle,
        ApiKey::GetTelemetrySubscriptions => handlers::get_telemetry_subscriptions::handle,
        ApiKey::PushTelemetry => handlers::push_telemetry::handle,
    };
    Some(handler)
}

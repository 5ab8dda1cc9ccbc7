//! ListPartitionReassignments: with one broker nothing is ever on its way to another.

use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    ListPartitionReassignmentsRequest::decode(reader, request.to.version)?;
    shard.reply(request.to, &ListPartitionReassignmentsResponse::default());
    Ok(())
}

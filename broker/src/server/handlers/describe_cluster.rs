//! DescribeCluster: the brokers as this connection should see them.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use millstream_protocol::primitive::Reader;

use super::authorized;
use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeClusterRequest::decode(reader, request.to.version)?;
    let Some(advertised) = shard.advertised(request.to.connection) else {
        return Ok(());
    };
    let image = shard.image.clone();
    if body.endpoint_type != BROKERS {
        let error = match body.endpoint_type {
            CONTROLLERS => ErrorCode::MismatchedEndpointType,
            _ => ErrorCode::UnsupportedEndpointType,
        };
        let answer = DescribeClusterResponse {
            error_code: error as i16,
            error_message: Some("This address is a broker's: ask for brokers."),
            ..DescribeClusterResponse::default()
        };
        shard.reply(request.to, &answer);
        return Ok(());
    }
    let broker = DescribeClusterBroker {
        broker_id: shard.options.node_id,
        host: &advertised.host,
        port: i32::from(advertised.port),
        ..DescribeClusterBroker::default()
    };
    let answer = DescribeClusterResponse {
        cluster_id: image.cluster_id().unwrap_or_default(),
        controller_id: shard.options.node_id,
        brokers: vec![broker],
        cluster_authorized_operations: if body.include_cluster_authorized_operations {
            authorized::CLUSTER
        } else {
            authorized::NOT_ASKED
        },
        ..DescribeClusterResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

//! DescribeCluster: the brokers, for administration clients.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DescribeCluster: DescribeClusterRequest, DescribeClusterResponse<'r>);

message! {
    pub struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool [0..],
        /// 1: brokers; 2: controllers.
        endpoint_type: i8 [1..] default(1),
        include_fenced_brokers: bool [2..],
    }
}

message! {
    pub struct DescribeClusterResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        endpoint_type: i8 [1..] default(1),
        cluster_id: &'a str [0..],
        /// -1 where there is none.
        controller_id: i32 [0..] default(-1),
        brokers: Vec<DescribeClusterBroker<'a>> [0..],
        /// A bit set by operation; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 [0..] default(i32::MIN),
    }
}

message! {
    pub struct DescribeClusterBroker<'a> {
        broker_id: i32 [0..],
        host: &'a str [0..],
        port: i32 [0..],
        rack: Option<&'a str> [0..],
        is_fenced: bool [2..],
    }
}

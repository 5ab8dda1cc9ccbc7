//! ListConfigResources: what has configs. Version 0 asks for client metrics only (KIP-714), version 1 for any
//! type (KIP-1142).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(ListConfigResources: ListConfigResourcesRequest, ListConfigResourcesResponse<'r>);

message! {
    pub struct ListConfigResourcesRequest {
        /// Empty for all. The types are those of DescribeConfigs.
        resource_types: Vec<i8> [1..],
    }
}

message! {
    pub struct ListConfigResourcesResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        config_resources: Vec<ConfigResource<'a>> [0..],
    }
}

message! {
    pub struct ConfigResource<'a> {
        resource_name: &'a str [0..],
        resource_type: i8 [1..] default(16),
    }
}

//! IncrementalAlterConfigs: changes single configs of a resource (KIP-339).

use alloc::vec::Vec;

pub use super::alter_configs::AlterConfigsResourceResponse;
use super::schema::{exchange, message};

exchange!(IncrementalAlterConfigs: IncrementalAlterConfigsRequest<'a>, IncrementalAlterConfigsResponse<'r>);

message! {
    pub struct IncrementalAlterConfigsRequest<'a> {
        resources: Vec<AlterConfigsResource<'a>> [0..],
        /// Only checks.
        validate_only: bool [0..],
    }
}

message! {
    pub struct AlterConfigsResource<'a> {
        /// As in DescribeConfigs.
        resource_type: i8 [0..],
        resource_name: &'a str [0..],
        configs: Vec<AlterableConfig<'a>> [0..],
    }
}

message! {
    pub struct AlterableConfig<'a> {
        name: &'a str [0..],
        /// 0: set; 1: delete; 2: append to a list; 3: subtract from a list.
        config_operation: i8 [0..],
        value: Option<&'a str> [0..],
    }
}

message! {
    pub struct IncrementalAlterConfigsResponse<'a> {
        throttle_time_ms: i32 [0..],
        responses: Vec<AlterConfigsResourceResponse<'a>> [0..],
    }
}

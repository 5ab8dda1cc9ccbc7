//! DescribeConfigs: the configs of topics and brokers, and where each value comes from.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DescribeConfigs: DescribeConfigsRequest<'a>, DescribeConfigsResponse<'r>);

message! {
    pub struct DescribeConfigsRequest<'a> {
        resources: Vec<DescribeConfigsResource<'a>> [0..],
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }
}

message! {
    pub struct DescribeConfigsResource<'a> {
        /// 2: topic; 4: broker; 8: broker logger; 16: client metrics; 32: group.
        resource_type: i8 [0..],
        resource_name: &'a str [0..],
        /// Null for all.
        configuration_keys: Option<Vec<&'a str>> [0..],
    }
}

message! {
    pub struct DescribeConfigsResponse<'a> {
        throttle_time_ms: i32 [0..],
        results: Vec<DescribeConfigsResult<'a>> [0..],
    }
}

message! {
    pub struct DescribeConfigsResult<'a> {
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        resource_type: i8 [0..],
        resource_name: &'a str [0..],
        configs: Vec<DescribeConfigsResourceResult<'a>> [0..],
    }
}

message! {
    pub struct DescribeConfigsResourceResult<'a> {
        name: &'a str [0..],
        /// Null where it is sensitive or has none.
        value: Option<&'a str> [0..],
        read_only: bool [0..],
        /// 1: topic; 2: this broker, dynamic; 3: all brokers, dynamic; 4: configuration file; 5: default.
        config_source: i8 [1..] default(-1),
        is_sensitive: bool [0..],
        /// All the places that could give the value, the one that does first.
        synonyms: Vec<DescribeConfigsSynonym<'a>> [1..],
        /// 1: boolean; 2: string; 3: int; 4: short; 5: long; 6: double; 7: list; 8: class; 9: password.
        config_type: i8 [3..],
        documentation: Option<&'a str> [3..],
    }
}

message! {
    pub struct DescribeConfigsSynonym<'a> {
        name: &'a str [1..],
        value: Option<&'a str> [1..],
        source: i8 [1..],
    }
}

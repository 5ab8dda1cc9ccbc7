//! ApiVersions: what a broker speaks. The first request on a connection; a version that the broker does not
//! know is answered in version 0 (KIP-511), and the response header never has tagged fields.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(ApiVersions: ApiVersionsRequest<'a>, ApiVersionsResponse<'r>);

message! {
    pub struct ApiVersionsRequest<'a> {
        client_software_name: &'a str [3..],
        client_software_version: &'a str [3..],
    }
}

message! {
    pub struct ApiVersionsResponse<'a> {
        error_code: i16 [0..],
        api_keys: Vec<ApiVersion> [0..],
        throttle_time_ms: i32 [1..],
        supported_features: Vec<SupportedFeatureKey<'a>> [3..] tag(0),
        /// -1 where it is unknown.
        finalized_features_epoch: i64 [3..] default(-1) tag(1),
        finalized_features: Vec<FinalizedFeatureKey<'a>> [3..] tag(2),
        /// Meaningless since Kafka 4.
        zk_migration_ready: bool [3..] tag(3),
    }
}

message! {
    pub struct ApiVersion {
        api_key: i16 [0..],
        /// Inclusive.
        min_version: i16 [0..],
        /// Inclusive.
        max_version: i16 [0..],
    }
}

message! {
    pub struct SupportedFeatureKey<'a> {
        name: &'a str [3..],
        min_version: i16 [3..],
        max_version: i16 [3..],
    }
}

message! {
    pub struct FinalizedFeatureKey<'a> {
        name: &'a str [3..],
        max_version_level: i16 [3..],
        min_version_level: i16 [3..],
    }
}

//! UpdateFeatures: moves the levels of features that the whole cluster has agreed on (KIP-584).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(UpdateFeatures: UpdateFeaturesRequest<'a>, UpdateFeaturesResponse<'r>);

message! {
    pub struct UpdateFeaturesRequest<'a> {
        timeout_ms: i32 [0..] default(60_000),
        feature_updates: Vec<FeatureUpdateKey<'a>> [0..],
        validate_only: bool [1..],
    }
}

message! {
    pub struct FeatureUpdateKey<'a> {
        feature: &'a str [0..],
        /// 0 takes the feature back.
        max_version_level: i16 [0..],
        allow_downgrade: bool [0..=0],
        /// 1: only up; 2: down as far as nothing is lost; 3: down in any case.
        upgrade_type: i8 [1..] default(1),
    }
}

message! {
    pub struct UpdateFeaturesResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        results: Vec<UpdatableFeatureResult<'a>> [0..=1],
    }
}

message! {
    pub struct UpdatableFeatureResult<'a> {
        feature: &'a str [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
    }
}

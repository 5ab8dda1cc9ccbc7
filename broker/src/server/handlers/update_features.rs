//! UpdateFeatures: the levels of the features that the cluster has are those that it was made with, so that they can be
//! confirmed and not moved.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use millstream_protocol::primitive::Reader;

use super::features::{FEATURES, Feature};
use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let version = request.to.version;
    let body = UpdateFeaturesRequest::decode(reader, version)?;
    let refused = body
        .feature_updates
        .iter()
        .find_map(|update| decide(update, version).err());
    let (error, message) = match &refused {
        Some((error, message)) => (*error, message.as_str()),
        None => (ErrorCode::None, ""),
    };
    // All or none: where one is refused, there is nothing to say of each.
    let done = body
        .feature_updates
        .iter()
        .filter(|_| refused.is_none() && version < ONE_ANSWER_SINCE);
    let results = done.map(|update| UpdatableFeatureResult {
        feature: update.feature,
        error_code: ErrorCode::None as i16,
        error_message: Some("It is at this level."),
    });
    let answer = UpdateFeaturesResponse {
        error_code: error as i16,
        error_message: Some(message),
        results: results.collect(),
        ..UpdateFeaturesResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

fn decide(update: &FeatureUpdateKey<'_>, version: i16) -> Result<(), (ErrorCode, String)> {
    let name = update.feature;
    let level = update.max_version_level;
    let invalid = |message| Err((ErrorCode::InvalidUpdateVersion, message));
    if version >= TYPES_SINCE && !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&update.upgrade_type) {
        return invalid(format!("`{}` is no kind of update.", update.upgrade_type));
    }
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
        return invalid(format!("This broker has no feature `{name}`."));
    };
    let Feature { min, max, .. } = *feature;
    if !(min..=max).contains(&level) {
        return invalid(format!("`{name}` has the levels {min} to {max}."));
    }
    if level < max {
        let message =
            format!("`{name}` is always at level {max}: what it stands for cannot be switched off.");
        return invalid(message);
    }
    Ok(())
}

/// From this version on each update has a type.
const TYPES_SINCE: i16 = 1;
/// From this version on there is one answer to all updates.
const ONE_ANSWER_SINCE: i16 = 2;
const UPGRADE: i8 = 1;
const UNSAFE_DOWNGRADE: i8 = 3;

//! What the cluster has of the features that Kafka counts levels of. It has always had them: their level is the
//! highest.
//!
//! Of Kafka's others there are none: `metadata.version` and `kraft.version` are about how Kafka writes its metadata,
//! and transactions, share groups and streams groups are not there yet.

use millstream_protocol::message::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub name: &'static str,
    /// Inclusive.
    pub min: i16,
    /// Inclusive, and the level that holds.
    pub max: i16,
}

pub const FEATURES: [Feature; 1] = [
    // Groups of the consumer protocol (KIP-848).
    Feature {
        name: "group.version",
        min: 0,
        max: 1,
    },
];

/// As ApiVersions says what could be, in a version of it: those up to 3 could not tell a level of 0.
pub fn supported(version: i16) -> Vec<SupportedFeatureKey<'static>> {
    let told = FEATURES
        .iter()
        .filter(|feature| feature.min > 0 || version >= LEVEL_0_SINCE);
    told.map(|feature| SupportedFeatureKey {
        name: feature.name,
        min_version: feature.min,
        max_version: feature.max,
    })
    .collect()
}

/// As ApiVersions says what holds.
pub fn finalized() -> Vec<FinalizedFeatureKey<'static>> {
    FEATURES
        .iter()
        .map(|feature| FinalizedFeatureKey {
            name: feature.name,
            max_version_level: feature.max,
            min_version_level: feature.max,
        })
        .collect()
}

/// The levels were agreed on once, when the cluster was made.
pub const FEATURES_EPOCH: i64 = 0;
const LEVEL_0_SINCE: i16 = 4;

//! The API table: which requests there are, in which versions, and what decoding one may cost.
//!
//! It is the one source for ApiVersions, the decoder's gate, dispatch and the tests.

/// A request's key. Only APIs that the broker serves are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    DescribeLogDirs = 35,
    CreatePartitions = 37,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    AlterClientQuotas = 49,
    DescribeUserScramCredentials = 50,
    DescribeQuorum = 55,
    UpdateFeatures = 57,
    DescribeCluster = 60,
    DescribeProducers = 61,
    DescribeTransactions = 65,
    ListTransactions = 66,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
}

/// One API's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiSpec {
    pub key: ApiKey,
    /// As Kafka's documentation calls it.
    pub name: &'static str,
    /// The lowest version that is served, inclusive.
    pub min: i16,
    /// The highest version that is served, inclusive.
    pub max: i16,
    /// The first version with compact lengths, tagged fields and the longer headers.
    pub flexible_from: i16,
    /// The lowest version that ApiVersions claims. Produce claims more than it serves: librdkafka before 2.11
    /// derives compression and idempotence from versions 0 to 2 being in the range, and then uses later ones.
    /// What is claimed and not served is answered with UNSUPPORTED_VERSION.
    pub advertised_min: i16,
    /// How many bytes of memory decoding a request takes at most for each byte of its frame, the frame not
    /// included.
    pub cost: usize,
}

impl ApiSpec {
    /// Whether requests of this version are served.
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether ApiVersions claims this version. Its messages are read and written: a request that is not served
    /// is answered all the same.
    pub const fn claims(&self, version: i16) -> bool {
        self.advertised_min <= version && version <= self.max
    }

    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

/// The row of a key; `None` for a key that is not served.
pub fn spec(key: i16) -> Option<&'static ApiSpec> {
    API_TABLE
        .binary_search_by_key(&key, |spec| spec.key as i16)
        .ok()
        .map(|index| &API_TABLE[index])
}

impl ApiKey {
    pub const fn code(self) -> i16 {
        self as i16
    }

    pub fn from_code(code: i16) -> Option<ApiKey> {
        spec(code).map(|spec| spec.key)
    }

    pub fn spec(self) -> &'static ApiSpec {
        spec(self.code()).expect("every key has a row")
    }
}

/// All APIs, by key.
pub const API_TABLE: &[ApiSpec] = &[
    ApiSpec {
        advertised_min: 0,
        ..row(ApiKey::Produce, "Produce", 3, 13, 9)
    },
    row(ApiKey::Fetch, "Fetch", 4, 18, 12),
    row(ApiKey::ListOffsets, "ListOffsets", 1, 11, 6),
    row(ApiKey::Metadata, "Metadata", 0, 13, 9),
    row(ApiKey::OffsetCommit, "OffsetCommit", 2, 10, 8),
    ApiSpec {
        // In version 8 a group with nothing but lengths takes three bytes, decoded 64.
        cost: 22,
        ..row(ApiKey::OffsetFetch, "OffsetFetch", 1, 10, 6)
    },
    row(ApiKey::FindCoordinator, "FindCoordinator", 0, 6, 3),
    row(ApiKey::JoinGroup, "JoinGroup", 0, 9, 6),
    row(ApiKey::Heartbeat, "Heartbeat", 0, 4, 4),
    row(ApiKey::LeaveGroup, "LeaveGroup", 0, 5, 4),
    row(ApiKey::SyncGroup, "SyncGroup", 0, 5, 4),
    row(ApiKey::DescribeGroups, "DescribeGroups", 0, 6, 5),
    ApiSpec {
        // In version 3 a listed group with nothing but lengths takes three bytes, decoded 64.
        cost: 22,
        ..row(ApiKey::ListGroups, "ListGroups", 0, 5, 3)
    },
    row(ApiKey::ApiVersions, "ApiVersions", 0, 4, 3),
    row(ApiKey::CreateTopics, "CreateTopics", 2, 7, 5),
    row(ApiKey::DeleteTopics, "DeleteTopics", 1, 6, 4),
    row(ApiKey::DeleteRecords, "DeleteRecords", 0, 2, 2),
    row(ApiKey::InitProducerId, "InitProducerId", 0, 5, 2),
    row(ApiKey::OffsetForLeaderEpoch, "OffsetForLeaderEpoch", 2, 4, 4),
    row(ApiKey::DescribeConfigs, "DescribeConfigs", 1, 4, 4),
    row(ApiKey::AlterConfigs, "AlterConfigs", 0, 2, 2),
    row(ApiKey::DescribeLogDirs, "DescribeLogDirs", 1, 5, 2),
    row(ApiKey::CreatePartitions, "CreatePartitions", 0, 3, 2),
    row(ApiKey::DeleteGroups, "DeleteGroups", 0, 2, 2),
    row(ApiKey::ElectLeaders, "ElectLeaders", 0, 2, 2),
    row(
        ApiKey::IncrementalAlterConfigs,
        "IncrementalAlterConfigs",
        0,
        1,
        1,
    ),
    row(
        ApiKey::AlterPartitionReassignments,
        "AlterPartitionReassignments",
        0,
        1,
        0,
    ),
    row(
        ApiKey::ListPartitionReassignments,
        "ListPartitionReassignments",
        0,
        0,
        0,
    ),
    row(ApiKey::OffsetDelete, "OffsetDelete", 0, 0, NEVER),
    row(ApiKey::DescribeClientQuotas, "DescribeClientQuotas", 0, 1, 1),
    row(ApiKey::AlterClientQuotas, "AlterClientQuotas", 0, 1, 1),
    row(
        ApiKey::DescribeUserScramCredentials,
        "DescribeUserScramCredentials",
        0,
        0,
        0,
    ),
    row(ApiKey::DescribeQuorum, "DescribeQuorum", 0, 2, 0),
    row(ApiKey::UpdateFeatures, "UpdateFeatures", 0, 2, 0),
    row(ApiKey::DescribeCluster, "DescribeCluster", 0, 2, 0),
    row(ApiKey::DescribeProducers, "DescribeProducers", 0, 0, 0),
    row(ApiKey::DescribeTransactions, "DescribeTransactions", 0, 0, 0),
    row(ApiKey::ListTransactions, "ListTransactions", 0, 2, 0),
    row(ApiKey::ConsumerGroupHeartbeat, "ConsumerGroupHeartbeat", 0, 1, 0),
    row(ApiKey::ConsumerGroupDescribe, "ConsumerGroupDescribe", 0, 1, 0),
    row(
        ApiKey::GetTelemetrySubscriptions,
        "GetTelemetrySubscriptions",
        0,
        0,
        0,
    ),
    row(ApiKey::PushTelemetry, "PushTelemetry", 0, 0, 0),
    row(ApiKey::ListConfigResources, "ListConfigResources", 0, 1, 0),
    row(
        ApiKey::DescribeTopicPartitions,
        "DescribeTopicPartitions",
        0,
        0,
        0,
    ),
];

/// For an API that has no flexible version.
const NEVER: i16 = i16::MAX;

const fn row(key: ApiKey, name: &'static str, min: i16, max: i16, flexible_from: i16) -> ApiSpec {
    ApiSpec {
        key,
        name,
        min,
        max,
        flexible_from,
        advertised_min: min,
        cost: 20,
    }
}

const _: () = {
    let mut index = 1;
    while index < API_TABLE.len() {
        assert!(
            (API_TABLE[index - 1].key as i16) < API_TABLE[index].key as i16,
            "the table is sorted by key"
        );
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_key() {
        for row in API_TABLE {
            assert_eq!(spec(row.key.code()), Some(row));
            assert!(row.min <= row.max && row.advertised_min <= row.min);
        }
        assert_eq!(spec(4), None);
        assert_eq!(spec(-1), None);
    }
}

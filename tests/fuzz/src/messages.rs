//! One door to all messages: from an API and a direction to the type.

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::*;
use std::fmt::Debug;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Request,
    Response,
}

/// What to do with bytes once the type of their message is known.
pub trait Visitor {
    type Output;

    fn visit<'a, M: Decode<'a> + Encode + Debug + Default>(
        self,
        bytes: &'a [u8],
        version: i16,
    ) -> Self::Output;
}

/// The one list of messages: hands `Api: Request, Response;` of every API to the macro `$then`, which finds the
/// types of these names wherever it is used.
#[macro_export]
macro_rules! every_api {
    ($then:ident) => {
        $then! {
            Produce: ProduceRequest, ProduceResponse;
            Fetch: FetchRequest, FetchResponse;
            ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
            Metadata: MetadataRequest, MetadataResponse;
            OffsetCommit: OffsetCommitRequest, OffsetCommitResponse;
            OffsetFetch: OffsetFetchRequest, OffsetFetchResponse;
            FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse;
            JoinGroup: JoinGroupRequest, JoinGroupResponse;
            Heartbeat: HeartbeatRequest, HeartbeatResponse;
            LeaveGroup: LeaveGroupRequest, LeaveGroupResponse;
            SyncGroup: SyncGroupRequest, SyncGroupResponse;
            DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse;
            ListGroups: ListGroupsRequest, ListGroupsResponse;
            ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
            CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
            DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
            DeleteRecords: DeleteRecordsRequest, DeleteRecordsResponse;
            InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
            OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
            DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
            AlterConfigs: AlterConfigsRequest, AlterConfigsResponse;
            DescribeLogDirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
            CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse;
            DeleteGroups: DeleteGroupsRequest, DeleteGroupsResponse;
            ElectLeaders: ElectLeadersRequest, ElectLeadersResponse;
            IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
            AlterPartitionReassignments: AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
            ListPartitionReassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
            OffsetDelete: OffsetDeleteRequest, OffsetDeleteResponse;
            DescribeClientQuotas: DescribeClientQuotasRequest, DescribeClientQuotasResponse;
            AlterClientQuotas: AlterClientQuotasRequest, AlterClientQuotasResponse;
            DescribeUserScramCredentials: DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
            DescribeQuorum: DescribeQuorumRequest, DescribeQuorumResponse;
            UpdateFeatures: UpdateFeaturesRequest, UpdateFeaturesResponse;
            DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
            DescribeProducers: DescribeProducersRequest, DescribeProducersResponse;
            DescribeTransactions: DescribeTransactionsRequest, DescribeTransactionsResponse;
            ListTransactions: ListTransactionsRequest, ListTransactionsResponse;
            ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
            ConsumerGroupDescribe: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
            GetTelemetrySubscriptions: GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
            PushTelemetry: PushTelemetryRequest, PushTelemetryResponse;
            ListConfigResources: ListConfigResourcesRequest, ListConfigResourcesResponse;
            DescribeTopicPartitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
        }
    };
}

/// The one list of what carries its version: hands the names of the types to the macro `$then`.
#[macro_export]
macro_rules! every_datum {
    ($then:ident) => {
        $then! {
            ConsumerProtocolSubscription ConsumerProtocolAssignment LegacyOffsetCommitValue OffsetCommitValue
            GroupMetadataValue ConsumerGroupMetadataValue ConsumerGroupPartitionMetadataValue
            ConsumerGroupMemberMetadataValue ConsumerGroupTargetAssignmentMetadataValue
            ConsumerGroupTargetAssignmentMemberValue ConsumerGroupCurrentMemberAssignmentValue
            ConsumerGroupRegularExpressionValue
        }
    };
}

/// Hands `bytes` to the visitor as the message that `api` and `direction` name.
pub fn with_message<V: Visitor>(
    api: ApiKey,
    direction: Direction,
    bytes: &[u8],
    version: i16,
    visitor: V,
) -> V::Output {
    macro_rules! dispatch {
        ($($api:ident: $request:ident, $response:ident;)*) => {
            match (api, direction) {
                $(
                    (ApiKey::$api, Direction::Request) => visitor.visit::<$request>(bytes, version),
                    (ApiKey::$api, Direction::Response) => visitor.visit::<$response>(bytes, version),
                )*
            }
        };
    }
    every_api!(dispatch)
}

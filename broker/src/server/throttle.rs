//! Where answers say how long their client has to wait: `throttle_time_ms`, which begins most of them.

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::EncodeError;
use millstream_protocol::message::Encode;
use millstream_protocol::primitive::Writer;

/// An answer with another `throttle_time_ms` than it would have by itself.
#[derive(Debug)]
pub struct Throttled<'a, B> {
    pub body: &'a B,
    pub throttle_time_ms: i32,
    /// Where it stands; `None` for an answer that does not say it, or has said it.
    pub at: Option<usize>,
}

impl<B: Encode> Encode for Throttled<'_, B> {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let Some(at) = self.at else {
            return self.body.encode(w, version);
        };
        let mut alone = Writer::new();
        self.body.encode(&mut alone, version)?;
        assert!(
            alone.splices().is_empty(),
            "answers with records say it themselves"
        );
        let bytes = alone.bytes();
        w.raw(&bytes[..at]);
        w.i32(self.throttle_time_ms);
        w.raw(&bytes[at + THROTTLE_BYTES..]);
        Ok(())
    }
}

/// Where an answer's `throttle_time_ms` stands; `None` for one that has none, or another's place for it.
pub fn place(api: ApiKey, version: i16) -> Option<usize> {
    let (at, since) = match api {
        // After what they are about: their handlers say it.
        ApiKey::Produce | ApiKey::Fetch | ApiKey::ApiVersions => return None,
        ApiKey::DescribeQuorum => return None,
        ApiKey::OffsetDelete => (ERROR_CODE_BYTES, 0),
        ApiKey::Metadata | ApiKey::OffsetCommit | ApiKey::OffsetFetch => (0, 3),
        ApiKey::CreateTopics | ApiKey::JoinGroup | ApiKey::ListOffsets | ApiKey::OffsetForLeaderEpoch => {
            (0, 2)
        }
        ApiKey::DeleteTopics
        | ApiKey::DescribeGroups
        | ApiKey::FindCoordinator
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::ListGroups
        | ApiKey::SyncGroup => (0, 1),
        _ => (0, 0),
    };
    (version >= since).then_some(at)
}

const THROTTLE_BYTES: usize = 4;
const ERROR_CODE_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use millstream_protocol::api::API_TABLE;
    use millstream_protocol::message::*;
    use millstream_protocol::primitive::Reader;

    use super::*;

    /// Asks of an API's answers in all versions that can be encoded as they are by default; gives the API back.
    fn check<R: Request>() -> ApiKey
    where
        for<'r> R::Response<'r>: Encode + Default + Debug,
    {
        let spec = R::API.spec();
        let mut checked = 0;
        for version in spec.min..=spec.max {
            let encoded = |throttle_time_ms, at| {
                let throttled = Throttled {
                    body: &R::Response::default(),
                    throttle_time_ms,
                    at,
                };
                let mut writer = Writer::new();
                throttled.encode(&mut writer, version).ok()?;
                let bytes = writer.into_parts().0;
                let told = R::Response::decode(&mut Reader::new(&bytes), version);
                Some(format!("{:?}", told.expect("it can be decoded")))
            };
            let at = place(R::API, version);
            let Some(plain) = encoded(0, None) else { continue };
            let expected = match at {
                Some(_) => plain.replacen("throttle_time_ms: 0", "throttle_time_ms: 77", 1),
                None => plain.clone(),
            };
            assert_eq!(expected != plain, at.is_some(), "{} {version} says it", spec.name);
            assert_eq!(encoded(77, at), Some(expected), "{} {version}", spec.name);
            checked += 1;
        }
        assert!(checked > 0, "{}", spec.name);
        R::API
    }

    macro_rules! every {
        ($($request:ident),* $(,)?) => {
            [$(check::<$request>()),*]
        };
    }

    #[test]
    fn the_wait_is_put_where_it_belongs_and_nowhere_else() {
        let seen = every![
            AlterClientQuotasRequest,
            AlterConfigsRequest,
            AlterPartitionReassignmentsRequest,
            ApiVersionsRequest,
            ConsumerGroupDescribeRequest,
            ConsumerGroupHeartbeatRequest,
            CreatePartitionsRequest,
            CreateTopicsRequest,
            DeleteGroupsRequest,
            DeleteRecordsRequest,
            DeleteTopicsRequest,
            DescribeClientQuotasRequest,
            DescribeClusterRequest,
            DescribeConfigsRequest,
            DescribeGroupsRequest,
            DescribeLogDirsRequest,
            DescribeProducersRequest,
            DescribeQuorumRequest,
            DescribeTopicPartitionsRequest,
            DescribeTransactionsRequest,
            DescribeUserScramCredentialsRequest,
            ElectLeadersRequest,
            FetchRequest,
            FindCoordinatorRequest,
            GetTelemetrySubscriptionsRequest,
            HeartbeatRequest,
            IncrementalAlterConfigsRequest,
            InitProducerIdRequest,
            JoinGroupRequest,
            LeaveGroupRequest,
            ListConfigResourcesRequest,
            ListGroupsRequest,
            ListOffsetsRequest,
            ListPartitionReassignmentsRequest,
            ListTransactionsRequest,
            MetadataRequest,
            OffsetCommitRequest,
            OffsetDeleteRequest,
            OffsetFetchRequest,
            OffsetForLeaderEpochRequest,
            ProduceRequest,
            PushTelemetryRequest,
            SyncGroupRequest,
            UpdateFeaturesRequest,
        ];
        let missing = API_TABLE.iter().find(|spec| !seen.contains(&spec.key));
        assert_eq!(missing, None);
    }
}

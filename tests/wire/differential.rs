//! Our messages against those of the `kafka-protocol` crate: what we write, it reads and writes back
//! unchanged.
//!
//! Golden bytes are mutated at random; what still decodes is a message that nobody chose. The crate sees only
//! what we encode of it, as it takes whatever memory a count on the wire asks for.

use millstream_fuzz::golden;
use millstream_fuzz::messages::Direction;
use millstream_fuzz::random::Random;
use millstream_protocol::api::ApiKey;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message};

const ROUNDS: usize = 400;

#[test]
fn the_crate_agrees_with_us() {
    let mut random = Random::new(11);
    let (mut compared, mut skipped) = (0, 0);
    for golden in golden::load() {
        let (key, direction, version) = (golden.spec.key, golden.direction, golden.version);
        for round in 0..ROUNDS {
            let body = if round == 0 {
                golden.bytes.clone()
            } else {
                random.mutate(&golden.bytes)
            };
            let Some(ours) = millstream_fuzz::recode(golden.spec, direction, version, &body) else {
                continue;
            };
            match theirs(key, direction, version, &ours) {
                Some(theirs) => {
                    compared += 1;
                    assert_eq!(theirs, ours, "{} {direction:?} {version}", golden.spec.name);
                }
                None => skipped += 1,
            }
        }
    }
    assert!(
        compared > 10_000,
        "only {compared} messages were compared, {skipped} skipped"
    );
    assert!(
        skipped < compared / 10,
        "{skipped} messages are of versions that the crate lacks"
    );
}

/// What the crate makes of a message; `None` for a version that it does not have.
fn theirs(key: ApiKey, direction: Direction, version: i16, bytes: &[u8]) -> Option<Vec<u8>> {
    macro_rules! dispatch {
        ($($api:ident: $request:ty, $response:ty;)*) => {
            match (key, direction) {
                $(
                    (ApiKey::$api, Direction::Request) => recode::<$request>(version, bytes),
                    (ApiKey::$api, Direction::Response) => recode::<$response>(version, bytes),
                )*
            }
        };
    }
    dispatch! {
        Produce: ProduceRequest, ProduceResponse;
        Fetch: FetchRequest, FetchResponse;
        ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
        Metadata: MetadataRequest, MetadataResponse;
        ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
        CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
        DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
        DeleteRecords: DeleteRecordsRequest, DeleteRecordsResponse;
        InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
        OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
        DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
        AlterConfigs: AlterConfigsRequest, AlterConfigsResponse;
        CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse;
        IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
        DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
    }
}

fn recode<M: Decodable + Encodable + Message>(version: i16, bytes: &[u8]) -> Option<Vec<u8>> {
    if version < M::VERSIONS.min || version > M::VERSIONS.max {
        return None;
    }
    let mut rest = Bytes::copy_from_slice(bytes);
    let message = M::decode(&mut rest, version).expect("the crate reads what we write");
    assert!(rest.is_empty(), "the crate leaves {} bytes", rest.len());
    let mut encoded = BytesMut::new();
    message
        .encode(&mut encoded, version)
        .expect("the crate writes what it read");
    Some(encoded.to_vec())
}

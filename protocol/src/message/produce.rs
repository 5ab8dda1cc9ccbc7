//! Produce: batches of records for partitions that this broker leads. Versions below 3 carried older record
//! formats: they are read to be refused in their own form. From version 13 on topics go by id.

use alloc::vec::Vec;

use super::leader::{LeaderIdAndEpoch, NodeEndpoint};
use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(Produce: ProduceRequest<'a>, ProduceResponse<'r>);

message! {
    pub struct ProduceRequest<'a> {
        /// Null outside transactions.
        transactional_id: Option<&'a str> [3..],
        /// 0: none, and no response at all; 1: the leader; -1: all in-sync replicas.
        acks: i16 [0..],
        /// How long the broker may wait for replicas before it answers REQUEST_TIMED_OUT.
        timeout_ms: i32 [0..],
        topic_data: Vec<TopicProduceData<'a>> [0..],
    }
}

message! {
    pub struct TopicProduceData<'a> {
        name: &'a str [0..=12],
        topic_id: TopicId [13..],
        partition_data: Vec<PartitionProduceData<'a>> [0..],
    }
}

message! {
    pub struct PartitionProduceData<'a> {
        index: i32 [0..],
        /// One batch, as it is to be stored. In versions 0 and 1 a message set, which nobody looks into.
        records: Option<&'a [u8]> [0..],
    }
}

message! {
    pub struct ProduceResponse<'a> {
        responses: Vec<TopicProduceResponse<'a>> [0..],
        throttle_time_ms: i32 [1..],
        /// The addresses of the leaders that the partitions name.
        node_endpoints: Vec<NodeEndpoint<'a>> [10..] tag(0),
    }
}

message! {
    pub struct TopicProduceResponse<'a> {
        name: &'a str [0..=12],
        topic_id: TopicId [13..],
        partition_responses: Vec<PartitionProduceResponse<'a>> [0..],
    }
}

message! {
    pub struct PartitionProduceResponse<'a> {
        index: i32 [0..],
        error_code: i16 [0..],
        /// The first record's offset; -1 after an error.
        base_offset: i64 [0..],
        /// The time of append where it replaced the records' own; else -1.
        log_append_time_ms: i64 [2..] default(-1),
        log_start_offset: i64 [5..] default(-1),
        /// The records for which the whole batch was refused.
        record_errors: Vec<BatchIndexAndErrorMessage<'a>> [8..],
        error_message: Option<&'a str> [8..],
        /// Where to turn to after NOT_LEADER_OR_FOLLOWER (KIP-951).
        current_leader: LeaderIdAndEpoch [10..] tag(0),
    }
}

message! {
    pub struct BatchIndexAndErrorMessage<'a> {
        /// The record's place in the batch, from 0.
        batch_index: i32 [8..],
        batch_index_error_message: Option<&'a str> [8..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Decode, Encode};
    use crate::primitive::{Reader, Writer};

    /// Kafka's classes no longer have these versions: the bytes are written by hand, after Kafka 3.9's schemas.
    #[test]
    fn versions_0_to_2_are_read_and_answered_in_their_own_form() {
        let request = [
            &[0xff, 0xff, 0, 0, 0x03, 0xe8][..],   // acks -1, 1000 ms
            &[0, 0, 0, 1, 0, 1, b't'],             // one topic
            &[0, 0, 0, 2],                         // two partitions
            &[0, 0, 0, 7, 0, 0, 0, 3, 1, 2, 3],    // 7, three bytes
            &[0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff], // 8, null
        ]
        .concat();
        let partition = |index: u8, time: &[u8]| {
            let fixed = [
                0, 0, 0, index, 0, 35, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ];
            [&fixed[..], time].concat()
        };
        let (throttle, append_time) = ([0; 4], [0xff; 8]);
        for (version, time, tail) in [
            (0, &[][..], &[][..]),
            (1, &[], &throttle),
            (2, &append_time, &throttle),
        ] {
            let mut reader = Reader::new(&request);
            let read = ProduceRequest::decode(&mut reader, version).expect("a request");
            reader.finish().expect("nothing is left");
            assert_eq!((read.acks, read.timeout_ms), (-1, 1000));
            let partitions = &read.topic_data[0].partition_data;
            assert_eq!((read.topic_data[0].name, partitions.len()), ("t", 2));
            assert_eq!(
                (partitions[0].index, partitions[0].records),
                (7, Some(&[1, 2, 3][..]))
            );
            assert_eq!((partitions[1].index, partitions[1].records), (8, None));

            let refused = |index| PartitionProduceResponse {
                index,
                error_code: 35,
                base_offset: -1,
                ..PartitionProduceResponse::default()
            };
            let response = ProduceResponse {
                responses: alloc::vec![TopicProduceResponse {
                    name: "t",
                    partition_responses: alloc::vec![refused(7), refused(8)],
                    ..TopicProduceResponse::default()
                }],
                ..ProduceResponse::default()
            };
            let mut writer = Writer::new();
            response.encode(&mut writer, version).expect("a response");
            let head = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2];
            let expected = [&head[..], &partition(7, time), &partition(8, time), tail].concat();
            assert_eq!(writer.bytes(), expected, "version {version}");
        }
    }
}

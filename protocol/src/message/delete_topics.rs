//! DeleteTopics: by name, and from version 6 on by id as well.

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(DeleteTopics: DeleteTopicsRequest<'a>, DeleteTopicsResponse<'r>);

message! {
    pub struct DeleteTopicsRequest<'a> {
        topics: Vec<DeleteTopicState<'a>> [6..],
        topic_names: Vec<&'a str> [0..=5],
        timeout_ms: i32 [0..],
    }
}

message! {
    pub struct DeleteTopicState<'a> {
        /// Null where the id is given.
        name: Option<&'a str> [6..],
        /// Zero where the name is given.
        topic_id: TopicId [6..],
    }
}

message! {
    pub struct DeleteTopicsResponse<'a> {
        throttle_time_ms: i32 [1..],
        responses: Vec<DeletableTopicResult<'a>> [0..],
    }
}

message! {
    pub struct DeletableTopicResult<'a> {
        /// Null for an id that is not known.
        name: Option<&'a str> [0..] nullable(6..),
        topic_id: TopicId [6..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [5..],
    }
}

//! DescribeTopicPartitions: topics and their partitions, as many as a page holds, and where the next page begins.

use std::collections::BTreeSet;

use millstream_machine::cluster::image::{ClusterImage, TopicImage};
use millstream_machine::cluster::internal_topic::is_internal;
use millstream_machine::cluster::topic_name;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use millstream_protocol::primitive::Reader;

use super::authorized;
use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeTopicPartitionsRequest::decode(reader, request.to.version)?;
    let image = shard.image.clone();
    let most = shard.options.settings.number("max.request.partition.size.limit");
    let page = Page {
        image: &image,
        node: shard.options.node_id,
        left: i64::from(body.response_partition_limit).min(most).max(1) as usize,
        topics: Vec::new(),
        next_cursor: None,
    };
    let answer = match page_of(page, &body) {
        Ok(Page {
            topics, next_cursor, ..
        }) => DescribeTopicPartitionsResponse {
            topics,
            next_cursor,
            ..DescribeTopicPartitionsResponse::default()
        },
        Err(error) => refusal(&body, error),
    };
    shard.reply(request.to, &answer);
    Ok(())
}

/// One that is being filled.
struct Page<'a> {
    image: &'a ClusterImage,
    node: i32,
    /// Partitions that there is room for.
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic<'a>>,
    next_cursor: Option<Cursor<'a>>,
}

fn page_of<'a>(mut page: Page<'a>, body: &DescribeTopicPartitionsRequest<'a>) -> Result<Page<'a>, ErrorCode> {
    let (first_topic, first_partition) = match &body.cursor {
        Some(cursor) if cursor.partition_index < 0 => return Err(ErrorCode::InvalidRequest),
        Some(cursor) => (cursor.topic_name, cursor.partition_index),
        None => ("", 0),
    };
    if first_topic.is_empty() && body.topics.iter().any(|topic| topic.name.is_empty()) {
        return Err(ErrorCode::UnknownServerError);
    }
    let first_of = |name: &str| if name == first_topic { first_partition } else { 0 };
    if body.topics.is_empty() {
        let all = page.image.topics().filter(|topic| &*topic.name >= first_topic);
        for topic in all {
            if !page.add(&topic.name, Some(topic), first_of(&topic.name)) {
                break;
            }
        }
        return Ok(page);
    }
    let asked: BTreeSet<_> = body.topics.iter().map(|topic| topic.name).collect();
    if !first_topic.is_empty() && !asked.contains(first_topic) {
        return Err(ErrorCode::InvalidRequest);
    }
    for name in asked.range(first_topic..) {
        let topic = page.image.topic_by_name(name);
        if !page.add(name, topic.map(AsRef::as_ref), first_of(name)) {
            break;
        }
    }
    Ok(page)
}

impl<'a> Page<'a> {
    /// Adds a topic from one of its partitions on, as far as there is room; false where there is none for the next.
    fn add(&mut self, name: &'a str, topic: Option<&'a TopicImage>, first: i32) -> bool {
        if self.left == 0 {
            self.go_on_at(name, 0);
            return false;
        }
        let Some(topic) = topic else {
            self.topics.push(unknown(name));
            return true;
        };
        let count = topic.partitions as i32;
        let end = count.min(first.saturating_add(self.left as i32));
        let partitions: Vec<_> = (first..end).map(|index| self.partition(topic, index)).collect();
        self.left -= partitions.len();
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(&topic.name),
            topic_id: topic.id,
            is_internal: is_internal(&topic.name),
            partitions,
            topic_authorized_operations: authorized::TOPIC,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
        if end < count {
            self.go_on_at(&topic.name, end);
        }
        end >= count
    }

    fn go_on_at(&mut self, topic_name: &'a str, partition_index: i32) {
        self.next_cursor = Some(Cursor {
            topic_name,
            partition_index,
        });
    }

    fn partition(
        &self,
        topic: &TopicImage,
        partition_index: i32,
    ) -> DescribeTopicPartitionsResponsePartition {
        DescribeTopicPartitionsResponsePartition {
            partition_index,
            leader_id: self.node,
            leader_epoch: self.image.leader_epoch(topic).get(),
            replica_nodes: vec![self.node],
            isr_nodes: vec![self.node],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..DescribeTopicPartitionsResponsePartition::default()
        }
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic<'_> {
    let error = match topic_name::check(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: error as i16,
        name: Some(name),
        topic_authorized_operations: authorized::TOPIC,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

/// The request as a whole makes no sense: each of its topics says so.
fn refusal<'a>(
    body: &DescribeTopicPartitionsRequest<'a>,
    error: ErrorCode,
) -> DescribeTopicPartitionsResponse<'a> {
    let topics = body
        .topics
        .iter()
        .map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: error as i16,
            name: Some(topic.name),
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}

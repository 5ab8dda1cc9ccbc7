//! OffsetFetch: where a group goes on reading.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::{PartitionIndex, TopicId};

use super::Group;
use super::answer::{FetchAnswer, FetchedOffset, FetchedPartition, FetchedTopic};
use super::record::CommittedOffset;
use super::request::{FetchRequest, TopicPartitions};
use super::topics::Topics;

/// The answer of a group, or of none: there nothing is committed. Who asks is checked only where the coordinator
/// assigns: any client may read what classic groups committed. Everything is stable, since no transaction can be
/// open; once one can, its offsets are UNSTABLE_OFFSET_COMMIT here for who requires stable ones.
pub(super) fn fetch(group: Option<&Group>, topics: &Topics, request: FetchRequest) -> FetchAnswer {
    let consumer = group.and_then(|it| it.consumer.as_ref());
    if let Some(Err(error)) = consumer.map(|it| it.check_fetch(&request)) {
        return FetchAnswer {
            error,
            topics: Vec::new(),
        };
    }
    let topics = match request.topics {
        Some(asked) => asked
            .into_iter()
            .map(|topic| of_topic(group, topics, topic))
            .collect(),
        None => group.map_or_else(Vec::new, all),
    };
    FetchAnswer {
        error: ErrorCode::None,
        topics,
    }
}

fn of_topic(group: Option<&Group>, topics: &Topics, asked: TopicPartitions) -> FetchedTopic {
    let shared = topics.find(&asked.name);
    let name = shared.unwrap_or_else(|| asked.name.as_str().into());
    let committed = |partition: PartitionIndex| {
        let committed = group?.offsets.get(&(Arc::clone(&name), partition))?;
        is_of(committed.topic_id, asked.topic_id).then_some(committed)
    };
    let partitions = asked.partitions.iter();
    FetchedTopic {
        partitions: partitions
            .map(|&index| partition(index, committed(index)))
            .collect(),
        topic_id: asked.topic_id,
        name,
    }
}

fn all(group: &Group) -> Vec<FetchedTopic> {
    let mut topics: BTreeMap<&Arc<str>, Vec<FetchedPartition>> = BTreeMap::new();
    for ((name, index), committed) in group.offsets.after(None) {
        topics
            .entry(name)
            .or_default()
            .push(partition(*index, Some(committed)));
    }
    let topics = topics.into_iter().map(|(name, partitions)| FetchedTopic {
        name: Arc::clone(name),
        topic_id: TopicId::ZERO,
        partitions,
    });
    topics.collect()
}

fn partition(partition: PartitionIndex, committed: Option<&CommittedOffset>) -> FetchedPartition {
    FetchedPartition {
        partition,
        error: ErrorCode::None,
        committed: committed.map(|it| FetchedOffset {
            offset: it.offset,
            leader_epoch: it.leader_epoch,
            metadata: it.metadata.clone(),
        }),
    }
}

/// Whether an offset belongs to the topic that is asked for, and not to one of that name before it.
fn is_of(committed: TopicId, asked: TopicId) -> bool {
    committed.is_zero() || asked.is_zero() || committed == asked
}

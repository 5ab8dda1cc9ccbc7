//! Metadata: brokers and topics as this connection should see them; topics that are missing may be created.

use std::collections::BTreeSet;

use millstream_machine::cluster::image::{ClusterImage, TopicImage};
use millstream_machine::cluster::internal_topic::is_internal;
use millstream_machine::cluster::topic_name;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::TopicId;

use super::{admin, authorized};
use crate::controller::command::Action;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

/// What is asked for.
#[derive(Debug, Clone)]
struct Asked {
    topics: AskedTopics,
    /// What is said of the operations that are allowed.
    cluster_operations: i32,
    topic_operations: i32,
}

#[derive(Debug, Clone)]
enum AskedTopics {
    All,
    These(Vec<AskedTopic>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AskedTopic {
    /// `None`: asked for by id.
    pub name: Option<String>,
    pub id: TopicId,
}

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = MetadataRequest::decode(reader, to.version)?;
    let operations = |asked, all| if asked { all } else { authorized::NOT_ASKED };
    if let Err(error) = check(&body, to.version) {
        refuse_all(shard, to, &body, error);
        return Ok(());
    }
    let asked = Asked {
        topics: match &body.topics {
            None => AskedTopics::All,
            // Before version 1 there was no null, and an empty list meant all.
            Some(topics) if topics.is_empty() && to.version == 0 => AskedTopics::All,
            Some(topics) => AskedTopics::These(once_each(topics)),
        },
        cluster_operations: operations(body.include_cluster_authorized_operations, authorized::CLUSTER),
        topic_operations: operations(body.include_topic_authorized_operations, authorized::TOPIC),
    };
    let creates = body.allow_auto_topic_creation && shard.is_on("auto.create.topics.enable");
    let missing = if creates {
        missing(shard, &asked)
    } else {
        Vec::new()
    };
    if missing.is_empty() {
        answer(shard, to, &asked);
    } else {
        // As in Kafka, whose brokers have topics made in their clients' names by a CreateTopics that is strict.
        let quota = shard.mutation_quota(to.connection, true);
        admin::start(
            shard,
            to,
            Action::AutoCreate(missing, quota),
            move |shard, to, _| answer(shard, to, &asked),
        );
    }
    Ok(())
}

/// Topics have a name, or an id in versions in which one may ask by that alone. Kafka stumbles over those that have
/// neither, unless others have an id.
fn check(body: &MetadataRequest<'_>, version: i16) -> Result<(), ErrorCode> {
    let topics = body.topics.as_deref().unwrap_or_default();
    let is_nameless = |topic: &MetadataRequestTopic<'_>| topic.name.is_none();
    if version < NULL_NAMES_SINCE && topics.iter().any(|topic| has_id(topic) || is_nameless(topic)) {
        return Err(ErrorCode::InvalidRequest);
    }
    if topics.iter().any(is_nameless) && !topics.iter().any(has_id) {
        return Err(ErrorCode::UnknownServerError);
    }
    Ok(())
}

fn has_id(topic: &MetadataRequestTopic<'_>) -> bool {
    topic.topic_id != TopicId::ZERO
}

fn refuse_all(shard: &mut Shard, to: ReplyTo, body: &MetadataRequest<'_>, error: ErrorCode) {
    let topics = body.topics.iter().flatten().map(|topic| MetadataResponseTopic {
        error_code: error as i16,
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    });
    let answer = MetadataResponse {
        error_code: error as i16,
        topics: topics.collect(),
        ..MetadataResponse::default()
    };
    shard.reply(to, &answer);
}

/// Every topic at the place where it was asked for first. Where one is asked for by id, only those that are so count.
fn once_each(topics: &[MetadataRequestTopic<'_>]) -> Vec<AskedTopic> {
    let mut seen = BTreeSet::new();
    let by_id = topics.iter().any(has_id);
    let asked = topics.iter().filter(|topic| has_id(topic) == by_id);
    let asked = asked.map(|topic| AskedTopic {
        name: topic.name.filter(|_| !by_id).map(str::to_owned),
        id: topic.topic_id,
    });
    asked.filter(|topic| seen.insert(topic.clone())).collect()
}

/// Names that are asked for, could be topics and are none.
fn missing(shard: &Shard, asked: &Asked) -> Vec<String> {
    let AskedTopics::These(topics) = &asked.topics else {
        return Vec::new();
    };
    let names = topics.iter().filter_map(|topic| topic.name.as_ref());
    let unknown =
        names.filter(|name| shard.image.topic_by_name(name).is_none() && topic_name::check(name).is_ok());
    unknown.cloned().collect()
}

fn answer(shard: &mut Shard, to: ReplyTo, asked: &Asked) {
    let Some(advertised) = shard.advertised(to.connection) else {
        return;
    };
    let image = shard.image.clone();
    let node = shard.options.node_id;
    let mut topics: Vec<_> = match &asked.topics {
        AskedTopics::All => image.topics().map(|topic| known(&image, node, topic)).collect(),
        AskedTopics::These(topics) => topics
            .iter()
            .map(|asked| one(&image, node, asked, to.version))
            .collect(),
    };
    let there = topics.iter_mut().filter(|topic| topic.error_code == 0);
    there.for_each(|topic| topic.topic_authorized_operations = asked.topic_operations);
    let broker = MetadataResponseBroker {
        node_id: node,
        host: &advertised.host,
        port: i32::from(advertised.port),
        rack: None,
    };
    let body = MetadataResponse {
        brokers: vec![broker],
        cluster_id: image.cluster_id(),
        controller_id: node,
        topics,
        cluster_authorized_operations: asked.cluster_operations,
        ..MetadataResponse::default()
    };
    shard.reply(to, &body);
}

fn one<'a>(
    image: &'a ClusterImage,
    node: i32,
    asked: &'a AskedTopic,
    version: i16,
) -> MetadataResponseTopic<'a> {
    let (found, error) = match &asked.name {
        Some(name) => (image.topic_by_name(name), name_error(name)),
        None => (image.topic(asked.id), ErrorCode::UnknownTopicId),
    };
    match found {
        Some(topic) => known(image, node, topic),
        None => MetadataResponseTopic {
            error_code: error as i16,
            name: asked
                .name
                .as_deref()
                .or((version < NULL_NAMES_SINCE).then_some("")),
            topic_id: asked.id,
            ..MetadataResponseTopic::default()
        },
    }
}

fn name_error(name: &str) -> ErrorCode {
    match topic_name::check(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

fn known<'a>(image: &ClusterImage, node: i32, topic: &'a TopicImage) -> MetadataResponseTopic<'a> {
    let leader_epoch = image.leader_epoch(topic).get();
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: node,
        leader_epoch,
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        ..MetadataResponsePartition::default()
    };
    MetadataResponseTopic {
        name: Some(&topic.name),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: (0..topic.partitions as i32).map(partition).collect(),
        ..MetadataResponseTopic::default()
    }
}

/// From this version on the name of a topic that nobody knows by its id is null.
const NULL_NAMES_SINCE: i16 = 12;

//! What the handlers of group requests share.

use std::net::IpAddr;

use millstream_machine::group::{Client, DescribeRequest, GroupRequest, Partitions, TopicErrors};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TopicId;

use crate::coordinator::{Answered, asking};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

/// Who asks, as other clients are told.
pub fn client(shard: &Shard, request: &Request<'_>) -> Client {
    let connection = shard.connections.get(request.to.connection);
    Client {
        id: request.client_id.unwrap_or_default().to_owned(),
        host: connection.map_or_else(String::new, |connection| host(connection.peer.ip())),
    }
}

/// Requests of members name their group.
pub fn check_group_id(group_id: &str) -> Result<(), ErrorCode> {
    match group_id.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => Ok(()),
    }
}

/// Asks each group to describe itself; `answer` has what they say in the order of the request.
pub fn describe(
    shard: &mut Shard,
    to: ReplyTo,
    group_ids: &[&str],
    question: fn(DescribeRequest) -> GroupRequest,
    answer: impl FnOnce(&mut Shard, ReplyTo, &[(String, Answered)]) + 'static,
) {
    let groups: Vec<String> = group_ids.iter().map(|group_id| (*group_id).to_owned()).collect();
    let group_id = |group_id: &String| DescribeRequest {
        group_id: group_id.clone(),
    };
    let requests = groups.iter().map(group_id).map(question).collect();
    asking::ask(shard, to, requests, |shard, to, answers| {
        let described: Vec<_> = groups.into_iter().zip(answers).collect();
        answer(shard, to, &described);
    });
}

/// A topic of a request about offsets, with what can be said of its partitions before their group is asked.
#[derive(Debug)]
pub struct NamedTopic {
    /// Empty where only an id was given, and nobody knows it.
    pub name: String,
    /// Zero where only a name was given, and nobody knows it.
    pub id: TopicId,
    /// In the order of the request; NONE for those that there are.
    pub partitions: Vec<(i32, ErrorCode)>,
}

impl NamedTopic {
    /// The same is said of all partitions that there are.
    pub fn refuse_known(&mut self, code: ErrorCode) {
        let known = self
            .partitions
            .iter_mut()
            .filter(|(_, error)| *error == ErrorCode::None);
        known.for_each(|(_, error)| *error = code);
    }
}

/// Looks a topic up, by its id or by its name.
pub fn resolve(
    shard: &Shard,
    (name, id): (&str, TopicId),
    partitions: impl Iterator<Item = i32>,
    by_id: bool,
) -> NamedTopic {
    let found = match by_id {
        true => shard.topic_by_id(id),
        false => shard.topic_by_name(name),
    };
    let error = |index: i32| match &found {
        Some(topic) if (0..topic.partitions).contains(&index) => ErrorCode::None,
        None if by_id => ErrorCode::UnknownTopicId,
        _ => ErrorCode::UnknownTopicOrPartition,
    };
    NamedTopic {
        name: found.as_ref().map_or(name, |topic| &topic.name).to_owned(),
        id: found.as_ref().map_or(id, |topic| topic.id),
        partitions: partitions.map(|index| (index, error(index))).collect(),
    }
}

/// Puts what a group says in the places of the partitions that it was asked about.
pub fn merge(asked: &mut [NamedTopic], answers: &[TopicErrors]) {
    let mut errors = answers
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|(_, error)| *error);
    let places = asked.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (_, place) in places.filter(|(_, error)| *error == ErrorCode::None) {
        *place = errors.next().unwrap_or(ErrorCode::UnknownServerError);
    }
}

/// The partitions of each topic, in their order.
pub fn by_topic(partitions: &Partitions) -> Vec<(TopicId, Vec<i32>)> {
    let mut topics: Vec<(TopicId, Vec<i32>)> = Vec::new();
    for (id, index) in partitions {
        match topics.last_mut().filter(|(last, _)| last == id) {
            Some((_, indexes)) => indexes.push(index.get()),
            None => topics.push((*id, vec![index.get()])),
        }
    }
    topics
}

/// An address as Java shows it, which is how Kafka's tools know it.
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let [first, rest @ ..] = address.segments();
            rest.iter().fold(format!("/{first:x}"), |text, segment| {
                format!("{text}:{segment:x}")
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_look_as_java_shows_them() {
        for (address, shown) in [
            ("192.0.2.1", "/192.0.2.1"),
            ("::ffff:192.0.2.1", "/192.0.2.1"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("2001:db8::a", "/2001:db8:0:0:0:0:0:a"),
        ] {
            assert_eq!(host(address.parse().unwrap()), shown);
        }
    }
}

//! What an answer of a group takes: a group is described as often as a request names it, and a request is small.

use millstream_machine::group::{DescribedConsumer, DescribedMember, FetchAnswer, GroupAnswer};

use super::Answered;

/// Bytes that an answer takes, in memory or in the response; those of small ones only about.
pub fn of(answered: &Answered) -> usize {
    let Ok(answer) = answered else { return 0 };
    let variable = match answer {
        GroupAnswer::Join(join) => {
            let members = join.members.iter();
            members.map(|member| ELEMENT_BYTES + member.metadata.len()).sum()
        }
        GroupAnswer::Sync(sync) => sync.assignment.len(),
        GroupAnswer::Leave(leave) => ELEMENT_BYTES * leave.members.len(),
        GroupAnswer::FetchOffsets(fetch) => of_fetch(fetch),
        GroupAnswer::Describe(group) => group.members.iter().map(of_member).sum(),
        GroupAnswer::ConsumerDescribe(group) => group.members.iter().map(of_consumer).sum(),
        GroupAnswer::ConsumerHeartbeat(heartbeat) => heartbeat
            .assignment
            .as_ref()
            .map_or(0, |it| PARTITION_BYTES * it.len()),
        GroupAnswer::List(list) => {
            let groups = list.groups.iter();
            groups.map(|group| ELEMENT_BYTES + group.group_id.len()).sum()
        }
        GroupAnswer::CommitOffsets(topics) => topics
            .iter()
            .map(|topic| ELEMENT_BYTES + 8 * topic.partitions.len())
            .sum(),
        GroupAnswer::DeleteOffsets(deleted) => {
            let topics = deleted.topics.iter();
            topics
                .map(|topic| ELEMENT_BYTES + 8 * topic.partitions.len())
                .sum()
        }
        GroupAnswer::Heartbeat(_) | GroupAnswer::Delete(_) => 0,
    };
    ELEMENT_BYTES + variable
}

fn of_fetch(fetch: &FetchAnswer) -> usize {
    let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
    let committed = partitions.map(|partition| partition.committed.as_ref());
    let of_partitions = committed.map(|it| ELEMENT_BYTES + it.map_or(0, |it| it.metadata.len()));
    ELEMENT_BYTES * fetch.topics.len() + of_partitions.sum::<usize>()
}

fn of_member(member: &DescribedMember) -> usize {
    let texts = member.member_id.len() + member.client_id.len() + member.client_host.len();
    ELEMENT_BYTES + texts + member.metadata.len() + member.assignment.len()
}

fn of_consumer(member: &DescribedConsumer) -> usize {
    let topics = member.subscription.topic_names.iter().map(|name| name.len());
    let partitions = member.assigned.len() + member.target.len();
    2 * ELEMENT_BYTES + topics.sum::<usize>() + PARTITION_BYTES * partitions
}

/// A topic's id and name may stand beside each.
const PARTITION_BYTES: usize = 64;
/// A group, a member or a partition with its small fields.
const ELEMENT_BYTES: usize = 128;

//! Equal shares: everybody keeps what it had, what nobody has goes to who has least, and then partitions move from who
//! has most to who has least until no move would make it fairer.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use millstream_protocol::types::{PartitionIndex, TopicId};

use super::super::record::{Partitions, TopicPartition};
use super::Subscriber;

pub(super) fn assign(members: &[Subscriber], topics: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
    let mut shares = Shares::kept(members, topics);
    for partition in all(topics) {
        if !shares.taken.contains(&partition)
            && let Some(least) = shares.least(partition.0)
        {
            shares.give(least, partition);
        }
    }
    shares.even_out();
    shares.shares
}

struct Shares<'a> {
    members: &'a [Subscriber],
    shares: Vec<Partitions>,
    taken: BTreeSet<TopicPartition>,
    /// Members by how much they have.
    loads: BTreeSet<(usize, usize)>,
}

impl<'a> Shares<'a> {
    /// What the members had and may keep.
    fn kept(members: &'a [Subscriber], topics: &BTreeMap<TopicId, u32>) -> Self {
        let mut shares = Self {
            members,
            shares: members.iter().map(|_| Partitions::new()).collect(),
            taken: BTreeSet::new(),
            loads: (0..members.len()).map(|member| (0, member)).collect(),
        };
        for (index, member) in members.iter().enumerate() {
            for partition in &*member.before {
                let exists = topics
                    .get(&partition.0)
                    .is_some_and(|&count| is_within(partition.1, count));
                let wanted = exists && member.topics.contains(&partition.0);
                if wanted && !shares.taken.contains(partition) {
                    shares.give(index, *partition);
                }
            }
        }
        shares
    }

    /// Who has least of those that want the topic.
    fn least(&self, topic: TopicId) -> Option<usize> {
        let mut members = self.loads.iter().map(|&(_, member)| member);
        members.find(|&member| self.members[member].topics.contains(&topic))
    }

    fn give(&mut self, member: usize, partition: TopicPartition) {
        self.taken.insert(partition);
        let load = self.shares[member].len();
        self.loads.remove(&(load, member));
        self.shares[member].insert(partition);
        self.loads.insert((load + 1, member));
    }

    fn take(&mut self, member: usize, partition: TopicPartition) {
        let load = self.shares[member].len();
        self.loads.remove(&(load, member));
        self.shares[member].remove(&partition);
        self.loads.insert((load - 1, member));
    }

    /// Each move makes the sum of the squares smaller, so there is an end.
    fn even_out(&mut self) {
        while let Some((from, to, partition)) = self.fairer_move() {
            self.take(from, partition);
            self.give(to, partition);
        }
    }

    /// From who has most and can give: a partition to somebody who has at least two less.
    fn fairer_move(&self) -> Option<(usize, usize, TopicPartition)> {
        self.loads.iter().rev().find_map(|&(load, from)| {
            let mut last = None;
            self.shares[from].iter().rev().find_map(|&partition| {
                if last.replace(partition.0) == Some(partition.0) {
                    return None;
                }
                let to = self.least(partition.0)?;
                (self.shares[to].len() + 1 < load).then_some((from, to, partition))
            })
        })
    }
}

fn all(topics: &BTreeMap<TopicId, u32>) -> impl Iterator<Item = TopicPartition> {
    let partitions = topics.iter();
    partitions.flat_map(|(&topic, &count)| (0..count).map(move |it| (topic, PartitionIndex::new(it as i32))))
}

fn is_within(index: PartitionIndex, count: u32) -> bool {
    u32::try_from(index.get()).is_ok_and(|index| index < count)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, topic};
    use super::*;

    fn sizes(shares: &[Partitions]) -> Vec<usize> {
        shares.iter().map(Partitions::len).collect()
    }

    #[test]
    fn a_newcomer_takes_its_share_and_nothing_else_moves() {
        let topics = [(topic(1), 7), (topic(2), 5)].into();
        let mut members = std::vec![member("a", &[1, 2], &[]), member("b", &[1, 2], &[])];
        let first = assign(&members, &topics);
        assert_eq!(sizes(&first), [6, 6]);
        for (member, share) in members.iter_mut().zip(&first) {
            member.before = share.clone().into();
        }
        members.push(member("c", &[1, 2], &[]));
        let second = assign(&members, &topics);
        assert_eq!(sizes(&second), [4, 4, 4]);
        assert!(second[0].is_subset(&first[0]) && second[1].is_subset(&first[1]));
        assert_eq!(assign(&members[..2], &topics), first, "and back");
    }

    #[test]
    fn who_wants_little_leaves_the_rest_to_others() {
        let topics = [(topic(1), 2), (topic(2), 6)].into();
        let members = [member("a", &[1], &[]), member("b", &[1, 2], &[(1, 0), (1, 1)])];
        let shares = assign(&members, &topics);
        assert_eq!(sizes(&shares), [2, 6]);
    }

    #[test]
    fn what_is_gone_or_unwanted_is_not_kept() {
        let topics = [(topic(1), 2)].into();
        let members = [
            member("a", &[1], &[(1, 0), (1, 2), (2, 0)]),
            member("b", &[2], &[(1, 1)]),
        ];
        let shares = assign(&members, &topics);
        assert_eq!(sizes(&shares), [2, 0]);
    }

    #[test]
    fn many_partitions_are_shared_in_time() {
        let topics = (1..=100).map(|number| (topic(number), 100)).collect();
        let everything: Vec<u8> = (1..=100).collect();
        let members: Vec<_> = (0..100)
            .map(|id| member(&std::format!("{id}"), &everything, &[]))
            .collect();
        assert!(sizes(&assign(&members, &topics)).iter().all(|&size| size == 100));
    }
}

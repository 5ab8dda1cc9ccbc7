//! Who is to have which partitions.
//!
//! Invariants: every partition of a topic that somebody subscribes to has one owner, who subscribes to it; equal
//! input gives equal output.

mod range;
mod uniform;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::types::TopicId;

use super::record::Partitions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assignor {
    /// Equal shares that change as little as they can.
    Uniform,
    /// The same range of each topic, so that topics with equal partitions meet at one member.
    Range,
}

/// What an assignor knows of a member.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub topics: BTreeSet<TopicId>,
    /// What it was to have before.
    pub before: Arc<Partitions>,
}

impl Assignor {
    /// The first is the default.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    pub const fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// A share for each of `members`, in their order. `topics` are the partitions of each topic.
    pub fn assign(self, members: &[Subscriber], topics: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
        match self {
            Assignor::Uniform => uniform::assign(members, topics),
            Assignor::Range => range::assign(members, topics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use millstream_protocol::types::PartitionIndex;
    use std::format;

    pub fn topic(number: u8) -> TopicId {
        TopicId::new([number; 16])
    }

    pub fn member(id: &str, topics: &[u8], before: &[(u8, i32)]) -> Subscriber {
        let before = before
            .iter()
            .map(|&(number, index)| (topic(number), PartitionIndex::new(index)));
        Subscriber {
            member_id: id.into(),
            instance_id: None,
            topics: topics.iter().map(|&number| topic(number)).collect(),
            before: Arc::new(before.collect()),
        }
    }

    #[test]
    fn each_partition_has_one_owner_who_wants_it() {
        let mut random = Random::new(1);
        for round in 0..300 {
            let topics: BTreeMap<TopicId, u32> = (1..=1 + random.below(5))
                .map(|it| (topic(it as u8), random.below(8) as u32))
                .collect();
            let mut members: Vec<Subscriber> = (0..1 + random.below(6))
                .map(|id| {
                    let wanted: Vec<u8> = (1..7).filter(|_| random.below(2) == 0).collect();
                    member(&format!("m{id}"), &wanted, &[])
                })
                .collect();
            for assignor in Assignor::ALL {
                let shares = assignor.assign(&members, &topics);
                check(&members, &topics, &shares, &format!("{assignor:?} round {round}"));
                for (member, share) in members.iter_mut().zip(shares) {
                    member.before = Arc::new(share);
                }
                members.rotate_left(1);
            }
        }
    }

    fn check(members: &[Subscriber], topics: &BTreeMap<TopicId, u32>, shares: &[Partitions], what: &str) {
        let mut owned = Partitions::new();
        for (member, share) in members.iter().zip(shares) {
            for partition in share {
                assert!(member.topics.contains(&partition.0), "{what}: unwanted");
                assert!(owned.insert(*partition), "{what}: twice");
            }
        }
        let wanted = |id: &TopicId| members.iter().any(|it| it.topics.contains(id));
        let expected: u32 = topics
            .iter()
            .filter(|(id, _)| wanted(id))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(owned.len(), expected as usize, "{what}: nobody's");
    }
}

//! Ranges: of each topic, its subscribers get ranges of equal length, the first ones one partition more.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use millstream_protocol::types::{PartitionIndex, TopicId};

use super::super::record::Partitions;
use super::Subscriber;

pub(super) fn assign(members: &[Subscriber], topics: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
    let mut shares: Vec<Partitions> = members.iter().map(|_| Partitions::new()).collect();
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&index| sort_key(&members[index]));
    for (&topic, &partitions) in topics {
        let subscribers: Vec<usize> = order
            .iter()
            .copied()
            .filter(|&index| members[index].topics.contains(&topic))
            .collect();
        let count = subscribers.len() as u32;
        let mut first = 0;
        for (place, index) in (0..).zip(subscribers) {
            let length = partitions / count + u32::from(place < partitions % count);
            let range = first..first + length;
            shares[index].extend(range.map(|it| (topic, PartitionIndex::new(it as i32))));
            first += length;
        }
    }
    shares
}

/// Static members first, by their instance ids, so that ranges stay where members come back with new ids.
fn sort_key(member: &Subscriber) -> (bool, &str) {
    match &member.instance_id {
        Some(instance_id) => (false, instance_id),
        None => (true, &member.member_id),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, topic};
    use super::*;

    fn indexes(share: &Partitions, of: u8) -> Vec<i32> {
        let share = share.iter().filter(|(id, _)| *id == topic(of));
        share.map(|(_, index)| index.get()).collect()
    }

    #[test]
    fn ranges_of_two_topics_meet_at_one_member() {
        let topics = [(topic(1), 5), (topic(2), 5), (topic(3), 2)].into();
        let mut members = [
            member("b", &[1, 2], &[]),
            member("a", &[1, 2, 3], &[]),
            member("c", &[1], &[]),
        ];
        members[2].instance_id = Some("i".into());
        let shares = assign(&members, &topics);
        assert_eq!(indexes(&shares[2], 1), [0, 1], "the static member comes first");
        assert_eq!(
            (indexes(&shares[1], 1), indexes(&shares[0], 1)),
            ([2, 3].into(), [4].into())
        );
        assert_eq!(
            (indexes(&shares[1], 2), indexes(&shares[0], 2)),
            ([0, 1, 2].into(), [3, 4].into())
        );
        assert_eq!(indexes(&shares[1], 3), [0, 1]);
    }
}

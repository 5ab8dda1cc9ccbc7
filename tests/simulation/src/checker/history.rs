//! What a log says of its own history: where leader epochs end, and what retention took away.

use std::collections::BTreeMap;

use millstream_protocol::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use super::Checker;

impl Checker<'_> {
    /// OffsetForLeaderEpoch agrees with the epochs of the batches that are served.
    pub(super) fn check_epochs(
        &mut self,
        topic: usize,
        partition: usize,
        end: i64,
        batches: &[(u32, i64)],
    ) -> Result<(), String> {
        let mut starts: BTreeMap<i32, i64> = BTreeMap::new();
        for (number, base) in batches {
            if let Some(epoch) = self.model.batches[*number as usize].epoch.get() {
                starts.entry(epoch).or_insert(*base);
            }
        }
        // Retention forgets epochs meanwhile.
        if starts.is_empty() || self.model.topics[topic].retained_min.is_some() {
            return Ok(());
        }
        let epochs: Vec<(i32, i64)> = starts.into_iter().collect();
        let place = self.prng.index(epochs.len());
        let epoch = epochs[place].0;
        let ends = epochs.get(place + 1).map_or(end, |(_, start)| *start);
        let found = self.end_of_epoch(topic, partition, epoch)?;
        let excused = found.0 != 0 && self.model.may_refuse(topic, partition);
        if found != (0, epoch, ends) && !excused {
            let name = &self.model.topics[topic].name;
            return Err(format!(
                "{name}-{partition}: epoch {epoch} ends at {ends}, it is told: error, epoch and end {found:?}"
            ));
        }
        if place + 1 < epochs.len() {
            self.eyes.mark("end of an older epoch told");
        }
        Ok(())
    }

    /// Retention by time took no batch away that is too young.
    pub(super) fn check_age(&self, topic: usize, partition: usize, start: i64) -> Result<(), String> {
        let of = &self.model.topics[topic];
        let known = &of.partitions[partition];
        let Some(ms) = of.retained_ms_min.filter(|_| !of.retains_bytes) else {
            return Ok(());
        };
        let oldest = self.machine.wall() - ms as i64;
        for (base, number) in known.placed.range(known.start_asked.min(start)..start) {
            let batch = &self.model.batches[*number as usize];
            if of.stamps && batch.seen_in.get() != of.incarnation {
                // Nobody knows what time it had.
                continue;
            }
            let newest = batch.times_seen().max().unwrap_or_default();
            if base + batch.records() <= start && newest > oldest {
                return Err(format!(
                    "{}-{partition}: batch {number} at {base} is gone, it is younger than {ms} ms",
                    of.name
                ));
            }
            self.eyes.mark("records removed for their age");
        }
        Ok(())
    }

    /// Error, epoch and the end of it.
    fn end_of_epoch(
        &mut self,
        topic: usize,
        partition: usize,
        epoch: i32,
    ) -> Result<(i16, i32, i64), String> {
        let name = self.model.topics[topic].name.clone();
        let request = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![OffsetForLeaderTopic {
                topic: &name,
                partitions: vec![OffsetForLeaderPartition {
                    partition: partition as i32,
                    leader_epoch: epoch,
                    ..OffsetForLeaderPartition::default()
                }],
            }],
        };
        self.call(&request, OFFSET_FOR_LEADER_EPOCH, |answer| {
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.next().map_or((-1, -1, -1), |found| {
                (found.error_code, found.leader_epoch, found.end_offset)
            })
        })
    }
}

const OFFSET_FOR_LEADER_EPOCH: i16 = 3;

//! Fetch requests that read partitions from start to end, over and over, and check every CRC.
//! Invariants: a connection reads its own partitions, all of them in each request; offsets go on without a
//! gap.

use std::time::Instant;

use millstream_protocol::api::ApiKey;

use crate::client::connection::Request;
use crate::client::driver::Workload;
use crate::recorder::Work;
use crate::wire;

/// Readers of one topic, one for each connection.
#[derive(Debug)]
pub struct FetchWorkload {
    topic: String,
    /// Most bytes of one partition in an answer.
    partition_bytes: i32,
    readers: Vec<Vec<Position>>,
    /// Records whose batch's CRC and whose offsets were right.
    verified: u64,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    partition: i32,
    next: i64,
    /// Exclusive; reading starts over at offset 0 from here.
    end: i64,
}

impl FetchWorkload {
    /// `ends[p]` is the end offset of partition `p`; the partitions are dealt to the connections in turn.
    /// Fails when one has nothing to read.
    pub fn new(topic: &str, ends: &[i64], connections: usize, partition_bytes: i32) -> Result<Self, String> {
        if let Some(empty) = ends.iter().position(|&end| end <= 0) {
            return Err(format!("{topic}: partition {empty} is empty"));
        }
        if ends.len() < connections {
            return Err(format!(
                "{topic}: {} partitions cannot keep {connections} connections busy",
                ends.len()
            ));
        }
        let mut readers = vec![Vec::new(); connections];
        for (partition, &end) in ends.iter().enumerate() {
            readers[partition % connections].push(Position {
                partition: partition as i32,
                next: 0,
                end,
            });
        }
        Ok(FetchWorkload {
            topic: topic.to_owned(),
            partition_bytes,
            readers,
            verified: 0,
        })
    }
}

impl Workload for FetchWorkload {
    fn next(&mut self, connection: usize, _: Instant) -> Option<Request> {
        let wanted: Vec<_> = self.readers[connection]
            .iter()
            .map(|position| (position.partition, position.next))
            .collect();
        let body = wire::fetch_body(&self.topic, &wanted, self.partition_bytes);
        Some(Request {
            api_key: ApiKey::Fetch.code(),
            api_version: wire::FETCH_VERSION,
            body: body.into(),
        })
    }

    fn answer(&mut self, connection: usize, payload: &[u8]) -> Result<Work, String> {
        let mut work = Work::default();
        let positions = &mut self.readers[connection];
        wire::check_fetch(payload, |partition, records| {
            let position = positions
                .iter_mut()
                .find(|position| position.partition == partition);
            let position = position.ok_or_else(|| format!("partition {partition} was not asked for"))?;
            position.take(records, &mut work)
        })?;
        if work.records == 0 {
            return Err("an answer without records where there are some".into());
        }
        self.verified += work.records;
        Ok(work)
    }

    fn verified(&self) -> Option<u64> {
        Some(self.verified)
    }
}

impl Position {
    fn take(&mut self, records: &[u8], work: &mut Work) -> Result<(), String> {
        let mut gap = None;
        wire::check_batches(records, |batch| {
            // Nothing was compacted away, so every offset has its record.
            let end = batch.base_offset().get() + i64::from(batch.record_count());
            if batch.base_offset().get() != self.next {
                gap.get_or_insert((self.next, batch.base_offset().get()));
            }
            self.next = batch.last_offset().get() + 1;
            if end != self.next {
                gap.get_or_insert((end, self.next));
            }
            work.records += batch.record_count() as u64;
            work.bytes += batch.size() as u64;
        })?;
        if let Some((expected, got)) = gap {
            return Err(format!(
                "partition {}: offset {got} where {expected} was next",
                self.partition
            ));
        }
        if self.next >= self.end {
            self.next = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_protocol::record::batch::patch;
    use millstream_protocol::record::crc::crc32c;
    use millstream_protocol::types::{LeaderEpoch, Offset};

    use super::*;

    fn batches(first: i64, count: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in 0..count {
            let mut batch = wire::batch(10, 50, index as u64);
            patch(&mut batch, Offset::new(first + index * 10), LeaderEpoch::new(0));
            bytes.extend_from_slice(&batch);
        }
        bytes
    }

    #[test]
    fn a_position_goes_on_and_starts_over_at_the_end() {
        let mut position = Position {
            partition: 0,
            next: 0,
            end: 40,
        };
        let mut work = Work::default();
        position.take(&batches(0, 3), &mut work).unwrap();
        assert_eq!((position.next, work.records), (30, 30));
        position.take(&batches(30, 1), &mut work).unwrap();
        assert_eq!((position.next, work.bytes), (0, batches(0, 4).len() as u64));
    }

    #[test]
    fn a_gap_and_a_flipped_bit_are_errors() {
        let position = Position {
            partition: 7,
            next: 10,
            end: 40,
        };
        let mut work = Work::default();
        let error = position.clone().take(&batches(20, 1), &mut work).unwrap_err();
        assert!(error.contains("offset 20 where 10"), "{error}");
        let mut sparse = batches(10, 1);
        // The header of ten records, with the last offset of eleven.
        sparse[23..27].copy_from_slice(&10i32.to_be_bytes());
        let crc = crc32c(&sparse[21..]);
        sparse[17..21].copy_from_slice(&crc.to_be_bytes());
        let error = position.clone().take(&sparse, &mut work).unwrap_err();
        assert!(error.contains("offset 21 where 20"), "{error}");
        let mut flipped = batches(10, 1);
        flipped[200] ^= 1;
        assert!(position.clone().take(&flipped, &mut work).is_err());
    }

    #[test]
    fn partitions_are_dealt_out_and_none_may_be_empty() {
        let fetch = FetchWorkload::new("t", &[5, 6, 7], 2, 1).unwrap();
        let dealt: Vec<Vec<i32>> = fetch
            .readers
            .iter()
            .map(|r| r.iter().map(|p| p.partition).collect())
            .collect();
        assert_eq!(dealt, [vec![0, 2], vec![1]]);
        assert!(FetchWorkload::new("t", &[5, 0], 1, 1).is_err());
    }
}

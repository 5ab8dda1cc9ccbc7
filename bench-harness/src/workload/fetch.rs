//! Fetch requests that read partitions from start to end, over and over, or as the records come, and check every CRC.
//! Invariants: a connection reads the same partitions all the time, all of them in each request; offsets go on without
//! a gap.

use std::time::Instant;

use millstream_protocol::api::ApiKey;
use millstream_protocol::record::batch::Batches;

use crate::client::connection::Request;
use crate::client::driver::{Delivery, Workload};
use crate::recorder::Work;
use crate::wire;
use crate::workload::send_time::SendClock;

/// Readers of one topic, one for each connection.
#[derive(Debug)]
pub struct FetchWorkload {
    topic: String,
    /// Most bytes of one partition in an answer.
    partition_bytes: i32,
    readers: Vec<Reader>,
    /// Records whose batch's CRC and whose offsets were right.
    verified: u64,
    tail: Option<Tail>,
}

/// What is read, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub topic: &'a str,
    /// First offset of every partition.
    pub starts: &'a [i64],
    /// Where reading starts over, by partition, exclusive; `None` goes on with what comes.
    pub ends: Option<&'a [i64]>,
    pub connections: usize,
    /// Every connection reads all partitions; otherwise they are dealt to the connections in turn.
    pub fan_out: bool,
    /// Most bytes of one partition in an answer.
    pub partition_bytes: i32,
}

#[derive(Clone, Debug, Default)]
struct Reader {
    positions: Vec<Position>,
    /// The last answer brought no record.
    idle: bool,
}

/// What times records from when they were meant to be sent.
#[derive(Debug)]
struct Tail {
    clock: SendClock,
    /// Of the last answer.
    deliveries: Vec<Delivery>,
    /// The window is over: a connection ends with the first answer without records.
    winding_down: bool,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    partition: i32,
    next: i64,
    again: Option<Again>,
}

/// Reading starts over at `start` from `end` on.
#[derive(Clone, Copy, Debug)]
struct Again {
    start: i64,
    end: i64,
}

impl FetchWorkload {
    /// Over and over from offset 0. `ends[p]` is the end offset of partition `p`; the partitions are dealt to the
    /// connections in turn. Fails when one has nothing to read.
    pub fn new(topic: &str, ends: &[i64], connections: usize, partition_bytes: i32) -> Result<Self, String> {
        Self::reading(Reading {
            topic,
            starts: &vec![0; ends.len()],
            ends: Some(ends),
            connections,
            fan_out: false,
            partition_bytes,
        })
    }

    /// Fails when a connection, or one that starts over, has nothing to read.
    pub fn reading(reading: Reading<'_>) -> Result<Self, String> {
        let Reading {
            topic,
            starts,
            connections,
            ..
        } = reading;
        if !reading.fan_out && starts.len() < connections {
            return Err(format!(
                "{topic}: {} partitions cannot keep {connections} connections busy",
                starts.len()
            ));
        }
        let mut readers = vec![Reader::default(); connections];
        for (partition, &start) in starts.iter().enumerate() {
            let again = reading.ends.map(|ends| Again {
                start,
                end: ends[partition],
            });
            if again.is_some_and(|again| again.end <= start) {
                return Err(format!("{topic}: partition {partition} is empty"));
            }
            let position = Position {
                partition: partition as i32,
                next: start,
                again,
            };
            if reading.fan_out {
                readers
                    .iter_mut()
                    .for_each(|reader| reader.positions.push(position));
            } else {
                readers[partition % connections].positions.push(position);
            }
        }
        Ok(FetchWorkload {
            topic: topic.to_owned(),
            partition_bytes: reading.partition_bytes,
            readers,
            verified: 0,
            tail: None,
        })
    }

    /// Records before these ends, by partition, that a connection has not read yet; a fan-out's count for each.
    pub fn behind(&self, ends: &[i64]) -> u64 {
        let positions = self.readers.iter().flat_map(|reader| &reader.positions);
        positions
            .map(|position| u64::try_from(ends[position.partition as usize] - position.next).unwrap_or(0))
            .sum()
    }

    /// Times records from when they were meant to be sent instead of requests.
    pub fn set_clock(&mut self, clock: SendClock) {
        self.tail = Some(Tail {
            clock,
            deliveries: Vec::new(),
            winding_down: false,
        });
    }
}

impl Workload for FetchWorkload {
    fn next(&mut self, connection: usize, _: Instant) -> Option<Request> {
        let reader = &self.readers[connection];
        if reader.idle && self.tail.as_ref().is_some_and(|tail| tail.winding_down) {
            return None;
        }
        let wanted: Vec<_> = reader
            .positions
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
        let reader = &mut self.readers[connection];
        let mut tail = self.tail.as_mut();
        if let Some(tail) = &mut tail {
            tail.deliveries.clear();
        }
        wire::check_fetch(payload, |partition, records| {
            let position = reader
                .positions
                .iter_mut()
                .find(|position| position.partition == partition);
            let position = position.ok_or_else(|| format!("partition {partition} was not asked for"))?;
            position.take(records, &mut work)?;
            match &mut tail {
                Some(tail) => tail.take(records),
                None => Ok(()),
            }
        })?;
        reader.idle = work.records == 0;
        if reader.idle && reader.positions.iter().any(|position| position.again.is_some()) {
            return Err("an answer without records where there are some".into());
        }
        self.verified += work.records;
        Ok(work)
    }

    fn verified(&self) -> Option<u64> {
        Some(self.verified)
    }

    fn deliveries(&self) -> Option<&[Delivery]> {
        self.tail.as_ref().map(|tail| &tail.deliveries[..])
    }

    fn wind_down(&mut self) -> bool {
        if let Some(tail) = &mut self.tail {
            tail.winding_down = true;
        }
        self.tail.is_some()
    }
}

impl Tail {
    /// The batches were checked before.
    fn take(&mut self, records: &[u8]) -> Result<(), String> {
        for batch in Batches::new(records).map_while(Result::ok) {
            let due = self.clock.read(&batch).ok_or_else(|| {
                let offset = batch.base_offset().get();
                format!("the batch at offset {offset} was not written by a load of this round")
            })?;
            self.deliveries.push(Delivery {
                due,
                records: batch.record_count() as u64,
            });
        }
        Ok(())
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
        if let Some(again) = self.again.filter(|again| self.next >= again.end) {
            self.next = again.start;
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
            again: Some(Again { start: 0, end: 40 }),
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
            again: Some(Again { start: 0, end: 40 }),
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
            .map(|r| r.positions.iter().map(|p| p.partition).collect())
            .collect();
        assert_eq!(dealt, [vec![0, 2], vec![1]]);
        assert!(FetchWorkload::new("t", &[5, 0], 1, 1).is_err());
    }

    fn reading<'a>(starts: &'a [i64], connections: usize) -> Reading<'a> {
        Reading {
            topic: "t",
            starts,
            ends: None,
            connections,
            fan_out: true,
            partition_bytes: 1,
        }
    }

    /// A Fetch answer's payload with these records in partition 0.
    fn fetched(records: &[u8]) -> Vec<u8> {
        use millstream_protocol::message::fetch::{FetchableTopicResponse, PartitionData};
        use millstream_protocol::message::{Encode, FetchResponse, Records};
        let response = FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: "t",
                partitions: vec![PartitionData {
                    records: Records::Bytes(records),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut writer = millstream_protocol::primitive::Writer::new();
        response.encode(&mut writer, wire::FETCH_VERSION).unwrap();
        writer.bytes().to_vec()
    }

    #[test]
    fn with_a_fan_out_every_connection_reads_everything() {
        let fetch = FetchWorkload::reading(reading(&[3, 4], 3)).unwrap();
        let read: Vec<Vec<i64>> = fetch
            .readers
            .iter()
            .map(|reader| reader.positions.iter().map(|p| p.next).collect())
            .collect();
        assert_eq!(read, [[3, 4]; 3]);
    }

    #[test]
    fn a_tail_times_batches_from_their_sending_and_goes_on_until_nothing_comes() {
        let clock = SendClock::start();
        let mut fetch = FetchWorkload::reading(reading(&[20], 1)).unwrap();
        fetch.set_clock(clock);
        let due = Instant::now();
        let mut batch = wire::batch(10, 50, 1);
        clock.stamp(&mut batch, due);
        patch(&mut batch, Offset::new(20), LeaderEpoch::new(0));
        assert_eq!(fetch.answer(0, &fetched(&batch)).unwrap().records, 10);
        assert_eq!(fetch.deliveries(), Some(&[Delivery { due, records: 10 }][..]));
        assert_eq!((fetch.behind(&[30]), fetch.behind(&[37])), (0, 7));
        assert!(fetch.wind_down());
        assert!(fetch.next(0, due).is_some(), "more may be on its way");
        assert_eq!(fetch.answer(0, &fetched(&[])).unwrap().records, 0);
        assert_eq!(fetch.deliveries(), Some(&[][..]));
        assert!(fetch.next(0, due).is_none());
        let error = fetch.answer(0, &fetched(&batches(30, 1))).unwrap_err();
        assert!(
            error.contains("offset 30 was not written by a load of this round"),
            "{error}"
        );
    }
}

//! Reads partitions from given positions on: one fetch per leader at a time, without sessions or groups.
//! Records of open and aborted transactions are read like others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_protocol::message::FetchRequest;
use millstream_protocol::message::fetch::{FetchPartition, FetchTopic, PartitionData};
use millstream_protocol::message::{FetchResponse, Records};

use super::RETRY_PAUSE;
use super::admin::Watermarks;
use super::cluster::Cluster;
use super::error::ClientError;
use super::records::{FetchedRecord, decode_batches};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Beginning,
    End,
    Offset(i64),
    /// So many records before the end, or the beginning.
    Last(i64),
    /// The first record of at least this time, in milliseconds since 1970; the end where there is none.
    Time(i64),
}

impl Position {
    /// The offset in a partition that is there from mark to mark; `time` is that of [`Position::Time`], if there is
    /// such a record. One offset for several partitions is in each as near as can be.
    pub fn within(self, marks: Watermarks, time: Option<i64>) -> i64 {
        match self {
            Position::Beginning => marks.start,
            Position::End => marks.end,
            Position::Offset(offset) => offset.clamp(marks.start, marks.end),
            Position::Last(count) => marks.end.saturating_sub(count).max(marks.start),
            Position::Time(_) => time.unwrap_or(marks.end),
        }
    }
}

#[derive(Debug)]
pub struct Consumer<'c> {
    cluster: &'c mut Cluster,
    topic: String,
    assigned: Vec<Assigned>,
    /// Since when nothing but errors that pass by themselves came back.
    failing_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Assigned {
    partition: i32,
    next: i64,
    /// Where the partition ended when reading began.
    end: i64,
}

impl<'c> Consumer<'c> {
    /// Looks the positions up. The cluster must know the topic already ([`Cluster::topic`]).
    pub fn new(
        cluster: &'c mut Cluster,
        topic: &str,
        partitions: &[i32],
        from: Position,
    ) -> Result<Consumer<'c>, ClientError> {
        let marks = cluster.watermarks(topic, partitions)?;
        let times = match from {
            Position::Time(at) => cluster.offsets_at(topic, partitions, at)?,
            _ => Default::default(),
        };
        if let Position::Offset(offset) = from
            && marks.values().all(|marks| offset > marks.end)
        {
            let end = marks.values().map(|marks| marks.end).max().unwrap_or(0);
            return Err(ClientError::BeyondEnd {
                topic: topic.to_owned(),
                offset,
                end,
            });
        }
        let assigned = marks.into_iter().map(|(partition, marks)| {
            let time = times.get(&partition).copied().flatten();
            Assigned {
                partition,
                next: from.within(marks, time),
                end: marks.end,
            }
        });
        let assigned = assigned.collect();
        Ok(Consumer {
            cluster,
            topic: topic.to_owned(),
            assigned,
            failing_since: None,
        })
    }

    /// Reads these partitions from now on, each from the given offset.
    pub fn assign(&mut self, positions: &BTreeMap<i32, i64>) -> Result<(), ClientError> {
        let partitions: Vec<i32> = positions.keys().copied().collect();
        let marks = self.cluster.watermarks(&self.topic, &partitions)?;
        let assigned = marks.into_iter().map(|(partition, marks)| Assigned {
            partition,
            // What was committed may be gone since.
            next: Position::Offset(positions[&partition]).within(marks, None),
            end: marks.end,
        });
        self.assigned = assigned.collect();
        Ok(())
    }

    /// The next offset of each partition.
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        let assigned = self.assigned.iter();
        assigned
            .map(|assigned| (assigned.partition, assigned.next))
            .collect()
    }

    /// The cluster that it reads from.
    pub fn cluster(&mut self) -> &mut Cluster {
        self.cluster
    }

    /// Whether everything that was there at the beginning has been read.
    pub fn at_end(&self) -> bool {
        self.assigned.iter().all(|assigned| assigned.next >= assigned.end)
    }

    /// A number that grows with every offset that was read.
    pub fn read_so_far(&self) -> i64 {
        self.assigned.iter().map(|assigned| assigned.next).sum()
    }

    /// One round over the leaders: waits up to `wait` for records and gives them to `each`, until it returns
    /// `false`.
    pub fn poll(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(FetchedRecord) -> bool,
    ) -> Result<(), ClientError> {
        let result = self.poll_once(wait, &mut each);
        match result {
            Err(error) if error.is_retriable() || matches!(error, ClientError::NoBroker { .. }) => {
                let since = *self.failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.cluster.timeout() {
                    return Err(error);
                }
                std::thread::sleep(RETRY_PAUSE);
                // While a broker restarts nobody may answer: what counts is how long that lasts.
                let _ = self.cluster.topic(&self.topic, false);
                Ok(())
            }
            Ok(()) => {
                self.failing_since = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn poll_once(
        &mut self,
        wait: Duration,
        each: &mut impl FnMut(FetchedRecord) -> bool,
    ) -> Result<(), ClientError> {
        let mut leaders: Vec<(i32, usize)> = Vec::new();
        for (at, assigned) in self.assigned.iter().enumerate() {
            leaders.push((self.cluster.leader(&self.topic, assigned.partition)?, at));
        }
        leaders.sort_by_key(|(leader, _)| *leader);
        let groups: Vec<&[(i32, usize)]> = leaders.chunk_by(|a, b| a.0 == b.0).collect();
        let wait = wait / u32::try_from(groups.len().max(1)).unwrap_or(u32::MAX);
        for group in groups {
            let members: Vec<usize> = group.iter().map(|(_, at)| *at).collect();
            if !self.fetch(group[0].0, &members, wait, each)? {
                break;
            }
        }
        // The first partition of a request is served first: let each be first in turn.
        let step = usize::from(self.assigned.len() > 1);
        self.assigned.rotate_left(step);
        Ok(())
    }

    /// `false` as soon as the receiver has enough.
    fn fetch(
        &mut self,
        leader: i32,
        members: &[usize],
        wait: Duration,
        each: &mut impl FnMut(FetchedRecord) -> bool,
    ) -> Result<bool, ClientError> {
        let topic = self.topic.clone();
        let partitions = members.iter().map(|at| FetchPartition {
            partition: self.assigned[*at].partition,
            fetch_offset: self.assigned[*at].next,
            partition_max_bytes: PARTITION_BYTES_MAX,
            ..FetchPartition::default()
        });
        let fetched = FetchTopic {
            topic: &topic,
            partitions: partitions.collect(),
            ..FetchTopic::default()
        };
        let request = FetchRequest {
            max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX,
            topics: vec![fetched],
            ..FetchRequest::default()
        };
        let connection = self.cluster.connection(leader)?;
        let reply = match connection.call_patiently(&request, VERSION_BY_NAME, wait) {
            Ok(reply) => reply,
            Err(error) => {
                self.cluster.drop_connection(leader);
                return Err(error);
            }
        };
        let response: FetchResponse<'_> = reply.read()?;
        if response.error_code != 0 {
            return Err(ClientError::refused("reading", response.error_code, None));
        }
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            if !self.take(data, each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(
        &mut self,
        data: &PartitionData<'_>,
        each: &mut impl FnMut(FetchedRecord) -> bool,
    ) -> Result<bool, ClientError> {
        let partition = data.partition_index;
        if data.error_code != 0 {
            let what = format!("reading {}-{partition}", self.topic);
            return Err(ClientError::refused(what, data.error_code, None));
        }
        let Some(assigned) = self
            .assigned
            .iter_mut()
            .find(|assigned| assigned.partition == partition)
        else {
            return Ok(true);
        };
        let Records::Bytes(bytes) = data.records else {
            return Ok(true);
        };
        let mut wanted = true;
        let next = decode_batches(partition, bytes, assigned.next, |record| {
            wanted = each(record);
            wanted
        });
        assigned.next = next.map_err(|error| ClientError::Damaged {
            topic: self.topic.clone(),
            partition,
            what: error.to_string(),
        })?;
        Ok(wanted)
    }
}

/// The highest version in which topics go by name.
const VERSION_BY_NAME: i16 = 12;
const FETCH_BYTES_MAX: i32 = 16 << 20;
const PARTITION_BYTES_MAX: i32 = 4 << 20;

const _: () = assert!(FETCH_BYTES_MAX as usize * 2 <= super::REPLY_BYTES_MAX);

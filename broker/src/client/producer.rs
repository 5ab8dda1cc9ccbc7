//! Writes batches to partitions, one request at a time, and tries again where a leader moved.

use std::time::{Duration, Instant};

use millstream_protocol::message::ProduceRequest;
use millstream_protocol::message::produce::{PartitionProduceData, TopicProduceData};

use super::cluster::Cluster;
use super::error::ClientError;

/// What an acknowledgement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nothing is answered, not even an error.
    None,
    Leader,
    All,
}

/// Where a batch came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub partition: i32,
    /// The first record's; `None` with [`Acks::None`].
    pub base_offset: Option<i64>,
}

#[derive(Debug)]
pub struct Producer<'c> {
    cluster: &'c mut Cluster,
    topic: String,
    acks: Acks,
}

impl<'c> Producer<'c> {
    /// The cluster must know the topic already ([`Cluster::topic`]).
    pub fn new(cluster: &'c mut Cluster, topic: &str, acks: Acks) -> Producer<'c> {
        Producer {
            cluster,
            topic: topic.to_owned(),
            acks,
        }
    }

    /// Sends one whole batch and waits for its acknowledgement. A batch that was sent on a connection that
    /// broke may have been written: it is not sent again, the error says so.
    pub fn send(&mut self, partition: i32, batch: &[u8]) -> Result<Placed, ClientError> {
        let deadline = Instant::now() + self.cluster.timeout();
        loop {
            let result = self.try_send(partition, batch);
            match result {
                Err(ref error @ (ClientError::Refused { .. } | ClientError::NoLeader { .. }))
                    if error.is_retriable() && Instant::now() < deadline =>
                {
                    std::thread::sleep(RETRY_PAUSE);
                    self.cluster.topic(&self.topic, false)?;
                }
                other => return other,
            }
        }
    }

    fn try_send(&mut self, partition: i32, batch: &[u8]) -> Result<Placed, ClientError> {
        let timeout = self.cluster.timeout();
        let request = ProduceRequest {
            transactional_id: None,
            acks: match self.acks {
                Acks::None => 0,
                Acks::Leader => 1,
                Acks::All => -1,
            },
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: vec![TopicProduceData {
                name: &self.topic,
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(batch),
                }],
                ..TopicProduceData::default()
            }],
        };
        let connection = self.cluster.leader_connection(&self.topic, partition)?;
        if self.acks == Acks::None {
            connection.send_only(&request, VERSION_BY_NAME)?;
            return Ok(Placed {
                partition,
                base_offset: None,
            });
        }
        let reply = connection.call_up_to(&request, VERSION_BY_NAME)?;
        let response = reply.read()?;
        let answered = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        let answer = answered
            .into_iter()
            .find(|answer| answer.index == partition)
            .ok_or_else(|| {
                let what = "its reply to Produce leaves the partition out".to_owned();
                ClientError::NotKafka {
                    broker: connection.broker().to_owned(),
                    what,
                }
            })?;
        if answer.error_code != 0 {
            let what = format!("writing to {}-{partition}", self.topic);
            let of_record = answer
                .record_errors
                .first()
                .and_then(|error| error.batch_index_error_message);
            let message = answer.error_message.or(of_record);
            return Err(ClientError::refused(what, answer.error_code, message));
        }
        Ok(Placed {
            partition,
            base_offset: Some(answer.base_offset),
        })
    }
}

/// The highest version in which topics go by name.
const VERSION_BY_NAME: i16 = 12;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

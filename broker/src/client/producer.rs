//! Writes batches to partitions, one request at a time, and tries again where a leader moved or a connection broke.
//!
//! Invariant: with [`Acks::All`] a batch that is tried again is the same one to the broker, by its producer and
//! sequence, and stands in the log once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::produce::{PartitionProduceData, TopicProduceData};
use millstream_protocol::message::{InitProducerIdRequest, ProduceRequest};
use millstream_protocol::record::batch::{BatchView, HEADER_LEN, stamp};
use millstream_protocol::record::crc::crc32c;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence};

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
    identity: Option<Identity>,
}

/// What makes a batch the same when it comes again.
#[derive(Debug)]
struct Identity {
    id: ProducerId,
    epoch: ProducerEpoch,
    /// The next batch's first, by partition.
    sequences: BTreeMap<i32, Sequence>,
}

impl<'c> Producer<'c> {
    /// The cluster must know the topic already ([`Cluster::topic`]). With [`Acks::All`] the producer is idempotent,
    /// unless the broker knows no such thing.
    pub fn new(cluster: &'c mut Cluster, topic: &str, acks: Acks) -> Result<Producer<'c>, ClientError> {
        let identity = match acks {
            Acks::All => Identity::ask(cluster)?,
            Acks::Leader | Acks::None => None,
        };
        Ok(Producer {
            cluster,
            topic: topic.to_owned(),
            acks,
            identity,
        })
    }

    /// Sends one whole batch and waits for its acknowledgement. When the connection breaks the batch may have been
    /// written: an idempotent producer sends it again, another one does not, and the error says so.
    pub fn send(&mut self, partition: i32, batch: &[u8]) -> Result<Placed, ClientError> {
        let mut batch = batch.to_vec();
        let next = self
            .identity
            .as_ref()
            .map(|identity| identity.sign(partition, &mut batch));
        let deadline = Instant::now() + self.cluster.timeout();
        loop {
            let error = match self.try_send(partition, &batch) {
                Ok(placed) => {
                    if let Some((identity, next)) = self.identity.as_mut().zip(next) {
                        identity.sequences.insert(partition, next);
                    }
                    return Ok(placed);
                }
                Err(error) => error,
            };
            let retriable = match &error {
                ClientError::Refused { .. } | ClientError::NoLeader { .. } => error.is_retriable(),
                ClientError::Broken { .. } | ClientError::TimedOut { .. } | ClientError::NoBroker { .. } => {
                    self.identity.is_some()
                }
                _ => false,
            };
            if !retriable || Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(RETRY_PAUSE);
            self.look_again(partition, &error);
        }
    }

    /// Asks where the leader is now. What fails here fails again when the batch is sent.
    fn look_again(&mut self, partition: i32, error: &ClientError) {
        let answered = matches!(error, ClientError::Refused { .. });
        if let Ok(leader) = self.cluster.leader(&self.topic, partition)
            && !answered
        {
            // A late reply on it would be taken for the next one.
            self.cluster.drop_connection(leader);
        }
        let _ = self.cluster.topic(&self.topic, false);
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
        if answer.error_code == ErrorCode::DuplicateSequenceNumber.code() {
            // It was written when it came before, so long ago that the broker has forgotten where.
            return Ok(Placed {
                partition,
                base_offset: None,
            });
        }
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

impl Identity {
    /// `None`: the broker does not know idempotent producers.
    fn ask(cluster: &mut Cluster) -> Result<Option<Self>, ClientError> {
        let deadline = Instant::now() + cluster.timeout();
        loop {
            let reply = match cluster.any().call(&InitProducerIdRequest::default()) {
                Err(ClientError::Unsupported { .. }) => return Ok(None),
                other => other?,
            };
            let response = reply.read()?;
            if response.error_code == 0 {
                return Ok(Some(Self {
                    id: ProducerId::new(response.producer_id),
                    epoch: ProducerEpoch::new(response.producer_epoch),
                    sequences: BTreeMap::new(),
                }));
            }
            let error = ClientError::refused("an id for the producer", response.error_code, None);
            if !error.is_retriable() || Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// Writes producer and sequence into a batch; the sequence that follows it.
    fn sign(&self, partition: i32, batch: &mut [u8]) -> Sequence {
        let first = self
            .sequences
            .get(&partition)
            .copied()
            .unwrap_or(Sequence::new(0));
        let records = BatchView::parse(batch).map_or(0, |(view, _)| view.record_count());
        let records_crc = crc32c(&batch[HEADER_LEN..]);
        stamp(batch, self.id, self.epoch, first, records_crc);
        // Sequences go round within 31 bits.
        Sequence::new(first.get().wrapping_add(records) & i32::MAX)
    }
}

/// The highest version in which topics go by name.
const VERSION_BY_NAME: i16 = 12;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

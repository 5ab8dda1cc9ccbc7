//! The blocking calls around a run: topics made and removed, ends asked for.
//! Invariant: one request at a time; every wait has an end.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::create_topics::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::message::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsTopic,
};
use millstream_protocol::message::metadata::MetadataRequestTopic;
use millstream_protocol::message::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, ProduceRequest, Request,
};
use millstream_protocol::types::{ProducerEpoch, ProducerId};

use crate::client::frame_buffer::FrameBuffer;
use crate::limits::RESPONSE_BYTES_MAX;
use crate::wire;

/// A blocking connection.
#[derive(Debug)]
pub struct Admin {
    stream: TcpStream,
    received: FrameBuffer,
    correlation_id: i32,
}

impl Admin {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Admin {
            stream,
            received: FrameBuffer::new(RESPONSE_BYTES_MAX),
            correlation_id: 0,
        })
    }

    /// Create a topic unless it exists, then wait until every partition has a leader.
    pub fn create_topic(&mut self, name: &str, partitions: usize) -> io::Result<()> {
        self.create(name, partitions, &[])?;
        self.wait_for_leaders(name, partitions)
    }

    /// Create a topic that must not be there yet, then wait until every partition has a leader.
    pub fn create_new_topic(
        &mut self,
        name: &str,
        partitions: usize,
        configs: &[(&str, &str)],
    ) -> io::Result<()> {
        if !self.create(name, partitions, configs)? {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{name}: there is such a topic already"),
            ));
        }
        self.wait_for_leaders(name, partitions)
    }

    /// Whether it was created here; false: it was there.
    fn create(&mut self, name: &str, partitions: usize, configs: &[(&str, &str)]) -> io::Result<bool> {
        let config = |&(name, value)| CreatableTopicConfig {
            name,
            value: Some(value),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name,
                num_partitions: partitions as i32,
                replication_factor: 1,
                configs: configs.iter().map(config).collect(),
                ..Default::default()
            }],
            timeout_ms: PATIENCE.as_millis() as i32,
            ..Default::default()
        };
        let payload = self.call(&request, CREATE_TOPICS_VERSION)?;
        let response =
            wire::answer::<CreateTopicsRequest<'_>>(payload, CREATE_TOPICS_VERSION).map_err(invalid)?;
        for topic in &response.topics {
            if ErrorCode::from_code(topic.error_code) == Some(ErrorCode::TopicAlreadyExists) {
                return Ok(false);
            }
            wire::check_code("CreateTopics", -1, topic.error_code).map_err(|error| {
                let why = topic.error_message.map(|why| format!(": {why}"));
                io::Error::other(format!("{name}: {error}{}", why.unwrap_or_default()))
            })?;
        }
        Ok(true)
    }

    /// How many brokers the cluster has.
    pub fn broker_count(&mut self) -> io::Result<usize> {
        let request = MetadataRequest {
            topics: Some(Vec::new()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let payload = self.call(&request, METADATA_VERSION)?;
        let response = wire::answer::<MetadataRequest<'_>>(payload, METADATA_VERSION).map_err(invalid)?;
        Ok(response.brokers.len())
    }

    pub fn delete_topic(&mut self, name: &str) -> io::Result<()> {
        let request = DeleteTopicsRequest {
            topic_names: vec![name],
            timeout_ms: PATIENCE.as_millis() as i32,
            ..Default::default()
        };
        let payload = self.call(&request, DELETE_TOPICS_VERSION)?;
        let response =
            wire::answer::<DeleteTopicsRequest<'_>>(payload, DELETE_TOPICS_VERSION).map_err(invalid)?;
        for topic in &response.responses {
            wire::check_code("DeleteTopics", -1, topic.error_code).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// A producer id that nobody else has, for an idempotent producer.
    pub fn init_producer_id(&mut self) -> io::Result<(ProducerId, ProducerEpoch)> {
        let request = InitProducerIdRequest {
            transaction_timeout_ms: PATIENCE.as_millis() as i32,
            ..Default::default()
        };
        let payload = self.call(&request, INIT_PRODUCER_ID_VERSION)?;
        let response =
            wire::answer::<InitProducerIdRequest<'_>>(payload, INIT_PRODUCER_ID_VERSION).map_err(invalid)?;
        wire::check_code("InitProducerId", -1, response.error_code).map_err(io::Error::other)?;
        Ok((
            ProducerId::new(response.producer_id),
            ProducerEpoch::new(response.producer_epoch),
        ))
    }

    /// Commit an offset for a group until its coordinator takes it: the first group of a cluster has the coordinators
    /// made.
    pub fn wait_for_coordinator(&mut self, group: &str, topic: &str) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let find = FindCoordinatorRequest {
            key: group,
            ..Default::default()
        };
        let commit = wire::commit_body(group, topic, 1, 0);
        loop {
            self.call(&find, FIND_COORDINATOR_VERSION)?;
            let payload = self.exchange(
                OffsetCommitRequest::API.code(),
                wire::OFFSET_COMMIT_VERSION,
                &commit,
            )?;
            match wire::check_commit(payload) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("{group}: {error}"),
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The offset after the last readable record of every partition, in the order of the partitions.
    pub fn end_offsets(&mut self, topic: &str, partitions: usize) -> io::Result<Vec<i64>> {
        self.offsets(topic, partitions, LATEST_TIMESTAMP)
    }

    /// The offset of the first record of every partition, in the order of the partitions.
    pub fn start_offsets(&mut self, topic: &str, partitions: usize) -> io::Result<Vec<i64>> {
        self.offsets(topic, partitions, EARLIEST_TIMESTAMP)
    }

    fn offsets(&mut self, topic: &str, partitions: usize, timestamp: i64) -> io::Result<Vec<i64>> {
        let partition = |partition_index| ListOffsetsPartition {
            partition_index,
            timestamp,
            ..Default::default()
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic,
                partitions: (0..partitions as i32).map(partition).collect(),
            }],
            ..Default::default()
        };
        let payload = self.call(&request, LIST_OFFSETS_VERSION)?;
        let response =
            wire::answer::<ListOffsetsRequest<'_>>(payload, LIST_OFFSETS_VERSION).map_err(invalid)?;
        let mut ends = vec![None; partitions];
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            wire::check_code("ListOffsets", partition.partition_index, partition.error_code)
                .map_err(io::Error::other)?;
            if let Some(end) = ends.get_mut(partition.partition_index as usize) {
                *end = Some(partition.offset);
            }
        }
        ends.into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| io::Error::other("ListOffsets left a partition out"))
    }

    /// Produce one batch to each partition named and wait for the acknowledgement.
    pub fn produce(&mut self, topic: &str, batches: &[(i32, &[u8])]) -> io::Result<()> {
        let body = wire::produce_body(topic, batches, -1);
        let payload = self.exchange(ProduceRequest::API.code(), wire::PRODUCE_VERSION, &body)?;
        wire::check_produce(payload, |_, _| ()).map_err(io::Error::other)
    }

    /// Fetch each partition from its offset once. Returns, for each partition, the offset after the last
    /// record received; every CRC is checked.
    pub fn fetch(
        &mut self,
        topic: &str,
        wanted: &[(i32, i64)],
        partition_bytes: i32,
    ) -> io::Result<Vec<(i32, i64)>> {
        let body = wire::fetch_body(topic, wanted, partition_bytes);
        let payload = self.exchange(FetchRequest::API.code(), wire::FETCH_VERSION, &body)?;
        let mut ends = Vec::with_capacity(wanted.len());
        wire::check_fetch(payload, |partition, records| {
            let mut end = None;
            wire::check_batches(records, |batch| end = Some(batch.last_offset().get() + 1))?;
            ends.extend(end.map(|end| (partition, end)));
            Ok(())
        })
        .map_err(io::Error::other)?;
        Ok(ends)
    }

    /// A broker may name a leader before that leader serves the partition: its end must be known too.
    fn wait_for_leaders(&mut self, name: &str, partitions: usize) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.led_partitions(name)? < partitions || self.end_offsets(name, partitions).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{name}: a partition has no leader"),
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn led_partitions(&mut self, name: &str) -> io::Result<usize> {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(name),
                ..Default::default()
            }]),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let payload = self.call(&request, METADATA_VERSION)?;
        let response = wire::answer::<MetadataRequest<'_>>(payload, METADATA_VERSION).map_err(invalid)?;
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions
            .filter(|partition| partition.error_code == 0 && partition.leader_id >= 0)
            .count())
    }

    fn call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<&[u8]> {
        let body = wire::body(request, version).map_err(invalid)?;
        self.exchange(R::API.code(), version, &body)
    }

    /// Send one request and return the payload of its answer.
    fn exchange(&mut self, api_key: i16, version: i16, body: &[u8]) -> io::Result<&[u8]> {
        self.correlation_id += 1;
        let mut frame = Vec::with_capacity(12 + body.len());
        frame.extend_from_slice(&(8 + body.len() as i32).to_be_bytes());
        frame.extend_from_slice(&api_key.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&self.correlation_id.to_be_bytes());
        frame.extend_from_slice(body);
        self.stream.write_all(&frame)?;
        let answer = loop {
            if let Some(answer) = self.received.next_frame()? {
                break answer;
            }
            if self.received.fill(&mut self.stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        match self.received.bytes(answer).split_first_chunk::<4>() {
            Some((id, payload)) if i32::from_be_bytes(*id) == self.correlation_id => Ok(payload),
            _ => Err(io::Error::other("an answer to another request")),
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Versions without compact lengths, which every broker of today serves.
const CREATE_TOPICS_VERSION: i16 = 4;
const DELETE_TOPICS_VERSION: i16 = 3;
const FIND_COORDINATOR_VERSION: i16 = 2;
const INIT_PRODUCER_ID_VERSION: i16 = 1;
const LIST_OFFSETS_VERSION: i16 = 5;
const METADATA_VERSION: i16 = 8;

//! A small blocking client on the protocol crate: one connection, requests as they are written, nothing
//! retried and nothing hidden. The tests see every code and every byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use millstream_protocol::api::spec;
use millstream_protocol::header::{RequestHeader, decode_response_header};
use millstream_protocol::message::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use millstream_protocol::message::{Decode, Records, Request};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::record::batch::Batches;
use millstream_protocol::types::CorrelationId;

/// One connection to a broker.
pub struct Connection {
    stream: TcpStream,
    next: i32,
}

/// A response frame; [`Reply::read`] decodes it.
pub struct Reply {
    frame: Vec<u8>,
    key: i16,
    version: i16,
}

/// One record as it was served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub offset: i64,
    pub value: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_MAX))?;
        Ok(Self { stream, next: 0 })
    }

    /// Sends a request without waiting for its reply.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<()> {
        let spec = spec(R::API as i16).expect("an API of the table");
        let mut w = Writer::new();
        let mark = w.begin_frame();
        let header = RequestHeader {
            api_key: R::API as i16,
            api_version: version,
            correlation_id: CorrelationId::new(self.next),
            client_id: Some("millstream-tests"),
        };
        self.next += 1;
        header.encode(&mut w, spec).expect("a header fits");
        request
            .encode(&mut w, version)
            .expect("a request that can be written");
        w.end_frame(mark).expect("a frame fits");
        self.stream.write_all(w.bytes())
    }

    /// Bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes as they are and waits for a frame; its content.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.send_raw(bytes)?;
        self.frame()
    }

    /// Waits for the next reply, which must be to an `R` of `version`.
    pub fn receive<R: Request>(&mut self, version: i16) -> io::Result<Reply> {
        Ok(Reply {
            frame: self.frame()?,
            key: R::API as i16,
            version,
        })
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<Reply> {
        self.send(request, version)?;
        self.receive::<R>(version)
    }

    /// Creates a topic; panics unless the broker agrees.
    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|&(name, value)| CreatableTopicConfig {
            name,
            value: Some(value),
        });
        let topic = CreatableTopic {
            name,
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..CreateTopicsRequest::default()
        };
        let reply = self.call(&request, CREATE_TOPICS).expect("a reply");
        let response = reply.read::<CreateTopicsRequest<'_>>();
        assert_eq!(
            response.topics[0].error_code, 0,
            "{:?}",
            response.topics[0].error_message
        );
    }

    /// All records of a partition from `offset` up to the high watermark, with every batch's checksum and
    /// framing checked.
    pub fn read_all(&mut self, topic: &str, partition: i32, mut offset: i64) -> Vec<Served> {
        let mut served = Vec::new();
        loop {
            let reply = self
                .call(&fetch(topic, partition, offset), FETCH)
                .expect("a reply");
            let response = reply.read::<FetchRequest<'_>>();
            let data = &response.responses[0].partitions[0];
            assert_eq!(data.error_code, 0, "{topic}-{partition} at {offset}");
            if let Records::Bytes(bytes) = data.records {
                collect(bytes, offset, &mut served);
            }
            match served.last() {
                Some(last) if last.offset >= offset => offset = last.offset + 1,
                _ => assert!(
                    offset >= data.high_watermark,
                    "nothing came below the high watermark"
                ),
            }
            if offset >= data.high_watermark {
                return served;
            }
        }
    }
}

impl Reply {
    /// The response; panics where it is not one.
    pub fn read<R: Request>(&self) -> R::Response<'_> {
        assert_eq!(self.key, R::API as i16);
        let mut r = Reader::new(&self.frame);
        let spec = spec(self.key).expect("an API of the table");
        decode_response_header(&mut r, spec, self.version).expect("a response header");
        let response = R::Response::decode(&mut r, self.version).expect("a response that can be read");
        r.finish().expect("nothing after the response");
        response
    }

    /// The correlation id, which every response begins with.
    pub fn correlation_id(&self) -> i32 {
        i32::from_be_bytes(self.frame[..4].try_into().expect("four bytes"))
    }
}

/// A produce request of one batch.
pub fn produce<'a>(topic: &'a str, partition: i32, batch: &'a [u8], acks: i16) -> ProduceRequest<'a> {
    let partition_data = vec![PartitionProduceData {
        index: partition,
        records: Some(batch),
    }];
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic,
            partition_data,
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// A fetch request of one partition that does not wait.
pub fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest<'_> {
    let partitions = vec![FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    }];
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic,
            partitions,
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

fn collect(bytes: &[u8], from: i64, served: &mut Vec<Served>) {
    for batch in Batches::new(bytes) {
        let batch = batch.expect("whole batches");
        batch
            .verify_crc()
            .expect("a batch that was served has its checksum");
        batch.check_framing().expect("records that fill their batch");
        let base = batch.base_offset().get();
        for record in batch.records().expect("records that are not compressed") {
            let record = record.expect("a record that can be read");
            let offset = base + i64::from(record.offset_delta);
            if offset >= from {
                served.push(Served {
                    offset,
                    value: record.value.unwrap_or_default().to_vec(),
                });
            }
        }
    }
}

/// The versions that the helpers above speak.
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 12;
pub const CREATE_TOPICS: i16 = 7;

const REPLY_MAX: Duration = Duration::from_secs(30);

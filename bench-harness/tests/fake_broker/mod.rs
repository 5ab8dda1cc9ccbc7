//! A broker that is just enough for a scenario: it keeps batches in memory and forgets them with their topic.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::header::{RequestHeader, encode_response_header};
use millstream_protocol::message::create_topics::CreatableTopicResult;
use millstream_protocol::message::delete_topics::DeletableTopicResult;
use millstream_protocol::message::fetch::{FetchableTopicResponse, PartitionData};
use millstream_protocol::message::list_offsets::{
    LATEST_TIMESTAMP, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use millstream_protocol::message::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::message::produce::{PartitionProduceResponse, TopicProduceResponse};
use millstream_protocol::message::{
    ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, Decode, DeleteTopicsRequest,
    DeleteTopicsResponse, Encode, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, Records,
};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::record::batch::{BatchView, patch};
use millstream_protocol::types::{LeaderEpoch, Offset};

/// How it behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Before each answer to a Fetch that has records.
    pub fetch_delay: Duration,
    /// Closes the connection that asks for records.
    pub closes_at_fetch: bool,
}

#[derive(Clone)]
pub struct FakeBroker {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
    manners: Manners,
}

#[derive(Default)]
pub struct State {
    /// Partitions by topic, each its batches in order.
    pub topics: BTreeMap<String, Vec<Vec<Vec<u8>>>>,
    pub produced: u64,
}

impl FakeBroker {
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let broker = FakeBroker {
            address: listener.local_addr().expect("an address"),
            state: Arc::default(),
            manners,
        };
        let served = broker.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let broker = served.clone();
                std::thread::spawn(move || broker.serve(stream));
            }
        });
        broker
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("no panic while it is held")
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length).ok()?;
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).ok()?;
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).expect("a request");
            let answer = self.answer(&header, &mut reader)?;
            stream.write_all(&answer).ok()?;
        }
    }

    /// `None` closes the connection.
    fn answer(&self, header: &RequestHeader<'_>, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
        let version = header.api_version;
        let api = ApiKey::from_code(header.api_key).expect("a known request");
        match api {
            ApiKey::ApiVersions => frame(header, api, &ApiVersionsResponse::default()),
            ApiKey::InitProducerId => {
                let response = InitProducerIdResponse {
                    producer_id: 7,
                    ..Default::default()
                };
                frame(header, api, &response)
            }
            ApiKey::Metadata => {
                let request = MetadataRequest::decode(reader, version).ok()?;
                frame(header, api, &self.metadata(&request))
            }
            ApiKey::CreateTopics => {
                let request = CreateTopicsRequest::decode(reader, version).ok()?;
                frame(header, api, &self.create(&request))
            }
            ApiKey::DeleteTopics => {
                let request = DeleteTopicsRequest::decode(reader, version).ok()?;
                frame(header, api, &self.delete(&request))
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(reader, version).ok()?;
                frame(header, api, &self.offsets(&request))
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(reader, version).ok()?;
                frame(header, api, &self.produce(&request)?)
            }
            ApiKey::Fetch if self.manners.closes_at_fetch => None,
            ApiKey::Fetch => {
                let request = FetchRequest::decode(reader, version).ok()?;
                let found = self.wait_for_records(&request);
                frame(header, api, &fetched(&request, &found))
            }
            other => panic!("{other:?} is asked for by no scenario"),
        }
    }

    fn metadata<'a>(&self, request: &MetadataRequest<'a>) -> MetadataResponse<'a> {
        let state = self.state();
        let topic = |name: &'a str| MetadataResponseTopic {
            name: Some(name),
            partitions: (0..state.topics.get(name).map_or(0, Vec::len))
                .map(|index| MetadataResponsePartition {
                    partition_index: index as i32,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let asked = request.topics.iter().flatten().filter_map(|topic| topic.name);
        MetadataResponse {
            brokers: vec![MetadataResponseBroker::default()],
            topics: asked.map(topic).collect(),
            ..Default::default()
        }
    }

    fn create<'a>(&self, request: &CreateTopicsRequest<'a>) -> CreateTopicsResponse<'a> {
        let mut state = self.state();
        let mut create = |name: &'a str, partitions: i32| {
            let partitions = vec![Vec::new(); partitions as usize];
            let there = state.topics.insert(name.to_owned(), partitions);
            CreatableTopicResult {
                name,
                error_code: there.map_or(0, |_| ErrorCode::TopicAlreadyExists.code()),
                ..Default::default()
            }
        };
        CreateTopicsResponse {
            topics: (request.topics.iter())
                .map(|topic| create(topic.name, topic.num_partitions))
                .collect(),
            ..Default::default()
        }
    }

    fn delete<'a>(&self, request: &DeleteTopicsRequest<'a>) -> DeleteTopicsResponse<'a> {
        let mut state = self.state();
        let mut delete = |&name: &&'a str| {
            state.topics.remove(name).expect("a topic that is there");
            DeletableTopicResult {
                name: Some(name),
                ..Default::default()
            }
        };
        DeleteTopicsResponse {
            responses: request.topic_names.iter().map(&mut delete).collect(),
            ..Default::default()
        }
    }

    fn offsets<'a>(&self, request: &ListOffsetsRequest<'a>) -> ListOffsetsResponse<'a> {
        let state = self.state();
        let topic = &request.topics[0];
        let partitions = topic.partitions.iter().map(|asked| {
            let batches = &state.topics[topic.name][asked.partition_index as usize];
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                offset: if asked.timestamp == LATEST_TIMESTAMP {
                    end(batches)
                } else {
                    0
                },
                ..Default::default()
            }
        });
        ListOffsetsResponse {
            topics: vec![ListOffsetsTopicResponse {
                name: topic.name,
                partitions: partitions.collect(),
            }],
            ..Default::default()
        }
    }

    /// `None` where the topic is gone: what a load had on its way when it ended.
    fn produce<'a>(&self, request: &ProduceRequest<'a>) -> Option<ProduceResponse<'a>> {
        let mut state = self.state();
        let topic = &request.topic_data[0];
        let mut responses = Vec::new();
        for data in &topic.partition_data {
            let partitions = state.topics.get_mut(topic.name)?;
            let batches = &mut partitions[data.index as usize];
            let mut batch = data.records.expect("a batch").to_vec();
            patch(&mut batch, Offset::new(end(batches)), LeaderEpoch::new(0));
            batches.push(batch);
            responses.push(PartitionProduceResponse {
                index: data.index,
                ..Default::default()
            });
        }
        state.produced += 1;
        self.state.1.notify_all();
        Some(ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: topic.name,
                partition_responses: responses,
                ..Default::default()
            }],
            ..Default::default()
        })
    }

    /// Records of each partition that was asked for, at least one of any within half a second.
    fn wait_for_records(&self, request: &FetchRequest<'_>) -> Vec<Vec<u8>> {
        let topic = &request.topics[0];
        let look = |state: &State| -> Vec<Vec<u8>> {
            let partitions = topic.partitions.iter();
            partitions
                .map(|asked| {
                    let partitions = state.topics.get(topic.topic);
                    let batches = partitions.map_or(&[][..], |all| &all[asked.partition as usize]);
                    let new = batches.iter().filter(|batch| base(batch) >= asked.fetch_offset);
                    new.take(BATCHES_MAX).flatten().copied().collect()
                })
                .collect()
        };
        let nothing = |state: &mut State| look(state).iter().all(Vec::is_empty);
        let half = Duration::from_millis(500);
        let waited = self.state.1.wait_timeout_while(self.state(), half, nothing);
        let found = look(&waited.expect("no panic while it is held").0);
        if found.iter().any(|records| !records.is_empty()) {
            std::thread::sleep(self.manners.fetch_delay);
        }
        found
    }
}

fn fetched<'a>(request: &FetchRequest<'a>, found: &'a [Vec<u8>]) -> FetchResponse<'a> {
    let topic = &request.topics[0];
    let partitions = topic.partitions.iter().zip(found);
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: topic.topic,
            partitions: partitions
                .map(|(asked, records)| PartitionData {
                    partition_index: asked.partition,
                    records: Records::Bytes(records),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn base(batch: &[u8]) -> i64 {
    BatchView::parse(batch).expect("a batch").0.base_offset().get()
}

fn end(batches: &[Vec<u8>]) -> i64 {
    batches.last().map_or(0, |batch| {
        BatchView::parse(batch).expect("a batch").0.last_offset().get() + 1
    })
}

fn frame(header: &RequestHeader<'_>, api: ApiKey, response: &impl Encode) -> Option<Vec<u8>> {
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    encode_response_header(&mut writer, api.spec(), header.api_version, header.correlation_id);
    response.encode(&mut writer, header.api_version).ok()?;
    writer.end_frame(mark).ok()?;
    Some(writer.bytes().to_vec())
}

const BATCHES_MAX: usize = 100;

//! A broker for tests that says exactly what it is told to: one connection at a time, one reply per request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_protocol::api::{ApiKey, spec};
use millstream_protocol::header::{RequestHeader, encode_response_header};
use millstream_protocol::message::api_versions::ApiVersion;
use millstream_protocol::message::{ApiVersionsResponse, Encode};
use millstream_protocol::primitive::{Reader, Writer};

/// What to do with one request.
pub enum Answer {
    /// The body of a reply, encoded in the version that was asked in.
    Body(Vec<u8>),
    /// These bytes as they are, prefix and all.
    Raw(Vec<u8>),
    Silence,
    Close,
}

/// One request as it came.
pub struct Asked {
    pub api: i16,
    pub version: i16,
    pub body: Vec<u8>,
}

pub struct ScriptedBroker {
    pub address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedBroker {
    /// `answer` sees every request but ApiVersions, which is answered with our own table up to
    /// `versions_max`.
    pub fn start(
        versions_max: i16,
        mut answer: impl FnMut(SocketAddr, &Asked) -> Answer + Send + 'static,
    ) -> ScriptedBroker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                while let Some(frame) = read_frame(&mut stream) {
                    if frame == STOP {
                        return;
                    }
                    if !reply(&mut stream, &frame, versions_max, &mut |asked| {
                        answer(address, asked)
                    }) {
                        break;
                    }
                }
            }
        };
        ScriptedBroker {
            address,
            thread: Some(std::thread::spawn(serve)),
        }
    }

    pub fn broker(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for ScriptedBroker {
    /// The client of the test must be gone by now.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.write_all(&frame_of(STOP));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A message's bytes in a version.
pub fn body(message: &impl Encode, version: i16) -> Answer {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    Answer::Body(writer.bytes().to_vec())
}

fn reply(
    stream: &mut TcpStream,
    frame: &[u8],
    versions_max: i16,
    answer: &mut dyn FnMut(&Asked) -> Answer,
) -> bool {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).unwrap();
    let asked = Asked {
        api: header.api_key,
        version: header.api_version,
        body: reader.into_rest().to_vec(),
    };
    let answer = match asked.api {
        api if api == ApiKey::ApiVersions.code() => body(&our_versions(versions_max), asked.version),
        _ => answer(&asked),
    };
    match answer {
        Answer::Body(body) => {
            let mut writer = Writer::new();
            let api = spec(asked.api).unwrap();
            encode_response_header(&mut writer, api, asked.version, header.correlation_id);
            writer.raw(&body);
            stream.write_all(&frame_of(writer.bytes())).is_ok()
        }
        Answer::Raw(bytes) => stream.write_all(&bytes).is_ok(),
        Answer::Silence => true,
        Answer::Close => false,
    }
}

fn our_versions(versions_max: i16) -> ApiVersionsResponse<'static> {
    let api_keys = millstream_protocol::api::API_TABLE.iter().map(|api| ApiVersion {
        api_key: api.key.code(),
        min_version: api.min,
        max_version: api.max.min(versions_max),
    });
    ApiVersionsResponse {
        api_keys: api_keys.collect(),
        ..ApiVersionsResponse::default()
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn frame_of(bytes: &[u8]) -> Vec<u8> {
    let prefix = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&prefix[..], bytes].concat()
}

/// No request is so short.
const STOP: &[u8] = b"stop";
const PATIENCE: Duration = Duration::from_secs(5);

//! One connection to one broker: a request out, its reply in.

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use millstream_protocol::api::{ApiKey, ApiSpec};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::header::{RequestHeader, decode_response_header};
use millstream_protocol::message::{ApiVersionsRequest, Decode, Request};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::types::CorrelationId;

use super::error::ClientError;
use super::{CLIENT_ID, REPLY_BYTES_MAX};

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// As it was asked for; for messages.
    broker: String,
    /// What the broker offers: key, lowest and highest version.
    offered: Vec<(i16, i16, i16)>,
    next_correlation_id: i32,
    /// For one request, from its first byte to the reply's last.
    timeout: Duration,
}

/// A reply's frame; the message borrows from it.
#[derive(Debug)]
pub struct Reply<R> {
    frame: Vec<u8>,
    version: i16,
    broker: String,
    request: PhantomData<R>,
}

impl Connection {
    /// Connects, and learns what the broker speaks. `address` is `HOST:PORT`.
    pub fn open(address: &str, timeout: Duration) -> Result<Connection, ClientError> {
        let unreachable = |error| ClientError::NoBroker {
            tried: vec![(address.to_owned(), error)],
        };
        let stream = connect(address, timeout).map_err(unreachable)?;
        // Requests are small and each waits for its reply.
        stream.set_nodelay(true).map_err(unreachable)?;
        let broker = address.to_owned();
        let mut connection = Connection {
            stream,
            broker,
            offered: Vec::new(),
            next_correlation_id: 1,
            timeout,
        };
        connection.learn_versions()?;
        Ok(connection)
    }

    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// What the broker offers: key, lowest and highest version; sorted by key.
    pub fn offered(&self) -> &[(i16, i16, i16)] {
        &self.offered
    }

    /// Sends the request in the highest version that both sides speak, and waits for the reply.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<Reply<R>, ClientError> {
        self.call_up_to(request, i16::MAX)
    }

    /// As [`Self::call`], in no version above `version_max`.
    pub fn call_up_to<R: Request>(&mut self, request: &R, version_max: i16) -> Result<Reply<R>, ClientError> {
        let version = self.version_of(R::API.spec(), version_max)?;
        self.exchange(request, version, Duration::ZERO)
    }

    /// As [`Self::call_up_to`], for a request that the broker may hold for `longer` before it answers.
    pub fn call_patiently<R: Request>(
        &mut self,
        request: &R,
        version_max: i16,
        longer: Duration,
    ) -> Result<Reply<R>, ClientError> {
        let version = self.version_of(R::API.spec(), version_max)?;
        self.exchange(request, version, longer)
    }

    /// For the one request that has no reply: Produce with acks=0.
    pub fn send_only<R: Request>(&mut self, request: &R, version_max: i16) -> Result<(), ClientError> {
        let version = self.version_of(R::API.spec(), version_max)?;
        self.send(request, version, Instant::now() + self.timeout)
            .map(|_| ())
    }

    fn learn_versions(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID,
            client_software_version: env!("CARGO_PKG_VERSION"),
        };
        let newest = ApiKey::ApiVersions.spec().max;
        let reply = self.exchange(&request, newest, Duration::ZERO)?;
        // A broker that does not know the version answers in version 0 (KIP-511).
        let refused = reply.frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
        let reply = if refused {
            self.exchange(&request, 0, Duration::ZERO)?
        } else {
            reply
        };
        let response = reply.read()?;
        if response.error_code != 0 {
            return Err(ClientError::refused(
                format!("the broker {}", self.broker),
                response.error_code,
                None,
            ));
        }
        self.offered = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        self.offered.sort_unstable();
        Ok(())
    }

    fn version_of(&self, spec: &ApiSpec, version_max: i16) -> Result<i16, ClientError> {
        let offered = self.offered.iter().find(|(key, ..)| *key == spec.key.code());
        let highest =
            offered.map(|(_, min, max)| (*min.max(&spec.min), (*max).min(spec.max).min(version_max)));
        match highest {
            Some((min, max)) if min <= max => Ok(max),
            _ => Err(ClientError::Unsupported {
                broker: self.broker.clone(),
                api: spec.name,
            }),
        }
    }

    fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        longer: Duration,
    ) -> Result<Reply<R>, ClientError> {
        let name = R::API.spec().name;
        let deadline = Instant::now() + self.timeout + longer;
        let correlation_id = self.send(request, version, deadline)?;
        let mut prefix = [0; 4];
        self.receive(&mut prefix, deadline, name)?;
        let declared = usize::try_from(i32::from_be_bytes(prefix))
            .ok()
            .filter(|size| *size <= REPLY_BYTES_MAX);
        let size =
            declared.ok_or_else(|| self.not_kafka(format!("it announces a reply of {prefix:?} bytes")))?;
        let mut frame = vec![0; size];
        self.receive(&mut frame, deadline, name)?;
        let mut reader = Reader::new(&frame);
        let answered = decode_response_header(&mut reader, R::API.spec(), version);
        if answered != Ok(correlation_id) {
            return Err(self.not_kafka(format!("the reply to {name} carries another request's number")));
        }
        Ok(Reply {
            frame,
            version,
            broker: self.broker.clone(),
            request: PhantomData,
        })
    }

    fn send<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<CorrelationId, ClientError> {
        let correlation_id = CorrelationId::new(self.next_correlation_id);
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        let header = RequestHeader {
            api_key: R::API.code(),
            api_version: version,
            correlation_id,
            client_id: Some(CLIENT_ID),
        };
        let mut writer = Writer::new();
        let frame = writer.begin_frame();
        let encoded = header
            .encode(&mut writer, R::API.spec())
            .and_then(|()| request.encode(&mut writer, version));
        let encoded = encoded.and_then(|()| writer.end_frame(frame));
        encoded.map_err(|error| ClientError::Invalid(format!("the request cannot be sent: {error}")))?;
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(SHORTEST_WAIT);
        let sent = self
            .stream
            .set_write_timeout(Some(left))
            .and_then(|()| self.stream.write_all(writer.bytes()));
        sent.map_err(|error| self.broken(error, R::API.spec().name))?;
        Ok(correlation_id)
    }

    /// Fills the buffer, or fails at the deadline, however slowly the bytes come.
    fn receive(
        &mut self,
        mut buffer: &mut [u8],
        deadline: Instant,
        api: &'static str,
    ) -> Result<(), ClientError> {
        while !buffer.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out(api));
            }
            let wait = Some(left.max(SHORTEST_WAIT));
            match self
                .stream
                .set_read_timeout(wait)
                .and_then(|()| self.stream.read(buffer))
            {
                Ok(0) => return Err(self.broken(io::ErrorKind::UnexpectedEof.into(), api)),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error, api)),
            }
        }
        Ok(())
    }

    fn broken(&self, error: io::Error, api: &'static str) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.timed_out(api),
            _ => ClientError::Broken {
                broker: self.broker.clone(),
                error,
            },
        }
    }

    fn timed_out(&self, api: &'static str) -> ClientError {
        ClientError::TimedOut {
            broker: self.broker.clone(),
            waiting_for: api,
        }
    }

    fn not_kafka(&self, what: String) -> ClientError {
        ClientError::NotKafka {
            broker: self.broker.clone(),
            what,
        }
    }
}

impl<R: Request> Reply<R> {
    pub fn read(&self) -> Result<R::Response<'_>, ClientError> {
        let mut reader = Reader::new(&self.frame);
        let read = decode_response_header(&mut reader, R::API.spec(), self.version)
            .and_then(|_| R::Response::decode(&mut reader, self.version));
        read.map_err(|error| ClientError::NotKafka {
            broker: self.broker.clone(),
            what: format!("its reply to {} does not read ({error})", R::API.spec().name),
        })
    }

    pub fn version(&self) -> i16 {
        self.version
    }
}

/// Tries the addresses of the name in turn; the last one's error is the error.
fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut failed = None;
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, timeout.max(SHORTEST_WAIT)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

/// A timeout of zero would mean none.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

//! What clients told of themselves (KIP-714), as every shard of the process can tell it.
//!
//! Place: the handlers of GetTelemetrySubscriptions and PushTelemetry write it; DescribeConfigs tells it under the name
//! [`CLIENT_METRICS`], alone or with a client's id behind it, which `millstream client metrics` asks for.
//!
//! Invariants: where nothing is asked of clients nothing is remembered of them, and no lock taken. What comes is
//! decompressed and read before it is kept, within bounds, and outside of the lock.

use millstream_compress::{DecompressError, decompress};
use millstream_machine::telemetry::otlp::{self, ReadError, Value};
use millstream_machine::telemetry::selector::Client;
use millstream_machine::telemetry::subscriptions::Requested;
use millstream_machine::telemetry::{ClientInstanceId, Instance, Push, Told};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::record::codec::Codec;
use millstream_protocol::types::TopicId;
use serde::{Deserialize, Serialize};

use super::slab::Key;
use super::state::Shard;
use crate::limits::{CLIENT_METRICS_BYTES_MAX, CLIENT_METRICS_PARTS_MAX, SOFTWARE_NAME_BYTES_MAX};

/// The broker config that nobody can set: asked for by this name alone, it is not among those that are listed. With a
/// dot and a client's instance id behind it, it is what that client told.
pub const CLIENT_METRICS: &str = "millstream.client.metrics";

/// A client that is asked for metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredClient {
    pub client_instance_id: String,
    pub client_id: String,
    pub client_software_name: String,
    pub client_software_version: String,
    pub client_source_address: String,
    pub client_source_port: u16,
    pub push_interval_ms: u64,
    /// When it last told something, in milliseconds since 1970.
    pub pushed_at_ms: Option<i64>,
    /// It has said that it ends.
    pub terminating: bool,
}

/// What it told last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientMetrics {
    /// Of the client as a whole.
    pub resource: Vec<(String, String)>,
    pub metrics: Vec<ClientMetric>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientMetric {
    pub name: String,
    pub unit: String,
    pub points: Vec<ClientMetricPoint>,
}

/// A number, or how many there were and their sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientMetricPoint {
    pub attributes: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
}

/// What a client calls its software, in its ApiVersions request.
#[derive(Debug)]
pub struct ClientSoftware {
    name: Box<str>,
    version: Box<str>,
}

impl Shard {
    /// Remembers a connection's software, for it is told at the beginning and asked for later.
    pub(crate) fn note_software(&mut self, connection: Key, name: &str, version: &str) {
        if name.len().max(version.len()) > SOFTWARE_NAME_BYTES_MAX {
            return;
        }
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.software = Some(Box::new(ClientSoftware {
                name: name.into(),
                version: version.into(),
            }));
        }
    }

    /// What the client on a connection is asked for; one without an instance id (zero) is given one.
    pub(crate) fn ask_for_metrics(
        &mut self,
        connection: Key,
        client_id: Option<&str>,
        instance: TopicId,
    ) -> Result<(ClientInstanceId, Requested), ErrorCode> {
        let instance = match instance.is_zero() {
            true => self.new_client_instance(),
            false => ClientInstanceId::new(instance),
        };
        let image = self.image.clone();
        let (subscriptions, now) = (image.client_metrics(), self.now.monotonic);
        let requested = self.as_client(
            connection,
            client_id,
            instance,
            |shard, client| match subscriptions.is_empty() {
                true => Ok(subscriptions.of_client(client)),
                false => shard
                    .table
                    .with_telemetry(|telemetry| telemetry.get(client, subscriptions, now)),
            },
        );
        requested.map(|requested| (instance, requested))
    }

    /// Takes what the client on a connection tells.
    pub(crate) fn take_metrics(
        &mut self,
        connection: Key,
        client_id: Option<&str>,
        instance: ClientInstanceId,
        push: &Push,
        metrics: &[u8],
    ) -> Result<(), ErrorCode> {
        if instance.is_reserved() {
            return Err(ErrorCode::InvalidRequest);
        }
        let image = self.image.clone();
        let (subscriptions, now) = (image.client_metrics(), self.now);
        if subscriptions.is_empty() {
            // Somebody took back what was asked just now.
            let requested = self.as_client(connection, client_id, instance, |_, client| {
                subscriptions.of_client(client)
            });
            return push.check(requested.subscription_id);
        }
        self.as_client(connection, client_id, instance, |shard, client| {
            shard
                .table
                .with_telemetry(|telemetry| telemetry.push(client, push, subscriptions, now.monotonic))
        })?;
        if metrics.is_empty() {
            return Ok(());
        }
        let taken = plain(push.compression, metrics);
        let refused = taken.as_ref().err().copied();
        self.table.with_telemetry(|telemetry| match taken {
            Ok(metrics) => telemetry.keep(
                instance,
                Told {
                    metrics,
                    at: now.wall,
                },
            ),
            Err(error) => telemetry.refused(instance, error),
        });
        refused.map_or(Ok(()), Err)
    }

    /// The value of a config that is asked for by a name that begins with [`CLIENT_METRICS`]: JSON. `None` where there
    /// is none, or where `room`, in bytes as they were pushed, does not suffice for it; what it takes comes off.
    pub(crate) fn describe_client_metrics(&self, name: &str, room: &mut usize) -> Option<String> {
        let asked = name.strip_prefix(CLIENT_METRICS)?;
        self.table
            .with_telemetry(|telemetry| telemetry.expire(self.now.monotonic));
        if asked.is_empty() {
            let clients: Vec<MeasuredClient> = self.table.with_telemetry(|telemetry| {
                let all = telemetry.instances();
                all.map(|(id, instance)| MeasuredClient::new(id, instance))
                    .collect()
            });
            return Some(serde_json::to_string(&clients).expect("our own types serialise"));
        }
        let id = ClientInstanceId::new(TopicId::from_base64(asked.strip_prefix('.')?)?);
        let told = self.table.with_telemetry(|telemetry| {
            let instance = telemetry.find(id)?;
            instance.told.clone()
        })?;
        *room = room.checked_sub(told.metrics.len())?;
        let read = otlp::read(&told.metrics, CLIENT_METRICS_PARTS_MAX).ok()?;
        Some(serde_json::to_string(&ClientMetrics::new(&read)).expect("our own types serialise"))
    }

    /// Forgets clients that are not heard of any more; one shard does it for all.
    pub(super) fn forget_silent_clients(&self) {
        if self.id.0 == 0 {
            self.table
                .with_telemetry(|telemetry| telemetry.expire(self.now.monotonic));
        }
    }

    fn as_client<T>(
        &mut self,
        connection: Key,
        client_id: Option<&str>,
        instance: ClientInstanceId,
        then: impl FnOnce(&mut Self, &Client<'_>) -> T,
    ) -> T {
        let open = self.connections.get_mut(connection);
        let (peer, software) = match open {
            Some(open) => (Some(open.peer), open.software.take()),
            None => (None, None),
        };
        let address = peer.map(|peer| peer.ip().to_canonical().to_string());
        let client = Client {
            instance,
            client_id: client_id.unwrap_or_default(),
            software_name: software.as_ref().map_or(UNKNOWN, |software| &software.name),
            software_version: software.as_ref().map_or(UNKNOWN, |software| &software.version),
            address: address.as_deref().unwrap_or_default(),
            port: peer.map_or(0, |peer| peer.port()),
        };
        let done = then(self, &client);
        if let Some(open) = self.connections.get_mut(connection) {
            open.software = software;
        }
        done
    }

    /// A random UUID (RFC 9562, version 4).
    fn new_client_instance(&mut self) -> ClientInstanceId {
        let random = self.draw_wide() & !(0xf << 76 | 0x3 << 62);
        let id = random | 0x4 << 76 | 0x2 << 62;
        ClientInstanceId::new(TopicId::new(id.to_be_bytes()))
    }
}

impl MeasuredClient {
    fn new(id: ClientInstanceId, instance: &Instance) -> Self {
        Self {
            client_instance_id: id.to_string(),
            client_id: instance.client_id.to_string(),
            client_software_name: instance.software_name.to_string(),
            client_software_version: instance.software_version.to_string(),
            client_source_address: instance.address.to_string(),
            client_source_port: instance.port,
            push_interval_ms: instance.push_interval.as_millis(),
            pushed_at_ms: instance.told.as_ref().map(|told| told.at.get()),
            terminating: instance.terminating,
        }
    }
}

impl ClientMetrics {
    fn new(read: &otlp::Metrics<'_>) -> Self {
        let metric = |metric: &otlp::Metric<'_>| ClientMetric {
            name: metric.name.to_owned(),
            unit: metric.unit.to_owned(),
            points: metric.points.iter().map(ClientMetricPoint::new).collect(),
        };
        Self {
            resource: owned(&read.resource),
            metrics: read.metrics.iter().map(metric).collect(),
        }
    }
}

impl ClientMetricPoint {
    fn new(point: &otlp::Point<'_>) -> Self {
        let (value, count, sum) = match point.value {
            Value::None => (None, None, None),
            Value::Int(number) => (Some(number.into()), None, None),
            // There is no JSON for infinities.
            Value::Double(number) => (serde_json::Number::from_f64(number), None, None),
            Value::Distribution { count, sum } => {
                (None, Some(count), Some(sum).filter(|sum| sum.is_finite()))
            }
        };
        Self {
            attributes: owned(&point.attributes),
            value,
            count,
            sum,
        }
    }
}

fn owned(attributes: &otlp::Attributes<'_>) -> Vec<(String, String)> {
    let each = attributes.iter();
    each.map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// Metrics as they can be kept, once it is known that they read.
fn plain(compression: i8, metrics: &[u8]) -> Result<Box<[u8]>, ErrorCode> {
    let codec = u8::try_from(compression).ok().and_then(Codec::from_id);
    let codec = codec.ok_or(ErrorCode::UnsupportedCompressionType)?;
    let plain = decompress(codec, metrics, CLIENT_METRICS_BYTES_MAX).map_err(|error| match error {
        DecompressError::TooLarge { .. } => ErrorCode::TelemetryTooLarge,
        DecompressError::Corrupt | DecompressError::Batch(_) => ErrorCode::InvalidRecord,
    })?;
    match otlp::read(&plain, CLIENT_METRICS_PARTS_MAX) {
        Ok(_) => Ok(plain.into()),
        Err(ReadError::Malformed) => Err(ErrorCode::InvalidRecord),
        Err(ReadError::TooMany) => Err(ErrorCode::TelemetryTooLarge),
    }
}

/// As Kafka calls the software of a client that says nothing.
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use millstream_compress::compress;

    use super::*;

    #[test]
    fn what_is_pushed_is_kept_plain_and_only_if_it_reads() {
        // A gauge called "a".
        let metrics = [0x0a, 7, 0x12, 5, 0x12, 3, 0x0a, 1, b'a'];
        for codec in Codec::ALL {
            let pushed = compress(codec, &metrics);
            let id = codec.id() as i8;
            assert_eq!(plain(id, &pushed).as_deref(), Ok(&metrics[..]), "{codec:?}");
            let malformed = compress(codec, &[0x0a, 99]);
            assert_eq!(plain(id, &malformed), Err(ErrorCode::InvalidRecord), "{codec:?}");
            let bomb = compress(codec, &vec![0; CLIENT_METRICS_BYTES_MAX + 1]);
            assert_eq!(plain(id, &bomb), Err(ErrorCode::TelemetryTooLarge), "{codec:?}");
        }
        assert_eq!(plain(4, &[1, 2, 3]), Err(ErrorCode::InvalidRecord));
        assert_eq!(plain(5, &metrics), Err(ErrorCode::UnsupportedCompressionType));
    }

    #[test]
    fn a_push_has_only_so_many_parts() {
        let metric = [0x12, 3, 0x0a, 1, b'a'];
        let push = |count: usize| {
            let scope = metric.repeat(count);
            let long = |tag: u8, inner: &[u8]| {
                let len = inner.len();
                let varint = [len as u8 | 0x80, (len >> 7) as u8 | 0x80, (len >> 14) as u8];
                [&[tag][..], &varint, inner].concat()
            };
            plain(0, &long(0x0a, &long(0x12, &scope)))
        };
        assert!(push(CLIENT_METRICS_PARTS_MAX).is_ok());
        assert_eq!(
            push(CLIENT_METRICS_PARTS_MAX + 1),
            Err(ErrorCode::TelemetryTooLarge)
        );
    }

    #[test]
    fn the_json_reads_again() {
        let point = |value| otlp::Point {
            attributes: vec![("node", "1".to_owned())],
            value,
        };
        let metric = otlp::Metric {
            name: "a",
            points: vec![
                point(Value::Int(i64::MIN)),
                point(Value::Double(0.5)),
                point(Value::Double(f64::NAN)),
                point(Value::Distribution { count: 2, sum: 3.0 }),
                point(Value::None),
            ],
            ..otlp::Metric::default()
        };
        let told = ClientMetrics::new(&otlp::Metrics {
            resource: vec![("group_id", "g".to_owned())],
            metrics: vec![metric],
        });
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<ClientMetrics>(&json).unwrap(), told);
        assert!(
            json.contains(r#"{"attributes":[["node","1"]],"value":-9223372036854775808}"#),
            "{json}"
        );
        assert!(json.contains(r#""count":2,"sum":3.0"#), "{json}");
    }
}

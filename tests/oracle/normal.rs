//! What two brokers can never have alike, made alike: ids that they made up, addresses, the time of day, the order of
//! what has none, and the words of messages for people.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// One side's made-up ids, in the order in which they were seen.
pub struct Normal {
    port: u16,
    seen: BTreeMap<&'static str, Vec<String>>,
}

impl Normal {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            port: address.port(),
            seen: BTreeMap::new(),
        }
    }

    pub fn of(&mut self, answer: Value) -> Value {
        self.field("", answer)
    }

    fn field(&mut self, name: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter();
                let fields: Map<_, _> = fields
                    .map(|(name, value)| {
                        let value = self.field(&name, value);
                        (name, value)
                    })
                    .collect();
                Value::Object(fields)
            }
            Value::Array(mut texts) if UNORDERED.contains(&name) => {
                texts.sort_by_key(ToString::to_string);
                Value::Array(texts)
            }
            Value::Array(elements) => {
                let sort = |elements: &mut Vec<Value>| {
                    if elements.iter().all(|element| key_of(element).is_some()) {
                        elements.sort_by_key(key_of);
                    }
                };
                let mut elements = elements;
                sort(&mut elements);
                let mut elements: Vec<_> = elements
                    .into_iter()
                    .map(|value| self.field(name, value))
                    .collect();
                sort(&mut elements);
                Value::Array(elements)
            }
            Value::String(text) => self.text(name, text),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => self.number(name, whole),
                None => Value::Number(number),
            },
            other => other,
        }
    }

    fn text(&mut self, name: &str, text: String) -> Value {
        let is_zero = text.bytes().all(|byte| byte == b'A');
        match name {
            // No text and an empty one say the same.
            "error_message" | "batch_index_error_message" | "documentation" => match &text[..] {
                "" => Value::Null,
                _ => Value::from("a text"),
            },
            "log_dir" => Value::from("its directory"),
            "cluster_id" => Value::from("the cluster"),
            "topic_id" if !is_zero => self.made_up("topic", text),
            "replica_directory_id" if !is_zero => self.made_up("directory", text),
            "client_instance_id" if !is_zero => self.made_up("client", text),
            "member_id" | "leader" if !text.is_empty() => self.made_up("member", text),
            _ => Value::from(text),
        }
    }

    fn number(&mut self, name: &str, number: i64) -> Value {
        match name {
            "port" if number == i64::from(self.port) => Value::from("its port"),
            "producer_id" if number >= 0 => self.made_up("producer", number.to_string()),
            "throttle_time_ms" if number > 0 => Value::from("a while"),
            "usable_bytes" if number > 0 => Value::from("some"),
            "session_id" if number != 0 => self.made_up("session", number.to_string()),
            "subscription_id" if number != 0 => self.made_up("subscription", number.to_string()),
            _ if (number - now()).abs() < AROUND_NOW => Value::from("now"),
            _ => Value::from(number),
        }
    }

    fn made_up(&mut self, kind: &'static str, value: String) -> Value {
        let seen = self.seen.entry(kind).or_default();
        let number = seen.iter().position(|it| *it == value).unwrap_or_else(|| {
            seen.push(value);
            seen.len() - 1
        });
        Value::from(format!("{kind} {number}"))
    }
}

/// By what an element is told from its neighbours; `None` for what has an order of its own.
pub fn key_of(element: &Value) -> Option<String> {
    let fields = element.as_object()?;
    let key = KEYS
        .iter()
        .find_map(|name| fields.get(*name).filter(|it| !it.is_null()))?;
    Some(match key {
        Value::String(text) => text.clone(),
        Value::Number(number) => format!("{:>20}", number.as_i64().unwrap_or_default()),
        other => other.to_string(),
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the end of time")
}

/// Texts in whatever order Kafka's sets have.
const UNORDERED: [&str; 3] = [
    "unknown_state_filters",
    "requested_metrics",
    "subscribed_topic_names",
];
/// In the order in which they are looked for.
const KEYS: [&str; 20] = [
    "name",
    "topic",
    "topic_name",
    "resource_name",
    "feature",
    "group_id",
    "key",
    "member_id",
    "topic_id",
    "log_dir",
    "user",
    "entity_type",
    "entity",
    "api_key",
    "partition_index",
    "partition",
    "index",
    "node_id",
    "broker_id",
    "partition_id",
];
const AROUND_NOW: i64 = 10 * 60 * 1000;

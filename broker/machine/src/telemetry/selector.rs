//! Of which clients metrics are asked for: selectors like `client_id=orders-.*`.
//!
//! Invariant: what reads here is what Kafka 4.3 takes, with RE2's expressions in the place of Java's.

use alloc::format;
use alloc::string::{String, ToString};

use super::ClientInstanceId;
use crate::pattern::compile;

/// A client, as its request and its connection tell.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub instance: ClientInstanceId,
    pub client_id: &'a str,
    /// From its ApiVersions request.
    pub software_name: &'a str,
    pub software_version: &'a str,
    pub address: &'a str,
    pub port: u16,
}

/// One selector, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector<'a> {
    subject: Subject,
    pattern: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    InstanceId,
    ClientId,
    SoftwareName,
    SoftwareVersion,
    SourceAddress,
    SourcePort,
}

impl<'a> Selector<'a> {
    /// Reads a selector and compiles its expression; the message is for people.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let selector = Self::split(text).ok_or_else(|| format!("Illegal client matching pattern: {text}"))?;
        match compile(selector.pattern) {
            Ok(_) => Ok(selector),
            Err(error) => Err(format!("Illegal client matching pattern: {text}: {error}")),
        }
    }

    /// Whether the whole of what the client has there is as the expression says.
    pub fn matches(self, client: &Client<'_>) -> bool {
        let Ok(pattern) = compile(self.pattern) else {
            return false;
        };
        let is_match = |text: &str| pattern.is_match(text.as_bytes());
        match self.subject {
            Subject::InstanceId => is_match(&client.instance.to_string()),
            Subject::ClientId => is_match(client.client_id),
            Subject::SoftwareName => is_match(client.software_name),
            Subject::SoftwareVersion => is_match(client.software_version),
            Subject::SourceAddress => is_match(client.address),
            Subject::SourcePort => is_match(&client.port.to_string()),
        }
    }

    /// Exactly one `=`, with something behind it.
    fn split(text: &'a str) -> Option<Self> {
        let (name, pattern) = text.split_once('=')?;
        if pattern.trim_end_matches('=').is_empty() || pattern.trim_end_matches('=').contains('=') {
            return None;
        }
        let subject = match name.trim() {
            "client_instance_id" => Subject::InstanceId,
            "client_id" => Subject::ClientId,
            "client_software_name" => Subject::SoftwareName,
            "client_software_version" => Subject::SoftwareVersion,
            "client_source_address" => Subject::SourceAddress,
            "client_source_port" => Subject::SourcePort,
            _ => return None,
        };
        let pattern = pattern.trim_end_matches('=').trim();
        Some(Self { subject, pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::types::TopicId;

    #[test]
    fn a_selector_is_held_against_the_whole_of_one_thing() {
        let client = Client {
            instance: ClientInstanceId::new(TopicId::new([0; 16])),
            client_id: "orders-7",
            software_name: "librdkafka",
            software_version: "2.11.0",
            address: "10.0.0.9",
            port: 4711,
        };
        for (selector, expect) in [
            ("client_id=orders-.*", true),
            (" client_id = orders-7 ", true),
            ("client_id=orders", false),
            ("client_software_name=librdkafka", true),
            ("client_software_name=apache-kafka-java", false),
            ("client_software_version=2\\..*", true),
            ("client_source_address=10\\.0\\.0\\.[0-9]", true),
            ("client_source_address=10", false),
            ("client_source_port=47..", true),
            ("client_instance_id=A{22}", true),
        ] {
            assert_eq!(
                Selector::parse(selector).unwrap().matches(&client),
                expect,
                "{selector}"
            );
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "",
            "client_id",
            "client_id=",
            "client_id==",
            "=x",
            "client_id=a=b",
            "user=x",
            "Client_id=x",
            "client_id=(",
            "client_id=((a{1000}){1000}){1000}",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}

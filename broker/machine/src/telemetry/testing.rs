//! What the tests here need.

use std::string::ToString;

use millstream_protocol::types::TopicId;

use super::ClientInstanceId;
use super::selector::Client;
use super::subscriptions::Subscriptions;

/// A client whose instance id is `number` sixteen times.
pub fn client(number: u8, client_id: &str) -> Client<'_> {
    Client {
        instance: ClientInstanceId::new(TopicId::new([number; 16])),
        client_id,
        software_name: "a-client",
        software_version: "1.0",
        address: "127.0.0.1",
        port: 1,
    }
}

/// Subscriptions by name, as records 1, 2 … made them.
pub fn subscriptions(all: &[(&str, &[(&str, &str)])]) -> Subscriptions {
    let mut subscriptions = Subscriptions::default();
    for (record, (name, configs)) in (1..).zip(all) {
        let configs = configs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        subscriptions.set(name, configs.collect(), record);
    }
    subscriptions
}

//! What a broker runs with, as Kafka's tools read it.

use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_tests::process::Broker;
use millstream_tests::wire::Connection;

#[test]
fn a_broker_is_described_by_what_it_runs_with() {
    let broker = Broker::start(&["--cores", "1", "--advertise", "b.example:3", "--set", "node.id=1"]);
    let listeners = format!("PLAINTEXT://{}", broker.address());
    let data_dir = broker.data_dir();
    let data_dir = data_dir.to_str().expect("a path of UTF-8");
    let mut client = Connection::open(broker.address()).expect("a connection");
    for (name, value) in [
        ("listeners", listeners.as_str()),
        ("advertised.listeners", "PLAINTEXT://b.example:3"),
        ("log.dirs", data_dir),
        ("log.dir", data_dir),
        ("node.id", "1"),
        ("broker.id", "1"),
    ] {
        assert_eq!(
            value_of(&mut client, name),
            (value.to_owned(), STATIC_BROKER),
            "{name}"
        );
    }
}

fn value_of(client: &mut Connection, name: &str) -> (String, i8) {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: BROKER,
            resource_name: "1",
            configuration_keys: Some(vec![name]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let reply = client.call(&request, 4).expect("a reply");
    let response = reply.read::<DescribeConfigsRequest<'_>>();
    let found = &response.results[0].configs[0];
    (found.value.unwrap_or("null").to_owned(), found.config_source)
}

const BROKER: i8 = 4;
const STATIC_BROKER: i8 = 4;

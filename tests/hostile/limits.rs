//! How many connections there may be, from where, and how long a silent one stays.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use millstream_protocol::message::api_versions::ApiVersionsRequest;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_tests::process::Broker;
use millstream_tests::wire::Connection;
use socket2::{Domain, Socket, Type};

#[test]
fn connections_are_counted_by_address_and_in_all_and_silent_ones_are_closed() {
    let broker = Broker::start(&[
        "--cores",
        "2",
        "--set",
        "max.connections=40",
        "--set",
        "max.connections.per.ip=25",
        "--set",
        "connections.max.idle.ms=5000",
    ]);
    let mut good = Connection::open(broker.address()).expect("a connection");
    // The harness's own look at whether the broker is ready is over.
    std::thread::sleep(Duration::from_millis(200));
    let ours = open_many(&broker, LOCAL, 30);
    assert_eq!(ours.len(), 24, "with the good one there are 25 from this address");
    broker.must_have_said("max.connections.per.ip");
    // The log takes five such lines a second.
    std::thread::sleep(Duration::from_millis(1_100));
    let others = open_many(&broker, ELSEWHERE, 30);
    assert_eq!(others.len(), 15, "40 in all");
    broker.must_have_said("as max.connections and");

    alter(&mut good, "max.connections", "45");
    let more = open_many(&broker, ELSEWHERE, 30);
    assert_eq!(more.len(), 5, "the limit can be altered while the broker runs");

    let started = Instant::now();
    while [&ours, &others, &more]
        .into_iter()
        .flatten()
        .any(|stream| !is_closed(stream))
    {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "a silent connection stays"
        );
        good.call(&ApiVersionsRequest::default(), 0)
            .expect("who speaks may stay");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        started.elapsed() > Duration::from_secs(2),
        "five seconds are allowed"
    );
    assert_eq!(
        open_many(&broker, LOCAL, 30).len(),
        24,
        "their places are free again"
    );
}

/// Those that the broker keeps of `count` connections from an address.
fn open_many(broker: &Broker, from: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let opened: Vec<TcpStream> = (0..count).map(|_| open_from(from, broker.address())).collect();
    // A refusal comes right behind the connection.
    std::thread::sleep(Duration::from_millis(300));
    opened.into_iter().filter(|stream| !is_closed(stream)).collect()
}

fn open_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own = SocketAddr::new(IpAddr::V4(from), 0);
    socket.bind(&own.into()).expect("a local address");
    socket.connect(&to.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn is_closed(mut stream: &TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn alter(connection: &mut Connection, name: &str, value: &str) {
    let configs = vec![AlterableConfig {
        name,
        config_operation: 0,
        value: Some(value),
    }];
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 4,
            resource_name: "",
            configs,
        }],
        validate_only: false,
    };
    let reply = connection.call(&request, 1).expect("a reply");
    let response = reply.read::<IncrementalAlterConfigsRequest<'_>>();
    assert_eq!(
        response.responses[0].error_code, 0,
        "{:?}",
        response.responses[0].error_message
    );
}

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

//! Several addresses at once, and what clients of each are told to connect to.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use millstream_protocol::message::metadata::MetadataRequest;
use millstream_tests::process::{Broker, free_address};
use millstream_tests::wire::Connection;

use super::refusals::skip;

#[test]
fn clients_are_told_the_address_that_they_reached() {
    let named = free_address();
    let everywhere = free_address();
    let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), free_address().port());
    let mut flags = vec![
        "--cores".to_owned(),
        "2".to_owned(),
        "--listen".to_owned(),
        format!("localhost:{}", named.port()),
        "--listen".to_owned(),
        format!("0.0.0.0:{}", everywhere.port()),
    ];
    let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if has_v6 {
        flags.extend(["--listen".to_owned(), v6.to_string()]);
    } else {
        skip("no IPv6 here");
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let broker = Broker::start(&flags);

    let mut first = Connection::open(broker.address()).expect("a connection");
    first.create_topic("everywhere", 1, &[]);
    check(&mut first, "127.0.0.1", broker.address().port());
    reach(named, "127.0.0.1");
    reach(everywhere, "127.0.0.1");
    // The same listener by another address of this machine.
    reach(
        SocketAddr::new([127, 0, 0, 9].into(), everywhere.port()),
        "127.0.0.9",
    );
    if has_v6 {
        reach(v6, "::1");
    }

    let log = broker.log();
    let open = format!("NO AUTHENTICATION: 0.0.0.0:{}", everywhere.port());
    assert!(log.contains(&open), "{log}");
    let ready = log
        .lines()
        .find(|line| line.contains("ready on"))
        .expect("a line that it is ready");
    for part in [
        broker.address().to_string(),
        format!("127.0.0.1:{}", named.port()),
        format!("0.0.0.0:{}", everywhere.port()),
        "flushed to the disk first".to_owned(),
    ] {
        assert!(ready.contains(&part), "{part}: {ready}");
    }
}

#[test]
fn an_advertised_address_is_told_to_everybody_and_the_ready_line_is_printed_at_any_level() {
    let flags = [
        "--cores",
        "1",
        "--advertise",
        "b.example:1234",
        "--log-level",
        "error",
    ];
    let broker = Broker::start(&flags);
    let mut client = Connection::open(broker.address()).expect("a connection");
    client.create_topic("t", 1, &[]);
    check(&mut client, "b.example", 1234);
    let log = broker.log();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("ready on"), "{log}");
}

/// A connection to `address`, whose client must be told this host and the port that it came by.
fn reach(address: SocketAddr, host: &str) {
    let mut client = Connection::open(address).expect("a connection");
    check(&mut client, host, address.port());
    client.read_all("everywhere", 0, 0);
}

fn check(client: &mut Connection, host: &str, port: u16) {
    let reply = client.call(&MetadataRequest::default(), 9).expect("a reply");
    let response = reply.read::<MetadataRequest<'_>>();
    let told = &response.brokers[0];
    assert_eq!((told.host, told.port), (host, i32::from(port)));
}

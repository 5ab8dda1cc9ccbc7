//! A byte that changed on the disk between two starts: one partition is fenced and says so, the others go on, and it
//! serves again when its loss is accepted.

use std::path::{Path, PathBuf};

use millstream_protocol::message::fetch::FetchRequest;
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::process::{Broker, millstream, refused};
use millstream_tests::wire::{Connection, FETCH, PRODUCE, fetch, produce};

#[test]
fn a_damaged_partition_is_fenced_alone_and_serves_again_when_the_loss_is_accepted() {
    let mut broker = Broker::start(&["--cores", "2"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    client.create_topic("damaged", 1, &[]);
    client.create_topic("whole", 4, &[]);
    let large = vec![b'x'; 200_000];
    for number in 0..BATCHES {
        assert_eq!(write(&mut client, "damaged", 0, number, &large), (0, number));
    }
    for partition in 0..4 {
        assert_eq!(write(&mut client, "whole", partition, 7, b"untouched"), (0, 0));
    }
    drop(client);
    assert!(broker.terminate().0, "everything is settled");
    // In the sixth of ten batches: five are good.
    damage_the_largest_segment(&broker.data_dir(), 5 * 200_100 + 100_000);

    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    let mut readable = 0;
    let code = loop {
        let (code, records) = read(&mut client, "damaged", readable);
        if code != 0 {
            break code;
        }
        assert!(records > 0, "neither records nor an error at offset {readable}");
        readable += records;
    };
    assert_eq!((code, readable), (KAFKA_STORAGE_ERROR, 5));
    assert_eq!(write(&mut client, "damaged", 0, 99, b"no").0, KAFKA_STORAGE_ERROR);
    for partition in 0..4 {
        assert_eq!(write(&mut client, "whole", partition, 8, b"more"), (0, 1));
        assert_eq!(client.read_all("whole", partition, 0).len(), 2);
    }
    for _ in 0..20 {
        assert_eq!(read(&mut client, "damaged", 5).0, KAFKA_STORAGE_ERROR);
    }
    let log = broker.log();
    assert_eq!(log.matches("a partition is fenced").count(), 1, "{log}");
    for part in ["topic=damaged partition=0", "log repair", "--accept-loss"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let info = cluster_info(&broker);
    assert!(
        info.contains("partitions that were fenced since the start: 1"),
        "{info}"
    );
    drop(client);
    broker.kill();

    let (code, said) = repair(&broker.data_dir(), &[]);
    assert_eq!(code, Some(6), "{said}");
    assert_eq!(repair(&broker.data_dir(), &["--accept-loss"]).0, Some(0));
    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(client.read_all("damaged", 0, 0).len(), 5);
    let info = cluster_info(&broker);
    assert!(!info.contains("fenced"), "{info}");
    let (code, offset) = write(&mut client, "damaged", 0, 100, b"again");
    assert_eq!(code, 0);
    assert_eq!(client.read_all("damaged", 0, offset).len(), 1);
    for partition in 0..4 {
        assert_eq!(client.read_all("whole", partition, 0).len(), 2);
    }
}

/// Writes one record; the code and the offset that are answered.
pub fn write(client: &mut Connection, topic: &str, partition: i32, key: i64, value: &[u8]) -> (i16, i64) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time after 1970");
    let mut batch = BatchBuilder::new();
    batch.push(
        TimestampMs::new(now.as_millis() as i64),
        Some(&key.to_be_bytes()),
        Some(value),
        &[],
    );
    let batch = batch.build();
    let reply = client
        .call(&produce(topic, partition, &batch, -1), PRODUCE)
        .expect("a reply");
    let response = reply.read::<ProduceRequest<'_>>();
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

/// One fetch; the code, and how many records came.
fn read(client: &mut Connection, topic: &str, offset: i64) -> (i16, i64) {
    let reply = client.call(&fetch(topic, 0, offset), FETCH).expect("a reply");
    let response = reply.read::<FetchRequest<'_>>();
    let data = &response.responses[0].partitions[0];
    let mut records = 0;
    if let millstream_protocol::message::Records::Bytes(bytes) = data.records {
        for batch in millstream_protocol::record::batch::Batches::new(bytes) {
            let batch = batch.expect("a whole batch");
            batch.verify_crc().expect("a batch as it was written");
            records += i64::from(batch.record_count());
        }
    }
    (data.error_code, records)
}

fn damage_the_largest_segment(data: &Path, at: usize) {
    let folders = std::fs::read_dir(data.join("segments")).expect("segments");
    let files =
        folders.flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("files"));
    let path: PathBuf = files
        .map(|file| file.expect("a file").path())
        .max_by_key(|path| std::fs::metadata(path).expect("a file").len())
        .expect("a segment");
    let mut bytes = std::fs::read(&path).expect("a segment");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
}

fn cluster_info(broker: &Broker) -> String {
    let mut command = millstream();
    let address = broker.address().to_string();
    command.args(["cluster", "info", "--brokers", &address]);
    let info = command.output().expect("a command that can be run");
    String::from_utf8(info.stdout).expect("text")
}

fn repair(data: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = millstream();
    command
        .args(["log", "repair", "--scan", "--data-dir"])
        .arg(data)
        .args(flags);
    refused(command)
}

const BATCHES: i64 = 10;
const KAFKA_STORAGE_ERROR: i16 = 56;

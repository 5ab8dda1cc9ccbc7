//! Fetch: records, errors and sessions.

use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, ForgottenTopic};
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{TimestampMs, TopicId};
use millstream_tests::wire::{fetch, produce};

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    talk.topic("read", 2, &[("retention.ms", "-1")]);
    for number in 0..3 {
        let batch = (0..4).fold(BatchBuilder::new(), |batch, record| {
            let time = TimestampMs::new(talk.then + 10 * number + record);
            batch.record(time, Some(b"key"), Some(&[record as u8; 100]), &[])
        });
        talk.aside(&produce("read", 0, &batch.build(), -1), 9);
    }
    places(talk);
    limits(talk);
    by_id(talk);
    sessions(talk);
}

fn places(talk: &mut Talk) {
    for (name, partition, offset) in [
        ("read", 0, 0),
        ("read", 0, 5),
        ("read", 0, 12),
        ("read", 0, 13),
        ("read", 0, -1),
        ("read", 1, 0),
        ("read", 7, 0),
        ("read", -1, 0),
        ("unknown", 0, 0),
        ("no topic!", 0, 0),
    ] {
        let case = format!("{name} {partition} from {offset}");
        for version in 4..=12 {
            talk.ask(&case, &fetch(name, partition, offset), version);
        }
    }
    for epoch in [0, 5, -5] {
        let mut request = fetch("read", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        talk.ask(format!("in epoch {epoch}"), &request, 12);
        let mut request = fetch("read", 0, 12);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        talk.ask(format!("after epoch {epoch}"), &request, 12);
    }
}

fn limits(talk: &mut Talk) {
    for (case, max_bytes, partition_max_bytes) in [
        ("one byte", 1, 1),
        ("one byte of the partition", 1 << 20, 1),
        ("one byte of all", 1, 1 << 20),
        ("two batches", 1 << 20, 1000),
        ("nothing", 0, 0),
        ("less than nothing", -1, -1),
    ] {
        let mut request = fetch("read", 0, 0);
        request.max_bytes = max_bytes;
        request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
        talk.ask(format!("at most {case}"), &request, 11);
    }
    let committed = FetchRequest {
        isolation_level: 1,
        ..fetch("read", 0, 0)
    };
    for version in 4..=12 {
        talk.ask("committed", &committed, version);
    }
    talk.ask(
        "committed, out of range",
        &FetchRequest {
            isolation_level: 1,
            ..fetch("read", 0, 99)
        },
        11,
    );
    let isolated = FetchRequest {
        isolation_level: 7,
        ..fetch("read", 0, 0)
    };
    for version in [4, 11, 12] {
        talk.ask("an isolation that is none", &isolated, version);
    }
    let unknown = FetchRequest {
        isolation_level: 7,
        ..fetch("unknown", 0, 0)
    };
    talk.ask("an isolation that is none, of no topic", &unknown, 12);
    let mut both = fetch("read", 0, 0);
    both.max_bytes = -5;
    let other = both.topics[0].partitions[0].clone();
    both.topics[0].partitions.push(FetchPartition {
        partition: 1,
        ..other
    });
    talk.ask("at most less than nothing of two", &both, 12);
    let mut end = fetch("read", 0, 12);
    end.topics[0].partitions[0].partition_max_bytes = -1;
    end.max_wait_ms = 10;
    talk.ask("at most less than nothing, at the end", &end, 12);
}

fn by_id(talk: &mut Talk) {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("read"),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let reply = talk.aside(&request, 12);
    let id = reply.read::<MetadataRequest<'_>>().topics[0].topic_id;
    for version in 13..=18 {
        for (case, id, partition) in [
            ("by id", id, 0),
            ("by id, a partition too many", id, 7),
            ("by an unknown id", TopicId::new([7; 16]), 0),
            ("by no id", TopicId::ZERO, 0),
        ] {
            let mut request = fetch("", partition, 0);
            request.topics[0].topic_id = id;
            talk.ask(case, &request, version);
        }
    }
}

fn sessions(talk: &mut Talk) {
    let wanted = |session_id, session_epoch, partitions: &[i32], offset| {
        let mut request = fetch("read", 0, 0);
        request.max_wait_ms = 10;
        request.session_id = session_id;
        request.session_epoch = session_epoch;
        request.topics[0].partitions = partitions
            .iter()
            .map(|&partition| FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            })
            .collect();
        if partitions.is_empty() {
            request.topics.clear();
        }
        request
    };
    let reply = talk.ask("session: begun", &wanted(0, 0, &[0, 1], 0), 12);
    let reply = reply.expect("an answer");
    let id = reply.read::<FetchRequest<'_>>().session_id;
    talk.ask("session: goes on", &wanted(id, 1, &[], 0), 12);
    talk.ask(
        "session: a partition from elsewhere",
        &wanted(id, 2, &[0], 12),
        12,
    );
    talk.ask("session: nothing new", &wanted(id, 3, &[], 0), 12);
    let mut forgets = wanted(id, 4, &[], 0);
    forgets.forgotten_topics_data = vec![ForgottenTopic {
        topic: "read",
        partitions: vec![1],
        ..ForgottenTopic::default()
    }];
    talk.ask("session: forgets", &forgets, 12);
    talk.ask("session: an error stays", &wanted(id, 5, &[0], 99), 12);
    talk.ask("session: an epoch again", &wanted(id, 5, &[], 0), 12);
    talk.ask("session: an epoch too far", &wanted(id, 9, &[], 0), 12);
    talk.ask("session: of nobody", &wanted(987_654, 1, &[0], 0), 12);
    talk.ask("session: of nobody, ended", &wanted(987_654, -1, &[0], 0), 12);
    talk.ask("session: ended", &wanted(id, -1, &[0], 0), 12);
    talk.ask("session: after its end", &wanted(id, 6, &[], 0), 12);
    talk.ask("session: an epoch below", &wanted(0, -7, &[0], 0), 12);
}

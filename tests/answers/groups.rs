//! What groups answer, to good requests and to bad ones, whole responses in every version.
//!
//! The golden lines are what Kafka 4.3.1 answered, in which what is another at every run has been replaced by names and
//! what comes in no order has been sorted. With MILLSTREAM_TESTS_WRITE=1 they are written anew, from whoever is asked.

mod admin;
mod commits;
mod fetches;
mod joins;
mod order;
mod sessions;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::time::{Duration, Instant};

use millstream_protocol::message::Request;
use millstream_protocol::message::find_coordinator::FindCoordinatorRequest;
use millstream_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_protocol::message::list_groups::{ListGroupsRequest, ListGroupsResponse};
use millstream_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use millstream_protocol::types::TopicId;
use millstream_tests::wire::Connection;

use super::{Asked, topic_id};
use order::Ordered;

/// Requests, and what was answered to them.
struct Story {
    asked: Asked,
    connection: Connection,
    topic: String,
    topic_id: TopicId,
    lines: String,
    /// What is called otherwise in the lines.
    names: BTreeMap<String, String>,
    members: usize,
}

impl Story {
    fn new(test: &str) -> Self {
        let asked = Asked::new(test);
        let topic = asked.topic("read", 3, &[]);
        let mut connection = asked.connect();
        let topic_id = topic_id(&mut connection, &topic);
        let mut story = Self {
            connection,
            topic_id,
            lines: String::new(),
            names: BTreeMap::from([
                (topic.clone(), "<topic>".to_owned()),
                (topic_id.to_string(), "<id>".to_owned()),
                (asked.suffix.clone(), "<run>".to_owned()),
                (
                    format!("port: {}", asked.address.port()),
                    "port: <port>".to_owned(),
                ),
            ]),
            members: 0,
            topic,
            asked,
        };
        story.wait_for_coordinators();
        story
    }

    /// Kafka has its coordinators ready some time after they were first looked for.
    fn wait_for_coordinators(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let find = FindCoordinatorRequest {
            key: "g",
            ..FindCoordinatorRequest::default()
        };
        loop {
            self.connection.call(&find, 3).expect("a reply");
            let reply = self
                .connection
                .call(&ListGroupsRequest::default(), 0)
                .expect("a reply");
            let found = reply.read::<ListGroupsRequest<'_>>().error_code;
            let topic = topic_id(&mut self.connection, "__consumer_offsets");
            if found == 0 && !topic.is_zero() {
                break;
            }
            assert!(Instant::now() < deadline, "coordinators do not come: {found}");
            std::thread::sleep(Duration::from_millis(200));
        }
        if !self.asked.is_ours() {
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// A group of this version's cases.
    fn group(&self, version: i16) -> String {
        format!("g{version}-{}", self.asked.suffix)
    }

    /// Asks, and notes the answer.
    fn tell<R: Request>(&mut self, case: &str, version: i16, request: &R)
    where
        for<'r> R::Response<'r>: Debug + Ordered,
    {
        let answered = match self.connection.call(request, version) {
            Ok(reply) => {
                let mut answer = reply.read::<R>();
                answer.order();
                format!("{answer:?}")
            }
            Err(_) => {
                self.connection = self.asked.connect();
                "the connection is closed".to_owned()
            }
        };
        let line = format!("{:?} {version} {case}: {answered}", R::API);
        let line = self.renamed(line);
        writeln!(self.lines, "{line}").expect("memory");
    }

    fn tell_sync(&mut self, case: &str, version: i16, of: (&str, i32, &str)) {
        self.tell(case, version, &sync(of));
    }

    /// Of the groups listed those of this story.
    fn tell_list(&mut self, version: i16, states: &[&str], types: &[&str]) {
        let request = ListGroupsRequest {
            states_filter: states.to_vec(),
            types_filter: types.to_vec(),
        };
        let reply = self.connection.call(&request, version).expect("a reply");
        let answer = reply.read::<ListGroupsRequest<'_>>();
        let mut groups = answer.groups;
        groups.retain(|group| group.group_id.ends_with(&self.asked.suffix));
        groups.sort_by_key(|group| group.group_id);
        let answer = ListGroupsResponse { groups, ..answer };
        let line = format!("ListGroups {version} {states:?} {types:?}: {answer:?}");
        let line = self.renamed(line);
        writeln!(self.lines, "{line}").expect("memory");
    }

    /// Joins as the only member, and notes how that went in this version.
    fn member(&mut self, group: &str, version: i16) -> String {
        let mut member = String::new();
        loop {
            let reply = self
                .connection
                .call(&join(group, &member), version)
                .expect("a reply");
            let answer = reply.read::<JoinGroupRequest<'_>>();
            let line = format!("JoinGroup {version} as a member: {answer:?}");
            let (code, id) = (answer.error_code, answer.member_id.to_owned());
            let line = self.renamed(line);
            writeln!(self.lines, "{line}").expect("memory");
            assert!([0, MEMBER_ID_REQUIRED].contains(&code), "{line}");
            member = id;
            if code == 0 {
                return member;
            }
        }
    }

    fn commit(&mut self, group: &str, topic: &str, partition: i32, offset: i64) {
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_leader_epoch: 0,
            committed_metadata: Some("so far"),
        }];
        let request = OffsetCommitRequest {
            group_id: group,
            topics: vec![OffsetCommitRequestTopic {
                name: topic,
                partitions,
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        self.tell("before", 9, &request);
    }

    fn renamed(&mut self, mut line: String) -> String {
        while let Some(id) = uuid(&line) {
            self.members += 1;
            let name = format!("<uuid {}>", self.members);
            line = line.replace(&id, &name);
            self.names.insert(id, name);
            // What was met before has its name already.
            line = self.known(line);
        }
        self.known(line)
    }

    fn known(&self, line: String) -> String {
        self.names
            .iter()
            .fold(line, |line, (from, to)| line.replace(from, to))
    }

    fn finish(self, golden: &str, name: &str) {
        if std::env::var_os("MILLSTREAM_TESTS_WRITE").is_some() {
            let path = format!("{}/answers/groups/{name}.txt", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, &self.lines).expect("the golden lines are written");
            return;
        }
        let mut asked = self.asked;
        assert_eq!(
            self.lines.lines().count(),
            golden.lines().count(),
            "as many answers"
        );
        for (found, kafka) in self.lines.lines().zip(golden.lines()) {
            asked.check(found.split(':').next(), found, kafka);
        }
        asked.finish();
    }
}

/// The first UUID of a text.
fn uuid(text: &str) -> Option<String> {
    let is_uuid = |part: &&[u8]| {
        part.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let found = text.as_bytes().windows(36).find(is_uuid)?;
    Some(String::from_utf8_lossy(found).into_owned())
}

fn join<'a>(group_id: &'a str, member_id: &'a str) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id,
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id,
        protocol_type: "consumer",
        protocols: protocols("range"),
        ..JoinGroupRequest::default()
    }
}

fn protocols(name: &str) -> Vec<JoinGroupRequestProtocol<'_>> {
    vec![JoinGroupRequestProtocol {
        name,
        metadata: &[0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    }]
}

fn sync<'a>((group_id, generation_id, member_id): (&'a str, i32, &'a str)) -> SyncGroupRequest<'a> {
    SyncGroupRequest {
        group_id,
        generation_id,
        member_id,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: vec![SyncGroupRequestAssignment {
            member_id,
            assignment: b"all",
        }],
        ..SyncGroupRequest::default()
    }
}

const MEMBER_ID_REQUIRED: i16 = 79;

//! OffsetCommit requests: groups that say how far they have come, over and over.
//! Invariants: a group commits on one connection, so in order; every offset is one that was not committed before.

use std::time::Instant;

use millstream_protocol::api::ApiKey;

use crate::client::connection::Request;
use crate::client::driver::Workload;
use crate::recorder::Work;
use crate::wire;

/// Groups that are no consumers: they commit as tools do, so that the broker's own part is what is measured.
#[derive(Debug)]
pub struct CommitWorkload {
    topic: String,
    /// Partitions of one commit.
    partitions: i32,
    /// By connection.
    committers: Vec<Committer>,
}

#[derive(Debug)]
struct Committer {
    groups: Vec<String>,
    /// Whose turn it is.
    next: usize,
    offset: i64,
}

impl CommitWorkload {
    /// The groups are dealt to the connections in turn; fails where one has none.
    pub fn new(
        topic: &str,
        partitions: usize,
        groups: &[String],
        connections: usize,
    ) -> Result<Self, String> {
        if groups.len() < connections {
            return Err(format!(
                "{} groups cannot keep {connections} connections busy",
                groups.len()
            ));
        }
        let dealt = |connection| groups.iter().skip(connection).step_by(connections).cloned();
        let committer = |connection| Committer {
            groups: dealt(connection).collect(),
            next: 0,
            offset: 0,
        };
        Ok(CommitWorkload {
            topic: topic.to_owned(),
            partitions: partitions as i32,
            committers: (0..connections).map(committer).collect(),
        })
    }
}

impl Workload for CommitWorkload {
    fn next(&mut self, connection: usize, _: Instant) -> Option<Request> {
        let committer = &mut self.committers[connection];
        let group = &committer.groups[committer.next];
        let body = wire::commit_body(group, &self.topic, self.partitions, committer.offset);
        committer.next = (committer.next + 1) % committer.groups.len();
        if committer.next == 0 {
            committer.offset += 1;
        }
        Some(Request {
            api_key: ApiKey::OffsetCommit.code(),
            api_version: wire::OFFSET_COMMIT_VERSION,
            body: body.into(),
        })
    }

    /// One record for each offset.
    fn answer(&mut self, _: usize, payload: &[u8]) -> Result<Work, String> {
        let committed = wire::check_commit(payload)?;
        if committed != self.partitions {
            return Err(format!("{committed} of {} offsets are answered", self.partitions));
        }
        Ok(Work {
            records: committed as u64,
            bytes: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_take_turns_on_their_connection_and_never_repeat_an_offset() {
        let groups = ["a", "b", "c"].map(str::to_owned);
        let mut commits = CommitWorkload::new("t", 2, &groups, 2).unwrap();
        let mut sent = |connection| commits.next(connection, Instant::now()).unwrap().body;
        let body = |group, offset| wire::commit_body(group, "t", 2, offset);
        assert_eq!(sent(0)[..], body("a", 0));
        assert_eq!(sent(0)[..], body("c", 0));
        assert_eq!(sent(0)[..], body("a", 1));
        assert_eq!(sent(1)[..], body("b", 0));
        assert_eq!(sent(1)[..], body("b", 1));
        assert!(CommitWorkload::new("t", 2, &groups, 4).is_err());
    }
}

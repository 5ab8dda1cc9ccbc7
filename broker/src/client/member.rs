//! A consumer that shares a topic with the other members of its group (KIP-848): the broker says which partitions it
//! reads, and it commits how far it has come.
//!
//! Invariants: a partition is given up only after what was read of it is committed; who is fenced begins anew with what
//! is committed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::ConsumerGroupHeartbeatRequest;
use millstream_protocol::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use millstream_protocol::types::TopicId;

use super::cluster::Cluster;
use super::error::ClientError;
use super::groups::{AsMember, GroupOffsets};
use super::{RETRY_PAUSE, admin::all_done};

/// See the module's page.
#[derive(Debug)]
pub struct Member {
    group: String,
    id: String,
    epoch: i32,
    topic: String,
    topic_id: TopicId,
    assigned: Vec<i32>,
    /// When the broker wants to hear of it again.
    due: Instant,
}

impl Member {
    /// Joins a group for one topic. [`Member::assigned`] may be empty for a while.
    pub fn join(cluster: &mut Cluster, group: &str, topic: &str) -> Result<Member, ClientError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| ClientError::Invalid(format!("no randomness: {error}")))?;
        let mut member = Member {
            group: group.to_owned(),
            id: String::from_utf8_lossy(&TopicId::new(random).to_base64()).into_owned(),
            epoch: JOINS,
            topic: topic.to_owned(),
            topic_id: cluster.topic(topic, false)?.id,
            assigned: Vec::new(),
            due: Instant::now(),
        };
        member.beat(cluster)?;
        Ok(member)
    }

    /// The partitions that it may read, in order.
    pub fn assigned(&self) -> &[i32] {
        &self.assigned
    }

    /// Lets the broker hear of it when that is due; true where it has other partitions then. Before it gives any up
    /// `read` is committed.
    pub fn keep_alive(&mut self, cluster: &mut Cluster, read: &GroupOffsets) -> Result<bool, ClientError> {
        if Instant::now() < self.due {
            return Ok(false);
        }
        let before = self.assigned.clone();
        match self.beat(cluster) {
            Err(error) if is_fenced(&error) => {
                self.epoch = JOINS;
                self.assigned.clear();
                self.beat(cluster)?;
                return Ok(true);
            }
            done => done?,
        }
        if self.assigned == before {
            return Ok(false);
        }
        self.commit(cluster, read)?;
        // What it has now is told at once: what it gave up is others'.
        self.beat(cluster)?;
        Ok(true)
    }

    /// Commits offsets, the next ones to be read.
    pub fn commit(&self, cluster: &mut Cluster, offsets: &GroupOffsets) -> Result<(), ClientError> {
        match offsets.is_empty() {
            true => Ok(()),
            false => cluster.commit_offsets(&self.group, self.as_member(), offsets),
        }
    }

    /// What the group has committed of the topic, by partition.
    pub fn committed(&self, cluster: &mut Cluster) -> Result<BTreeMap<i32, i64>, ClientError> {
        let offsets = cluster.group_offsets(&self.group, self.as_member())?;
        let own = offsets.into_iter().filter(|((topic, _), _)| *topic == self.topic);
        Ok(own.map(|((_, partition), offset)| (partition, offset)).collect())
    }

    /// Leaves the group.
    pub fn leave(mut self, cluster: &mut Cluster) -> Result<(), ClientError> {
        self.epoch = LEAVES;
        self.beat(cluster)
    }

    fn as_member(&self) -> AsMember<'_> {
        AsMember {
            id: &self.id,
            epoch: Some(self.epoch),
        }
    }

    fn beat(&mut self, cluster: &mut Cluster) -> Result<(), ClientError> {
        let until = Instant::now() + cluster.timeout();
        loop {
            match self.beat_once(cluster) {
                Err(error) if error.is_retriable() && Instant::now() < until => {
                    std::thread::sleep(RETRY_PAUSE)
                }
                done => return done,
            }
        }
    }

    fn beat_once(&mut self, cluster: &mut Cluster) -> Result<(), ClientError> {
        let owned = TopicPartitions {
            topic_id: self.topic_id,
            partitions: self.assigned.clone(),
        };
        let joins = self.epoch == JOINS;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: &self.group,
            member_id: &self.id,
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { REBALANCE_MS } else { -1 },
            subscribed_topic_names: joins.then(|| vec![self.topic.as_str()]),
            topic_partitions: match self.assigned.is_empty() {
                true => Some(Vec::new()),
                false => Some(vec![owned]),
            },
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let node = cluster.coordinator(&self.group)?;
        let reply = cluster.connection(node)?.call(&request)?;
        let response: ConsumerGroupHeartbeatResponse<'_> = reply.read()?;
        let answer = (response.error_code, response.error_message);
        all_done(format!("the group `{}`", self.group), [answer].into_iter())?;
        self.epoch = response.member_epoch;
        let interval = u64::try_from(response.heartbeat_interval_ms).unwrap_or(0);
        self.due = Instant::now() + Duration::from_millis(interval).min(HEARTBEAT_MAX);
        if let Some(assignment) = &response.assignment {
            let own = assignment.topic_partitions.iter();
            let own = own.filter(|topic| topic.topic_id == self.topic_id);
            self.assigned = own.flat_map(|topic| topic.partitions.iter().copied()).collect();
            self.assigned.sort_unstable();
        }
        Ok(())
    }
}

/// The group has gone on without it.
fn is_fenced(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId)
    )
}

const JOINS: i32 = 0;
const LEAVES: i32 = -1;
/// How long it may take to give partitions up.
const REBALANCE_MS: i32 = 60_000;
/// Partitions that wait for others come with a heartbeat: as often is looked for them.
const HEARTBEAT_MAX: Duration = Duration::from_secs(1);

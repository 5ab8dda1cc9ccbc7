//! One member of a classic group: who it is, what it can do, and what it waits for.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Ticket;
use super::consumer::record::{ClassicMember, MemberSubscription};
use super::record::GroupMember;
use super::request::{JoinRequest, Protocol};
use super::timers::Slot;

#[derive(Debug)]
pub(super) struct Member {
    pub member_id: Arc<str>,
    pub group_instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// When it has to be heard of; `None` while it waits for the group.
    pub session: Slot,
    /// Whether it was never part of a generation.
    pub is_new: bool,
    /// A SyncGroup to be answered when the leader's assignment is there.
    pub parked_sync: Option<Ticket>,
    /// In its order of preference, each name once.
    pub(super) protocols: Box<[MemberProtocol]>,
    pub(super) assignment: Arc<[u8]>,
    /// A JoinGroup to be answered when all have joined.
    pub(super) parked_join: Option<Ticket>,
    /// Whether it still has to ask for its assignment in this generation.
    pub(super) owes_sync: bool,
}

/// A protocol that a member knows, with what the assignor wants to know of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberProtocol {
    pub name: Arc<str>,
    pub metadata: Arc<[u8]>,
}

impl Member {
    /// As a JoinGroup introduces it. It waits for nothing yet.
    pub fn new(member_id: Arc<str>, request: &JoinRequest) -> Self {
        Self {
            member_id,
            group_instance_id: request.group_instance_id.as_deref().map(Arc::from),
            client_id: request.client.id.as_str().into(),
            client_host: request.client.host.as_str().into(),
            rebalance_timeout_ms: request.rebalance_timeout_ms(),
            session_timeout_ms: request.session_timeout_ms,
            session: None,
            is_new: true,
            parked_sync: None,
            protocols: protocols(&request.protocols),
            assignment: Arc::new([]),
            parked_join: None,
            owes_sync: false,
        }
    }

    /// As it was written in the generation whose protocol is `protocol`.
    pub fn loaded(member: &GroupMember, protocol: &Arc<str>) -> Self {
        let no_timeout = member.rebalance_timeout_ms == -1;
        let protocol = MemberProtocol {
            name: Arc::clone(protocol),
            metadata: Arc::clone(&member.subscription),
        };
        Self {
            member_id: Arc::clone(&member.member_id),
            group_instance_id: member.group_instance_id.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: if no_timeout {
                member.session_timeout_ms
            } else {
                member.rebalance_timeout_ms
            },
            session_timeout_ms: member.session_timeout_ms,
            session: None,
            is_new: false,
            parked_sync: None,
            protocols: Box::new([protocol]),
            assignment: Arc::clone(&member.assignment),
            parked_join: None,
            owes_sync: false,
        }
    }

    /// Who spoke this protocol in a group of the consumer protocol that becomes a classic one.
    pub fn migrated(
        member_id: &Arc<str>,
        subscription: &MemberSubscription,
        classic: &ClassicMember,
        assignment: Arc<[u8]>,
    ) -> Self {
        Self {
            member_id: Arc::clone(member_id),
            group_instance_id: subscription.instance_id.clone(),
            client_id: Arc::clone(&subscription.client_id),
            client_host: Arc::clone(&subscription.client_host),
            rebalance_timeout_ms: subscription.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            session: None,
            is_new: false,
            parked_sync: None,
            protocols: classic.protocols.clone(),
            assignment,
            parked_join: None,
            owes_sync: false,
        }
    }

    pub fn protocols(&self) -> &[MemberProtocol] {
        &self.protocols
    }

    pub fn assignment(&self) -> &Arc<[u8]> {
        &self.assignment
    }

    pub fn has_joined(&self) -> bool {
        self.parked_join.is_some()
    }

    pub fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    /// Whether it need not be heard of: it is the group that lets it wait.
    pub fn is_kept_waiting(&self) -> bool {
        !self.is_new && (self.parked_join.is_some() || self.parked_sync.is_some())
    }

    /// `None` where the member does not know the protocol.
    pub fn metadata(&self, protocol: &str) -> Option<&Arc<[u8]>> {
        let known = self.protocols.iter().find(|it| &*it.name == protocol)?;
        Some(&known.metadata)
    }

    /// Whether a JoinGroup says what the last one said.
    pub fn matches(&self, requested: &[Protocol]) -> bool {
        self.protocols.len() == requested.len()
            && self
                .protocols
                .iter()
                .zip(requested)
                .all(|(known, new)| *known.name == *new.name && *known.metadata == *new.metadata)
    }

    /// As it goes into the group's record.
    pub fn record(&self, protocol: &str) -> GroupMember {
        let subscription = self.metadata(protocol);
        GroupMember {
            member_id: Arc::clone(&self.member_id),
            group_instance_id: self.group_instance_id.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: Arc::clone(subscription.expect("every member knows the chosen protocol")),
            assignment: Arc::clone(&self.assignment),
        }
    }

    /// What it takes in memory, beside what its record takes.
    pub fn bytes(&self) -> u64 {
        let texts = [Some(&self.member_id), self.group_instance_id.as_ref()];
        let more = [Some(&self.client_id), Some(&self.client_host)];
        let texts = texts
            .iter()
            .chain(&more)
            .flatten()
            .map(|text| text.len())
            .sum::<usize>();
        MEMBER_BYTES + texts as u64 + self.assignment.len() as u64 + protocol_bytes(&self.protocols)
    }
}

impl JoinRequest {
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.rebalance_timeout_ms.unwrap_or(self.session_timeout_ms)
    }

    /// More than the member's [`Member::bytes`] and its record's together.
    pub(super) fn bytes(&self) -> u64 {
        let instance_id = self.group_instance_id.as_ref().map_or(0, |id| id.len());
        let texts = instance_id * 2 + self.client.id.len() * 2 + self.client.host.len();
        let protocols = self.protocols.iter();
        let protocols: usize = protocols.map(|it| it.name.len() + it.metadata.len()).sum();
        let heads = self.protocols.len() as u64 * PROTOCOL_BYTES;
        2 * MEMBER_BYTES + heads + 2 * (texts + protocols) as u64
    }
}

/// As a member keeps them.
pub(super) fn protocols(requested: &[Protocol]) -> Box<[MemberProtocol]> {
    let mut seen = BTreeSet::new();
    let protocols = requested.iter().filter(|it| seen.insert(it.name.as_str()));
    let protocols = protocols.map(|it| MemberProtocol {
        name: it.name.as_str().into(),
        metadata: (&*it.metadata).into(),
    });
    protocols.collect::<Vec<_>>().into()
}

pub(super) fn protocol_bytes(protocols: &[MemberProtocol]) -> u64 {
    let protocols = protocols.iter();
    protocols
        .map(|it| PROTOCOL_BYTES + (it.name.len() + it.metadata.len()) as u64)
        .sum()
}

/// What a member takes beside its texts and bytes: itself in a half empty tree, its place among the static ones, its
/// timer, and the heads of its allocations.
const MEMBER_BYTES: u64 = 640;
/// What a protocol takes beside its name and metadata: pointers, heads, and its place among the group's.
const PROTOCOL_BYTES: u64 = 160;

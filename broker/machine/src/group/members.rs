//! The members of a classic group, with what is counted over them.
//!
//! Invariants: the counts agree with the members; an instance id belongs to one member; all members are of one
//! protocol type.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Ticket;
use super::member::{Member, MemberProtocol, protocol_bytes};

#[derive(Debug, Default)]
pub(super) struct Members {
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids by instance id.
    instances: BTreeMap<Arc<str>, Arc<str>>,
    /// How many members know each protocol.
    supporters: BTreeMap<Arc<str>, usize>,
    joined: usize,
    owing_sync: usize,
    bytes: u64,
}

impl Members {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn contains(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
    }

    pub fn get(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    /// Of the members' own affairs only; what is counted is changed by this type's methods.
    pub fn get_mut(&mut self, member_id: &str) -> Option<&mut Member> {
        self.members.get_mut(member_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    /// The member that has the instance id.
    pub fn of_instance(&self, group_instance_id: &str) -> Option<&Arc<str>> {
        self.instances.get(group_instance_id)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many have joined, and wait for the others.
    pub fn joined(&self) -> usize {
        self.joined
    }

    /// Whether nobody has still to ask for its assignment.
    pub fn all_synced(&self) -> bool {
        self.owing_sync == 0
    }

    /// The longest time that a member wants for a rebalance; 0 without members.
    pub fn rebalance_timeout_ms(&self) -> i32 {
        self.iter().map(|it| it.rebalance_timeout_ms).fold(0, i32::max)
    }

    /// Whether every member knows the protocol; so without members it is any.
    pub fn all_support(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// The protocol that most members would rather have than any other that all know; among equals the first by name.
    pub fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.iter() {
            let preferred = member.protocols().iter().find(|it| self.all_support(&it.name))?;
            *votes.entry(&preferred.name).or_default() += 1;
        }
        let most = votes.into_iter().rev().max_by_key(|&(_, count)| count);
        most.map(|(name, _)| Arc::clone(name))
    }

    /// Adds a member whose ids are new.
    pub fn insert(&mut self, member: Member) {
        if let Some(instance_id) = &member.group_instance_id {
            let (instance_id, member_id) = (Arc::clone(instance_id), Arc::clone(&member.member_id));
            assert!(
                self.instances.insert(instance_id, member_id).is_none(),
                "an instance id joins twice"
            );
        }
        self.count_in(&member.protocols);
        self.joined += usize::from(member.has_joined());
        self.owing_sync += usize::from(member.owes_sync);
        self.bytes += member.bytes();
        let before = self.members.insert(Arc::clone(&member.member_id), member);
        assert!(before.is_none(), "a member joins twice");
    }

    pub fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        if let Some(instance_id) = &member.group_instance_id {
            self.instances.remove(instance_id);
        }
        self.count_out(&member.protocols);
        self.joined -= usize::from(member.has_joined());
        self.owing_sync -= usize::from(member.owes_sync);
        self.bytes -= member.bytes();
        Some(member)
    }

    pub fn set_protocols(&mut self, member_id: &str, protocols: Box<[MemberProtocol]>) {
        self.count_in(&protocols);
        self.bytes += protocol_bytes(&protocols);
        let before = core::mem::replace(&mut self.member(member_id).protocols, protocols);
        self.bytes -= protocol_bytes(&before);
        self.count_out(&before);
    }

    pub fn assign(&mut self, member_id: &str, assignment: Arc<[u8]>) {
        self.bytes += assignment.len() as u64;
        let before = core::mem::replace(&mut self.member(member_id).assignment, assignment);
        self.bytes -= before.len() as u64;
    }

    /// Lets a JoinGroup wait; returns one that waited before, which is overtaken.
    pub fn park_join(&mut self, member_id: &str, ticket: Ticket) -> Option<Ticket> {
        let before = self.member(member_id).parked_join.replace(ticket);
        self.joined += usize::from(before.is_none());
        before
    }

    pub fn take_join(&mut self, member_id: &str) -> Option<Ticket> {
        let ticket = self.member(member_id).parked_join.take();
        self.joined -= usize::from(ticket.is_some());
        ticket
    }

    /// Everybody has to ask for its assignment.
    pub fn expect_syncs(&mut self) {
        self.iter_mut().for_each(|it| it.owes_sync = true);
        self.owing_sync = self.members.len();
    }

    pub fn forgive_syncs(&mut self) {
        self.iter_mut().for_each(|it| it.owes_sync = false);
        self.owing_sync = 0;
    }

    pub fn synced(&mut self, member_id: &str) {
        let owed = core::mem::take(&mut self.member(member_id).owes_sync);
        self.owing_sync -= usize::from(owed);
    }

    /// The ids of the members of which `condition` is true.
    pub fn ids_where(&self, condition: impl Fn(&Member) -> bool) -> Vec<Arc<str>> {
        let chosen = self.iter().filter(|member| condition(member));
        chosen.map(|member| Arc::clone(&member.member_id)).collect()
    }

    fn member(&mut self, member_id: &str) -> &mut Member {
        self.members.get_mut(member_id).expect("a member of the group")
    }

    fn count_in(&mut self, protocols: &[MemberProtocol]) {
        for protocol in protocols {
            match self.supporters.get_mut(&protocol.name) {
                Some(count) => *count += 1,
                None => {
                    self.supporters.insert(Arc::clone(&protocol.name), 1);
                }
            }
        }
    }

    fn count_out(&mut self, protocols: &[MemberProtocol]) {
        for protocol in protocols {
            let count = self
                .supporters
                .get_mut(&protocol.name)
                .expect("a counted protocol");
            *count -= 1;
            if *count == 0 {
                self.supporters.remove(&protocol.name);
            }
        }
    }
}

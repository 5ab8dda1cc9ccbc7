//! Who was given a member id and did not come back with it yet (KIP-394).
//!
//! Invariant: [`Pending::bytes`] is the sum over what it holds.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::timers::Slot;

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// With when it is too late.
    members: BTreeMap<Arc<str>, Slot>,
    bytes: u64,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn contains(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn insert(&mut self, member_id: Arc<str>, due: Slot) {
        self.bytes += bytes_of(&member_id);
        let before = self.members.insert(member_id, due);
        assert!(before.is_none(), "a member id is given out once");
    }

    pub fn remove(&mut self, member_id: &str) -> Option<(Arc<str>, Slot)> {
        let (member_id, due) = self.members.remove_entry(member_id)?;
        self.bytes -= bytes_of(&member_id);
        Some((member_id, due))
    }

    /// Any of them.
    pub fn pop(&mut self) -> Option<(Arc<str>, Slot)> {
        let (member_id, due) = self.members.pop_first()?;
        self.bytes -= bytes_of(&member_id);
        Some((member_id, due))
    }

    /// Its timer came: the slot is empty from here on.
    pub fn timer_fired(&mut self, member_id: &str) {
        if let Some(due) = self.members.get_mut(member_id) {
            *due = None;
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Slot)> {
        self.members.iter()
    }
}

/// What a pending member takes: its id, its place among them, and its timer.
fn bytes_of(member_id: &str) -> u64 {
    192 + member_id.len() as u64
}

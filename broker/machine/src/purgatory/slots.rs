//! Values in numbered slots, with freed ones used again, latest first.
//!
//! Invariants: a number with its generation names one value for ever; a list may end in [`NONE`], which is no
//! slot's number.

use alloc::vec::Vec;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Slots<V> {
    slots: Vec<Slot<V>>,
    free: u32,
    used: u32,
}

#[derive(Debug)]
struct Slot<V> {
    value: Option<V>,
    /// Raised when the slot is freed.
    generation: u32,
    /// The next free slot, while this one is free.
    next_free: u32,
}

impl<V> Slots<V> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            used: 0,
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.used
    }

    /// Slots that memory is held for, used and free ones.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn insert(&mut self, value: V) -> (u32, u32) {
        self.used += 1;
        if self.free == NONE {
            self.slots.push(Slot {
                value: Some(value),
                generation: 0,
                next_free: NONE,
            });
            return (self.slots.len() as u32 - 1, 0);
        }
        let at = self.free;
        let slot = &mut self.slots[at as usize];
        self.free = slot.next_free;
        slot.value = Some(value);
        (at, slot.generation)
    }

    pub(super) fn remove(&mut self, at: u32) -> V {
        let slot = &mut self.slots[at as usize];
        let value = slot.value.take().expect("a used slot");
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = self.free;
        self.free = at;
        self.used -= 1;
        value
    }

    pub(super) fn get(&self, at: u32) -> &V {
        self.slots[at as usize].value.as_ref().expect("a used slot")
    }

    pub(super) fn get_mut(&mut self, at: u32) -> &mut V {
        self.slots[at as usize].value.as_mut().expect("a used slot")
    }

    /// `None` for a free slot.
    pub(super) fn generation(&self, at: u32) -> Option<u32> {
        let slot = self.slots.get(at as usize)?;
        slot.value.is_some().then_some(slot.generation)
    }
}

/// The end of a list.
pub(super) const NONE: u32 = u32::MAX;

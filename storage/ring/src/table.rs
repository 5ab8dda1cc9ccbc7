//! Slots with generations: ids that never name a successor.

/// A table whose entries are named by slot and generation. Freed slots are used again, last freed first.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    max: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// Raised when an entry leaves, so that what named it names nothing.
    generation: u32,
    entry: Option<T>,
}

impl<T> Table<T> {
    /// Holds at most `max` entries at a time.
    pub(crate) fn new(max: usize) -> Table<T> {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            max,
        }
    }

    /// Entries in the table.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slot and generation of the new entry.
    pub(crate) fn insert(&mut self, entry: T) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| {
            assert!(
                self.slots.len() < self.max,
                "the table's bound of {} is kept by its users",
                self.max
            );
            self.slots.push(Slot {
                generation: 0,
                entry: None,
            });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.entry = Some(entry);
        (slot, place.generation)
    }

    /// The entry, if the generation is still the one of the id.
    pub(crate) fn get(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        let place = self.slots.get_mut(slot as usize)?;
        if place.generation == generation {
            place.entry.as_mut()
        } else {
            None
        }
    }

    /// As `get`, for a look only.
    pub(crate) fn peek(&self, slot: u32, generation: u32) -> Option<&T> {
        let place = self.slots.get(slot as usize)?;
        if place.generation == generation {
            place.entry.as_ref()
        } else {
            None
        }
    }

    /// Slot and generation of an occupied slot in one number: the slot in the low half.
    pub(crate) fn key(&self, slot: u32) -> u64 {
        u64::from(self.slots[slot as usize].generation) << 32 | u64::from(slot)
    }

    /// The entry in a slot that is known to be occupied.
    pub(crate) fn at(&mut self, slot: u32) -> &mut T {
        self.slots[slot as usize]
            .entry
            .as_mut()
            .expect("an occupied slot")
    }

    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let place = &mut self.slots[slot as usize];
        let entry = place.entry.take().expect("an occupied slot");
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        entry
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.free.clear();
        std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|slot| slot.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_never_names_the_successor() {
        let mut table = Table::new(2);
        let (slot, generation) = table.insert("first");
        assert_eq!(table.remove(slot), "first");
        assert!(table.get(slot, generation).is_none());
        let (again, next) = table.insert("second");
        assert_eq!((again, table.len()), (slot, 1));
        assert!(table.get(slot, generation).is_none());
        assert_eq!(table.get(again, next), Some(&mut "second"));
        assert!(table.get(7, 0).is_none());
    }

    #[test]
    #[should_panic(expected = "bound of 1")]
    fn is_bounded() {
        let mut table = Table::new(1);
        table.insert(1);
        table.insert(2);
    }
}

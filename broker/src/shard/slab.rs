//! A table of things named by slot and generation, so that a late word about one never reaches its successor.
//! Invariant: a key is valid from `insert` to `remove` and never again, until its slot's generation wraps (2^24).

/// The name of an entry: slot in the lower 32 bits, generation in the 24 above. Fits a ring's token beside a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    slot: u32,
    generation: u32,
}

/// A growing table with recycled slots.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    len: usize,
    /// Most entries at a time.
    limit: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl Key {
    /// 56 bits.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The inverse of [`Key::to_bits`]; bits above 56 are ignored.
    pub fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32 & GENERATION_MASK,
        }
    }

    /// Dense, used again.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

impl<T> Slab<T> {
    pub fn new(limit: usize) -> Self {
        assert!(limit <= u32::MAX as usize);
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            len: 0,
            limit,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Adds an entry; gives it back when the table is full.
    pub fn insert(&mut self, value: T) -> Result<Key, T> {
        if self.is_full() {
            return Err(value);
        }
        self.len += 1;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.entries.push(Entry {
                    generation: 0,
                    value: None,
                });
                (self.entries.len() - 1) as u32
            }
        };
        let entry = &mut self.entries[slot as usize];
        entry.value = Some(value);
        Ok(Key {
            slot,
            generation: entry.generation,
        })
    }

    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.slot as usize)?;
        if entry.generation == key.generation {
            entry.value.as_ref()
        } else {
            None
        }
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.slot as usize)?;
        if entry.generation == key.generation {
            entry.value.as_mut()
        } else {
            None
        }
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.slot as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        self.free.push(key.slot);
        self.len -= 1;
        Some(value)
    }

    /// Every entry's key, by slot.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.value.is_some())
            .map(|(slot, entry)| Key {
                slot: slot as u32,
                generation: entry.generation,
            })
    }
}

const GENERATION_MASK: u32 = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_key_never_finds_its_successor() {
        let mut slab = Slab::new(2);
        let first = slab.insert('a').unwrap();
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b').unwrap();
        assert_eq!(second.slot(), first.slot());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
    }

    #[test]
    fn a_full_table_gives_the_value_back() {
        let mut slab = Slab::new(1);
        slab.insert(1).unwrap();
        assert_eq!(slab.insert(2), Err(2));
    }

    #[test]
    fn a_key_survives_its_bits() {
        let mut slab = Slab::new(8);
        let mut key = slab.insert(0).unwrap();
        for round in 1..5 {
            slab.remove(key);
            key = slab.insert(round).unwrap();
        }
        assert_eq!(Key::from_bits(key.to_bits() | 0xff << 56), key);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [key]);
    }
}

//! The memory of one shard for requests and replies, taken before it is used.
//! Invariants: what is charged is what connections and calls hold; frames are let in up to three quarters of the total,
//! so that who sends much leaves room for what others read; beyond it only the holder of the reserve goes on receiving,
//! so at least one frame is always completed, and every holder gets its turn.

use std::collections::VecDeque;

use super::slab::Key;

/// The account.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    used: usize,
    /// The connection that may finish its frame whatever is used.
    reserve: Option<Key>,
    /// Connections that wait for memory, oldest first.
    waiting: VecDeque<Key>,
}

impl Budget {
    /// `total` in bytes.
    pub fn new(total: usize) -> Self {
        Self {
            total,
            used: 0,
            reserve: None,
            waiting: VecDeque::new(),
        }
    }

    /// Replaces one charge by another.
    pub fn recharge(&mut self, before: usize, after: usize) {
        self.used = self.used + after - before;
    }

    /// May this connection receive so many bytes more of its frame? Otherwise it waits for [`Budget::next_waiting`].
    pub fn admit(&mut self, connection: Key, bytes: usize) -> bool {
        if self.reserve == Some(connection) || self.used + bytes <= self.frames_max() {
            return true;
        }
        if self.reserve.is_none() {
            self.reserve = Some(connection);
            return true;
        }
        self.waiting.push_back(connection);
        false
    }

    /// The connection has no frame in the making any more.
    pub fn release_reserve(&mut self, connection: Key) {
        if self.reserve == Some(connection) {
            self.reserve = None;
        }
    }

    /// A connection that waited and may ask again.
    pub fn next_waiting(&mut self) -> Option<Key> {
        if self.reserve.is_some() && self.used >= self.frames_max() {
            None
        } else {
            self.waiting.pop_front()
        }
    }

    /// Somebody waits for memory, or soon will: who holds some and does not get on has to go.
    pub fn is_short(&self) -> bool {
        !self.waiting.is_empty() || self.used >= self.total / 8 * 7
    }

    /// What may be in use for one more piece of a frame to be let in, with it.
    fn frames_max(&self) -> usize {
        self.total - self.total / 4
    }

    /// Bytes left.
    pub fn available(&self) -> usize {
        self.total.saturating_sub(self.used)
    }

    pub fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(slot: u64) -> Key {
        Key::from_bits(slot)
    }

    #[test]
    fn one_frame_always_completes() {
        let mut budget = Budget::new(100);
        assert!(budget.admit(key(1), 75));
        budget.recharge(0, 75);
        assert_eq!(budget.available(), 25, "for what is read");
        assert!(budget.admit(key(2), 50), "takes the reserve");
        budget.recharge(0, 50);
        assert!(!budget.admit(key(1), 1));
        assert!(!budget.admit(key(3), 1));
        assert!(budget.admit(key(2), 1000), "holds the reserve");
        assert_eq!(budget.next_waiting(), None);
        budget.release_reserve(key(2));
        assert_eq!(budget.next_waiting(), Some(key(1)), "in the order of asking");
    }

    #[test]
    fn it_is_short_before_it_is_used_up_and_while_somebody_waits() {
        let mut budget = Budget::new(100);
        budget.recharge(0, 80);
        assert!(!budget.is_short());
        budget.recharge(0, 10);
        assert!(budget.is_short());
        budget.recharge(50, 0);
        assert!(!budget.is_short());
        assert!(budget.admit(key(1), 100) && !budget.admit(key(2), 100));
        assert!(budget.is_short());
    }

    #[test]
    fn memory_that_comes_back_is_given_out() {
        let mut budget = Budget::new(100);
        budget.recharge(0, 100);
        assert!(budget.admit(key(1), 10));
        assert!(!budget.admit(key(2), 10));
        budget.recharge(100, 0);
        assert_eq!(budget.next_waiting(), Some(key(2)));
        assert!(budget.admit(key(2), 10));
    }
}

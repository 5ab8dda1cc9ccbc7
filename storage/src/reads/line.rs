//! Who may look at bytes from the disk, and how much of that a turn does: checking them takes time that others wait
//! for.
//!
//! Place: reads whose bytes came, or that may not look yet, stand in line; [`crate::ShardLogs::turn`] tries them while
//! something is left of the turn's share. What is in memory is served at once, past the line.
//!
//! Invariants: first come, first served, and nobody overtakes the line; a turn in which somebody stands in line lets
//! the first one look; a waiter stands in it once.

use std::collections::{HashSet, VecDeque};

use crate::cold_pieces::Waiter;

/// See the module's page.
pub(crate) struct Line {
    waiters: VecDeque<Waiter>,
    listed: HashSet<Waiter>,
    /// Bytes that may yet be looked at in this turn.
    left: u64,
    /// The share of every turn from now on.
    share: u64,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line {
            waiters: VecDeque::new(),
            listed: HashSet::new(),
            left: u64::MAX,
            share: u64::MAX,
        }
    }

    /// Bytes that a turn looks at from now on, but for a run that passes it.
    pub(crate) fn set_share(&mut self, bytes: u64) {
        assert!(bytes > 0, "somebody looks in every turn");
        self.share = bytes;
        self.left = self.left.min(bytes);
    }

    /// The turn is over.
    pub(crate) fn next_turn(&mut self) {
        self.left = self.share;
    }

    /// Whether somebody who just came may look.
    pub(crate) fn is_free(&self) -> bool {
        self.waiters.is_empty() && self.has_share()
    }

    pub(crate) fn has_share(&self) -> bool {
        self.left > 0
    }

    /// So many bytes are looked at.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }

    pub(crate) fn join(&mut self, waiter: Waiter) {
        if self.listed.insert(waiter) {
            self.waiters.push_back(waiter);
        }
    }

    /// The next one to look, as long as something is left of the turn's share.
    pub(crate) fn next(&mut self) -> Option<Waiter> {
        if !self.has_share() {
            return None;
        }
        let waiter = self.waiters.pop_front()?;
        self.listed.remove(&waiter);
        Some(waiter)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_look_in_the_order_of_coming_and_each_stands_there_once() {
        let mut line = Line::new();
        [7, 3, 7, 5, 3].into_iter().for_each(|waiter| line.join(waiter));
        assert_eq!(line.len(), 3);
        assert_eq!([line.next(), line.next()], [Some(7), Some(3)]);
        line.join(7);
        assert_eq!([line.next(), line.next(), line.next()], [Some(5), Some(7), None]);
        assert!(line.is_empty());
    }

    #[test]
    fn a_turn_ends_with_its_share_and_the_next_one_goes_on() {
        let mut line = Line::new();
        line.set_share(10);
        (0..4).for_each(|waiter| line.join(waiter));
        let mut turn = || {
            let looked: Vec<Waiter> = std::iter::from_fn(|| {
                let waiter = line.next();
                line.spend(6);
                waiter
            })
            .collect();
            line.next_turn();
            looked
        };
        assert_eq!([turn(), turn(), turn()], [vec![0, 1], vec![2, 3], vec![]]);
    }

    #[test]
    fn who_comes_looks_at_once_only_where_nobody_stands_and_something_is_left() {
        let mut line = Line::new();
        line.set_share(10);
        assert!(line.is_free());
        line.join(1);
        assert!(!line.is_free(), "somebody was there before");
        assert_eq!(line.next(), Some(1));
        line.spend(u64::MAX);
        assert!(!line.is_free(), "the turn's share is used up");
        line.next_turn();
        assert!(line.is_free());
    }
}

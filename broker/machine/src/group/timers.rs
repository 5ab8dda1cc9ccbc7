//! The deadlines of all groups of a coordinator.
//!
//! What waits keeps a [`Slot`] beside it that says when its timer is due. Invariant: there is a timer for each slot
//! that is filled, and none besides.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use millstream_protocol::time::Instant;

/// When the timer of whatever holds this is due; `None` while none is armed.
pub(super) type Slot = Option<Instant>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKind {
    /// A member has to be heard of, or a pending one has to join.
    Session(Arc<str>),
    /// A member of the consumer protocol has to have given up what it is to give up.
    Revocation(Arc<str>),
    /// A classic member of a group of the consumer protocol has to join again.
    Rejoin(Arc<str>),
    /// Such a member has joined, and has to ask for its assignment.
    MemberSync(Arc<str>),
    /// The members have to join, or the initial rebalance was delayed long enough.
    Join,
    /// The members have to ask for their assignments.
    Sync,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    armed: BTreeSet<Timer>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub due: Instant,
    pub group_id: Arc<str>,
    pub kind: TimerKind,
}

impl Timers {
    /// Sets the timer that `slot` stands for, in place of one that it stood for.
    pub fn arm(&mut self, slot: &mut Slot, due: Instant, group_id: &Arc<str>, kind: TimerKind) {
        let mut timer = Timer {
            due,
            group_id: Arc::clone(group_id),
            kind,
        };
        if let Some(before) = slot.replace(due) {
            timer.due = before;
            assert!(self.armed.remove(&timer), "a slot without its timer");
            timer.due = due;
        }
        assert!(self.armed.insert(timer), "two slots for one timer");
    }

    pub fn disarm(&mut self, slot: &mut Slot, group_id: &Arc<str>, kind: TimerKind) {
        if let Some(due) = slot.take() {
            let group_id = Arc::clone(group_id);
            let removed = self.armed.remove(&Timer { due, group_id, kind });
            assert!(removed, "a slot without its timer");
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.armed.first().map(|timer| timer.due)
    }

    /// Takes out the next timer that is due. Whoever handles it empties its slot.
    pub fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.armed.pop_first()
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.armed.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_their_order_and_only_when_due() {
        let (mut timers, group_id) = (Timers::default(), Arc::from("g"));
        let (mut join, mut session) = (None, None);
        let at = Instant::from_nanos;
        let member = || TimerKind::Session("m".into());
        timers.arm(&mut join, at(5), &group_id, TimerKind::Join);
        timers.arm(&mut session, at(3), &group_id, member());
        timers.arm(&mut session, at(9), &group_id, member());
        assert_eq!((timers.next(), session), (Some(at(5)), Some(at(9))));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(9)).map(|it| it.kind), Some(TimerKind::Join));
        timers.disarm(&mut session, &group_id, member());
        assert_eq!((timers.pop_due(Instant::MAX), session), (None, None));
    }
}

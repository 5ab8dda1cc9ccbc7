//! Requests that wait: produce acknowledgements for a watermark, fetches for records, deletions of records for the
//! log's start, all for at most so long.
//!
//! Place: one per shard, driven by its turn. A handler parks, the turn reports watermarks and the time, and
//! whoever is due comes out as the token it was parked under.
//!
//! Invariants:
//! - a parked request comes out exactly once: reached, lost, expired or cancelled;
//! - reporting a watermark touches only the requests that it releases, never those that go on waiting;
//! - nothing is allocated once as many requests are parked as ever were; their number is bounded.

mod slots;
mod timer_wheel;

use alloc::vec::Vec;

use millstream_protocol::time::Instant;
use millstream_protocol::types::Offset;

use slots::{NONE, Slots};
use timer_wheel::TimerWheel;

/// Parked requests of one shard. `T` is what the shell knows a request by; small and `Copy`.
#[derive(Debug)]
pub struct Purgatory<T> {
    requests: Slots<Request<T>>,
    waits: Slots<Wait>,
    /// By [`PartitionSlot`] and [`Mark`]: waits in order of the offset that they wait for.
    queues: Vec<Queue>,
    timers: TimerWheel,
    requests_max: u32,
    waits_max: u32,
}

/// A partition's dense number on its shard; reused only after [`Purgatory::abandon`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionSlot(pub u32);

/// What is waited for. Acknowledgements and fetches queue apart, so that neither is walked past for the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// An acknowledgement that the leader alone must have flushed (`acks=1`).
    FlushedForAck = 0,
    /// An acknowledgement that every in-sync replica must have flushed (`acks=all`).
    CommittedForAck = 1,
    /// A fetch below the high watermark.
    CommittedForFetch = 2,
    /// A fetch below the last stable offset.
    StableForFetch = 3,
    /// A deletion of records: that the log durably starts there.
    Start = 4,
}

/// One thing that a request waits for: that the mark of a partition reaches `reaches`.
/// Marks are exclusive ends: a record at offset 7 is flushed when the flushed offset reaches 8.
#[derive(Clone, Copy, Debug)]
pub struct WaitFor {
    pub partition: PartitionSlot,
    pub mark: Mark,
    pub reaches: Offset,
}

/// When a request with several waits is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// When the last of them is met (an acknowledgement of several partitions).
    All,
    /// When the first of them is met (a fetch).
    Any,
}

/// A parked request; stale once it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedId {
    slot: u32,
    generation: u32,
}

/// A request that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released<T> {
    pub token: T,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Every (or any) mark was reached.
    Reached,
    /// As above, but at least one partition was abandoned: its offsets say which.
    Lost,
    /// The deadline passed first.
    Expired,
}

/// As many requests or waits are parked as may be. Nothing was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<T: Copy> Purgatory<T> {
    /// At most `requests_max` requests with `waits_max` waits in all are parked at a time. Starts its clock
    /// at `now`.
    pub fn new(requests_max: u32, waits_max: u32, now: Instant) -> Self {
        assert!(
            requests_max < NONE && waits_max < NONE,
            "the last number means none"
        );
        Self {
            requests: Slots::new(),
            waits: Slots::new(),
            queues: Vec::new(),
            timers: TimerWheel::new(now),
            requests_max,
            waits_max,
        }
    }

    /// Parks a request until its waits are met or `deadline` has passed. At least one wait is needed, and
    /// every one must be unmet: what is met already is not reported again.
    pub fn park(
        &mut self,
        token: T,
        release: Release,
        waits: &[WaitFor],
        deadline: Option<Instant>,
    ) -> Result<ParkedId, Full> {
        assert!(!waits.is_empty(), "a request waits for something");
        let count = u32::try_from(waits.len()).map_err(|_| Full)?;
        if self.requests.len() >= self.requests_max || count > self.waits_max - self.waits.len() {
            return Err(Full);
        }
        let unmet = match release {
            Release::All => count,
            Release::Any => 1,
        };
        let (request, generation) = self.requests.insert(Request {
            token,
            first_wait: NONE,
            unmet,
            lost: false,
        });
        for wait in waits {
            self.enqueue(request, *wait);
        }
        if let Some(deadline) = deadline {
            self.timers.arm(request, deadline);
        }
        Ok(ParkedId {
            slot: request,
            generation,
        })
    }

    /// The mark of a partition has moved to `offset`: releases what waited for no more than that.
    pub fn advance(
        &mut self,
        partition: PartitionSlot,
        mark: Mark,
        offset: Offset,
        out: &mut Vec<Released<T>>,
    ) {
        let index = queue_index(partition, mark);
        while let Some(&Queue { first, .. }) = self.queues.get(index)
            && first != NONE
            && self.waits.get(first).reaches <= offset
        {
            self.met(first, false, out);
        }
    }

    /// The partition is gone (deleted, moved, fenced): nothing that waits for it will be reached any more.
    pub fn abandon(&mut self, partition: PartitionSlot, out: &mut Vec<Released<T>>) {
        for mark in MARKS {
            let index = queue_index(partition, mark);
            while let Some(&Queue { first, .. }) = self.queues.get(index)
                && first != NONE
            {
                self.met(first, true, out);
            }
        }
    }

    /// Releases what was due at `now` or before.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Released<T>>) {
        self.timers.advance(now);
        while let Some(request) = self.timers.pop_due() {
            let token = self.remove(request).token;
            out.push(Released {
                token,
                why: Why::Expired,
            });
        }
    }

    /// When [`Self::expire`] has something to do; may be a little before the next deadline, never after it by
    /// more than the wheel's tick.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes a request out unanswered, for its connection is gone. `None` where it came out before.
    pub fn cancel(&mut self, parked: ParkedId) -> Option<T> {
        if self.requests.generation(parked.slot) != Some(parked.generation) {
            return None;
        }
        self.timers.disarm(parked.slot);
        Some(self.remove(parked.slot).token)
    }

    /// Requests parked at present.
    pub fn len(&self) -> usize {
        self.requests.len() as usize
    }

    pub fn is_empty(&self) -> bool {
        self.requests.len() == 0
    }

    /// One wait is over. Releases its request where that was the last one needed.
    fn met(&mut self, wait: u32, lost: bool, out: &mut Vec<Released<T>>) {
        let owner = self.waits.get(wait).request;
        self.unlink_from_queue(wait);
        self.waits.get_mut(wait).queued = false;
        let request = self.requests.get_mut(owner);
        request.unmet -= 1;
        request.lost |= lost;
        if request.unmet > 0 {
            return;
        }
        self.timers.disarm(owner);
        let Request { token, lost, .. } = self.remove(owner);
        out.push(Released {
            token,
            why: if lost { Why::Lost } else { Why::Reached },
        });
    }

    /// Takes a request with all its waits out. Its timer is not touched.
    fn remove(&mut self, slot: u32) -> Request<T> {
        let request = self.requests.remove(slot);
        let mut next = request.first_wait;
        while next != NONE {
            if self.waits.get(next).queued {
                self.unlink_from_queue(next);
            }
            next = self.waits.remove(next).sibling;
        }
        request
    }

    /// Puts a wait into its queue, behind all that wait for as much or less. Acknowledgements come in the
    /// order of their offsets, save duplicates, so the walk from the end is short.
    fn enqueue(&mut self, request: u32, wait: WaitFor) {
        let index = queue_index(wait.partition, wait.mark);
        if index >= self.queues.len() {
            self.queues.resize(
                (wait.partition.0 as usize + 1) * MARKS.len(),
                Queue {
                    first: NONE,
                    last: NONE,
                },
            );
        }
        let mut before = self.queues[index].last;
        while before != NONE && self.waits.get(before).reaches > wait.reaches {
            before = self.waits.get(before).before;
        }
        let after = if before == NONE {
            self.queues[index].first
        } else {
            self.waits.get(before).after
        };
        let sibling = self.requests.get(request).first_wait;
        let (slot, _) = self.waits.insert(Wait {
            request,
            sibling,
            reaches: wait.reaches,
            queue: u32::try_from(index).expect("partitions are numbered with 30 bits"),
            before,
            after,
            queued: true,
        });
        self.requests.get_mut(request).first_wait = slot;
        self.link(index, before, after, slot, slot);
    }

    fn unlink_from_queue(&mut self, wait: u32) {
        let Wait {
            queue, before, after, ..
        } = *self.waits.get(wait);
        self.link(queue as usize, before, after, after, before);
    }

    /// Makes `first` what follows `before`, and `last` what precedes `after`, at the queue's ends where there
    /// is none.
    fn link(&mut self, queue: usize, before: u32, after: u32, first: u32, last: u32) {
        match before {
            NONE => self.queues[queue].first = first,
            before => self.waits.get_mut(before).after = first,
        }
        match after {
            NONE => self.queues[queue].last = last,
            after => self.waits.get_mut(after).before = last,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Request<T> {
    token: T,
    first_wait: u32,
    /// Waits that must still be met.
    unmet: u32,
    lost: bool,
}

/// A wait, linked into its request's list and, until it is met, into its partition's queue.
#[derive(Clone, Copy, Debug)]
struct Wait {
    request: u32,
    sibling: u32,
    reaches: Offset,
    queue: u32,
    before: u32,
    after: u32,
    queued: bool,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

fn queue_index(partition: PartitionSlot, mark: Mark) -> usize {
    partition.0 as usize * MARKS.len() + mark as usize
}

const MARKS: [Mark; 5] = [
    Mark::FlushedForAck,
    Mark::CommittedForAck,
    Mark::CommittedForFetch,
    Mark::StableForFetch,
    Mark::Start,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use millstream_protocol::time::Duration;
    use std::collections::BTreeMap;
    use std::vec;

    const NOW: Instant = Instant::from_nanos(1 << 40);

    fn purgatory() -> Purgatory<u32> {
        Purgatory::new(1_000, 10_000, NOW)
    }

    fn wait(partition: u32, mark: Mark, reaches: i64) -> WaitFor {
        WaitFor {
            partition: PartitionSlot(partition),
            mark,
            reaches: Offset::new(reaches),
        }
    }

    fn ack(partition: u32, reaches: i64) -> WaitFor {
        wait(partition, Mark::FlushedForAck, reaches)
    }

    fn reach(purgatory: &mut Purgatory<u32>, partition: u32, offset: i64) -> Vec<(u32, Why)> {
        let mut out = Vec::new();
        purgatory.advance(
            PartitionSlot(partition),
            Mark::FlushedForAck,
            Offset::new(offset),
            &mut out,
        );
        out.into_iter()
            .map(|released| (released.token, released.why))
            .collect()
    }

    #[test]
    fn acknowledgements_leave_when_their_offset_is_reached() {
        let mut purgatory = purgatory();
        purgatory.park(1, Release::All, &[ack(0, 5)], None).unwrap();
        purgatory.park(2, Release::All, &[ack(0, 8)], None).unwrap();
        // A duplicate waits for less than what was parked before it.
        purgatory.park(3, Release::All, &[ack(0, 6)], None).unwrap();
        assert_eq!(reach(&mut purgatory, 0, 4), []);
        assert_eq!(reach(&mut purgatory, 1, 100), []);
        assert_eq!(
            reach(&mut purgatory, 0, 6),
            [(1, Why::Reached), (3, Why::Reached)]
        );
        assert_eq!(reach(&mut purgatory, 0, 8), [(2, Why::Reached)]);
        assert!(purgatory.is_empty());
    }

    #[test]
    fn all_waits_for_the_last_and_any_for_the_first() {
        let mut purgatory = purgatory();
        purgatory
            .park(1, Release::All, &[ack(0, 5), ack(1, 5), ack(1, 6)], None)
            .unwrap();
        purgatory
            .park(2, Release::Any, &[ack(0, 5), ack(1, 5), ack(0, 4)], None)
            .unwrap();
        assert_eq!(reach(&mut purgatory, 0, 5), [(2, Why::Reached)]);
        assert_eq!(reach(&mut purgatory, 1, 5), []);
        assert_eq!(reach(&mut purgatory, 1, 6), [(1, Why::Reached)]);
        assert_eq!(purgatory.waits.len(), 0);
    }

    #[test]
    fn an_abandoned_partition_is_named_lost_when_the_others_are_done() {
        let mut purgatory = purgatory();
        let mut out = Vec::new();
        purgatory
            .park(1, Release::All, &[ack(0, 5), ack(1, 5)], None)
            .unwrap();
        purgatory
            .park(2, Release::Any, &[wait(0, Mark::StableForFetch, 9)], None)
            .unwrap();
        purgatory.abandon(PartitionSlot(0), &mut out);
        assert_eq!(
            out,
            [Released {
                token: 2,
                why: Why::Lost
            }]
        );
        assert_eq!(reach(&mut purgatory, 1, 5), [(1, Why::Lost)]);
    }

    #[test]
    fn deadlines_release_what_was_not_reached() {
        let mut purgatory = purgatory();
        let mut out = Vec::new();
        let deadline = NOW + Duration::from_millis(500);
        purgatory
            .park(1, Release::All, &[ack(0, 5)], Some(deadline))
            .unwrap();
        purgatory
            .park(2, Release::All, &[ack(0, 4)], Some(deadline))
            .unwrap();
        assert_eq!(reach(&mut purgatory, 0, 4), [(2, Why::Reached)]);
        purgatory.expire(NOW + Duration::from_millis(499), &mut out);
        assert_eq!(out, []);
        purgatory.expire(NOW + Duration::from_millis(502), &mut out);
        assert_eq!(
            out,
            [Released {
                token: 1,
                why: Why::Expired
            }]
        );
        assert_eq!(reach(&mut purgatory, 0, 100), []);
        assert_eq!(purgatory.next_deadline(), None);
    }

    #[test]
    fn what_was_cancelled_never_comes_out_and_its_slot_is_another_request() {
        let mut purgatory = purgatory();
        let first = purgatory.park(1, Release::All, &[ack(0, 5)], Some(NOW)).unwrap();
        assert_eq!(purgatory.cancel(first), Some(1));
        assert_eq!(purgatory.cancel(first), None);
        let second = purgatory.park(2, Release::All, &[ack(0, 5)], None).unwrap();
        assert_eq!(purgatory.cancel(first), None, "the slot is used again");
        assert_ne!(first, second);
        assert_eq!(reach(&mut purgatory, 0, 5), [(2, Why::Reached)]);
    }

    #[test]
    fn requests_and_waits_are_bounded() {
        let mut purgatory = Purgatory::new(2, 3, NOW);
        purgatory
            .park(1, Release::All, &[ack(0, 1), ack(1, 1)], None)
            .unwrap();
        assert_eq!(
            purgatory.park(2, Release::All, &[ack(0, 1), ack(1, 1)], None),
            Err(Full)
        );
        purgatory.park(2, Release::All, &[ack(0, 1)], None).unwrap();
        assert_eq!(purgatory.park(3, Release::All, &[ack(0, 1)], None), Err(Full));
        assert_eq!(reach(&mut purgatory, 0, 1), [(2, Why::Reached)]);
        assert!(purgatory.park(3, Release::All, &[ack(0, 1)], None).is_ok());
    }

    #[test]
    fn slots_are_used_again() {
        let mut purgatory = purgatory();
        for offset in 1..10_000 {
            let deadline = Some(NOW + Duration::from_secs(30));
            purgatory
                .park(1, Release::All, &[ack(0, offset), ack(1, offset)], deadline)
                .unwrap();
            reach(&mut purgatory, 0, offset);
            assert_eq!(reach(&mut purgatory, 1, offset), [(1, Why::Reached)]);
        }
        assert_eq!(
            (purgatory.requests.capacity(), purgatory.waits.capacity()),
            (1, 2)
        );
    }

    const PARTITIONS: u64 = 5;

    /// What a request is to the plain model: its unmet waits, how many it needs, and its deadline.
    struct Modelled {
        waits: Vec<WaitFor>,
        unmet: usize,
        deadline: Option<Instant>,
        id: ParkedId,
    }

    /// A purgatory beside a list of all its requests.
    struct Pair {
        purgatory: Purgatory<u32>,
        model: BTreeMap<u32, Modelled>,
        marks: Vec<i64>,
        now: Instant,
        next_token: u32,
    }

    impl Pair {
        fn park(&mut self, random: &mut Random) {
            let new_wait = |random: &mut Random| {
                let (partition, mark) = (random.below(PARTITIONS) as u32, MARKS[random.below(4) as usize]);
                let reached = self.marks[queue_index(PartitionSlot(partition), mark)];
                wait(partition, mark, reached + 1 + random.below(9) as i64)
            };
            let waits: Vec<_> = (0..=random.below(4)).map(|_| new_wait(random)).collect();
            let all = random.below(2) == 0;
            let release = if all { Release::All } else { Release::Any };
            let deadline =
                (random.below(2) == 0).then(|| self.now + Duration::from_millis(random.below(300)));
            let id = self
                .purgatory
                .park(self.next_token, release, &waits, deadline)
                .unwrap();
            let unmet = if all { waits.len() } else { 1 };
            self.model.insert(
                self.next_token,
                Modelled {
                    waits,
                    unmet,
                    deadline,
                    id,
                },
            );
            self.next_token += 1;
        }

        fn advance(&mut self, random: &mut Random) {
            let partition = PartitionSlot(random.below(PARTITIONS) as u32);
            let mark = MARKS[random.below(4) as usize];
            let reached = &mut self.marks[queue_index(partition, mark)];
            *reached += random.below(4) as i64;
            let offset = Offset::new(*reached);
            let (mut out, mut expect) = (Vec::new(), Vec::new());
            self.purgatory.advance(partition, mark, offset, &mut out);
            self.model.retain(|&token, request| {
                let before = request.waits.len();
                let is_met = |wait: &WaitFor| {
                    wait.partition == partition && wait.mark == mark && wait.reaches <= offset
                };
                request.waits.retain(|wait| !is_met(wait));
                request.unmet = request.unmet.saturating_sub(before - request.waits.len());
                if request.unmet == 0 {
                    expect.push(Released {
                        token,
                        why: Why::Reached,
                    });
                }
                request.unmet > 0
            });
            out.sort_by_key(|released| released.token);
            assert_eq!(out, expect);
        }

        fn expire(&mut self, random: &mut Random) {
            self.now += Duration::from_millis(random.below(40));
            let (now, mut out, mut expect) = (self.now, Vec::new(), Vec::new());
            self.purgatory.expire(now, &mut out);
            // What is due within the present tick may come now or with the next.
            let early: Vec<_> = out.iter().map(|released| released.token).collect();
            self.model.retain(|&token, request| {
                let Some(deadline) = request.deadline else {
                    return true;
                };
                let is_due = deadline + Duration::from_nanos(1 << 20) <= now;
                let leaves = is_due || (deadline <= now && early.contains(&token));
                if leaves {
                    expect.push(Released {
                        token,
                        why: Why::Expired,
                    });
                }
                !leaves
            });
            out.sort_by_key(|released| released.token);
            assert_eq!(out, expect);
        }

        fn cancel(&mut self, random: &mut Random) {
            let nth = random.below(self.model.len() as u64) as usize;
            if let Some((&token, request)) = self.model.iter().nth(nth) {
                assert_eq!(self.purgatory.cancel(request.id), Some(token));
                self.model.remove(&token);
            }
        }
    }

    /// Random parking, watermarks, deadlines and cancellations: every release is the one that a list of all
    /// requests gives. The slots in use at the end show that nothing leaked.
    #[test]
    fn agrees_with_a_list_of_requests() {
        let mut random = Random::new(11);
        let marks = vec![0i64; PARTITIONS as usize * MARKS.len()];
        let mut pair = Pair {
            purgatory: purgatory(),
            model: BTreeMap::new(),
            marks,
            now: NOW,
            next_token: 0,
        };
        for _ in 0..20_000 {
            match random.below(8) {
                0..4 if pair.model.len() < 900 => pair.park(&mut random),
                0..6 => pair.advance(&mut random),
                6 => pair.expire(&mut random),
                _ => pair.cancel(&mut random),
            }
            assert_eq!(pair.purgatory.len(), pair.model.len());
        }
        let Pair {
            mut purgatory, model, ..
        } = pair;
        for request in model.into_values() {
            purgatory.cancel(request.id);
        }
        assert_eq!((purgatory.requests.len(), purgatory.waits.len()), (0, 0));
        assert!(
            purgatory
                .queues
                .iter()
                .all(|queue| queue.first == NONE && queue.last == NONE)
        );
        assert_eq!(purgatory.next_deadline(), None);
    }
}

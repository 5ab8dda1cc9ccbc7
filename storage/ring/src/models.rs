//! All interleavings of the threads that meet in this crate, by loom: `RUSTFLAGS="--cfg loom" cargo test -p
//! millstream-ring --lib models`.
//!
//! What threads share in the engine: the flag of a sleeping ring ([`crate::waker`]), the list of receive buffers
//! given back ([`crate::buffer`]), the reference counts of buffers, and the helper's answers. Everything else that
//! crosses threads goes through queues of crates (rtrb between shards, flume to the controller and back), an immutable
//! image too. What atomics the broker has besides are hints, of which no memory and no order depends:
//! counts of connections and congested shards, the watchdog's pulses (it looks again within half a second), the number
//! of records that a shard has installed, lost log lines. The provided ring's tail is shared with the kernel, whom no
//! model plays.
//!
//! A wake that is lost shows as a deadlock; a read of what was published before the wake as a stale value.

use std::sync::Arc as StdArc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::buffer::{AppendBuf, BLOCK, RecvPool, Slice};
use crate::op::Done;
use crate::uring::helper::Answers;
use crate::waker::{Door, Sleep, Waker};

/// All interleavings with a few preemptions: bugs that need more are not known to anybody.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(run);
}

const PREEMPTIONS: usize = 2;

/// A ring's side of its waker: what it waits on.
struct Sleeper {
    waker: Waker,
    bell: StdArc<Notify>,
}

impl Sleeper {
    fn new() -> Sleeper {
        let bell = StdArc::new(Notify::new());
        Sleeper {
            waker: Waker::new(Door::Modelled(StdArc::clone(&bell))),
            bell,
        }
    }

    /// As a ring enters.
    fn wait(&self, sleep: Sleep) {
        if self.waker.fall_asleep(sleep) {
            self.bell.wait();
        }
        self.waker.wake_up();
    }
}

#[test]
fn what_was_published_before_a_wake_is_seen_after_the_wait() {
    for sleep in [Sleep::InRing, Sleep::InHost] {
        model(move || {
            let sleeper = Sleeper::new();
            let (mail, waker) = (Arc::new(AtomicU32::new(0)), sleeper.waker.clone());
            let sender = {
                let mail = Arc::clone(&mail);
                thread::spawn(move || {
                    mail.store(1, Ordering::Relaxed);
                    waker.wake();
                })
            };
            // Waits may end by themselves.
            while mail.load(Ordering::Relaxed) == 0 {
                sleeper.wait(sleep);
            }
            sender.join().unwrap();
        });
    }
}

/// A ring that woke for another reason takes the note along; what the note was about it sees, or it is told again.
#[test]
fn a_note_that_is_taken_by_the_way_is_not_lost() {
    model(|| {
        let sleeper = Sleeper::new();
        let (mail, waker) = (Arc::new(AtomicU32::new(0)), sleeper.waker.clone());
        let sender = {
            let mail = Arc::clone(&mail);
            thread::spawn(move || {
                mail.store(1, Ordering::Relaxed);
                waker.wake();
            })
        };
        // A wait that ended by itself: it may have been rung for meanwhile.
        sleeper.waker.fall_asleep(Sleep::InRing);
        sleeper.waker.wake_up();
        while mail.load(Ordering::Relaxed) == 0 {
            sleeper.wait(Sleep::InRing);
        }
        sender.join().unwrap();
    });
}

#[test]
fn two_wakes_ring_once_and_none_is_lost() {
    model(|| {
        let sleeper = Sleeper::new();
        let mail = Arc::new(AtomicU32::new(0));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (mail, waker) = (Arc::clone(&mail), sleeper.waker.clone());
                thread::spawn(move || {
                    mail.fetch_add(1, Ordering::Relaxed);
                    waker.wake();
                })
            })
            .collect();
        while mail.load(Ordering::Relaxed) < 2 {
            sleeper.wait(Sleep::InRing);
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn buffers_come_back_once_each_and_wake_a_starving_ring() {
    model(|| {
        let sleeper = Sleeper::new();
        let pool = RecvPool::new(2, sleeper.waker.clone());
        let holders: Vec<_> = (0..2)
            .map(|buffer| {
                // SAFETY: each of the two fresh buffers is leased once.
                let mut lease = unsafe { pool.lease(buffer, 1) };
                thread::spawn(move || lease[0] = 1)
            })
            .collect();
        pool.set_starving(true);
        let mut back = Vec::new();
        loop {
            pool.take_returned(|buffer| back.push(buffer));
            if back.len() == 2 {
                break;
            }
            sleeper.wait(Sleep::InRing);
        }
        pool.set_starving(false);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        back.sort_unstable();
        assert_eq!(back, [0, 1]);
    });
}

/// What a holder of a slice did with it happens before the owner has the memory again.
#[test]
fn memory_is_used_again_only_after_the_last_reader() {
    model(|| {
        let mut buf = AppendBuf::with_capacity(BLOCK);
        buf.append(b"frozen");
        // Stands for the bytes, whose accesses loom does not see.
        let bytes = Arc::new(UnsafeCell::new(()));
        let (slice, read) = (buf.slice(0..6), Arc::clone(&bytes));
        let reader = thread::spawn(move || {
            assert_eq!(&slice[..], b"frozen");
            let half = slice.subslice(3..6);
            drop(slice);
            read.with(|_| ());
            drop(half);
        });
        if buf.try_clear() {
            bytes.with_mut(|_| ());
        }
        reader.join().unwrap();
        assert!(buf.try_clear(), "nobody reads any more");
    });
}

/// As above, for a buffer that is thawed.
#[test]
fn a_slice_is_thawed_only_by_its_last_holder() {
    model(|| {
        let bytes = Arc::new(UnsafeCell::new(()));
        let slice = crate::AlignedBuf::zeroed(BLOCK).freeze();
        let (other, read) = (slice.clone(), Arc::clone(&bytes));
        let reader = thread::spawn(move || {
            read.with(|_| ());
            thaw(other, &read)
        });
        let here = thaw(slice, &bytes);
        let there = reader.join().unwrap();
        assert!(!(here && there), "one owner");
    });
}

fn thaw(slice: Slice, bytes: &UnsafeCell<()>) -> bool {
    let thawed = slice.thaw();
    if thawed.is_ok() {
        bytes.with_mut(|_| ());
    }
    thawed.is_ok()
}

#[test]
fn the_helpers_answers_all_arrive() {
    model(|| {
        let sleeper = Sleeper::new();
        let (answers, waker) = (Arc::new(Answers::default()), sleeper.waker.clone());
        let worker = {
            let answers = Arc::clone(&answers);
            thread::spawn(move || {
                for key in 0..2 {
                    answers.put(key, Ok(Done::Finished));
                    waker.wake();
                }
            })
        };
        let mut keys = Vec::new();
        loop {
            while let Some((key, _)) = answers.take() {
                keys.push(key);
            }
            if keys.len() == 2 {
                break;
            }
            sleeper.wait(Sleep::InRing);
        }
        worker.join().unwrap();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1]);
    });
}

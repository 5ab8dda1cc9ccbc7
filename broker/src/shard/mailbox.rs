//! Between shards: one bounded single-producer single-consumer queue for each ordered pair.
//! Invariants: nobody waits on a full queue. What does not fit stays in its sender's overflow and leaves with a later
//! turn, in order; the overflow is bounded by the calls of both shards (a message is a call's piece or its answer).

use std::collections::VecDeque;

use millstream_ring::{Ring, Waker};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::limits::MAILBOX_SLOTS;

/// The number of a shard, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub usize);

/// One shard's queues to and from all others.
pub struct Mailboxes<T> {
    /// By the other shard's number; `None` at the own one.
    peers: Vec<Option<Peer<T>>>,
}

struct Peer<T> {
    out: Producer<T>,
    overflow: VecDeque<T>,
    inbox: Consumer<T>,
    /// `None` until the other shard's ring exists.
    waker: Option<Waker>,
    /// Something was sent since the last wake.
    unannounced: bool,
}

/// The mailboxes of so many shards, each to be moved to its thread.
pub fn mesh<T>(shards: usize) -> Vec<Mailboxes<T>> {
    let mut outs: Vec<Vec<Option<Producer<T>>>> =
        (0..shards).map(|_| (0..shards).map(|_| None).collect()).collect();
    let mut inboxes: Vec<Vec<Option<Consumer<T>>>> =
        (0..shards).map(|_| (0..shards).map(|_| None).collect()).collect();
    for from in 0..shards {
        for to in (0..shards).filter(|to| *to != from) {
            let (out, inbox) = RingBuffer::new(MAILBOX_SLOTS);
            outs[from][to] = Some(out);
            inboxes[to][from] = Some(inbox);
        }
    }
    let pair = |(out, inbox): (Option<Producer<T>>, Option<Consumer<T>>)| {
        Some(Peer {
            out: out?,
            overflow: VecDeque::new(),
            inbox: inbox?,
            waker: None,
            unannounced: false,
        })
    };
    outs.into_iter()
        .zip(inboxes)
        .map(|(outs, inboxes)| Mailboxes {
            peers: outs.into_iter().zip(inboxes).map(pair).collect(),
        })
        .collect()
}

impl<T> Mailboxes<T> {
    /// Tells how to wake another shard.
    pub fn set_waker(&mut self, shard: ShardId, waker: Waker) {
        self.peer(shard).waker = Some(waker);
    }

    /// Queues a message. It leaves with [`Mailboxes::flush`] at the latest.
    pub fn send(&mut self, to: ShardId, message: T) {
        let peer = self.peer(to);
        peer.unannounced = true;
        if peer.overflow.is_empty() {
            if let Err(rtrb::PushError::Full(message)) = peer.out.push(message) {
                peer.overflow.push_back(message);
            }
        } else {
            peer.overflow.push_back(message);
        }
    }

    /// The next message of another shard.
    pub fn receive(&mut self, from: ShardId) -> Option<T> {
        self.peers[from.0].as_mut()?.inbox.pop().ok()
    }

    /// Moves overflow on and wakes whoever has got something. True: something is left for a later turn.
    pub fn flush(&mut self, ring: &mut impl Ring) -> bool {
        let mut left = false;
        for peer in self.peers.iter_mut().flatten() {
            while let Some(message) = peer.overflow.pop_front() {
                if let Err(rtrb::PushError::Full(message)) = peer.out.push(message) {
                    peer.overflow.push_front(message);
                    left = true;
                    break;
                }
            }
            if std::mem::take(&mut peer.unannounced) || left {
                let waker = peer
                    .waker
                    .as_ref()
                    .expect("shards are introduced before they run");
                ring.wake_peer(waker);
            }
        }
        left
    }

    /// Something is waiting to be received.
    pub fn has_mail(&self) -> bool {
        self.peers.iter().flatten().any(|peer| !peer.inbox.is_empty())
    }

    fn peer(&mut self, shard: ShardId) -> &mut Peer<T> {
        self.peers[shard.0]
            .as_mut()
            .expect("a shard sends to others only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_order_through_a_full_queue() {
        let mut mesh = mesh::<usize>(3);
        let total = MAILBOX_SLOTS * 2 + 5;
        for message in 0..total {
            mesh[0].send(ShardId(2), message);
        }
        let mut got = Vec::new();
        while got.len() < total {
            while let Some(message) = mesh[2].receive(ShardId(0)) {
                got.push(message);
            }
            let peer = mesh[0].peers[2].as_mut().unwrap();
            while let Some(message) = peer.overflow.pop_front() {
                if let Err(rtrb::PushError::Full(message)) = peer.out.push(message) {
                    peer.overflow.push_front(message);
                    break;
                }
            }
        }
        assert_eq!(got, (0..total).collect::<Vec<_>>());
        assert!(!mesh[1].has_mail() && mesh[2].receive(ShardId(2)).is_none());
    }
}

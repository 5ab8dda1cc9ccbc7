//! Bytes out: replies are joined into as few sends as the kernel needs.
//! Invariants: one send is in flight at most; a slice is charged until the kernel gives it back; bytes leave in the
//! order in which they were pushed, whatever a send leaves over.

use std::collections::VecDeque;

use millstream_ring::Slice;

use crate::limits::{SEND_BYTES_MAX, SEND_PIECES_MAX};

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct WriteSide {
    queue: VecDeque<Slice>,
    /// Small replies, copied one behind the other; they follow `queue`.
    tail: Vec<u8>,
    /// Bytes in `queue`, `tail` and the kernel's hands.
    backlog: usize,
    in_flight: bool,
    /// The emptied list of an earlier send.
    spare: Vec<Slice>,
}

impl WriteSide {
    /// Adds a small reply by copy.
    pub fn push_small(&mut self, bytes: &[u8]) {
        self.backlog += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    /// Adds a piece of a reply.
    pub fn push(&mut self, slice: Slice) {
        if slice.is_empty() {
            return;
        }
        self.seal_tail();
        self.backlog += slice.len();
        self.queue.push_back(slice);
    }

    /// What to send now. Nothing while a send is in flight.
    pub fn take_send(&mut self) -> Option<Vec<Slice>> {
        if self.in_flight {
            return None;
        }
        self.seal_tail();
        if self.queue.is_empty() {
            return None;
        }
        let mut pieces = std::mem::take(&mut self.spare);
        let mut bytes = 0;
        while pieces.len() < SEND_PIECES_MAX && bytes < SEND_BYTES_MAX {
            let Some(slice) = self.queue.pop_front() else {
                break;
            };
            bytes += slice.len();
            pieces.push(slice);
        }
        self.in_flight = true;
        Some(pieces)
    }

    /// Takes a completed send back: `n` bytes of `slices` are out.
    pub fn sent(&mut self, n: usize, mut slices: Vec<Slice>) {
        assert!(self.in_flight);
        self.in_flight = false;
        self.backlog -= n;
        let mut gone = n;
        let mut whole = 0;
        while whole < slices.len() && slices[whole].len() <= gone {
            gone -= slices[whole].len();
            whole += 1;
        }
        for slice in slices.drain(whole..).rev() {
            self.queue.push_front(slice);
        }
        if gone > 0 {
            let front = self.queue.front_mut().expect("a slice was sent in part");
            *front = front.subslice(gone..front.len());
        }
        slices.clear();
        self.spare = slices;
    }

    /// The send in flight failed: nothing more will leave.
    pub fn failed(&mut self) {
        self.in_flight = false;
        self.queue.clear();
        self.tail = Vec::new();
        self.backlog = 0;
    }

    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Bytes not yet taken by the kernel.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// Something waits for [`WriteSide::take_send`].
    pub fn is_pending(&self) -> bool {
        !self.queue.is_empty() || !self.tail.is_empty()
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue.push_back(Slice::from(std::mem::take(&mut self.tail)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(slices: &[Slice]) -> Vec<u8> {
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn small_replies_are_joined_and_order_is_kept() {
        let mut side = WriteSide::default();
        side.push_small(b"ab");
        side.push_small(b"cd");
        side.push(Slice::from(b"EF".to_vec()));
        side.push_small(b"gh");
        let pieces = side.take_send().unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(joined(&pieces), b"abcdEFgh");
        assert_eq!(side.backlog(), 8);
        assert!(side.take_send().is_none(), "one send at a time");
        side.sent(8, pieces);
        assert_eq!(side.backlog(), 0);
        assert!(side.take_send().is_none());
    }

    #[test]
    fn a_short_send_goes_on_where_it_ended() {
        for n in 0..=8 {
            let mut side = WriteSide::default();
            side.push(Slice::from(b"abc".to_vec()));
            side.push(Slice::from(b"defgh".to_vec()));
            let pieces = side.take_send().unwrap();
            side.push_small(b"ij");
            side.sent(n, pieces);
            let rest = side.take_send().unwrap();
            assert_eq!(joined(&rest), &b"abcdefghij"[n..], "after {n}");
            assert_eq!(side.backlog(), 10 - n);
        }
    }
}

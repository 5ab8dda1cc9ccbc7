//! Bytes out: replies are joined into as few sends as the kernel needs.
//! Invariants: one send is in flight at most; a slice is charged until the kernel gives it back, with what it keeps
//! alive and not only with what it shows; bytes leave in the order in which they were pushed, whatever a send leaves
//! over.

use std::collections::VecDeque;

use millstream_protocol::primitive::Writer;
use millstream_ring::Slice;

use crate::limits::{COPIED_RECORDS_MAX, KEPT_SHARE, SEND_PIECES_MAX};

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct WriteSide {
    queue: VecDeque<Slice>,
    queue_bytes: usize,
    /// What the slices of `queue` are charged.
    queue_kept: usize,
    /// Replies being encoded, one behind the other; they follow `queue`.
    tail: Encoded,
    in_flight: bool,
    /// Bytes in the kernel's hands.
    in_flight_bytes: usize,
    /// What they are charged.
    in_flight_kept: usize,
    /// The emptied list of an earlier send.
    spare: Vec<Slice>,
}

/// Encoded replies: own bytes, and the foreign bytes that belong between them.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Its splices are filled by `records`, in order.
    pub writer: Writer,
    /// Record batches; one splice may take several.
    pub records: Vec<Slice>,
}

impl Encoded {
    pub fn is_empty(&self) -> bool {
        self.writer.bytes().is_empty()
    }

    fn len(&self) -> usize {
        self.writer.bytes().len()
            + self
                .writer
                .splices()
                .iter()
                .map(|splice| splice.len)
                .sum::<usize>()
    }

    /// Own and foreign bytes in the order of the wire.
    fn into_slices(self, mut push: impl FnMut(Slice)) {
        let (bytes, splices) = self.writer.into_parts();
        let own = Slice::from(bytes);
        let mut records = self.records.into_iter();
        let mut from = 0;
        for splice in splices {
            if splice.at > from {
                push(own.subslice(from..splice.at));
                from = splice.at;
            }
            let mut missing = splice.len;
            while missing > 0 {
                let slice = records.next().expect("a splice has its records");
                missing = missing
                    .checked_sub(slice.len())
                    .expect("records fill their splice exactly");
                push(free_of_waste(slice));
            }
        }
        if from < own.len() {
            push(own.subslice(from..own.len()));
        }
    }
}

impl WriteSide {
    /// Where the next reply in order is encoded.
    pub fn tail(&mut self) -> &mut Encoded {
        if self.tail.writer.bytes().is_empty() {
            self.tail.writer = Writer::with_capacity(TAIL_CAPACITY);
        }
        &mut self.tail
    }

    /// Adds a reply that was encoded elsewhere.
    pub fn push(&mut self, encoded: Encoded) {
        self.seal_tail();
        self.enqueue(encoded);
    }

    /// What to send now, so many bytes at most. Nothing while a send is in flight.
    pub fn take_send(&mut self, bytes_max: usize) -> Option<Vec<Slice>> {
        if self.in_flight {
            return None;
        }
        self.seal_tail();
        if self.queue.is_empty() {
            return None;
        }
        let mut pieces = std::mem::take(&mut self.spare);
        let (mut bytes, mut kept) = (0, 0);
        while pieces.len() < SEND_PIECES_MAX && bytes < bytes_max {
            let Some(mut slice) = self.queue.pop_front() else {
                break;
            };
            self.queue_kept -= kept_by(&slice);
            if slice.len() > bytes_max - bytes {
                let rest = slice.subslice(bytes_max - bytes..slice.len());
                slice = slice.subslice(0..bytes_max - bytes);
                self.queue_kept += kept_by(&rest);
                self.queue.push_front(rest);
            }
            bytes += slice.len();
            kept += kept_by(&slice);
            pieces.push(slice);
        }
        self.queue_bytes -= bytes;
        self.in_flight = true;
        self.in_flight_bytes = bytes;
        self.in_flight_kept = kept;
        Some(pieces)
    }

    /// Takes a completed send back: `n` bytes of `slices` are out.
    pub fn sent(&mut self, n: usize, mut slices: Vec<Slice>) {
        assert!(self.in_flight && n <= self.in_flight_bytes);
        self.in_flight = false;
        self.queue_bytes += self.in_flight_bytes - n;
        self.in_flight_bytes = 0;
        self.in_flight_kept = 0;
        let mut gone = n;
        let mut whole = 0;
        while whole < slices.len() && slices[whole].len() <= gone {
            gone -= slices[whole].len();
            whole += 1;
        }
        if gone > 0 {
            let part = &mut slices[whole];
            *part = part.subslice(gone..part.len());
        }
        for slice in slices.drain(whole..).rev() {
            self.queue_kept += kept_by(&slice);
            self.queue.push_front(slice);
        }
        slices.clear();
        self.spare = slices;
    }

    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Bytes not yet taken by the kernel.
    pub fn backlog(&self) -> usize {
        self.queue_bytes + self.tail.len() + self.in_flight_bytes
    }

    /// Bytes not yet handed to the kernel.
    pub fn waiting_bytes(&self) -> usize {
        self.queue_bytes + self.tail.len()
    }

    /// Bytes of memory that it keeps, the kernel's part included.
    pub fn kept_bytes(&self) -> usize {
        self.queue_kept + self.tail.len() + self.in_flight_kept
    }

    /// Something waits for [`WriteSide::take_send`].
    pub fn is_pending(&self) -> bool {
        !self.queue.is_empty() || !self.tail.is_empty()
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.enqueue(tail);
        }
    }

    fn enqueue(&mut self, encoded: Encoded) {
        self.queue_bytes += encoded.len();
        encoded.into_slices(|slice| {
            self.queue_kept += kept_by(&slice);
            self.queue.push_back(slice);
        });
    }
}

/// A few records of a large piece of memory are copied: who does not read its answers must not keep the piece. It
/// costs what the kernel's own copy into the socket costs.
fn free_of_waste(slice: Slice) -> Slice {
    if slice.len() <= COPIED_RECORDS_MAX && slice.charged_bytes() >= KEPT_SHARE * slice.len() {
        Slice::from(slice.to_vec())
    } else {
        slice
    }
}

/// What a slice is charged: all that it keeps, but for a large piece, of which the cache has most users' parts, no
/// more than some times what is sent of it.
fn kept_by(slice: &Slice) -> usize {
    slice
        .charged_bytes()
        .min(KEPT_SHARE * slice.len())
        .max(slice.len())
}

/// A few small replies without growing.
const TAIL_CAPACITY: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const SEND_BYTES_MAX: usize = 4 << 20;

    fn joined(slices: &[Slice]) -> Vec<u8> {
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn small(side: &mut WriteSide, bytes: &[u8]) {
        side.tail().writer.raw(bytes);
    }

    #[test]
    fn small_replies_are_joined_and_order_is_kept() {
        let mut side = WriteSide::default();
        small(&mut side, b"ab");
        small(&mut side, b"cd");
        let mut other = Encoded::default();
        other.writer.raw(b"EF");
        side.push(other);
        small(&mut side, b"gh");
        let pieces = side.take_send(SEND_BYTES_MAX).unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(joined(&pieces), b"abcdEFgh");
        assert_eq!(side.backlog(), 8);
        assert!(side.take_send(SEND_BYTES_MAX).is_none(), "one send at a time");
        side.sent(8, pieces);
        assert_eq!(side.backlog(), 0);
        assert!(side.take_send(SEND_BYTES_MAX).is_none());
    }

    #[test]
    fn a_share_is_sent_to_the_byte() {
        let mut side = WriteSide::default();
        for bytes in [&b"abc"[..], b"defgh"] {
            let mut piece = Encoded::default();
            piece.writer.raw(bytes);
            side.push(piece);
        }
        for share in [&b"abcd"[..], b"efgh"] {
            let pieces = side.take_send(4).unwrap();
            assert_eq!(joined(&pieces), share);
            side.sent(4, pieces);
        }
        assert_eq!((side.kept_bytes(), side.waiting_bytes()), (0, 0));
        assert!(side.take_send(4).is_none());
    }

    #[test]
    fn records_stand_where_they_were_spliced() {
        let mut side = WriteSide::default();
        let tail = side.tail();
        tail.writer.raw(b"head");
        tail.writer.records_splice(5, true).unwrap();
        tail.writer.raw(b"mid");
        tail.writer.records_splice(0, true).unwrap();
        tail.writer.records_splice(2, true).unwrap();
        tail.records = [&b"ABC"[..], b"DE", b"FG"]
            .map(|bytes| Slice::from(bytes.to_vec()))
            .to_vec();
        let pieces = side.take_send(SEND_BYTES_MAX).unwrap();
        assert_eq!(joined(&pieces), b"head\x06ABCDEmid\x01\x03FG");
        side.sent(joined(&pieces).len(), pieces);
        assert_eq!(side.backlog(), 0);
    }

    #[test]
    fn what_is_kept_is_charged_and_a_little_of_much_is_copied() {
        let large = Slice::from(vec![7; 16 * COPIED_RECORDS_MAX]);
        let send = |len: usize| {
            let mut side = WriteSide::default();
            side.tail().writer.records_splice(len, false).unwrap();
            side.tail().records = vec![large.subslice(0..len)];
            let pieces = side.take_send(SEND_BYTES_MAX).unwrap();
            assert_eq!(side.backlog(), len + 4);
            let kept = side.kept_bytes() - KEPT_SHARE * 4;
            let shares = pieces[1].shares_memory_with(&large);
            let half = side.backlog() / 2;
            side.sent(half, pieces);
            let rest = side.take_send(SEND_BYTES_MAX).unwrap();
            assert!(side.kept_bytes() >= len + 4 - half);
            side.sent(len + 4 - half, rest);
            assert_eq!((side.kept_bytes(), side.backlog()), (0, 0));
            (shares, kept)
        };
        assert_eq!(send(1_000), (false, 1_000));
        assert_eq!(send(COPIED_RECORDS_MAX), (false, COPIED_RECORDS_MAX));
        assert_eq!(
            send(COPIED_RECORDS_MAX + 1),
            (true, KEPT_SHARE * (COPIED_RECORDS_MAX + 1))
        );
        assert_eq!(send(large.len()), (true, large.len()));
    }

    #[test]
    fn a_short_send_goes_on_where_it_ended() {
        for n in 0..=8 {
            let mut side = WriteSide::default();
            for bytes in [&b"abc"[..], b"defgh"] {
                let mut piece = Encoded::default();
                piece.writer.raw(bytes);
                side.push(piece);
            }
            let pieces = side.take_send(SEND_BYTES_MAX).unwrap();
            small(&mut side, b"ij");
            side.sent(n, pieces);
            let rest = side.take_send(SEND_BYTES_MAX).unwrap();
            assert_eq!(joined(&rest), &b"abcdefghij"[n..], "after {n}");
            assert_eq!(side.backlog(), 10 - n);
        }
    }
}

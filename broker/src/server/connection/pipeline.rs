//! Order: which request of a connection may start, and whose reply leaves next.
//! Invariants: replies leave in request order; a barrier starts when all earlier requests are answered and nothing
//! starts beside it; at most as many requests are in progress as it was made for.

use std::collections::VecDeque;

use super::write::Encoded;

/// The place of a request on its connection, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestSequence(u64);

/// How a request stands to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// May be in progress beside others of its kind.
    Pipelined(Kind),
    /// Alone on its connection.
    Barrier,
}

/// What clients send on without waiting for answers: they wait for the disk, and together they wait once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Produce,
    OffsetCommit,
}

/// The end of a request.
#[derive(Debug)]
pub enum Reply {
    /// This frame.
    Frame(Encoded),
    /// Nothing is answered (acks=0).
    Silent,
    /// The connection closes once the earlier replies are out.
    Close,
}

/// The requests in progress of one connection.
#[derive(Debug)]
pub struct Pipeline {
    /// `None`: in progress.
    slots: VecDeque<Option<Reply>>,
    /// Sequence of the first slot.
    first: u64,
    /// Of the requests in progress.
    order: Order,
    requests_max: usize,
}

impl Pipeline {
    /// `requests_max`: in progress at a time, inclusive; at least one.
    pub fn new(requests_max: usize) -> Self {
        assert!(requests_max > 0, "a connection has a request");
        Self {
            slots: VecDeque::new(),
            first: 0,
            order: Order::Barrier,
            requests_max,
        }
    }

    /// Forgets every request in progress.
    pub fn clear(&mut self) {
        *self = Self::new(self.requests_max);
    }

    /// Starts a request, or says that it has to wait.
    pub fn begin(&mut self, order: Order) -> Option<RequestSequence> {
        if !self.admits(order) {
            return None;
        }
        self.order = order;
        self.slots.push_back(None);
        Some(RequestSequence(self.first + self.slots.len() as u64 - 1))
    }

    /// Whether a request of this order could start now.
    pub fn admits(&self, order: Order) -> bool {
        let is_beside_its_kind = order == self.order && order != Order::Barrier;
        self.slots.is_empty() || is_beside_its_kind && self.slots.len() < self.requests_max
    }

    /// Takes the oldest request off when it is this one: its reply may leave at once, and [`Pipeline::next_reply`]
    /// has the ones that waited for it. Otherwise the reply must go through [`Pipeline::finish`].
    pub fn finish_front(&mut self, request: RequestSequence) -> bool {
        if request.0 != self.first || self.slots.is_empty() {
            return false;
        }
        assert!(
            matches!(self.slots.front(), Some(None)),
            "a request is answered once"
        );
        self.pop();
        true
    }

    /// Keeps a request's reply until the earlier ones are out.
    pub fn finish(&mut self, request: RequestSequence, reply: Reply) {
        let index = request
            .0
            .checked_sub(self.first)
            .expect("a request is answered once") as usize;
        let slot = &mut self.slots[index];
        assert!(slot.is_none(), "a request is answered once");
        *slot = Some(reply);
    }

    /// The next reply in request order, if it is there.
    pub fn next_reply(&mut self) -> Option<Reply> {
        self.slots.front()?.as_ref()?;
        self.pop()
    }

    /// The request in progress is alone.
    pub fn is_at_a_barrier(&self) -> bool {
        !self.slots.is_empty() && self.order == Order::Barrier
    }

    /// No request is in progress and no reply waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn pop(&mut self) -> Option<Reply> {
        self.first += 1;
        self.slots.pop_front().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Reply {
        let mut encoded = Encoded::default();
        encoded.writer.raw(text.as_bytes());
        Reply::Frame(encoded)
    }

    fn text(reply: Option<Reply>) -> Option<String> {
        match reply? {
            Reply::Frame(encoded) => Some(String::from_utf8(encoded.writer.bytes().to_vec()).unwrap()),
            Reply::Silent => Some("silent".into()),
            Reply::Close => Some("close".into()),
        }
    }

    #[test]
    fn replies_leave_in_request_order() {
        let mut pipeline = Pipeline::new(7);
        let a = pipeline.begin(Order::Pipelined(Kind::Produce)).unwrap();
        let b = pipeline.begin(Order::Pipelined(Kind::Produce)).unwrap();
        let c = pipeline.begin(Order::Pipelined(Kind::Produce)).unwrap();
        assert!(!pipeline.finish_front(c));
        pipeline.finish(c, frame("c"));
        assert!(pipeline.next_reply().is_none());
        assert!(pipeline.finish_front(a));
        assert!(pipeline.next_reply().is_none(), "b is still in progress");
        pipeline.finish(b, Reply::Silent);
        assert_eq!(text(pipeline.next_reply()).as_deref(), Some("silent"));
        assert_eq!(text(pipeline.next_reply()).as_deref(), Some("c"));
        assert!(pipeline.is_empty());
    }

    #[test]
    fn a_barrier_is_alone() {
        let mut pipeline = Pipeline::new(7);
        let produce = pipeline.begin(Order::Pipelined(Kind::Produce)).unwrap();
        assert_eq!(pipeline.begin(Order::Barrier), None);
        assert_eq!(pipeline.begin(Order::Pipelined(Kind::OffsetCommit)), None);
        assert!(!pipeline.is_at_a_barrier());
        assert!(pipeline.finish_front(produce));
        let fetch = pipeline.begin(Order::Barrier).unwrap();
        assert_eq!(pipeline.begin(Order::Pipelined(Kind::Produce)), None);
        assert_eq!(pipeline.begin(Order::Barrier), None);
        assert!(pipeline.is_at_a_barrier());
        assert!(pipeline.finish_front(fetch));
        assert!(pipeline.begin(Order::Pipelined(Kind::Produce)).is_some());
    }

    #[test]
    fn requests_in_flight_are_bounded() {
        let mut pipeline = Pipeline::new(7);
        let started = (0..)
            .take_while(|_| pipeline.begin(Order::Pipelined(Kind::Produce)).is_some())
            .count();
        assert_eq!(started, 7);
    }
}

//! Bytes in: pooled buffers and frame buffers become whole frames.
//! Place: driven by the connection on its shard; knows no socket and no clock.
//! Invariants: a frame is contiguous and borrowed (its bytes are copied only where a receive ended inside it); a
//! declared length costs address space, not memory, until its bytes arrive (the start refuses huge pages, of which one
//! byte makes 2 MiB resident); nothing grows beyond one frame, its spare room and [`READ_AHEAD_MAX`].

use std::collections::VecDeque;

use millstream_ring::Slice;

use crate::limits::{FRAME_SPARE, READ_AHEAD_MAX, RECEIVE_CHUNK_MAX, RECEIVE_CHUNK_MIN};

/// The receiving half of a connection.
#[derive(Debug)]
pub struct ReadSide {
    /// Received, not yet cut into frames; none while a frame is being built.
    chunks: VecDeque<Slice>,
    chunk_bytes: usize,
    building: Option<Building>,
    /// Largest frame accepted, length prefix excluded.
    limit: usize,
}

/// A frame that is larger than what had arrived when its length was seen.
#[derive(Debug)]
struct Building {
    /// Length prefix first. Away while the ring receives into it.
    buf: Option<Vec<u8>>,
    /// Bytes of it that are received.
    have: usize,
    /// Length prefix included.
    total: usize,
}

/// What the connection should receive next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    /// Whatever comes, into a pooled buffer.
    Pooled,
    /// The rest of a frame, at most `limit` bytes.
    Into { buf: Vec<u8>, limit: usize },
    /// Nothing until frames are taken.
    Nothing,
}

/// Why a connection's bytes cannot be a request. The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The length is negative.
    Negative(i32),
    /// The length is above the limit.
    TooLarge { declared: usize, limit: usize },
}

impl ReadSide {
    /// `limit`: largest frame accepted, in bytes, length prefix excluded.
    pub fn new(limit: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            chunk_bytes: 0,
            building: None,
            limit,
        }
    }

    /// Takes bytes received into a pooled buffer.
    pub fn received(&mut self, bytes: Slice) {
        if bytes.is_empty() {
            return;
        }
        self.chunk_bytes += bytes.len();
        self.chunks.push_back(bytes);
        if self.building.as_ref().is_some_and(|frame| frame.buf.is_some()) {
            self.fill_building();
        }
    }

    /// Takes the frame buffer back, with `n` more bytes in it.
    pub fn received_into(&mut self, buf: Vec<u8>, n: usize) {
        let frame = self.building.as_mut().expect("a frame is being built");
        assert!(frame.buf.is_none() && buf.len() == frame.have + n);
        frame.have = buf.len();
        frame.buf = Some(buf);
    }

    /// The next whole frame, without its length prefix.
    pub fn next_frame(&mut self) -> Result<Option<Slice>, FrameError> {
        loop {
            if let Some(frame) = &self.building {
                if frame.buf.is_none() || frame.have < frame.total {
                    return Ok(None);
                }
                return Ok(Some(self.finish_building()));
            }
            let Some(total) = self.declared()? else {
                return Ok(None);
            };
            let front = self.chunks.front_mut().expect("a length was read from it");
            if front.len() >= total {
                let frame = front.subslice(4..total);
                self.consume(total);
                return Ok(Some(frame));
            }
            self.building = Some(Building {
                buf: Some(Vec::with_capacity(total + FRAME_SPARE)),
                have: 0,
                total,
            });
            self.fill_building();
        }
    }

    /// Moves what stays here into memory of its own: the ring's buffers are few, and a client that is not served for
    /// now, or sends half a length, must not keep them from the others; nor a few bytes a large frame's buffer.
    pub fn settle(&mut self) {
        for chunk in self.chunks.iter_mut().rev() {
            if !settle(chunk) {
                // Those before it were settled when they came.
                break;
            }
        }
    }

    /// What to receive next. A frame's buffer leaves with the answer and comes back by [`ReadSide::received_into`].
    pub fn want(&mut self) -> Want {
        match &mut self.building {
            Some(frame) => match frame.buf.take() {
                Some(buf) if frame.have < frame.total => {
                    // As much again as is there: a large frame takes few receives, and what is promised to one that
                    // does not come is little.
                    let step = frame.have.clamp(RECEIVE_CHUNK_MIN, RECEIVE_CHUNK_MAX);
                    let limit = (buf.capacity() - frame.have).min(step);
                    Want::Into { buf, limit }
                }
                whole => {
                    frame.buf = whole;
                    Want::Nothing
                }
            },
            None if self.chunk_bytes >= READ_AHEAD_MAX => Want::Nothing,
            None => Want::Pooled,
        }
    }

    /// Gives back a buffer that [`ReadSide::want`] handed out and that was not used.
    pub fn unwanted(&mut self, buf: Vec<u8>) {
        let frame = self.building.as_mut().expect("a frame is being built");
        assert!(frame.buf.is_none() && buf.len() == frame.have);
        frame.buf = Some(buf);
    }

    /// Some bytes of a frame are here and others are missing.
    pub fn is_inside_frame(&self) -> bool {
        match &self.building {
            Some(frame) => frame.have < frame.total,
            None => self.chunk_bytes > 0,
        }
    }

    /// Bytes held: what the connection is charged for.
    pub fn held_bytes(&self) -> usize {
        self.chunk_bytes + self.building.as_ref().map_or(0, |frame| frame.have)
    }

    /// The whole size of the frame at the front, once its length is there.
    fn declared(&mut self) -> Result<Option<usize>, FrameError> {
        if self.chunk_bytes < 4 {
            return Ok(None);
        }
        let mut prefix = [0u8; 4];
        let bytes = self.chunks.iter().flat_map(|chunk| chunk.iter());
        prefix.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let length = i32::from_be_bytes(prefix);
        let Ok(declared) = usize::try_from(length) else {
            return Err(FrameError::Negative(length));
        };
        if declared > self.limit {
            return Err(FrameError::TooLarge {
                declared,
                limit: self.limit,
            });
        }
        Ok(Some(4 + declared))
    }

    /// Moves waiting bytes into the frame that is being built.
    fn fill_building(&mut self) {
        let frame = self.building.as_mut().expect("a frame is being built");
        let buf = frame.buf.as_mut().expect("the buffer is here");
        while frame.have < frame.total {
            let Some(front) = self.chunks.front() else { break };
            let n = front.len().min(frame.total - frame.have);
            buf.extend_from_slice(&front[..n]);
            frame.have += n;
            self.chunk_bytes -= n;
            if n == front.len() {
                self.chunks.pop_front();
            } else {
                let rest = front.subslice(n..front.len());
                self.chunks[0] = rest;
            }
        }
    }

    /// Cuts the finished frame out of its buffer; what came behind it is next.
    fn finish_building(&mut self) -> Slice {
        let frame = self.building.take().expect("a frame is being built");
        let whole = Slice::from(frame.buf.expect("the buffer is here"));
        if frame.have > frame.total {
            let rest = whole.subslice(frame.total..frame.have);
            self.chunk_bytes += rest.len();
            self.chunks.push_front(rest);
        }
        whole.subslice(4..frame.total)
    }

    fn consume(&mut self, n: usize) {
        let front = self.chunks.front_mut().expect("bytes to consume");
        self.chunk_bytes -= n;
        if front.len() == n {
            self.chunks.pop_front();
        } else {
            *front = front.subslice(n..front.len());
        }
    }
}

/// Copies a slice that keeps a pooled buffer, or much more memory than it has bytes; whether it did.
pub fn settle(slice: &mut Slice) -> bool {
    let wasteful = slice.charged_bytes() > 2 * slice.len() + FRAME_SPARE;
    let moves = slice.is_pooled() || wasteful;
    if moves {
        *slice = Slice::from(slice.to_vec());
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bodies: &[&[u8]]) -> Vec<u8> {
        let mut wire = Vec::new();
        for body in bodies {
            wire.extend_from_slice(&(body.len() as i32).to_be_bytes());
            wire.extend_from_slice(body);
        }
        wire
    }

    /// Feeds `wire` in steps of `step` bytes the way a shard would, into whatever the read side wants.
    fn feed(side: &mut ReadSide, wire: &[u8], step: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut rest = wire;
        loop {
            while let Some(frame) = side.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
            if rest.is_empty() {
                return frames;
            }
            match side.want() {
                Want::Pooled => {
                    let n = step.min(rest.len());
                    side.received(Slice::from(rest[..n].to_vec()));
                    rest = &rest[n..];
                }
                Want::Into { mut buf, limit } => {
                    let n = step.min(rest.len()).min(limit);
                    buf.extend_from_slice(&rest[..n]);
                    side.received_into(buf, n);
                    rest = &rest[n..];
                }
                Want::Nothing => panic!("all frames are taken"),
            }
        }
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let large = vec![7u8; 40_000];
        let bodies: &[&[u8]] = &[b"a", b"", &large, b"bc", &large, b"d"];
        let wire = framed(bodies);
        for step in [1, 2, 3, 4, 5, 7, 100, 4096, 16384, 39_999, 100_000] {
            let mut side = ReadSide::new(1 << 20);
            assert_eq!(feed(&mut side, &wire, step), bodies, "steps of {step}");
            assert_eq!(side.held_bytes(), 0);
            assert!(!side.is_inside_frame());
        }
    }

    #[test]
    fn a_whole_frame_is_borrowed_from_its_buffer() {
        let wire = Slice::from(framed(&[b"hello"]));
        let mut side = ReadSide::new(100);
        side.received(wire.clone());
        let frame = side.next_frame().unwrap().unwrap();
        assert_eq!(frame.as_ptr(), wire[4..].as_ptr());
    }

    #[test]
    fn a_declared_length_takes_no_bytes() {
        let mut side = ReadSide::new(1 << 30);
        side.received(Slice::from((1i32 << 29).to_be_bytes().to_vec()));
        assert!(side.next_frame().unwrap().is_none());
        assert_eq!(side.held_bytes(), 4);
        assert!(matches!(side.want(), Want::Into { limit, .. } if limit <= RECEIVE_CHUNK_MAX));
    }

    #[test]
    fn lengths_outside_the_limit_are_refused() {
        let mut side = ReadSide::new(10);
        side.received(Slice::from(11i32.to_be_bytes().to_vec()));
        assert_eq!(
            side.next_frame().unwrap_err(),
            FrameError::TooLarge {
                declared: 11,
                limit: 10
            }
        );
        let mut side = ReadSide::new(10);
        side.received(Slice::from((-1i32).to_be_bytes().to_vec()));
        assert_eq!(side.next_frame().unwrap_err(), FrameError::Negative(-1));
    }

    #[test]
    fn reading_ahead_is_bounded() {
        let mut side = ReadSide::new(1 << 20);
        while side.want() == Want::Pooled {
            side.received(Slice::from(framed(&[&[1u8; 1000]])));
            assert!(side.held_bytes() < READ_AHEAD_MAX + 2000);
        }
        assert!(side.next_frame().unwrap().is_some());
    }
}

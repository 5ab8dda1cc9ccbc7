//! Bytes of one socket, cut into length-prefixed frames.
//! Invariants: the buffer holds at least the frame that is arriving; a declared length is checked before
//! memory is taken.

use std::io::{self, Read};
use std::ops::Range;

use crate::limits::RECEIVE_BYTES;

/// A receive buffer that is reused for the life of its connection.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    frame_max: usize,
}

impl FrameBuffer {
    /// Frames above `frame_max` bytes, prefix excluded, are refused.
    pub fn new(frame_max: usize) -> Self {
        FrameBuffer {
            bytes: vec![0; RECEIVE_BYTES],
            start: 0,
            end: 0,
            frame_max,
        }
    }

    /// Read once from `source`. Returns the bytes read; 0 means that the peer closed.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.make_room()?;
        let read = source.read(&mut self.bytes[self.end..])?;
        self.end += read;
        Ok(read)
    }

    /// Take the next whole frame, prefix excluded. The range is valid in [`Self::bytes`] until the next
    /// [`Self::fill`].
    pub fn next_frame(&mut self) -> io::Result<Option<Range<usize>>> {
        let Some(length) = self.declared()? else {
            return Ok(None);
        };
        if self.end - self.start < PREFIX + length {
            return Ok(None);
        }
        let frame = self.start + PREFIX..self.start + PREFIX + length;
        self.start = frame.end;
        Ok(Some(frame))
    }

    pub fn bytes(&self, frame: Range<usize>) -> &[u8] {
        &self.bytes[frame]
    }

    /// Whether another whole frame, or the beginning of one, is waiting.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn declared(&self) -> io::Result<Option<usize>> {
        let Some(prefix) = self.bytes[self.start..self.end].first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let declared = i32::from_be_bytes(*prefix);
        match usize::try_from(declared) {
            Ok(length) if length <= self.frame_max => Ok(Some(length)),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a frame declares {declared} bytes, at most {} are accepted",
                    self.frame_max
                ),
            )),
        }
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        let needed = PREFIX + self.declared()?.unwrap_or(0);
        if self.start + needed > self.bytes.len() || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if needed > self.bytes.len() {
            self.bytes.resize(needed.next_multiple_of(RECEIVE_BYTES), 0);
        }
        Ok(())
    }
}

const PREFIX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out at most `step` bytes a read.
    struct Dribble<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.step.min(self.bytes.len()).min(buf.len());
            buf[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes = &self.bytes[n..];
            Ok(n)
        }
    }

    fn frames(payloads: &[Vec<u8>]) -> Vec<u8> {
        payloads
            .iter()
            .flat_map(|p| {
                (p.len() as i32)
                    .to_be_bytes()
                    .into_iter()
                    .chain(p.iter().copied())
            })
            .collect()
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let payloads: Vec<Vec<u8>> = [0, 1, 5, RECEIVE_BYTES, 3 * RECEIVE_BYTES + 7, 2]
            .iter()
            .map(|&n| vec![n as u8; n])
            .collect();
        let wire = frames(&payloads);
        for step in [1, 3, 4096, 100_000, usize::MAX] {
            let mut source = Dribble { bytes: &wire, step };
            let mut buffer = FrameBuffer::new(1 << 20);
            let mut seen = Vec::new();
            while buffer.fill(&mut source).unwrap() > 0 {
                while let Some(frame) = buffer.next_frame().unwrap() {
                    seen.push(buffer.bytes(frame).to_vec());
                }
            }
            assert_eq!(seen, payloads, "step {step}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_memory_is_taken() {
        for declared in [1001i32, i32::MAX, -1] {
            let wire = declared.to_be_bytes();
            let mut buffer = FrameBuffer::new(1000);
            buffer.fill(&mut &wire[..]).unwrap();
            assert!(buffer.next_frame().is_err(), "{declared}");
            assert_eq!(buffer.bytes.len(), RECEIVE_BYTES);
        }
    }
}

//! Whether the frame that a connection has begun gets on, as the sweeps see it.
//!
//! Place: in each connection; asked where memory is short.

use crate::limits::FRAME_RATE_MIN;

/// What the sweeps have seen.
#[derive(Debug, Default)]
pub struct Growth {
    /// In a row that found a frame begun, while we would take more of it, and hardly grown.
    stalled_sweeps: u64,
    /// What it had at the last sweep.
    bytes: usize,
}

impl Growth {
    /// A frame is whole: what comes is of another one, of which there may be less than there was of this.
    pub fn frame_ended(&mut self) {
        *self = Self::default();
    }

    /// `bytes` are here; `waits_for_client`: inside a frame, of which we would take more. For how many sweeps it has
    /// hardly grown.
    pub fn sweep(&mut self, bytes: usize, waits_for_client: bool) -> u64 {
        let grown = bytes.saturating_sub(std::mem::replace(&mut self.bytes, bytes));
        self.stalled_sweeps = match waits_for_client && grown < FRAME_RATE_MIN {
            true => self.stalled_sweeps + 1,
            false => 0,
        };
        self.stalled_sweeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_frames_gets_on_wherever_the_sweeps_find_it() {
        let mut growth = Growth::default();
        for part in (2..10).rev() {
            assert_eq!(growth.sweep(part * FRAME_RATE_MIN, true), 0);
            growth.frame_ended();
        }
    }

    #[test]
    fn who_stops_inside_a_frame_does_not() {
        let mut growth = Growth::default();
        assert_eq!(growth.sweep(10 * FRAME_RATE_MIN, true), 0);
        assert_eq!(growth.sweep(10 * FRAME_RATE_MIN, true), 1);
        assert_eq!(growth.sweep(11 * FRAME_RATE_MIN - 1, true), 2);
        assert_eq!(growth.sweep(11 * FRAME_RATE_MIN - 1, false), 0, "it waits for us");
    }
}

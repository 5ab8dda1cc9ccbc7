//! Frames: a length of four bytes, big-endian, then as many bytes of request or response.

use core::ops::Range;

/// What the bytes received so far begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameStatus {
    /// No whole frame yet: `have` bytes are there. `need` is the size of the whole frame, prefix included,
    /// once the prefix is there.
    NeedMore { have: usize, need: Option<usize> },
    /// A whole frame: `range` is its content, the prefix not included. The next frame begins at `range.end`.
    Frame { range: Range<usize> },
    /// The prefix declares more than the limit. Nothing may be allocated for it; the connection closes.
    TooLarge { declared: usize },
    /// The prefix is negative; the connection closes.
    Negative,
}

/// Looks for one frame at the start of `bytes`. `limit` is the largest content that is taken, in bytes,
/// inclusive.
pub fn split(bytes: &[u8], limit: usize) -> FrameStatus {
    let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() else {
        return FrameStatus::NeedMore {
            have: bytes.len(),
            need: None,
        };
    };
    let Ok(declared) = usize::try_from(i32::from_be_bytes(*prefix)) else {
        return FrameStatus::Negative;
    };
    if declared > limit {
        return FrameStatus::TooLarge { declared };
    }
    let end = PREFIX_LEN + declared;
    if bytes.len() < end {
        return FrameStatus::NeedMore {
            have: bytes.len(),
            need: Some(end),
        };
    }
    FrameStatus::Frame {
        range: PREFIX_LEN..end,
    }
}

/// Bytes of the length prefix.
pub const PREFIX_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_declared_length() {
        assert_eq!(
            split(&[0, 0, 0], 10),
            FrameStatus::NeedMore { have: 3, need: None }
        );
        assert_eq!(
            split(&[0, 0, 0, 2, 7], 10),
            FrameStatus::NeedMore {
                have: 5,
                need: Some(6)
            }
        );
        assert_eq!(
            split(&[0, 0, 0, 2, 7, 8, 9], 10),
            FrameStatus::Frame { range: 4..6 }
        );
        assert_eq!(split(&[0, 0, 0, 0], 10), FrameStatus::Frame { range: 4..4 });
    }

    #[test]
    fn refuses_by_the_prefix_alone() {
        assert_eq!(
            split(&[0, 0, 0, 10], 10),
            FrameStatus::NeedMore {
                have: 4,
                need: Some(14)
            }
        );
        assert_eq!(split(&[0, 0, 0, 11], 10), FrameStatus::TooLarge { declared: 11 });
        assert_eq!(split(&[0x80, 0, 0, 0], usize::MAX), FrameStatus::Negative);
    }
}

//! Files that end before bytes that were durable in them: somebody cut them.
//!
//! Invariant: what such a file lacks is damage, met by the reader who comes to it; any other read that ends early may
//! go well the next time.

use std::collections::BTreeSet;

use millstream_log::SegmentId;

use super::{ReadResult, SegmentFiles};

/// As a start found them.
#[derive(Default)]
pub(super) struct ShortFiles(BTreeSet<SegmentId>);

impl SegmentFiles {
    pub(crate) fn found_short(&mut self, segment: SegmentId) {
        self.short.0.insert(segment);
    }

    /// What was read, with zeros for what a short file lacks: no checksum vouches for those.
    pub(crate) fn completed(&self, segment: SegmentId, read: ReadResult) -> ReadResult {
        match read {
            Ok((mut buf, n)) if self.short.0.contains(&segment) => {
                buf[n..].fill(0);
                let len = buf.len();
                Ok((buf, len))
            }
            read => read,
        }
    }
}

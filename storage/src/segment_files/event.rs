//! What the segment files tell the shard's logs.

use millstream_log::SegmentId;
use millstream_ring::{AlignedBuf, IoError};

/// What was read, and how many bytes of it.
pub(crate) type ReadResult = Result<(AlignedBuf, usize), IoError>;

/// What became of it.
pub(crate) enum FileEvent {
    /// The file could not be made.
    MakeFailed {
        segment: SegmentId,
        error: IoError,
    },
    Written {
        segment: SegmentId,
        tag: u64,
        len: u64,
        result: Result<(), IoError>,
    },
    Read {
        segment: SegmentId,
        tag: u64,
        result: ReadResult,
    },
    /// The name is gone, durably.
    Removed(SegmentId),
    /// Not yet, for this reason; tried again.
    RemovalFailed {
        segment: SegmentId,
        error: IoError,
    },
    /// The file under this segment's name is not this segment's. All that waits for it has failed.
    Foreign {
        segment: SegmentId,
        what: String,
    },
    SidecarSaved {
        segment: SegmentId,
        result: Result<(), IoError>,
    },
    SidecarLoaded {
        segment: SegmentId,
        result: ReadResult,
    },
    /// The disk did not have all the space that would have been of use: how much it has should be looked at.
    LittleSpace,
    /// A reservation found the disk full; its writes wait for [`super::SegmentFiles::retry_starved`].
    NoSpace,
}

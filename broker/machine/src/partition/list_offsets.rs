//! What a timestamp of ListOffsets asks for, and the answers that need no search.
//!
//! Place: the owner shard's ListOffsets handler.

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::{Offset, TimestampMs};

use super::fetch::Isolation;
use super::watermark::Watermarks;

/// The meaning of ListOffsets' `timestamp` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// -1: the end of what this consumer sees.
    Latest,
    /// -2: the first readable record.
    Earliest,
    /// -3: the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// -4: the first record on local disks (KIP-405).
    EarliestLocal,
    /// -5: the last record in remote storage (KIP-1005).
    LatestTiered,
    /// -6: the first record that remote storage lacks (KIP-1023).
    EarliestPendingUpload,
    /// 0 and more: the first record with this timestamp or a later one.
    At(TimestampMs),
}

/// What ListOffsets answers for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAnswer {
    /// This offset, without a timestamp.
    Known(Offset),
    /// No such record: offset and timestamp -1.
    Nothing,
    /// The first record of `at` or later below `bound`, exclusive, must be searched for.
    SearchFrom { at: TimestampMs, bound: Offset },
    /// The record with the largest timestamp below `bound`, exclusive, must be searched for.
    SearchMax { bound: Offset },
}

impl OffsetSpec {
    /// Reads the field. A value that the version of the request does not know is refused.
    pub fn from_wire(timestamp: i64, version: i16) -> Result<Self, ErrorCode> {
        let (spec, since) = match timestamp {
            -1 => (OffsetSpec::Latest, 0),
            -2 => (OffsetSpec::Earliest, 0),
            -3 => (OffsetSpec::MaxTimestamp, 7),
            -4 => (OffsetSpec::EarliestLocal, 8),
            -5 => (OffsetSpec::LatestTiered, 9),
            -6 => (OffsetSpec::EarliestPendingUpload, 11),
            0.. => (OffsetSpec::At(TimestampMs::new(timestamp)), 0),
            _ => return Err(ErrorCode::UnsupportedVersion),
        };
        if version >= since {
            Ok(spec)
        } else {
            Err(ErrorCode::UnsupportedVersion)
        }
    }

    pub fn answer(self, marks: &Watermarks, isolation: Isolation) -> OffsetAnswer {
        let bound = match isolation {
            Isolation::ReadUncommitted => marks.high_watermark().0,
            Isolation::ReadCommitted => marks.last_stable().0,
        };
        match self {
            OffsetSpec::Latest => OffsetAnswer::Known(bound),
            // Everything is local: there is no remote storage.
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => OffsetAnswer::Known(marks.start()),
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => OffsetAnswer::Nothing,
            OffsetSpec::MaxTimestamp | OffsetSpec::At(_) if bound <= marks.start() => OffsetAnswer::Nothing,
            OffsetSpec::MaxTimestamp => OffsetAnswer::SearchMax { bound },
            OffsetSpec::At(at) => OffsetAnswer::SearchFrom { at, bound },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log from 10 to 30, visible to 20.
    #[track_caller]
    fn check(timestamp: i64, version: i16, expect: Result<OffsetAnswer, ErrorCode>) {
        let mut marks = Watermarks::open(Offset::new(10), Offset::new(20), false);
        marks.append(Offset::new(30));
        let spec = OffsetSpec::from_wire(timestamp, version);
        assert_eq!(
            spec.map(|spec| spec.answer(&marks, Isolation::ReadUncommitted)),
            expect
        );
    }

    #[test]
    fn specials_are_those_of_the_version() {
        let bound = Offset::new(20);
        check(-1, 1, Ok(OffsetAnswer::Known(bound)));
        check(-2, 1, Ok(OffsetAnswer::Known(Offset::new(10))));
        check(-3, 7, Ok(OffsetAnswer::SearchMax { bound }));
        check(-3, 6, Err(ErrorCode::UnsupportedVersion));
        check(-4, 8, Ok(OffsetAnswer::Known(Offset::new(10))));
        check(-4, 7, Err(ErrorCode::UnsupportedVersion));
        check(-5, 9, Ok(OffsetAnswer::Nothing));
        check(-6, 10, Err(ErrorCode::UnsupportedVersion));
        check(-6, 11, Ok(OffsetAnswer::Nothing));
        check(-7, 11, Err(ErrorCode::UnsupportedVersion));
    }

    #[test]
    fn times_are_searched_below_the_bound() {
        let at = TimestampMs::new(0);
        check(
            0,
            1,
            Ok(OffsetAnswer::SearchFrom {
                at,
                bound: Offset::new(20),
            }),
        );
    }

    #[test]
    fn an_empty_log_has_no_record_of_any_time() {
        let marks = Watermarks::open(Offset::new(10), Offset::new(10), false);
        for timestamp in [-3, 5] {
            let spec = OffsetSpec::from_wire(timestamp, 7).unwrap();
            assert_eq!(
                spec.answer(&marks, Isolation::ReadCommitted),
                OffsetAnswer::Nothing
            );
        }
    }
}

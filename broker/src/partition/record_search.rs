//! The exact record inside a batch for a look-up by time.

use millstream_compress::{Body, DecompressError};
use millstream_protocol::record::batch::{BatchView, TimestampType};
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::Slice;

/// Where the record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Record(Offset, TimestampMs),
    /// Only records below the log's start are late enough: from this offset on there may be others.
    Behind(Offset),
}

/// The first record of the batch, at or beyond the log's `start`, with at least this timestamp; the batch's last one
/// where rounding hides it. `pieces` are the batch's bytes.
pub fn first_at(pieces: &[Slice], at: TimestampMs, start: Offset) -> Result<Position, DecompressError> {
    let joined: Vec<u8>;
    let bytes: &[u8] = match pieces {
        [one] => one,
        many => {
            joined = many.iter().flat_map(|piece| piece.iter().copied()).collect();
            &joined
        }
    };
    let (batch, _) = BatchView::parse(bytes).map_err(DecompressError::Batch)?;
    let last = (batch.last_offset(), batch.max_timestamp().unwrap_or(at));
    // The start has moved beyond it while it was being read.
    if last.0 < start {
        return Ok(Position::Behind(last.0.next()));
    }
    if batch.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Ok(Position::Record(batch.base_offset().max(start), last.1));
    }
    let base = batch.base_timestamp().map_or(-1, TimestampMs::get);
    let body = Body::of(&batch, DECOMPRESSED_MAX)?;
    let mut is_below = false;
    for record in body.records() {
        let record = record.map_err(DecompressError::Batch)?;
        let timestamp = base.saturating_add(record.timestamp_delta);
        let offset = batch.base_offset() + i64::from(record.offset_delta);
        if timestamp >= at.get() && offset >= start {
            return Ok(Position::Record(offset, TimestampMs::new(timestamp)));
        }
        is_below |= timestamp >= at.get();
    }
    match is_below {
        true => Ok(Position::Behind(last.0.next())),
        false => Ok(Position::Record(last.0, last.1)),
    }
}

/// Bytes that a batch may decompress to: a batch that takes more answers with an error, not with the memory.
const DECOMPRESSED_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use millstream_protocol::record::builder::BatchBuilder;

    use super::*;

    #[test]
    fn records_below_the_start_are_not_found() {
        let mut builder = BatchBuilder::new().base_offset(Offset::new(10));
        for time in [50, 20, 40, 10] {
            builder.push(TimestampMs::new(time), None, Some(b"v"), &[]);
        }
        let pieces = [Slice::from(builder.build())];
        let find = |at, start| first_at(&pieces, TimestampMs::new(at), Offset::new(start)).unwrap();
        let record = |offset, time| Position::Record(Offset::new(offset), TimestampMs::new(time));
        assert_eq!(find(30, 0), record(10, 50));
        assert_eq!(find(30, 11), record(12, 40));
        assert_eq!(find(45, 11), Position::Behind(Offset::new(14)));
        assert_eq!(find(10, 13), record(13, 10));
        assert_eq!(find(10, 14), Position::Behind(Offset::new(14)));
    }

    #[test]
    fn a_batch_below_the_start_is_not_found_by_the_time_of_its_arrival() {
        let mut builder = BatchBuilder::new().base_offset(Offset::new(10));
        (0..4).for_each(|_| builder.push(TimestampMs::new(50), None, Some(b"v"), &[]));
        let mut bytes = builder.build();
        bytes[ATTRIBUTES] |= LOG_APPEND_TIME;
        let pieces = [Slice::from(bytes)];
        let find = |start| first_at(&pieces, TimestampMs::new(30), Offset::new(start)).unwrap();
        let record = |offset| Position::Record(Offset::new(offset), TimestampMs::new(50));
        assert_eq!((find(0), find(12)), (record(10), record(12)));
        assert_eq!(find(14), Position::Behind(Offset::new(14)));
    }

    /// Where a batch says whose time it has, and how.
    const ATTRIBUTES: usize = 22;
    const LOG_APPEND_TIME: u8 = 8;
}

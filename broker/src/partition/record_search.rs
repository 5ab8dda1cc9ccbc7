//! The exact record inside a batch for a look-up by time.

use millstream_compress::{Body, DecompressError};
use millstream_protocol::record::batch::{BatchView, TimestampType};
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::Slice;

/// The first record of the batch with at least this timestamp; the batch's last one where rounding hides it.
/// `pieces` are the batch's bytes.
pub fn first_at(pieces: &[Slice], at: TimestampMs) -> Result<(Offset, TimestampMs), DecompressError> {
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
    if batch.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Ok((batch.base_offset(), last.1));
    }
    let base = batch.base_timestamp().map_or(-1, TimestampMs::get);
    let body = Body::of(&batch, DECOMPRESSED_MAX)?;
    for record in body.records() {
        let record = record.map_err(DecompressError::Batch)?;
        let timestamp = base.saturating_add(record.timestamp_delta);
        if timestamp >= at.get() {
            return Ok((
                batch.base_offset() + i64::from(record.offset_delta),
                TimestampMs::new(timestamp),
            ));
        }
    }
    Ok(last)
}

/// Bytes that a batch may decompress to: a batch that takes more answers with an error, not with the memory.
const DECOMPRESSED_MAX: usize = 64 << 20;

//! From fetched bytes to records.

use millstream_compress::{Body, DecompressError};
use millstream_protocol::record::batch::{BatchView, Batches, TimestampType};
use millstream_protocol::record::error::BatchError;

/// One record, owning its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedRecord {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970; `None` where the producer gave none.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Gives the records from offset `from` on to `each`, until it returns `false`, and returns the offset that
/// follows what was read. Control batches are passed over. A batch that is cut off at the end, as brokers do,
/// is left for the next fetch.
pub fn decode_batches(
    partition: i32,
    bytes: &[u8],
    from: i64,
    mut each: impl FnMut(FetchedRecord) -> bool,
) -> Result<i64, DecompressError> {
    let mut next = from;
    for batch in Batches::new(bytes) {
        let batch = match batch {
            Err(BatchError::Truncated) if next > from => break,
            other => other.map_err(DecompressError::Batch)?,
        };
        batch.verify_crc().map_err(DecompressError::Batch)?;
        let after = batch.last_offset().get() + 1;
        if !batch.attributes().is_control() && after > next {
            let body = Body::of(&batch, BODY_BYTES_MAX)?;
            for record in body.records() {
                let record = record.map_err(DecompressError::Batch)?;
                let offset = batch.base_offset().get() + i64::from(record.offset_delta);
                if offset < next {
                    continue;
                }
                next = offset + 1;
                let headers = record
                    .headers()
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
                let wanted = each(FetchedRecord {
                    partition,
                    offset,
                    timestamp: timestamp_of(&batch, record.timestamp_delta),
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: headers.collect(),
                });
                if !wanted {
                    return Ok(next);
                }
            }
        }
        next = next.max(after);
    }
    Ok(next)
}

fn timestamp_of(batch: &BatchView<'_>, delta: i64) -> Option<i64> {
    match batch.attributes().timestamp_type() {
        TimestampType::LogAppendTime => batch.max_timestamp().map(|at| at.get()),
        TimestampType::CreateTime => batch
            .base_timestamp()
            .and_then(|base| base.get().checked_add(delta)),
    }
}

/// What one batch may decompress to, in bytes: far more than brokers let a batch be, far less than a bomb.
const BODY_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use millstream_compress::compress;
    use millstream_protocol::record::batch::set_log_append_time;
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::record::codec::Codec;
    use millstream_protocol::record::record::Header;
    use millstream_protocol::types::{Offset, TimestampMs};

    use super::*;

    fn batch(base: i64, values: &[&str]) -> BatchBuilder {
        let mut builder = BatchBuilder::new().base_offset(Offset::new(base));
        for (index, value) in values.iter().enumerate() {
            let header = Header {
                key: "h",
                value: Some(b"x"),
            };
            builder.push(
                TimestampMs::new(1_000 + index as i64),
                Some(b"k"),
                Some(value.as_bytes()),
                &[header],
            );
        }
        builder
    }

    fn read(bytes: &[u8], from: i64) -> (Vec<(i64, String)>, i64) {
        let mut found = Vec::new();
        let next = decode_batches(0, bytes, from, |record| {
            found.push((record.offset, String::from_utf8(record.value.unwrap()).unwrap()));
            true
        });
        (found, next.unwrap())
    }

    #[test]
    fn records_before_the_wanted_offset_are_left_out() {
        let bytes = [batch(10, &["a", "b", "c"]).build(), batch(13, &["d"]).build()].concat();
        let expected = vec![(11, "b".to_owned()), (12, "c".to_owned()), (13, "d".to_owned())];
        assert_eq!(read(&bytes, 11), (expected, 14));
    }

    #[test]
    fn a_batch_that_is_cut_off_waits_for_the_next_fetch() {
        let first = batch(0, &["a"]).build();
        let cut = [first.clone(), batch(1, &["b"]).build()[..40].to_vec()].concat();
        assert_eq!(read(&cut, 0), (vec![(0, "a".to_owned())], 1));
        let damaged = decode_batches(0, &first[..40], 0, |_| true);
        assert_eq!(damaged, Err(DecompressError::Batch(BatchError::Truncated)));
    }

    #[test]
    fn control_batches_move_the_offset_only() {
        let bytes = [batch(0, &["marker"]).control().build(), batch(1, &["a"]).build()].concat();
        assert_eq!(read(&bytes, 0), (vec![(1, "a".to_owned())], 2));
    }

    #[test]
    fn timestamps_keys_and_headers_come_along() {
        let mut bytes = batch(0, &["a", "b"]).build();
        let timestamps = |bytes: &[u8]| {
            let mut found = Vec::new();
            decode_batches(3, bytes, 0, |record| {
                assert_eq!(record.headers, [("h".to_owned(), Some(b"x".to_vec()))]);
                assert_eq!((record.partition, record.key.as_deref()), (3, Some(&b"k"[..])));
                found.push(record.timestamp);
                true
            })
            .unwrap();
            found
        };
        assert_eq!(timestamps(&bytes), [Some(1_000), Some(1_001)]);
        set_log_append_time(&mut bytes, TimestampMs::new(9_000));
        assert_eq!(timestamps(&bytes), [Some(9_000), Some(9_000)]);
    }

    #[test]
    fn damage_is_an_error_and_a_reader_may_stop() {
        let mut bytes = batch(0, &["a", "b"]).build();
        assert_eq!(decode_batches(0, &bytes, 0, |_| false), Ok(1));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let damaged = decode_batches(0, &bytes, 0, |_| true);
        assert!(matches!(
            damaged,
            Err(DecompressError::Batch(BatchError::WrongCrc { .. }))
        ));
    }

    #[test]
    fn every_compression_reads() {
        for codec in Codec::ALL {
            let bytes = batch(5, &["a", "b"]).build_with(codec, |body| compress(codec, body));
            assert_eq!(read(&bytes, 6), (vec![(6, "b".to_owned())], 7), "{codec}");
        }
    }
}

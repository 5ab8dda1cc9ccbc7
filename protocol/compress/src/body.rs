//! The records of a batch, whatever its compression.

use std::borrow::Cow;

use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::codec::Codec;
use millstream_protocol::record::error::BatchError;
use millstream_protocol::record::record::{Framing, RecordIter};

use crate::decompress::{DecompressError, decompress};

/// A batch's records as plain bytes: borrowed where they were never compressed.
#[derive(Clone, Debug)]
pub struct Body<'a> {
    bytes: Cow<'a, [u8]>,
    record_count: i32,
}

impl<'a> Body<'a> {
    /// `limit` is the most that the records may decompress to, in bytes, inclusive.
    pub fn of(batch: &BatchView<'a>, limit: usize) -> Result<Self, DecompressError> {
        let codec = batch.attributes().compression().map_err(DecompressError::Batch)?;
        let bytes = match codec {
            Codec::None => Cow::Borrowed(batch.body()),
            codec => Cow::Owned(decompress(codec, batch.body(), limit)?),
        };
        Ok(Self {
            bytes,
            record_count: batch.record_count(),
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn records(&self) -> RecordIter<'_> {
        RecordIter::new(&self.bytes, self.record_count)
    }

    /// Walks all records and checks that they are as the batch's header says.
    pub fn check_framing(&self) -> Result<Framing, BatchError> {
        Framing::check(&self.bytes, self.record_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress;
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::types::TimestampMs;

    #[test]
    fn records_are_the_same_in_every_compression() {
        let mut builder = BatchBuilder::new();
        for number in 0..100i64 {
            let value = format!("value {number}").repeat(10);
            builder.push(
                TimestampMs::new(number),
                Some(b"key"),
                Some(value.as_bytes()),
                &[],
            );
        }
        let plain = builder.clone().build();
        let (plain, _) = BatchView::parse(&plain).unwrap();
        for codec in Codec::ALL {
            let bytes = builder.clone().build_with(codec, |body| compress(codec, body));
            let (batch, _) = BatchView::parse(&bytes).unwrap();
            batch.verify_crc().unwrap();
            let body = Body::of(&batch, 1 << 20).unwrap();
            assert_eq!(body.bytes(), plain.body(), "{codec}");
            assert_eq!(body.check_framing(), plain.check_framing());
            assert_eq!(body.records().count(), 100);
        }
    }
}

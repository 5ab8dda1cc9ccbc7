//! Record batches made of any bytes.

use millstream_compress::Body;
use millstream_protocol::record::batch::{BatchView, Batches, HEADER_LEN, patch, set_log_append_time};
use millstream_protocol::record::codec::Codec;
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};

use crate::memory;

/// Walks the batches and all that is in them, stamps them, and expects them to hold together after that.
pub fn batches(bytes: &[u8]) {
    let (walked, used) = memory::measure(|| {
        Batches::new(bytes)
            .map(|batch| batch.map_or(0, check))
            .sum::<usize>()
    });
    assert_eq!(used, 0, "a batch is looked at where it lies");
    assert!(walked <= bytes.len());
    Batches::new(bytes).map_while(Result::ok).for_each(look_inside);
    let mut copy = bytes.to_vec();
    let mut rest = &mut copy[..];
    while let Ok((batch, _)) = BatchView::parse(rest) {
        let (size, sound) = (batch.size(), batch.verify_crc().is_ok());
        let deltas = i64::from(batch.last_offset_delta());
        let (one, others) = rest.split_at_mut(size);
        stamp(one, deltas, sound);
        rest = others;
    }
}

/// Gives the batch's size.
fn check(batch: BatchView<'_>) -> usize {
    assert!(batch.size() >= HEADER_LEN);
    let summary = batch.summary();
    assert_eq!(summary.size as usize, batch.size());
    assert_eq!(
        summary.last_offset - summary.base_offset,
        i64::from(batch.last_offset_delta())
    );
    let _ = batch.verify_crc();
    let Ok(records) = batch.records() else {
        return batch.size();
    };
    let mut sound = 0;
    for record in records.map_while(Result::ok) {
        assert_eq!(
            record.headers().count(),
            record.header_count(),
            "headers were checked with their record"
        );
        sound += 1;
    }
    if batch.check_framing().is_ok() {
        assert_eq!(sound, batch.record_count(), "all records are there");
    }
    batch.size()
}

/// Decompresses a batch within a limit, to which its memory is held.
fn look_inside(batch: BatchView<'_>) {
    let (body, used) = memory::measure(|| Body::of(&batch, DECOMPRESSED_MAX));
    assert!(
        used <= DECOMPRESSOR_MEMORY_MAX,
        "{used} bytes to decompress {DECOMPRESSED_MAX}"
    );
    let Ok(body) = body else { return };
    let codec = batch.attributes().compression();
    assert!(codec == Ok(Codec::None) || body.bytes().len() <= DECOMPRESSED_MAX);
    if body.check_framing().is_ok() {
        assert_eq!(body.records().count(), batch.record_count() as usize);
    }
}

/// Does what a broker does to a batch, whose CRC must be as sound after it as before.
fn stamp(bytes: &mut [u8], deltas: i64, sound: bool) {
    let parse = |bytes: &[u8]| BatchView::parse(bytes).map(|(batch, _)| batch.verify_crc().is_ok());
    patch(bytes, Offset::new(7), LeaderEpoch::new(3));
    assert_eq!(parse(bytes), Ok(sound), "neither field is covered");
    let (batch, _) = BatchView::parse(bytes).expect("still a batch");
    assert_eq!(
        (batch.base_offset(), batch.last_offset()),
        (Offset::new(7), Offset::new(7) + deltas)
    );
    set_log_append_time(bytes, TimestampMs::new(1_000));
    assert_eq!(parse(bytes), Ok(true), "the CRC is made anew");
}

const DECOMPRESSED_MAX: usize = 64 * 1024;

/// Twice the limit and the buffers of the codecs that are Rust; lz4's are the largest (its block and what
/// goes before).
const DECOMPRESSOR_MEMORY_MAX: usize = 17 << 20;

//! When a record was meant to be sent, carried by the record itself to whoever reads it.
//! The first eight bytes of the value of a batch's first record are nanoseconds since the round began, big-endian, on
//! this process's own clock: nothing depends on the clocks of two machines. The batch's timestamps tell the same moment
//! in milliseconds of the wall clock, for what a broker does by time.

use std::time::{Duration, Instant, SystemTime};

use millstream_protocol::record::batch::{BatchView, HEADER_LEN, set_create_time};
use millstream_protocol::record::crc::crc32c;
use millstream_protocol::types::TimestampMs;

/// Bytes that a record's value must have to carry the moment.
pub const SEND_TIME_BYTES: usize = 8;

/// The clock of one round, shared by those who write and those who read.
#[derive(Clone, Copy, Debug)]
pub struct SendClock {
    start: Instant,
    wall_ms: i64,
}

impl SendClock {
    pub fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        SendClock {
            start: Instant::now(),
            wall_ms: wall.as_millis() as i64,
        }
    }

    /// Writes the moment into a batch of our own, with a new CRC. Returns the CRC of the bytes after its header.
    pub fn stamp(&self, batch: &mut [u8], due: Instant) -> u32 {
        let since = due.saturating_duration_since(self.start);
        let at = first_value(batch).expect("a value that was built with room for the moment");
        batch[at..at + SEND_TIME_BYTES].copy_from_slice(&(since.as_nanos() as u64).to_be_bytes());
        let records_crc = crc32c(&batch[HEADER_LEN..]);
        let timestamp = TimestampMs::new(self.wall_ms + since.as_millis() as i64);
        set_create_time(batch, timestamp, records_crc);
        records_crc
    }

    /// When a batch that was read was meant to be sent. `None`: nobody with this clock wrote it.
    pub fn read(&self, batch: &BatchView<'_>) -> Option<Instant> {
        let bytes = batch.bytes();
        let nanos = bytes[first_value(bytes)?..].first_chunk::<SEND_TIME_BYTES>()?;
        let due = self
            .start
            .checked_add(Duration::from_nanos(u64::from_be_bytes(*nanos)))?;
        (due <= Instant::now()).then_some(due)
    }
}

/// Where the value of the first record begins, where it is long enough.
fn first_value(batch: &[u8]) -> Option<usize> {
    let (view, _) = BatchView::parse(batch).ok()?;
    let value = view.records().ok()?.next()?.ok()?.value?;
    let at = value.as_ptr().addr() - batch.as_ptr().addr();
    (value.len() >= SEND_TIME_BYTES).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_batch_carries_the_moment_and_stays_sound() {
        let clock = SendClock::start();
        let due = clock.start + Duration::from_nanos(1_234);
        let mut batch = wire::batch(3, 50, 1);
        let before = batch.clone();
        let records_crc = clock.stamp(&mut batch, due);
        assert_ne!(batch, before);
        assert_eq!(records_crc, crc32c(&batch[HEADER_LEN..]));
        let (view, _) = BatchView::parse(&batch).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.base_timestamp(), Some(TimestampMs::new(clock.wall_ms)));
        assert_eq!(clock.read(&view), Some(due));
    }

    #[test]
    fn a_batch_of_somebody_else_carries_none() {
        let clock = SendClock::start();
        for other in [wire::batch(1, 7, 1), wire::batch(1, 50, 1)] {
            let (view, _) = BatchView::parse(&other).unwrap();
            assert_eq!(clock.read(&view), None);
        }
    }
}

//! Single records, as they lie in a batch's decompressed body.
//!
//! ```text
//! length varint · attributes i8 · timestamp delta varlong · offset delta varint
//! key length varint, key · value length varint, value · header count varint, headers
//! header: key length varint, key · value length varint, value          (length -1 is null)
//! ```

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::error::BatchError;
use crate::primitive::Writer;

/// One record. Its offset is the batch's base offset plus `offset_delta`; its timestamp the base timestamp
/// plus `timestamp_delta` (or the batch's largest one, where that is the time of append).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset_delta: i32,
    /// Milliseconds; may be negative.
    pub timestamp_delta: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    header_count: usize,
    headers: &'a [u8],
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    pub fn header_count(&self) -> usize {
        self.header_count
    }

    /// In the order in which the producer wrote them; keys may repeat.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.headers);
        (0..self.header_count).map_while(move |_| read_header(&mut cursor))
    }

    /// Reads one record with its length field, and checks that it fills just that length.
    #[inline]
    fn read(body: &mut Cursor<'a>) -> Option<Self> {
        let mut cursor = Cursor::new(body.sized()?);
        cursor.skip_byte()?;
        let timestamp_delta = cursor.varlong()?;
        let offset_delta = cursor.varint()?;
        let key = cursor.nullable()?;
        let value = cursor.nullable()?;
        let header_count = usize::try_from(cursor.varint()?).ok()?;
        let headers = cursor.rest();
        for _ in 0..header_count {
            read_header(&mut cursor)?;
        }
        cursor.is_at_end().then_some(Self {
            offset_delta,
            timestamp_delta,
            key,
            value,
            header_count,
            headers,
        })
    }
}

/// Walks the records of a decompressed body. Ends after the first error, and reports bytes that are left
/// after the last record as one.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
    left: i32,
    done: bool,
}

impl<'a> RecordIter<'a> {
    /// `count` records are expected in `body`.
    pub fn new(body: &'a [u8], count: i32) -> Self {
        Self {
            cursor: Cursor::new(body),
            left: count,
            done: false,
        }
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.left > 0 {
            self.left -= 1;
            let record = Record::read(&mut self.cursor).ok_or(BatchError::InvalidRecord);
            self.done = record.is_err();
            return Some(record);
        }
        self.done = true;
        (!self.cursor.is_at_end()).then_some(Err(BatchError::InvalidRecord))
    }
}

/// What a walk over all of a batch's records found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The largest of the records' timestamp deltas; `None` in a batch without records.
    pub timestamp_delta_max: Option<i64>,
    /// The smallest of the records' timestamp deltas.
    pub timestamp_delta_min: Option<i64>,
    /// Whether any record has a null key, which a compacted topic refuses.
    pub has_null_key: bool,
}

impl Framing {
    /// Checks that `body` holds just `count` records, whose offset deltas run from 0 without a gap. Every
    /// record that is produced uncompressed goes through here, so it reads them without the iterator's
    /// detour.
    pub fn check(body: &[u8], count: i32) -> Result<Framing, BatchError> {
        let mut cursor = Cursor::new(body);
        let (mut delta_min, mut delta_max) = (i64::MAX, i64::MIN);
        let mut has_null_key = false;
        for expected in 0..count {
            let record = Record::read(&mut cursor).ok_or(BatchError::InvalidRecord)?;
            if record.offset_delta != expected {
                return Err(BatchError::WrongCount);
            }
            delta_min = delta_min.min(record.timestamp_delta);
            delta_max = delta_max.max(record.timestamp_delta);
            has_null_key |= record.key.is_none();
        }
        if !cursor.is_at_end() {
            return Err(BatchError::InvalidRecord);
        }
        let any = count > 0;
        Ok(Framing {
            timestamp_delta_max: any.then_some(delta_max),
            timestamp_delta_min: any.then_some(delta_min),
            has_null_key,
        })
    }
}

/// Appends one record to a body. Lengths and counts are those of memory, so they fit but for absurd ones.
pub(super) fn write_record(
    body: &mut Writer,
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header<'_>],
) {
    let mut record = Writer::new();
    record.i8(0);
    record.varlong(timestamp_delta);
    record.varint(offset_delta);
    write_bytes(&mut record, key);
    write_bytes(&mut record, value);
    record.varint(length(headers.len()));
    for header in headers {
        write_bytes(&mut record, Some(header.key.as_bytes()));
        write_bytes(&mut record, header.value);
    }
    let (record, _): (Vec<u8>, _) = record.into_parts();
    body.varint(length(record.len()));
    body.raw(&record);
}

fn write_bytes(w: &mut Writer, bytes: Option<&[u8]>) {
    w.varint(bytes.map_or(-1, |bytes| length(bytes.len())));
    w.raw(bytes.unwrap_or(&[]));
}

#[track_caller]
fn length(len: usize) -> i32 {
    i32::try_from(len).expect("a record is smaller than 2 GiB")
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Option<Header<'a>> {
    let key = core::str::from_utf8(cursor.sized()?).ok()?;
    let value = cursor.nullable()?;
    Some(Header { key, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn body(records: &[(i32, i64, Option<&[u8]>)]) -> Vec<u8> {
        let mut w = Writer::new();
        for &(offset_delta, timestamp_delta, key) in records {
            let headers = [
                Header {
                    key: "h",
                    value: None,
                },
                Header {
                    key: "h",
                    value: Some(b"x"),
                },
            ];
            write_record(
                &mut w,
                offset_delta,
                timestamp_delta,
                key,
                Some(b"value"),
                &headers,
            );
        }
        w.into_parts().0
    }

    #[test]
    fn records_come_back() {
        let body = body(&[(0, -5, None), (1, 7, Some(b"k"))]);
        let records: Result<Vec<_>, _> = RecordIter::new(&body, 2).collect();
        let records = records.unwrap();
        assert_eq!((records[0].key, records[0].timestamp_delta), (None, -5));
        assert_eq!((records[1].key, records[1].offset_delta), (Some(&b"k"[..]), 1));
        let headers: Vec<_> = records[1].headers().collect();
        assert_eq!(
            headers,
            vec![
                Header {
                    key: "h",
                    value: None
                },
                Header {
                    key: "h",
                    value: Some(b"x")
                }
            ]
        );
        assert_eq!(
            Framing::check(&body, 2),
            Ok(Framing {
                timestamp_delta_max: Some(7),
                timestamp_delta_min: Some(-5),
                has_null_key: true
            })
        );
    }

    #[test]
    fn counts_and_lengths_must_fit() {
        let good = body(&[(0, 0, None), (1, 0, None)]);
        assert_eq!(
            Framing::check(&good, 1),
            Err(BatchError::InvalidRecord),
            "one record too many"
        );
        assert_eq!(
            Framing::check(&good, 3),
            Err(BatchError::InvalidRecord),
            "one record too few"
        );
        assert_eq!(
            Framing::check(&body(&[(0, 0, None), (2, 0, None)]), 2),
            Err(BatchError::WrongCount)
        );
        for end in 0..good.len() {
            assert!(Framing::check(&good[..end], 2).is_err());
        }
    }
}

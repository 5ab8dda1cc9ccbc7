//! A batch of records as a borrowed view over its bytes.
//!
//! ```text
//!  0 base offset i64          17 CRC-32C u32              35 max timestamp i64
//!  8 length i32 (from 12)     21 attributes i16           43 producer id i64
//! 12 leader epoch i32         23 last offset delta i32    51 producer epoch i16
//! 16 magic i8 (2)             27 base timestamp i64       53 base sequence i32
//! 57 record count i32         61 records, compressed as a whole if the attributes say so
//! ```
//! The CRC covers all from byte 21 on: a broker writes base offset and leader epoch without a new one.
//!
//! Invariant: of a [`BatchView`], length, magic and offsets are sound; the CRC and the records only once they
//! were checked.

use core::ops::Range;

use super::codec::Codec;
use super::crc;
use super::error::BatchError;
use super::record::{Framing, RecordIter};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes of base offset and length, which the length does not count.
pub const LENGTH_END: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
}

/// Whose clock a batch's timestamps come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, record by record.
    #[default]
    CreateTime,
    /// The broker's: every record has the batch's largest timestamp.
    LogAppendTime,
}

/// The attributes' 16 bits; those that Kafka does not define are kept and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(i16);

impl<'a> BatchView<'a> {
    /// Takes one batch from the start of `bytes` and gives what follows it.
    pub fn parse(bytes: &'a [u8]) -> Result<(BatchView<'a>, &'a [u8]), BatchError> {
        let size = size_of(bytes)?;
        if bytes.len() < size {
            return Err(BatchError::Truncated);
        }
        let (bytes, rest) = bytes.split_at(size);
        let view = BatchView { bytes };
        view.check_offsets()?;
        Ok((view, rest))
    }

    fn check_offsets(&self) -> Result<(), BatchError> {
        let last = self
            .raw_base_offset()
            .checked_add(self.last_offset_delta().into());
        if last.is_none()
            || self.raw_base_offset() < 0
            || self.last_offset_delta() < 0
            || self.record_count() < 0
        {
            return Err(BatchError::InvalidOffsets);
        }
        Ok(())
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn raw_base_offset(&self) -> i64 {
        i64::from_be_bytes(field(self.bytes, BASE_OFFSET))
    }

    pub fn base_offset(&self) -> Offset {
        Offset::new(self.raw_base_offset())
    }

    /// Inclusive.
    pub fn last_offset(&self) -> Offset {
        self.base_offset() + i64::from(self.last_offset_delta())
    }

    /// The length field: the batch's bytes after it.
    pub fn batch_length(&self) -> i32 {
        i32::from_be_bytes(field(self.bytes, LENGTH))
    }

    /// `None` where no broker has stamped the batch.
    pub fn partition_leader_epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::checked(i32::from_be_bytes(field(self.bytes, LEADER_EPOCH)))
    }

    pub fn magic(&self) -> i8 {
        self.bytes[MAGIC.start] as i8
    }

    /// As stored; see [`Self::verify_crc`].
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(field(self.bytes, CRC))
    }

    pub fn attributes(&self) -> Attributes {
        Attributes(i16::from_be_bytes(field(self.bytes, ATTRIBUTES)))
    }

    /// 0 or more. One less than the record count in a batch that was never compacted.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(field(self.bytes, LAST_OFFSET_DELTA))
    }

    /// `None` where the producer gave none.
    pub fn base_timestamp(&self) -> Option<TimestampMs> {
        TimestampMs::from_wire(i64::from_be_bytes(field(self.bytes, BASE_TIMESTAMP)))
    }

    /// `None` where the producer gave none.
    pub fn max_timestamp(&self) -> Option<TimestampMs> {
        TimestampMs::from_wire(i64::from_be_bytes(field(self.bytes, MAX_TIMESTAMP)))
    }

    /// `None` for a producer that is not idempotent.
    pub fn producer_id(&self) -> Option<ProducerId> {
        let id = i64::from_be_bytes(field(self.bytes, PRODUCER_ID));
        (id >= 0).then(|| ProducerId::new(id))
    }

    /// `None` for a producer that is not idempotent.
    pub fn producer_epoch(&self) -> Option<ProducerEpoch> {
        let epoch = i16::from_be_bytes(field(self.bytes, PRODUCER_EPOCH));
        (epoch >= 0).then(|| ProducerEpoch::new(epoch))
    }

    /// `None` for a producer that is not idempotent, and for control batches, which stand outside the
    /// sequence.
    pub fn base_sequence(&self) -> Option<Sequence> {
        let sequence = i32::from_be_bytes(field(self.bytes, BASE_SEQUENCE));
        (sequence >= 0).then(|| Sequence::new(sequence))
    }

    /// 0 or more.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(field(self.bytes, RECORD_COUNT))
    }

    /// The records' bytes as they lie there, compressed or not.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.crc(), crc::crc32c(&self.bytes[CRC.end..]));
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::WrongCrc { stored, computed })
        }
    }

    /// The records of a batch that is not compressed.
    pub fn records(&self) -> Result<RecordIter<'a>, BatchError> {
        match self.attributes().compression()? {
            Codec::None => Ok(RecordIter::new(self.body(), self.record_count())),
            _ => Err(BatchError::Compressed),
        }
    }

    /// Walks all records of a batch that is not compressed and checks that they are as the header says.
    pub fn check_framing(&self) -> Result<Framing, BatchError> {
        match self.attributes().compression()? {
            Codec::None => Framing::check(self.body(), self.record_count()),
            _ => Err(BatchError::Compressed),
        }
    }

    pub fn summary(&self) -> BatchSummary {
        let attributes = self.attributes();
        // A marker has no sequence, but whose transaction it ends must be known.
        let base_sequence = self
            .base_sequence()
            .or(attributes.is_control().then(|| Sequence::new(0)));
        let producer = match (self.producer_id(), self.producer_epoch(), base_sequence) {
            (Some(id), Some(epoch), Some(base_sequence)) => {
                let last_sequence = base_sequence.advance(self.last_offset_delta());
                Some(ProducerStamp {
                    id,
                    epoch,
                    base_sequence,
                    last_sequence,
                })
            }
            _ => None,
        };
        BatchSummary {
            base_offset: self.base_offset(),
            last_offset: self.last_offset(),
            base_timestamp: self.base_timestamp(),
            max_timestamp: self.max_timestamp(),
            producer,
            transactional: attributes.is_transactional(),
            control: attributes.is_control(),
            size: u32::try_from(self.size()).expect("the length field has 31 bits"),
        }
    }
}

impl Attributes {
    pub const fn bits(self) -> i16 {
        self.0
    }

    pub fn compression(self) -> Result<Codec, BatchError> {
        let id = (self.0 & CODEC_BITS) as u8;
        Codec::from_id(id).ok_or(BatchError::UnknownCodec(id))
    }

    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & LOG_APPEND_TIME_BIT != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    pub const fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch is a transaction's end and not a client's records.
    pub const fn is_control(self) -> bool {
        self.0 & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is a deletion horizon (compaction, KIP-534).
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON_BIT != 0
    }
}

/// What a log needs to know of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    pub base_offset: Offset,
    /// Inclusive.
    pub last_offset: Offset,
    pub base_timestamp: Option<TimestampMs>,
    pub max_timestamp: Option<TimestampMs>,
    /// `None` for a producer that is not idempotent. A control batch's sequences say nothing: it stands
    /// outside them.
    pub producer: Option<ProducerStamp>,
    pub transactional: bool,
    pub control: bool,
    /// Bytes, header included.
    pub size: u32,
}

impl BatchSummary {
    /// From the header alone, for who takes in a batch piece by piece; with the CRC that the header says.
    pub fn from_header(header: &[u8; HEADER_LEN]) -> Result<(BatchSummary, u32), BatchError> {
        let size = size_of(header)?;
        let view = BatchView { bytes: header };
        view.check_offsets()?;
        let size = u32::try_from(size).expect("the length field has 31 bits");
        let summary = BatchSummary {
            size,
            ..view.summary()
        };
        Ok((summary, view.crc()))
    }
}

/// Where an idempotent producer's batch stands among its others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    /// Inclusive.
    pub last_sequence: Sequence,
}

/// Walks batches that lie one after the other. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not walked yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchView::parse(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// Stamps a batch with its place in the log. The CRC stays right, as it covers neither field.
/// Panics on fewer bytes than a batch's header.
pub fn patch(bytes: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    assert!(bytes.len() >= HEADER_LEN, "not a batch");
    bytes[BASE_OFFSET].copy_from_slice(&base_offset.get().to_be_bytes());
    bytes[LEADER_EPOCH].copy_from_slice(&leader_epoch.get().to_be_bytes());
}

/// Stamps one whole batch with its producer and a new CRC, which is made from `records_crc`, that of the bytes
/// from [`HEADER_LEN`] on: no record is looked at. Panics on fewer bytes than a batch's header.
pub fn stamp(
    bytes: &mut [u8],
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: Sequence,
    records_crc: u32,
) {
    assert!(bytes.len() >= HEADER_LEN, "not a batch");
    bytes[PRODUCER_ID].copy_from_slice(&id.get().to_be_bytes());
    bytes[PRODUCER_EPOCH].copy_from_slice(&epoch.get().to_be_bytes());
    bytes[BASE_SEQUENCE].copy_from_slice(&base_sequence.get().to_be_bytes());
    renew_crc(bytes, records_crc);
}

/// Gives one whole batch, whose records are all of one moment, another moment, and a new CRC as [`stamp`] does.
/// Panics on fewer bytes than a batch's header.
pub fn set_create_time(bytes: &mut [u8], timestamp: TimestampMs, records_crc: u32) {
    assert!(bytes.len() >= HEADER_LEN, "not a batch");
    bytes[BASE_TIMESTAMP].copy_from_slice(&timestamp.get().to_be_bytes());
    bytes[MAX_TIMESTAMP].copy_from_slice(&timestamp.get().to_be_bytes());
    renew_crc(bytes, records_crc);
}

fn renew_crc(bytes: &mut [u8], records_crc: u32) {
    let header_crc = crc::crc32c(&bytes[CRC.end..HEADER_LEN]);
    let crc = crc::combine(header_crc, records_crc, bytes.len() - HEADER_LEN);
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
}

/// Gives one whole batch the time of its append and a new CRC. Panics on fewer bytes than a batch's header.
pub fn set_log_append_time(bytes: &mut [u8], timestamp: TimestampMs) {
    assert!(bytes.len() >= HEADER_LEN, "not a batch");
    let attributes = i16::from_be_bytes(field(bytes, ATTRIBUTES)) | LOG_APPEND_TIME_BIT;
    bytes[ATTRIBUTES].copy_from_slice(&attributes.to_be_bytes());
    bytes[MAX_TIMESTAMP].copy_from_slice(&timestamp.get().to_be_bytes());
    let crc = crc::crc32c(&bytes[CRC.end..]);
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
}

/// The bytes of the batch that begins here, from its length field.
fn size_of(bytes: &[u8]) -> Result<usize, BatchError> {
    let head = bytes.get(..MAGIC.end).ok_or(BatchError::Truncated)?;
    let magic = head[MAGIC.start] as i8;
    if magic != 2 {
        return Err(BatchError::UnsupportedMagic(magic));
    }
    let length = i32::from_be_bytes(field(head, LENGTH));
    let size = usize::try_from(length).map_err(|_| BatchError::InvalidLength)? + LENGTH_END;
    if size < HEADER_LEN {
        return Err(BatchError::InvalidLength);
    }
    Ok(size)
}

/// A field's bytes; `bytes` reaches at least to the field's end.
fn field<const N: usize>(bytes: &[u8], range: Range<usize>) -> [u8; N] {
    bytes[range].try_into().expect("the range is as long as the type")
}

pub(super) const BASE_OFFSET: Range<usize> = 0..8;
pub(super) const LENGTH: Range<usize> = 8..12;
pub(super) const LEADER_EPOCH: Range<usize> = 12..16;
pub(super) const MAGIC: Range<usize> = 16..17;
pub(super) const CRC: Range<usize> = 17..21;
pub(super) const ATTRIBUTES: Range<usize> = 21..23;
pub(super) const LAST_OFFSET_DELTA: Range<usize> = 23..27;
pub(super) const BASE_TIMESTAMP: Range<usize> = 27..35;
pub(super) const MAX_TIMESTAMP: Range<usize> = 35..43;
pub(super) const PRODUCER_ID: Range<usize> = 43..51;
pub(super) const PRODUCER_EPOCH: Range<usize> = 51..53;
pub(super) const BASE_SEQUENCE: Range<usize> = 53..57;
pub(super) const RECORD_COUNT: Range<usize> = 57..61;

pub(super) const CODEC_BITS: i16 = 0b111;
pub(super) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(super) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(super) const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

const _: () = assert!(RECORD_COUNT.end == HEADER_LEN && LENGTH.end == LENGTH_END);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::BatchBuilder;
    use alloc::vec::Vec;

    fn batch() -> Vec<u8> {
        BatchBuilder::new()
            .producer(ProducerId::new(9), ProducerEpoch::new(3), Sequence::new(i32::MAX))
            .record(TimestampMs::new(1_000), Some(b"k"), Some(b"v"), &[])
            .record(TimestampMs::new(1_500), None, None, &[])
            .build()
    }

    #[test]
    fn a_batch_says_what_was_put_in() {
        let bytes = batch();
        let (view, rest) = BatchView::parse(&bytes).unwrap();
        assert!(rest.is_empty());
        view.verify_crc().unwrap();
        assert_eq!(view.size(), bytes.len());
        assert_eq!(view.batch_length() as usize + 12, bytes.len());
        assert_eq!(
            view.summary(),
            BatchSummary {
                base_offset: Offset::ZERO,
                last_offset: Offset::new(1),
                base_timestamp: Some(TimestampMs::new(1_000)),
                max_timestamp: Some(TimestampMs::new(1_500)),
                producer: Some(ProducerStamp {
                    id: ProducerId::new(9),
                    epoch: ProducerEpoch::new(3),
                    base_sequence: Sequence::new(i32::MAX),
                    last_sequence: Sequence::new(0),
                }),
                transactional: false,
                control: false,
                size: bytes.len() as u32,
            }
        );
        assert!(view.check_framing().unwrap().has_null_key);
    }

    #[test]
    fn another_create_time_leaves_a_sound_batch() {
        let mut bytes = BatchBuilder::new()
            .record(TimestampMs::new(5), None, Some(b"v"), &[])
            .record(TimestampMs::new(5), None, None, &[])
            .build();
        let records_crc = crc::crc32c(&bytes[HEADER_LEN..]);
        set_create_time(&mut bytes, TimestampMs::new(77), records_crc);
        let (view, _) = BatchView::parse(&bytes).unwrap();
        view.verify_crc().unwrap();
        let now = Some(TimestampMs::new(77));
        assert_eq!((view.base_timestamp(), view.max_timestamp()), (now, now));
        assert_eq!(view.record_count(), 2);
    }

    #[test]
    fn a_header_alone_says_the_same() {
        let bytes = batch();
        let (view, _) = BatchView::parse(&bytes).unwrap();
        let mut header: [u8; HEADER_LEN] = bytes[..HEADER_LEN].try_into().unwrap();
        assert_eq!(
            BatchSummary::from_header(&header),
            Ok((view.summary(), view.crc()))
        );
        header[LENGTH].copy_from_slice(&48i32.to_be_bytes());
        assert_eq!(BatchSummary::from_header(&header), Err(BatchError::InvalidLength));
        header[LENGTH].copy_from_slice(&49i32.to_be_bytes());
        header[BASE_OFFSET].copy_from_slice(&(-1i64).to_be_bytes());
        assert_eq!(
            BatchSummary::from_header(&header),
            Err(BatchError::InvalidOffsets)
        );
    }

    #[test]
    fn a_stamped_batch_is_as_if_built_with_it() {
        let built = batch();
        let (view, _) = BatchView::parse(&built).unwrap();
        let producer = view.summary().producer.unwrap();
        let mut bytes = BatchBuilder::new()
            .record(TimestampMs::new(1_000), Some(b"k"), Some(b"v"), &[])
            .record(TimestampMs::new(1_500), None, None, &[])
            .build();
        let records_crc = crc::crc32c(&bytes[HEADER_LEN..]);
        stamp(
            &mut bytes,
            producer.id,
            producer.epoch,
            producer.base_sequence,
            records_crc,
        );
        assert_eq!(bytes, built);
    }

    #[test]
    fn patching_leaves_the_crc_right() {
        let mut bytes = batch();
        patch(&mut bytes, Offset::new(77), LeaderEpoch::new(5));
        let (view, _) = BatchView::parse(&bytes).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.base_offset(), Offset::new(77));
        assert_eq!(view.partition_leader_epoch(), Some(LeaderEpoch::new(5)));
        set_log_append_time(&mut bytes, TimestampMs::new(9_999));
        let (view, _) = BatchView::parse(&bytes).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.attributes().timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(view.max_timestamp(), Some(TimestampMs::new(9_999)));
    }

    #[test]
    fn every_flipped_bit_that_the_crc_covers_shows() {
        let good = batch();
        for bit in 8 * CRC.start..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = BatchView::parse(&bytes).and_then(|(view, _)| view.verify_crc());
            assert!(seen.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let good = batch();
        let with = |range: Range<usize>, field: &[u8]| {
            let mut bytes = good.clone();
            bytes[range].copy_from_slice(field);
            BatchView::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(LENGTH, &48i32.to_be_bytes()), Err(BatchError::InvalidLength));
        assert_eq!(
            with(LENGTH, &(-1i32).to_be_bytes()),
            Err(BatchError::InvalidLength)
        );
        assert_eq!(with(LENGTH, &i32::MAX.to_be_bytes()), Err(BatchError::Truncated));
        assert_eq!(with(MAGIC, &[1]), Err(BatchError::UnsupportedMagic(1)));
        assert_eq!(
            with(BASE_OFFSET, &(-1i64).to_be_bytes()),
            Err(BatchError::InvalidOffsets)
        );
        assert_eq!(
            with(BASE_OFFSET, &i64::MAX.to_be_bytes()),
            Err(BatchError::InvalidOffsets)
        );
        assert_eq!(
            with(LAST_OFFSET_DELTA, &(-1i32).to_be_bytes()),
            Err(BatchError::InvalidOffsets)
        );
        assert_eq!(
            with(RECORD_COUNT, &(-1i32).to_be_bytes()),
            Err(BatchError::InvalidOffsets)
        );
        for end in 0..good.len() {
            assert_eq!(
                BatchView::parse(&good[..end]).map(|_| ()),
                Err(BatchError::Truncated)
            );
        }
    }

    #[test]
    fn batches_are_walked_to_the_first_bad_one() {
        let mut bytes = batch();
        bytes.extend_from_slice(&batch());
        assert_eq!(Batches::new(&bytes).filter(Result::is_ok).count(), 2);
        bytes.push(0);
        let walked: Vec<_> = Batches::new(&bytes).map(|batch| batch.map(|_| ())).collect();
        assert_eq!(walked, [Ok(()), Ok(()), Err(BatchError::Truncated)]);
    }
}

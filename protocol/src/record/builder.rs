//! Building batches, for clients, tools and tests. The broker never builds one out of a client's records.

use alloc::vec::Vec;

use super::batch::{self, HEADER_LEN, LENGTH_END};
use super::codec::Codec;
use super::crc;
use super::record::{Header, write_record};
use crate::primitive::Writer;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Collects records and gives the bytes of their batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    attributes: i16,
    producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
    base_timestamp: Option<TimestampMs>,
    max_timestamp: Option<TimestampMs>,
    record_count: i32,
    body: Writer,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    pub fn new() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: None,
            attributes: 0,
            producer: None,
            base_timestamp: None,
            max_timestamp: None,
            record_count: 0,
            body: Writer::new(),
        }
    }

    pub fn base_offset(mut self, offset: Offset) -> Self {
        self.base_offset = offset;
        self
    }

    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.leader_epoch = Some(epoch);
        self
    }

    /// Makes it an idempotent producer's batch, whose first record has `sequence`.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, sequence: Sequence) -> Self {
        self.producer = Some((id, epoch, sequence));
        self
    }

    pub fn transactional(mut self) -> Self {
        self.attributes |= batch::TRANSACTIONAL_BIT;
        self
    }

    pub fn control(mut self) -> Self {
        self.attributes |= batch::CONTROL_BIT;
        self
    }

    pub fn record(
        mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Self {
        self.push(timestamp, key, value, headers);
        self
    }

    /// Appends a record, whose offset is the next one. Panics where the timestamp is further from the first
    /// record's than 2^63 ms.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let delta = timestamp
            .get()
            .checked_sub(base.get())
            .expect("timestamps of one age");
        write_record(&mut self.body, self.record_count, delta, key, value, headers);
        self.max_timestamp = self.max_timestamp.max(Some(timestamp));
        self.record_count = self.record_count.checked_add(1).expect("fewer than 2^31 records");
    }

    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the batch as it is so far, if it is not compressed.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.body.bytes().len()
    }

    /// The batch, not compressed. Panics without a record.
    pub fn build(self) -> Vec<u8> {
        let body = self.body.bytes();
        self.assemble(Codec::None, body)
    }

    /// The batch with its records as `compress` gives them, which `codec` is the name of. Panics without a
    /// record.
    pub fn build_with(self, codec: Codec, compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let body = compress(self.body.bytes());
        self.assemble(codec, &body)
    }

    fn assemble(&self, codec: Codec, body: &[u8]) -> Vec<u8> {
        assert!(self.record_count > 0, "a batch without records");
        let size = HEADER_LEN + body.len();
        let mut w = Writer::with_capacity(size);
        w.i64(self.base_offset.get());
        w.i32(i32::try_from(size - LENGTH_END).expect("a batch is smaller than 2 GiB"));
        w.i32(self.leader_epoch.map_or(-1, LeaderEpoch::get));
        w.i8(2);
        w.u32(0);
        w.i16(self.attributes | i16::from(codec.id()));
        w.i32(self.record_count - 1);
        w.i64(TimestampMs::to_wire(self.base_timestamp));
        w.i64(TimestampMs::to_wire(self.max_timestamp));
        w.i64(self.producer.map_or(-1, |(id, _, _)| id.get()));
        w.i16(self.producer.map_or(-1, |(_, epoch, _)| epoch.get()));
        w.i32(self.producer.map_or(-1, |(_, _, sequence)| sequence.get()));
        w.i32(self.record_count);
        w.raw(body);
        let (mut bytes, _) = w.into_parts();
        let crc = crc::crc32c(&bytes[batch::CRC.end..]);
        bytes[batch::CRC].copy_from_slice(&crc.to_be_bytes());
        bytes
    }
}

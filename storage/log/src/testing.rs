//! What the tests of this crate share: batches with bytes behind them, and chance from a seed.

use alloc::vec::Vec;

use millstream_protocol::record::batch::{BatchSummary, ProducerStamp};
use millstream_protocol::types::{
    Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
};

use crate::{PartitionKey, StoredBatch, crc32c};

pub(crate) const NOW: TimestampMs = TimestampMs::new(1_000_000);

pub(crate) fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId::new([7; 16]),
        partition: PartitionIndex::new(partition),
    }
}

/// A batch of `records` as a producer sends it: offsets from 0.
pub(crate) fn summary(records: i64, size: u32, timestamp: i64) -> BatchSummary {
    BatchSummary {
        base_offset: Offset::ZERO,
        last_offset: Offset::new(records - 1),
        base_timestamp: Some(TimestampMs::new(timestamp)),
        max_timestamp: Some(TimestampMs::new(timestamp)),
        producer: None,
        transactional: false,
        control: false,
        size,
    }
}

pub(crate) fn stamp(id: i64, epoch: i16, base: i32, records: i32) -> ProducerStamp {
    let base_sequence = Sequence::new(base);
    ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence,
        last_sequence: base_sequence.advance(records - 1),
    }
}

/// The batch at `base` with its bytes.
pub(crate) fn stored(mut summary: BatchSummary, base: i64, bytes: &[u8]) -> StoredBatch {
    let delta = summary.last_offset - summary.base_offset;
    summary.base_offset = Offset::new(base);
    summary.last_offset = Offset::new(base + delta);
    summary.size = bytes.len() as u32;
    StoredBatch {
        summary,
        crc: crc32c(bytes),
    }
}

/// The same numbers for the same seed, on every machine (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Every single damaged byte among the first `used` and every shorter length must be an error; noise must not
/// panic.
pub(crate) fn damage_is_seen<T: core::fmt::Debug, E>(
    bytes: &[u8],
    used: usize,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) {
    assert!(decode(bytes).is_ok(), "undamaged bytes decode");
    for at in 0..used {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(decoded) = decode(&damaged) {
            panic!("byte {at} was damaged unseen: {decoded:?}");
        }
    }
    for len in 0..used {
        assert!(decode(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    let mut chance = Chance(1);
    for len in 0..500 {
        let _ = decode(&chance.bytes(len));
    }
}

/// Decodes bytes of a structure without a checksum of its own after many random changes: nothing may panic.
pub(crate) fn survives_changes<T, E>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, E>) {
    let mut chance = Chance(2);
    for _ in 0..3000 {
        let mut changed = bytes.to_vec();
        for _ in 0..1 + chance.below(3) {
            let at = chance.below(changed.len() as u64) as usize;
            changed[at] = if chance.one_in(2) {
                0xff
            } else {
                chance.next() as u8
            };
        }
        changed
            .truncate(changed.len() - chance.below(2) as usize * chance.below(changed.len() as u64) as usize);
        let _ = decode(&changed);
    }
}

#[test]
fn every_planted_bug_is_in_the_table_of_rules() {
    let table = include_str!("../../../docs/log-rules.md");
    for (number, bug) in crate::planted::Bug::ALL.iter().enumerate() {
        assert!(table.contains(&alloc::format!("`{bug:?}`")), "{bug:?}");
        assert_eq!(*bug as usize, number + 1, "all bugs are in the list, in order");
    }
}

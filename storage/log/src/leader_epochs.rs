//! Which leader epoch wrote which offsets, and where two histories part (KIP-101, KIP-279).
//!
//! Invariants: epochs and start offsets both rise strictly; at most [`EPOCHS_MAX`] entries. No entry claims an
//! offset that another epoch wrote: what was forgotten is unknown.

use alloc::vec::Vec;

use millstream_protocol::types::{LeaderEpoch, Offset};

use crate::codec::{FormatError, Put, Take};
use crate::limits::EPOCHS_MAX;

/// Offsets from `start_offset` on were written in `epoch`, up to the next entry's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// The history of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// `epoch` begins at `start_offset`. As in Kafka, an entry that it overtakes (an epoch that wrote
    /// nothing) is dropped.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        while self
            .entries
            .last()
            .is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset)
        {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start_offset });
        if self.entries.len() > EPOCHS_MAX {
            self.entries.remove(0);
        }
    }

    /// The answer of OffsetForLeaderEpoch: the largest epoch known that is not above `epoch`, and the offset
    /// at which it ends (exclusive). `None` for an epoch that this log has not seen yet, or where nothing is
    /// known.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch > latest {
            return None;
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(after).map_or(log_end, |next| next.start_offset);
        match after {
            0 => Some((epoch, end)),
            _ => Some((self.entries[after - 1].epoch, end)),
        }
    }

    /// Whether `epoch` can be what the batch with `offset` says: the epoch that wrote it, or, below the history's
    /// begin, one that is not younger than the history.
    pub fn may_have_written(&self, epoch: LeaderEpoch, offset: Offset) -> bool {
        match self.epoch_of(offset) {
            Some(known) => epoch == known,
            None => self.entries.first().is_none_or(|first| epoch <= first.epoch),
        }
    }

    /// The epoch that wrote `offset`; `None` below the history's begin.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Forgets epochs that end at or below the log's start; the one that reaches over it begins there.
    pub fn truncate_front(&mut self, log_start: Offset) {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= log_start);
        if let Some(covering) = after.checked_sub(1) {
            self.entries.drain(..covering);
            self.entries[0].start_offset = log_start;
        }
    }

    /// Forgets epochs that begin at or beyond the log's end.
    pub fn truncate_back(&mut self, log_end: Offset) {
        while self
            .entries
            .last()
            .is_some_and(|last| last.start_offset >= log_end)
        {
            self.entries.pop();
        }
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        out.count(self.entries.len());
        for entry in &self.entries {
            out.i32(entry.epoch.get());
            out.i64(entry.start_offset.get());
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let count = take.count(4 + 8, EPOCHS_MAX, "epochs")?;
        let mut entries: Vec<EpochStart> = Vec::with_capacity(count);
        for _ in 0..count {
            let entry = EpochStart {
                epoch: LeaderEpoch::checked(take.i32()?).ok_or(FormatError::Field("epoch"))?,
                start_offset: take.offset("epoch start")?,
            };
            let rises = entries
                .last()
                .is_none_or(|last| last.epoch < entry.epoch && last.start_offset < entry.start_offset);
            if !rises {
                return Err(FormatError::Field("epoch order"));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        entries
            .iter()
            .for_each(|&(epoch, start)| epochs.assign(LeaderEpoch::new(epoch), Offset::new(start)));
        epochs
    }

    fn end_of(epochs: &LeaderEpochs, epoch: i32) -> Option<(i32, i64)> {
        let found = epochs.end_offset_for(LeaderEpoch::new(epoch), Offset::new(100));
        found.map(|(epoch, offset)| (epoch.get(), offset.get()))
    }

    #[test]
    fn ends_are_where_the_next_epoch_begins() {
        let epochs = history(&[(2, 10), (4, 20), (7, 50)]);
        assert_eq!(end_of(&epochs, 1), Some((1, 10)), "older than the history");
        assert_eq!(end_of(&epochs, 2), Some((2, 20)));
        assert_eq!(end_of(&epochs, 5), Some((4, 50)), "an epoch between two");
        assert_eq!(end_of(&epochs, 7), Some((7, 100)));
        assert_eq!(end_of(&epochs, 8), None, "an epoch of the future");
        assert_eq!(end_of(&LeaderEpochs::default(), 0), None);
    }

    #[test]
    fn an_epoch_without_a_batch_is_overtaken() {
        assert_eq!(history(&[(1, 0), (2, 10), (3, 10)]), history(&[(1, 0), (3, 10)]));
        assert_eq!(history(&[(1, 0), (5, 10), (3, 20)]), history(&[(1, 0), (3, 20)]));
    }

    #[test]
    fn truncation_keeps_what_covers_the_log() {
        let mut epochs = history(&[(2, 10), (4, 20), (7, 50)]);
        epochs.truncate_front(Offset::new(25));
        assert_eq!(epochs, history(&[(4, 25), (7, 50)]));
        epochs.truncate_back(Offset::new(50));
        assert_eq!(epochs, history(&[(4, 25)]));
        assert_eq!(epochs.epoch_of(Offset::new(30)), Some(LeaderEpoch::new(4)));
        assert_eq!(epochs.epoch_of(Offset::new(24)), None);
    }

    #[test]
    fn an_epoch_that_did_not_write_an_offset_is_told_from_the_one_that_did() {
        let mut epochs = history(&[(2, 10), (4, 20), (7, 50)]);
        let may = |epochs: &LeaderEpochs, epoch, offset| {
            epochs.may_have_written(LeaderEpoch::new(epoch), Offset::new(offset))
        };
        let writers = |epochs: &LeaderEpochs, offset| {
            (0..10)
                .filter(|&epoch| may(epochs, epoch, offset))
                .collect::<Vec<_>>()
        };
        assert_eq!(writers(&epochs, 10), [2]);
        assert_eq!(writers(&epochs, 49), [4]);
        assert_eq!(writers(&epochs, 1000), [7]);
        assert_eq!(writers(&epochs, 9), [0, 1, 2], "older than the history");
        epochs.truncate_front(Offset::new(25));
        assert_eq!(
            writers(&epochs, 21),
            [0, 1, 2, 3, 4],
            "the oldest epoch left wrote below the log's start as well"
        );
        assert_eq!(writers(&epochs, 25), [4]);
    }

    #[test]
    fn a_full_history_forgets_its_oldest_epoch() {
        let mut epochs = LeaderEpochs::default();
        (0..=EPOCHS_MAX as i32)
            .for_each(|epoch| epochs.assign(LeaderEpoch::new(epoch), Offset::new(epoch.into())));
        assert_eq!(epochs.entries().len(), EPOCHS_MAX);
        assert_eq!(
            end_of(&epochs, 0),
            Some((0, 1)),
            "an older epoch ends where the history begins"
        );
        assert_eq!(
            epochs.epoch_of(Offset::ZERO),
            None,
            "no other epoch claims its offsets"
        );
        assert_eq!(epochs.epoch_of(Offset::new(1)), Some(LeaderEpoch::new(1)));
    }
}

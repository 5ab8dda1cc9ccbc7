//! Whether a fetch of one partition may be answered, and up to where.
//!
//! Place: the owner shard's fetch handler, before it reads from the log.
//!
//! Invariants: nothing at or beyond the bound is read: the high watermark, or the last stable offset for a
//! consumer that reads committed transactions only.

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::{LeaderEpoch, Offset};

use super::watermark::Watermarks;

/// Which records a consumer wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// One partition of a fetch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchAsk {
    /// As on the wire.
    pub fetch_offset: i64,
    /// The epoch in which the client believes the leader to be; `None` where it does not say.
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub isolation: Isolation,
}

/// Records from `from` to `bound`, exclusive, may be read. They are equal where there is nothing to read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPlan {
    pub from: Offset,
    pub bound: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Below the log's start or beyond its end.
    OffsetOutOfRange,
    /// The client's leader epoch is older than the partition's: it must refresh its metadata.
    FencedLeaderEpoch,
    /// The client's leader epoch is newer than the partition's: this broker must catch up.
    UnknownLeaderEpoch,
}

/// Where a fetcher's log and this one part (KIP-595): the fetcher truncates to `end_offset` of `epoch` and
/// asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    pub epoch: LeaderEpoch,
    /// Exclusive.
    pub end_offset: Offset,
}

impl FetchError {
    pub const fn code(self) -> ErrorCode {
        match self {
            FetchError::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
            FetchError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            FetchError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        }
    }
}

impl FetchAsk {
    /// What may be read of a partition with these marks, whose leader is in epoch `epoch`.
    pub fn plan(&self, marks: &Watermarks, epoch: LeaderEpoch) -> Result<FetchPlan, FetchError> {
        check_epoch(self.current_leader_epoch, epoch)?;
        let from = Offset::checked(self.fetch_offset).ok_or(FetchError::OffsetOutOfRange)?;
        if from < marks.start() || from > marks.end().0 {
            return Err(FetchError::OffsetOutOfRange);
        }
        let bound = match self.isolation {
            Isolation::ReadUncommitted => marks.high_watermark().0,
            Isolation::ReadCommitted => marks.last_stable().0,
        };
        Ok(FetchPlan {
            from,
            bound: bound.max(from),
        })
    }
}

impl FetchPlan {
    pub fn is_empty(&self) -> bool {
        self.from == self.bound
    }
}

/// Compares the leader epoch that a client believes in with the partition's. Fetch, ListOffsets and
/// OffsetForLeaderEpoch all begin with it.
pub fn check_epoch(claimed: Option<LeaderEpoch>, current: LeaderEpoch) -> Result<(), FetchError> {
    match claimed {
        Some(claimed) if claimed < current => Err(FetchError::FencedLeaderEpoch),
        Some(claimed) if claimed > current => Err(FetchError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// Whether a fetcher's log agrees with ours. Its last record is of epoch `last_fetched`, and it goes on at
/// `from`; ours ends that epoch (or the largest one below it) at `ours`, `None` where we have no epoch so
/// old.
pub fn check_divergence(
    last_fetched: LeaderEpoch,
    from: Offset,
    ours: Option<(LeaderEpoch, Offset)>,
) -> Result<Option<Divergence>, FetchError> {
    let (epoch, end_offset) = ours.ok_or(FetchError::OffsetOutOfRange)?;
    let diverges = epoch < last_fetched || end_offset < from;
    Ok(diverges.then_some(Divergence { epoch, end_offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log from 10 to 30, flushed and visible to 20, in epoch 5.
    #[track_caller]
    fn check(fetch_offset: i64, claimed: Option<i32>, expect: Result<(i64, i64), FetchError>) {
        let mut marks = Watermarks::open(Offset::new(10), Offset::new(20), false);
        marks.append(Offset::new(30));
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let current_leader_epoch = claimed.map(LeaderEpoch::new);
            let ask = FetchAsk {
                fetch_offset,
                current_leader_epoch,
                isolation,
            };
            let found = ask
                .plan(&marks, LeaderEpoch::new(5))
                .map(|plan| (plan.from.get(), plan.bound.get()));
            assert_eq!(found, expect);
        }
    }

    #[test]
    fn reads_end_at_the_high_watermark() {
        check(10, None, Ok((10, 20)));
        check(20, None, Ok((20, 20)));
    }

    #[test]
    fn offsets_between_high_watermark_and_end_wait() {
        check(21, None, Ok((21, 21)));
        check(30, None, Ok((30, 30)));
    }

    #[test]
    fn offsets_outside_the_log_are_out_of_range() {
        check(9, None, Err(FetchError::OffsetOutOfRange));
        check(31, None, Err(FetchError::OffsetOutOfRange));
        check(-1, None, Err(FetchError::OffsetOutOfRange));
    }

    #[test]
    fn the_epoch_is_looked_at_before_the_offset() {
        check(10, Some(5), Ok((10, 20)));
        check(99, Some(4), Err(FetchError::FencedLeaderEpoch));
        check(99, Some(6), Err(FetchError::UnknownLeaderEpoch));
    }

    #[test]
    fn logs_diverge_where_an_epoch_ends_earlier() {
        let check = |last_fetched, from, ours: Option<(i32, i64)>| {
            let ours = ours.map(|(epoch, end)| (LeaderEpoch::new(epoch), Offset::new(end)));
            check_divergence(LeaderEpoch::new(last_fetched), Offset::new(from), ours)
        };
        let at = |epoch, end| Divergence {
            epoch: LeaderEpoch::new(epoch),
            end_offset: Offset::new(end),
        };
        assert_eq!(check(3, 15, Some((3, 15))), Ok(None));
        assert_eq!(check(3, 15, Some((3, 20))), Ok(None));
        assert_eq!(check(3, 15, Some((3, 14))), Ok(Some(at(3, 14))));
        assert_eq!(check(3, 15, Some((2, 20))), Ok(Some(at(2, 20))));
        assert_eq!(check(3, 15, None), Err(FetchError::OffsetOutOfRange));
    }
}

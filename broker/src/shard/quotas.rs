//! Quotas of clients as they act: what a client used is counted over all cores, and who used too much is not listened
//! to for a while.
//!
//! Invariants: nothing is counted, and no lock taken, for a client without a quota. Whom nobody has room to count for
//! shares one count with the others of that kind.

use std::collections::BTreeMap;

use millstream_machine::quota::entity::QuotaEntity;
use millstream_machine::quota::window::Window;
use millstream_machine::quota::{QuotaKind, Rate};
use millstream_protocol::time::{Duration, Instant};

use super::slab::Key;
use super::state::Shard;
use crate::limits::QUOTA_WINDOWS_MAX;

/// What every client that has a quota used lately.
#[derive(Debug, Default)]
pub struct QuotaWindows {
    by_client: BTreeMap<(QuotaKind, QuotaEntity), Window>,
}

impl QuotaWindows {
    fn add(
        &mut self,
        kind: QuotaKind,
        client: QuotaEntity,
        bytes: usize,
        quota: Rate,
        now: Instant,
    ) -> Duration {
        let mut place = (kind, client);
        if !self.by_client.contains_key(&place) && self.by_client.len() >= QUOTA_WINDOWS_MAX {
            self.by_client.retain(|_, window| !window.is_over(now));
            if self.by_client.len() >= QUOTA_WINDOWS_MAX {
                place.1 = QuotaEntity::default();
            }
        }
        self.by_client
            .entry(place)
            .or_default()
            .add(bytes as f64, quota, now)
    }
}

impl Shard {
    /// Remembers who speaks on a connection, as long as that could matter.
    pub(crate) fn note_client(&mut self, connection: Key, client_id: Option<&str>) {
        if self.image.quotas().is_empty() {
            return;
        }
        let Some(connection) = self.connections.get_mut(connection) else {
            return;
        };
        let client_id = client_id.unwrap_or_default();
        if *connection.client_id != *client_id {
            connection.client_id = client_id.into();
        }
    }

    /// Counts what a client used. Where that was too much its connection takes no request for a while: so many
    /// milliseconds, which it is told.
    pub(crate) fn charge_quota(&mut self, connection: Key, kind: QuotaKind, bytes: usize) -> i32 {
        if self.image.quotas().is_empty() {
            return 0;
        }
        let Some(open) = self.connections.get_mut(connection) else {
            return 0;
        };
        let quota = self.image.quotas().of_client(kind, ANONYMOUS, &open.client_id);
        let Some((client, quota)) = quota else { return 0 };
        let now = self.now.monotonic;
        let wait = self
            .table
            .with_quotas(|windows| windows.add(kind, client, bytes, quota, now));
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        if millis > 0 {
            let until = now + wait;
            open.muted_until = open.muted_until.max(Some(until));
            self.muted.insert((until, connection.to_bits()));
        }
        millis
    }

    /// Listens again to those who have waited long enough.
    pub(super) fn unmute_connections(&mut self) {
        while let Some((until, connection)) = self.muted.first().copied() {
            if until > self.now.monotonic {
                break;
            }
            self.muted.pop_first();
            self.mark_ready(Key::from_bits(connection));
        }
    }
}

/// Whom Kafka takes a client for that nobody asked who it is.
const ANONYMOUS: &str = "ANONYMOUS";

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_machine::quota::entity::Name;

    #[test]
    fn who_finds_no_room_shares_with_the_others() {
        let mut windows = QuotaWindows::default();
        let (now, quota) = (Instant::ZERO + Duration::from_millis(1), Rate::new(1.0));
        let client = |number: usize| QuotaEntity {
            client_id: Some(Name::Is(number.to_string().into())),
            ..QuotaEntity::default()
        };
        let mut add = |number, now| windows.add(QuotaKind::Fetch, client(number), 10, quota, now);
        for number in 0..QUOTA_WINDOWS_MAX {
            assert_eq!(add(number, now), Duration::ZERO);
        }
        assert_eq!(add(QUOTA_WINDOWS_MAX, now), Duration::ZERO);
        assert_ne!(add(QUOTA_WINDOWS_MAX + 1, now), Duration::ZERO);
        let later = now + Duration::from_millis(60_000);
        assert_eq!(add(QUOTA_WINDOWS_MAX + 2, later), Duration::ZERO);
        assert_eq!(windows.by_client.len(), 1);
    }
}

//! Quotas of clients as they act: what a client used is counted over all cores, and who used too much is told so and
//! not listened to for a while.
//!
//! The time of a request is that of its handling on the shard of its connection, up to the answer where that follows
//! at once, and that of the owners of partitions for writing and reading, which comes with what they answer.
//!
//! Invariants: nothing is counted, no clock read and no lock taken, for a client without a quota. Whom nobody has room
//! to count for shares one count with the others of that kind.

use std::collections::BTreeMap;
use std::net::IpAddr;

use millstream_machine::quota::entity::QuotaEntity;
use millstream_machine::quota::mutations::MutationQuota;
use millstream_machine::quota::window::{PutOff, Window, burst};
use millstream_machine::quota::{QuotaKind, Rate};
use millstream_protocol::time::{Duration, Instant};

use super::slab::Key;
use super::state::Shard;
use crate::limits::QUOTA_WINDOWS_MAX;
use crate::server::connection::pipeline::RequestSequence;
use crate::server::reply::ReplyTo;

/// What every client that has a quota used lately.
#[derive(Debug, Default)]
pub struct QuotaWindows {
    by_client: BTreeMap<(QuotaKind, QuotaEntity), Window>,
}

/// A request that is being handled, of a client whose time has a quota.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    connection: Key,
    request: RequestSequence,
    /// What was before is counted already.
    since: Instant,
}

impl QuotaWindows {
    fn of(&mut self, kind: QuotaKind, client: QuotaEntity, now: Instant) -> &mut Window {
        let mut place = (kind, client);
        if !self.by_client.contains_key(&place) && self.by_client.len() >= QUOTA_WINDOWS_MAX {
            self.by_client.retain(|_, window| !window.is_over(now));
            if self.by_client.len() >= QUOTA_WINDOWS_MAX {
                place.1 = QuotaEntity::default();
            }
        }
        self.by_client.entry(place).or_default()
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

    /// Counts what a client wrote; how long it has to wait.
    pub(crate) fn charge_produce(&mut self, to: ReplyTo, bytes: usize) -> Duration {
        let Some((client, quota)) = self.quota_of(to.connection, QuotaKind::Produce) else {
            return Duration::ZERO;
        };
        let now = self.now.monotonic;
        self.table.with_quotas(|windows| {
            windows
                .of(QuotaKind::Produce, client, now)
                .add(bytes as f64, quota, now)
        })
    }

    /// Counts what a client is about to read, or says that it is to come again; `also` is what it has to wait for other
    /// reasons.
    pub(crate) fn charge_fetch(&mut self, to: ReplyTo, bytes: usize, also: Duration) -> PutOff {
        let now = self.now.monotonic;
        match self.quota_of(to.connection, QuotaKind::Fetch) {
            Some((client, quota)) => self.table.with_quotas(|windows| {
                let window = windows.of(QuotaKind::Fetch, client, now);
                window.add_or_put_off(bytes as f64, quota, also, now)
            }),
            None => PutOff {
                wait: also,
                is_put_off: !also.is_zero(),
            },
        }
    }

    /// The most that a client may read at once.
    pub(crate) fn fetch_allowance(&self, connection: Key) -> usize {
        let quota = self.quota_of(connection, QuotaKind::Fetch);
        quota.map_or(usize::MAX, |(_, quota)| burst(quota) as usize)
    }

    /// What limits a client's changes of topics; `strict` where it knows THROTTLING_QUOTA_EXCEEDED.
    pub(crate) fn mutation_quota(&self, connection: Key, strict: bool) -> Option<MutationQuota> {
        let (client, rate) = self.quota_of(connection, QuotaKind::ControllerMutation)?;
        Some(MutationQuota {
            client,
            rate,
            strict,
            now: self.now.monotonic,
        })
    }

    /// What limits the topics that the broker makes for itself: in Kafka it asks its controller as a client does whose
    /// id is its number.
    pub(crate) fn own_mutation_quota(&self) -> Option<MutationQuota> {
        let quotas = self.image.quotas();
        let client_id = self.options.node_id.to_string();
        let (client, rate) = quotas.of_client(QuotaKind::ControllerMutation, ANONYMOUS, &client_id)?;
        Some(MutationQuota {
            client,
            rate,
            strict: true,
            now: self.now.monotonic,
        })
    }

    /// Counts a connection of an address; where there are too many it is not counted, and this is how long to keep it
    /// until it is closed: so long its client does not come again at once.
    pub(super) fn charge_connection(&self, address: IpAddr) -> Duration {
        let quotas = self.image.quotas();
        if quotas.is_empty() {
            return Duration::ZERO;
        }
        let Some((of, quota)) = quotas.of_address(address) else {
            return Duration::ZERO;
        };
        let now = self.now.monotonic;
        let wait = self.table.with_quotas(|windows| {
            windows
                .of(QuotaKind::Connection, of, now)
                .add_or_refuse(1.0, quota, now)
        });
        wait.min(AT_ONCE_MAX)
    }

    /// Hears nothing of a connection, and closes it after a while.
    pub(super) fn end_later(&mut self, connection: Key, wait: Duration) {
        if let Some(open) = self.connections.get_mut(connection) {
            open.is_one_too_many = true;
            self.mute(connection, wait.max(TOLD_MIN));
        }
    }

    /// From here on the time is this request's, as far as that could matter.
    pub(crate) fn begin_timing(&mut self, to: ReplyTo) {
        if self.is_timed(to.connection) {
            self.timed = Some(Timed {
                connection: to.connection,
                request: to.request,
                since: (self.options.clock)(),
            });
        }
    }

    /// The request is handled; what it took since its answer is counted, and nobody is told.
    pub(crate) fn end_timing(&mut self) {
        if let Some(timed) = self.timed.take() {
            let spent = (self.options.clock)().saturating_since(timed.since);
            self.charge_time(timed.connection, spent);
        }
    }

    /// Whether the time of a connection's requests counts.
    pub(crate) fn is_timed(&self, connection: Key) -> bool {
        self.quota_of(connection, QuotaKind::Request).is_some()
    }

    /// The clock, where somebody's time counts.
    pub(crate) fn clock_if(&self, timed: bool) -> Option<Instant> {
        timed.then(|| (self.options.clock)())
    }

    /// The time since the clock was read, if it was.
    pub(crate) fn since(&self, began: Option<Instant>) -> Duration {
        began.map_or(Duration::ZERO, |began| {
            (self.options.clock)().saturating_since(began)
        })
    }

    /// Counts the time that a request took until now, `elsewhere` or in pieces that were not counted before; how long
    /// its client has to wait.
    pub(crate) fn charge_request(&mut self, to: ReplyTo, elsewhere: Duration) -> Duration {
        if self.image.quotas().is_empty() {
            return Duration::ZERO;
        }
        let spent = match &mut self.timed {
            Some(timed) if (timed.connection, timed.request) == (to.connection, to.request) => {
                let now = (self.options.clock)();
                now.saturating_since(std::mem::replace(&mut timed.since, now))
            }
            // It was answered later: its time is counted already.
            _ => Duration::ZERO,
        };
        self.charge_time(to.connection, spent + elsewhere)
    }

    fn charge_time(&mut self, connection: Key, spent: Duration) -> Duration {
        let Some((client, quota)) = self.quota_of(connection, QuotaKind::Request) else {
            return Duration::ZERO;
        };
        let percents = spent.as_nanos() as f64 * PERCENTS_PER_NANO;
        let now = self.now.monotonic;
        let wait = self.table.with_quotas(|windows| {
            windows
                .of(QuotaKind::Request, client, now)
                .add(percents, quota, now)
        });
        wait.min(AT_ONCE_MAX)
    }

    /// Listens no more to a connection for a while: so many milliseconds, which its client is told.
    pub(crate) fn mute(&mut self, connection: Key, wait: Duration) -> i32 {
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        if millis > 0
            && let Some(open) = self.connections.get_mut(connection)
        {
            let until = self.now.monotonic + wait;
            open.muted_until = open.muted_until.max(Some(until));
            self.muted.insert((until, connection.to_bits()));
        }
        millis
    }

    fn quota_of(&self, connection: Key, kind: QuotaKind) -> Option<(QuotaEntity, Rate)> {
        let quotas = self.image.quotas();
        if quotas.is_empty() {
            return None;
        }
        let open = self.connections.get(connection)?;
        quotas.of_client(kind, ANONYMOUS, &open.client_id)
    }

    /// Listens again to those who have waited long enough, and ends those who waited for that.
    pub(super) fn unmute_connections(&mut self) {
        while let Some((until, connection)) = self.muted.first().copied() {
            if until > self.now.monotonic {
                break;
            }
            self.muted.pop_first();
            let key = Key::from_bits(connection);
            match self.connections.get(key).is_some_and(|it| it.is_one_too_many) {
                true => self.abort(key),
                false => self.mark_ready(key),
            }
        }
    }
}

/// Whom Kafka takes a client for that nobody asked who it is.
const ANONYMOUS: &str = "ANONYMOUS";
/// A nanosecond of each second, in percents of a thread.
const PERCENTS_PER_NANO: f64 = 100.0 / 1e9;
/// Nobody waits longer at once for the time that he used, or for the end of a connection: Kafka's window.
const AT_ONCE_MAX: Duration = Duration::from_secs(1);
/// What is less counts as nothing.
const TOLD_MIN: Duration = Duration::from_millis(1);

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
        let mut add = |number, now| {
            let window = windows.of(QuotaKind::Fetch, client(number), now);
            window.add(10.0, quota, now)
        };
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

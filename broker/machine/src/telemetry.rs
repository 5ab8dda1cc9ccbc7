//! Clients' metrics (KIP-714): what is asked of which client, when it may be told again, and what was told last.
//!
//! Place: `subscriptions` says what is asked, `selector` of whom, `otlp` reads what comes. The shell hands in requests
//! of whatever connection, and the bytes that a client pushed once it has decompressed them.
//!
//! Invariants: who may ask and push when, and what a push is refused with, is as in Kafka 4.3. Clients and the bytes
//! kept of them are bounded: beyond the bound those go that would be forgotten first. A client that is not heard of for
//! three intervals, a minute at least, is forgotten with all that it told.

pub mod otlp;
pub mod selector;
pub mod subscriptions;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{TimestampMs, TopicId};

use self::selector::Client;
use self::subscriptions::{Requested, Subscriptions};
use crate::limits::TelemetryLimits;

/// By what a client's process is known for its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientInstanceId(TopicId);

/// A push, but for what it tells.
#[derive(Clone, Copy, Debug)]
pub struct Push {
    pub subscription_id: i32,
    pub terminating: bool,
    /// By the id that record batches have.
    pub compression: i8,
    /// Of the metrics, as they are sent.
    pub bytes: usize,
    /// `telemetry.max.bytes`, inclusive.
    pub bytes_max: usize,
}

/// All clients that are asked for something and that were heard of lately.
#[derive(Debug)]
pub struct Telemetry {
    instances: BTreeMap<ClientInstanceId, Instance>,
    /// The same, by when they are forgotten.
    by_expiry: BTreeSet<(Instant, ClientInstanceId)>,
    /// Bytes of metrics that are kept of all of them.
    kept: usize,
    limits: TelemetryLimits,
}

/// One of them.
#[derive(Debug)]
pub struct Instance {
    pub client_id: Box<str>,
    pub software_name: Box<str>,
    pub software_version: Box<str>,
    pub address: Box<str>,
    pub port: u16,
    pub push_interval: Duration,
    /// It said that it ends.
    pub terminating: bool,
    /// What it told last.
    pub told: Option<Told>,
    subscription_id: i32,
    /// Of the subscriptions that the id is for.
    version: u64,
    last_get: Option<Instant>,
    last_push: Option<Instant>,
    last_error: ErrorCode,
    expires: Instant,
}

/// What a client told.
#[derive(Clone, Debug)]
pub struct Told {
    /// OpenTelemetry's `MetricsData`, which [`otlp::read`] reads.
    pub metrics: Box<[u8]>,
    pub at: TimestampMs,
}

impl Telemetry {
    pub fn new(limits: TelemetryLimits) -> Self {
        Self {
            instances: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            kept: 0,
            limits,
        }
    }

    /// What a client that asks is to tell. Who asks again before its interval is over is throttled, unless it has to
    /// because its push was refused.
    pub fn get(
        &mut self,
        client: &Client<'_>,
        subscriptions: &Subscriptions,
        now: Instant,
    ) -> Result<Requested, ErrorCode> {
        let instance = self.instance(client, subscriptions, now);
        let must_ask = matches!(
            instance.last_error,
            ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType
        );
        if !instance.may_get(now) && !must_ask {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        instance.last_error = ErrorCode::None;
        Ok(subscriptions.of_client(client))
    }

    /// Whether a client may push now. What it tells goes to [`Telemetry::keep`].
    pub fn push(
        &mut self,
        client: &Client<'_>,
        push: &Push,
        subscriptions: &Subscriptions,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let instance = self.instance(client, subscriptions, now);
        let checked = instance.check(push, now);
        instance.terminating = push.terminating;
        instance.last_error = checked.err().unwrap_or(ErrorCode::None);
        checked
    }

    /// Keeps what a client told, in the place of what it told before. Metrics that are larger than all clients' may be
    /// are not kept.
    pub fn keep(&mut self, id: ClientInstanceId, told: Told) {
        let bytes = told.metrics.len();
        let Some(instance) = self
            .instances
            .get_mut(&id)
            .filter(|_| bytes <= self.limits.kept_bytes_max)
        else {
            return;
        };
        let before = instance.told.replace(told);
        self.kept = self.kept + bytes - before.map_or(0, |told| told.metrics.len());
        while self.kept > self.limits.kept_bytes_max {
            self.forget_first_but(id);
        }
    }

    /// What a client pushed was no metrics, or too much of them.
    pub fn refused(&mut self, id: ClientInstanceId, error: ErrorCode) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.last_error = error;
        }
    }

    /// Forgets those who were not heard of for long.
    pub fn expire(&mut self, now: Instant) {
        while let Some((expires, id)) = self.by_expiry.first().copied() {
            if expires > now {
                return;
            }
            self.forget(id);
        }
    }

    /// In order of their ids.
    pub fn instances(&self) -> impl Iterator<Item = (ClientInstanceId, &Instance)> {
        self.instances.iter().map(|(id, instance)| (*id, instance))
    }

    pub fn find(&self, id: ClientInstanceId) -> Option<&Instance> {
        self.instances.get(&id)
    }

    /// The client as it is known, asked for what is asked now; it is heard of.
    fn instance(
        &mut self,
        client: &Client<'_>,
        subscriptions: &Subscriptions,
        now: Instant,
    ) -> &mut Instance {
        self.expire(now);
        let id = client.instance;
        let known = self.instances.remove(&id);
        if let Some(known) = &known {
            self.by_expiry.remove(&(known.expires, id));
        } else if self.instances.len() >= self.limits.instances_max {
            self.forget_first_but(id);
        }
        let mut instance = match known {
            Some(known) if known.version >= subscriptions.version() => known,
            known => {
                let asked = subscriptions.of_client(client);
                Instance::new(
                    client,
                    &asked,
                    subscriptions.version(),
                    known.and_then(|known| known.told),
                )
            }
        };
        instance.expires = now + remembered(instance.push_interval);
        self.by_expiry.insert((instance.expires, id));
        self.instances.entry(id).or_insert(instance)
    }

    fn forget_first_but(&mut self, spared: ClientInstanceId) {
        let mut others = self.by_expiry.iter().filter(|(_, id)| *id != spared);
        if let Some((_, id)) = others.next().copied() {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ClientInstanceId) {
        if let Some(gone) = self.instances.remove(&id) {
            self.by_expiry.remove(&(gone.expires, id));
            self.kept -= gone.told.map_or(0, |told| told.metrics.len());
        }
    }
}

impl Instance {
    fn new(client: &Client<'_>, asked: &Requested, version: u64, told: Option<Told>) -> Self {
        Self {
            client_id: shown(client.client_id),
            software_name: shown(client.software_name),
            software_version: shown(client.software_version),
            address: shown(client.address),
            port: client.port,
            push_interval: asked.push_interval,
            terminating: false,
            told,
            subscription_id: asked.subscription_id,
            version,
            last_get: None,
            last_push: None,
            last_error: ErrorCode::None,
            expires: Instant::ZERO,
        }
    }

    fn may_get(&mut self, now: Instant) -> bool {
        let may = self.is_over(self.last_get.max(self.last_push), now);
        if may {
            self.last_get = Some(now);
        }
        may
    }

    /// Its first push after it asked comes when it likes, so that a start does not make all clients push together.
    fn may_push(&mut self, now: Instant) -> bool {
        let may = self.last_get > self.last_push || self.is_over(self.last_push, now);
        if may {
            self.last_push = Some(now);
        }
        may
    }

    fn is_over(&self, last: Option<Instant>, now: Instant) -> bool {
        last.is_none_or(|last| now.saturating_since(last) >= self.push_interval)
    }

    fn check(&mut self, push: &Push, now: Instant) -> Result<(), ErrorCode> {
        if self.terminating {
            return Err(ErrorCode::InvalidRequest);
        }
        if !self.may_push(now) && !push.terminating {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        push.check(self.subscription_id)
    }
}

impl Push {
    /// Whether it is as a client that is asked for this may push, whenever it comes.
    pub fn check(&self, subscription_id: i32) -> Result<(), ErrorCode> {
        if self.subscription_id != subscription_id {
            return Err(ErrorCode::UnknownSubscriptionId);
        }
        if !COMPRESSIONS.contains(&self.compression) {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        match self.bytes > self.bytes_max {
            true => Err(ErrorCode::TelemetryTooLarge),
            false => Ok(()),
        }
    }
}

impl ClientInstanceId {
    pub const fn new(id: TopicId) -> Self {
        Self(id)
    }

    pub const fn get(self) -> TopicId {
        self.0
    }

    /// No client has one of these.
    pub fn is_reserved(self) -> bool {
        u128::from_be_bytes(self.0.get()) <= 1
    }
}

impl fmt::Display for ClientInstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long a client is remembered that is asked so often.
fn remembered(push_interval: Duration) -> Duration {
    let intervals = push_interval.as_nanos().saturating_mul(INTERVALS_REMEMBERED);
    Duration::from_nanos(intervals).max(REMEMBERED_MIN)
}

/// What is remembered of a text, to be shown: a client may call itself whatever it likes.
fn shown(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(SHOWN_BYTES_MAX)].into()
}

/// None, gzip, snappy, lz4 and zstd.
const COMPRESSIONS: core::ops::RangeInclusive<i8> = 0..=4;
/// What clients are told that they may compress with, the best first, as Kafka has it.
pub const ACCEPTED_COMPRESSIONS: [i8; 4] = [4, 3, 1, 2];
/// As Kafka's.
const INTERVALS_REMEMBERED: u64 = 3;
/// As Kafka's.
const REMEMBERED_MIN: Duration = Duration::from_secs(60);
const SHOWN_BYTES_MAX: usize = 128;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

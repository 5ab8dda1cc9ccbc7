//! Quotas: how much a client may ask of the broker in a second, whom a quota is for, and how long who asked for more
//! has to wait.
//!
//! Place: `entity` names whom a quota is for; the cluster's image keeps the values, the controller decides on them;
//! `window` measures what a client used, on behalf of the shards, `mutations` what it changed, on the controller's.

pub mod entity;
pub mod mutations;
pub mod window;

use alloc::string::ToString;
use alloc::sync::Arc;
use core::net::IpAddr;

use rpds::RedBlackTreeMapSync;

use entity::{Name, QuotaEntity};

/// How much, in units a second: bytes, or percents of a core's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    bits: u64,
}

/// What a quota limits where it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKind {
    Produce,
    Fetch,
    /// The time of the shards' threads: a hundred is all of one.
    Request,
    /// Partitions created and deleted.
    ControllerMutation,
    /// Connections of an address.
    Connection,
}

/// All quotas, by whom they are for and by their name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    by_entity: RedBlackTreeMapSync<QuotaEntity, Arc<RedBlackTreeMapSync<Arc<str>, Rate>>>,
}

impl Rate {
    pub const fn new(rate: f64) -> Self {
        Self { bits: rate.to_bits() }
    }

    pub const fn get(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

impl QuotaKind {
    /// The name of the quota, as clients set it.
    pub const fn key(self) -> &'static str {
        match self {
            QuotaKind::Produce => "producer_byte_rate",
            QuotaKind::Fetch => "consumer_byte_rate",
            QuotaKind::Request => "request_percentage",
            QuotaKind::ControllerMutation => "controller_mutation_rate",
            QuotaKind::Connection => "connection_creation_rate",
        }
    }
}

impl Quotas {
    pub fn is_empty(&self) -> bool {
        self.by_entity.is_empty()
    }

    /// In order of the entities.
    pub fn iter(
        &self,
    ) -> impl Iterator<Item = (&QuotaEntity, impl ExactSizeIterator<Item = (&Arc<str>, &Rate)>)> {
        self.by_entity
            .iter()
            .map(|(entity, values)| (entity, values.iter()))
    }

    pub fn get(&self, entity: &QuotaEntity, key: &str) -> Option<Rate> {
        self.by_entity.get(entity)?.get(key).copied()
    }

    /// Sets a value, or (`None`) takes it back.
    pub fn set(&mut self, entity: &QuotaEntity, key: &str, value: Option<Rate>) {
        let mut values = match self.by_entity.get(entity) {
            Some(values) => RedBlackTreeMapSync::clone(values),
            None => RedBlackTreeMapSync::new_sync(),
        };
        match value {
            Some(value) => values.insert_mut(key.into(), value),
            None => {
                values.remove_mut(key);
            }
        }
        match values.is_empty() {
            true => {
                self.by_entity.remove_mut(entity);
            }
            false => self.by_entity.insert_mut(entity.clone(), Arc::new(values)),
        }
    }

    /// What holds for a client of a user, and for whom it is counted together: the nearest of the quotas that fit, in
    /// Kafka's order.
    pub fn of_client(&self, kind: QuotaKind, user: &str, client_id: &str) -> Option<(QuotaEntity, Rate)> {
        let named = |name: &str| Some(Name::Is(name.into()));
        let (user, client) = (named(user), named(client_id));
        let default = Some(Name::Default);
        let fitting = [
            (&user, &client),
            (&user, &default),
            (&user, &None),
            (&default, &client),
            (&default, &default),
            (&default, &None),
            (&None, &client),
            (&None, &default),
        ];
        fitting.into_iter().find_map(|(of_user, of_client)| {
            let entity = QuotaEntity {
                user: of_user.clone(),
                client_id: of_client.clone(),
                ip: None,
            };
            let rate = self.get(&entity, kind.key())?;
            // Whom a default is for has it alone.
            let own = |part: &Option<Name>, name: &Option<Name>| part.as_ref().and(name.clone());
            let counted = QuotaEntity {
                user: own(&entity.user, &user),
                client_id: own(&entity.client_id, &client),
                ip: None,
            };
            Some((counted, rate))
        })
    }

    /// What holds for connections of an address, and for whom they are counted together: its own quota, or the one of
    /// those that have none. Whom a host's name stands for nobody knows here.
    pub fn of_address(&self, address: IpAddr) -> Option<(QuotaEntity, Rate)> {
        let of = |name| QuotaEntity {
            ip: Some(name),
            ..QuotaEntity::default()
        };
        let own = of(Name::Is(address.to_canonical().to_string().into()));
        let key = QuotaKind::Connection.key();
        let rate = self
            .get(&own, key)
            .or_else(|| self.get(&of(Name::Default), key))?;
        Some((own, rate))
    }

    /// Bytes of names, and of the places that they take.
    pub fn metadata_bytes(&self) -> u64 {
        let each = self.by_entity.iter().map(|(entity, values)| {
            let keys = values
                .keys()
                .map(|key| key.len() as u64 + crate::limits::CONFIG_ENTRY_BYTES);
            entity.bytes() + crate::limits::CONFIG_ENTRY_BYTES + keys.sum::<u64>()
        });
        each.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(user: Option<Name>, client_id: Option<Name>) -> QuotaEntity {
        QuotaEntity {
            user,
            client_id,
            ip: None,
        }
    }

    #[test]
    fn the_nearest_quota_holds_and_a_default_is_each_ones_own() {
        let named = |name: &str| Some(Name::Is(name.into()));
        let mut quotas = Quotas::default();
        let found = |quotas: &Quotas| quotas.of_client(QuotaKind::Produce, "u", "c");
        assert_eq!(found(&quotas), None);
        let steps = [
            (entity(None, Some(Name::Default)), entity(None, named("c"))),
            (entity(None, named("c")), entity(None, named("c"))),
            (entity(Some(Name::Default), None), entity(named("u"), None)),
            (
                entity(Some(Name::Default), Some(Name::Default)),
                entity(named("u"), named("c")),
            ),
            (
                entity(Some(Name::Default), named("c")),
                entity(named("u"), named("c")),
            ),
            (entity(named("u"), None), entity(named("u"), None)),
            (
                entity(named("u"), Some(Name::Default)),
                entity(named("u"), named("c")),
            ),
            (entity(named("u"), named("c")), entity(named("u"), named("c"))),
        ];
        for (number, (set, counted)) in steps.iter().enumerate() {
            let rate = Rate::new(number as f64 + 1.0);
            quotas.set(set, QuotaKind::Produce.key(), Some(rate));
            assert_eq!(found(&quotas), Some((counted.clone(), rate)), "{set:?}");
        }
        assert_eq!(quotas.of_client(QuotaKind::Fetch, "u", "c"), None);
        for (set, _) in &steps {
            quotas.set(set, QuotaKind::Produce.key(), None);
        }
        assert!(quotas.is_empty());
    }

    #[test]
    fn an_address_has_its_own_quota_or_the_default() {
        let mut quotas = Quotas::default();
        let ip = |name: Name| QuotaEntity {
            ip: Some(name),
            ..QuotaEntity::default()
        };
        let own = |address: &str| ip(Name::Is(address.into()));
        let mut set = |entity: &QuotaEntity, rate| {
            let rate = Rate::new(rate);
            quotas.set(entity, QuotaKind::Connection.key(), Some(rate));
            let found = |address: &str| quotas.of_address(address.parse().unwrap());
            (found("10.0.0.1"), found("::ffff:10.0.0.1"), found("::2"))
        };
        let known = Some((own("10.0.0.1"), Rate::new(5.0)));
        assert_eq!(set(&own("10.0.0.1"), 5.0), (known.clone(), known.clone(), None));
        let other = Some((own("::2"), Rate::new(7.0)));
        assert_eq!(set(&ip(Name::Default), 7.0), (known.clone(), known, other));
    }
}

//! Whom a quota is for: a user, a client by the id that it gives itself, both together, or an address.
//!
//! Invariant: an address stands alone.

use alloc::sync::Arc;

/// What is `None` does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    pub user: Option<Name>,
    pub client_id: Option<Name>,
    pub ip: Option<Name>,
}

/// One of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Everybody who has no quota by name.
    Default,
    Is(Arc<str>),
}

impl QuotaEntity {
    /// Its parts that count, with the names that their types have on the wire.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &Name)> {
        let parts = [(USER, &self.user), (CLIENT_ID, &self.client_id), (IP, &self.ip)];
        parts
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name.as_ref()?)))
    }

    /// A part by the name of its type; `None` for a type that there is not.
    pub fn part_mut(&mut self, kind: &str) -> Option<&mut Option<Name>> {
        match kind {
            USER => Some(&mut self.user),
            CLIENT_ID => Some(&mut self.client_id),
            IP => Some(&mut self.ip),
            _ => None,
        }
    }

    pub fn bytes(&self) -> u64 {
        let names = self.parts().filter_map(|(_, name)| name.text());
        names.map(|name| name.len() as u64).sum()
    }
}

impl Name {
    /// As on the wire, where null is the default.
    pub fn from_wire(name: Option<&str>) -> Self {
        name.map_or(Name::Default, |name| Name::Is(name.into()))
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Name::Default => None,
            Name::Is(name) => Some(name),
        }
    }
}

pub const USER: &str = "user";
pub const CLIENT_ID: &str = "client-id";
pub const IP: &str = "ip";

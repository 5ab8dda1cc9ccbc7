//! Values that somebody set explicitly: of one topic, broker, group or subscription, or for all brokers.

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::limits::CONFIG_ENTRY_BYTES;

/// Names to texts, in order of name. The texts are as they were given; [`super::definition`] reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    values: BTreeMap<String, String>,
}

impl ConfigMap {
    pub const fn new() -> Self {
        Self {
            values: BTreeMap::new(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn set(&mut self, name: String, value: String) {
        self.values.insert(name, value);
    }

    pub fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What it counts for in the cluster's metadata.
    pub fn metadata_bytes(&self) -> u64 {
        let entry = |(name, value): (&str, &str)| (name.len() + value.len()) as u64 + CONFIG_ENTRY_BYTES;
        self.iter().map(entry).sum()
    }

    /// [`Self::metadata_bytes`] of a resource that is there only because something is set, with its name.
    pub fn metadata_bytes_with(&self, name: &str) -> u64 {
        match self.is_empty() {
            true => 0,
            false => name.len() as u64 + CONFIG_ENTRY_BYTES + self.metadata_bytes(),
        }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl FromIterator<(String, String)> for ConfigMap {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self {
            values: pairs.into_iter().collect(),
        }
    }
}

//! What groups have configured, by the groups' names.
//!
//! Place: part of the cluster's image. A group need not be there: what it has configured waits for it, as in Kafka.
//!
//! Invariant: no group is in it without a configuration.

use alloc::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::config::effective::NOTHING_SET;
use crate::config::map::ConfigMap;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct GroupConfigs {
    by_group: RedBlackTreeMapSync<Arc<str>, Arc<ConfigMap>>,
    /// There may be many groups: the sum is kept.
    bytes: u64,
}

impl GroupConfigs {
    pub fn is_empty(&self) -> bool {
        self.by_group.is_empty()
    }

    /// In order of the groups' names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &ConfigMap)> {
        self.by_group
            .iter()
            .map(|(group, configs)| (group.as_ref(), configs.as_ref()))
    }

    /// Nothing where the group is none of these.
    pub fn of(&self, group: &str) -> &ConfigMap {
        self.by_group.get(group).map_or(&NOTHING_SET, Arc::as_ref)
    }

    /// Puts `configs` in the place of those that the group had.
    pub fn set(&mut self, group: &str, configs: ConfigMap) {
        self.bytes -= self.of(group).metadata_bytes_with(group);
        self.bytes += configs.metadata_bytes_with(group);
        match configs.is_empty() {
            true => {
                self.by_group.remove_mut(group);
            }
            false => self.by_group.insert_mut(group.into(), Arc::new(configs)),
        }
    }

    /// Bytes of names and configurations, and of the places that they take.
    pub fn metadata_bytes(&self) -> u64 {
        self.bytes
    }
}

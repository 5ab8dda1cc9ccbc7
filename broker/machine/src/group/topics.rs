//! The topics' names that offsets are committed under, each held once.
//!
//! Invariant: a name is here exactly as long as something is committed under it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Topics {
    /// With how many partitions of how many groups are committed under it.
    names: BTreeMap<Arc<str>, u32>,
}

impl Topics {
    /// The name as all share it, for one more partition.
    pub fn share(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.names.get_key_value(name) {
            let known = Arc::clone(known);
            *self.names.get_mut(name).expect("just found") += 1;
            return known;
        }
        let shared: Arc<str> = name.into();
        self.names.insert(Arc::clone(&shared), 1);
        shared
    }

    /// `None` for a topic that nothing is committed under.
    pub fn find(&self, name: &str) -> Option<Arc<str>> {
        self.names.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    /// Takes back what [`Self::share`] gave for one partition.
    pub fn release(&mut self, name: &str) {
        let holders = self.names.get_mut(name).expect("a shared name");
        *holders -= 1;
        if *holders == 0 {
            self.names.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lives_as_long_as_somebody_holds_it() {
        let mut topics = Topics::default();
        let (one, two) = (topics.share("t"), topics.share("t"));
        assert!(Arc::ptr_eq(&one, &two));
        topics.release(&one);
        assert!(topics.find("t").is_some());
        topics.release(&two);
        assert_eq!(topics.find("t"), None);
    }
}

//! Regular expressions by which members subscribe: in RE2's syntax, held against the whole name of each topic.
//!
//! What an expression matches follows from the topics that there are, so nothing of it is durable. Patterns are
//! compiled when they are held against topics and not kept (see [`crate::pattern`]).
//!
//! Invariant: there are the expressions that some member has, and no others.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::time::{Duration, Instant};

use crate::cluster::image::ClusterImage;
use crate::pattern::compile;

#[derive(Debug, Default)]
pub(super) struct Expressions {
    /// By pattern: the topics that it matches.
    resolved: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    seen_image: u64,
    /// Before this moment topics that came since are not looked at.
    rests_until: Option<Instant>,
}

impl Expressions {
    /// The topics that a pattern matches, as far as they were looked at.
    pub fn topics(&self, pattern: &str) -> &[Arc<str>] {
        self.resolved.get(pattern).map_or(&[], Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.resolved.is_empty()
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> u64 {
        let each = self
            .resolved
            .iter()
            .map(|(pattern, topics)| pattern.len() + 16 * topics.len() + 64);
        each.sum::<usize>() as u64
    }

    /// Looks for what the patterns match: for a new one at once, for all where topics changed and the last look was
    /// not just now. True where one of them matches other topics than before.
    pub fn resolve<'a>(
        &mut self,
        patterns: impl Iterator<Item = &'a Arc<str>>,
        image: &ClusterImage,
        now: Instant,
    ) -> bool {
        let wanted: BTreeSet<&Arc<str>> = patterns.collect();
        self.resolved.retain(|pattern, _| wanted.contains(pattern));
        let changed = self.seen_image != image.records();
        let all = changed && self.rests_until.is_none_or(|until| until <= now);
        if all {
            self.seen_image = image.records();
            self.rests_until = Some(now + REST);
        }
        let mut is_news = false;
        for pattern in wanted {
            if all || !self.resolved.contains_key(pattern) {
                let topics = matching(pattern, image);
                let before = self.resolved.insert(Arc::clone(pattern), topics);
                is_news |= before.as_ref() != self.resolved.get(pattern);
            }
        }
        is_news
    }
}

/// Why a pattern is none.
pub fn check(pattern: &str) -> Result<(), String> {
    compile(pattern).map(|_| ())
}

fn matching(pattern: &str, image: &ClusterImage) -> Vec<Arc<str>> {
    let Ok(whole) = compile(pattern) else {
        return Vec::new();
    };
    let topics = image
        .topics()
        .filter(|topic| whole.is_match(topic.name.as_bytes()));
    topics.map(|topic| Arc::clone(&topic.name)).collect()
}

/// The shortest time between two looks at all topics, as Kafka's.
const REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::testing::topic_created;

    #[test]
    fn patterns_match_whole_names() {
        let names = ["orders", "orders-2", "my-orders", "a.b"];
        let records: Vec<_> = (1..)
            .zip(names)
            .map(|(id, name)| topic_created(id, name, 1))
            .collect();
        let image = ClusterImage::empty().apply(&records);
        let found = |pattern: &str| {
            let topics = matching(pattern, &image);
            topics
                .iter()
                .map(|it| it.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(found("orders"), "orders");
        assert_eq!(found("orders.*"), "orders orders-2");
        assert_eq!(found(r"a|orders|\w\.b"), "a.b orders");
        assert_eq!(found("(?i)ORDERS-[0-9]"), "orders-2");
        assert_eq!(found(""), "");
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        for pattern in ["(", "a)(b", "[", r"\", "((a{1000}){1000}){1000}", "*"] {
            assert!(check(pattern).is_err(), "{pattern}");
        }
        assert_eq!(check("orders-(eu|us)"), Ok(()));
    }
}

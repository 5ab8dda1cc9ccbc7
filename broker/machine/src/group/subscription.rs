//! What the members of a consumer group subscribe to, as far as the coordinator has to know: offsets of these topics
//! are neither deleted nor expired.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::members::Members;

/// The topics of one generation.
#[derive(Debug, Default)]
pub(super) enum Subscriptions {
    /// Not a consumer group's, or not to be read.
    #[default]
    Unknown,
    /// The members' metadata, each of which reads.
    Known(Vec<Arc<[u8]>>),
}

impl Subscriptions {
    /// Of the members of a group whose protocol was chosen.
    pub fn of(protocol_type: Option<&str>, protocol: Option<&str>, members: &Members) -> Self {
        if protocol_type != Some(CONSUMER) {
            return Subscriptions::Unknown;
        }
        let metadata = members.iter().map(|member| member.metadata(protocol?));
        let metadata: Option<Vec<_>> = metadata.map(|it| it.cloned()).collect();
        match metadata {
            Some(metadata) if metadata.iter().all(|it| topics(it).is_some()) => {
                Subscriptions::Known(metadata)
            }
            _ => Subscriptions::Unknown,
        }
    }

    /// `None` where they are not known.
    pub fn topics(&self) -> Option<BTreeSet<&str>> {
        match self {
            Subscriptions::Unknown => None,
            Subscriptions::Known(metadata) => {
                let topics = metadata.iter().map(|it| topics(it).expect("it was read before"));
                Some(topics.flatten().collect())
            }
        }
    }
}

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// Reads the topics of a `ConsumerProtocolSubscription`; all its versions start alike: version, then topics.
fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(core::str::from_utf8(name).ok()?);
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_any_version_and_never_from_less() {
        let metadata = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff more";
        assert_eq!(topics(metadata), Some(alloc::vec!["a", "bc"]));
        assert_eq!(topics(b"\0\0\0\0\0\0"), Some(Vec::new()));
        for length in 0..13 {
            assert_eq!(topics(&metadata[..length]), None, "{length} bytes");
        }
        assert_eq!(topics(b"\0\0\xff\xff\xff\xff"), None, "a negative count");
        assert_eq!(
            topics(b"\0\0\x7f\xff\xff\xff\0\0"),
            None,
            "a count beyond the bytes"
        );
        assert_eq!(topics(b"\0\0\0\0\0\x01\0\x01\xff"), None, "no UTF-8");
    }
}

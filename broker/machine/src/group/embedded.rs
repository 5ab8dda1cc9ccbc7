//! What consumers say to each other through a classic group, as far as the coordinator reads it and says it itself
//! where a group goes from one protocol to the other.
//!
//! Topics go by their names there and by their ids here: one that is no more is left out.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::message::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition as EmbeddedTopic,
};
use millstream_protocol::message::data::Data;
use millstream_protocol::primitive::Writer;
use millstream_protocol::types::PartitionIndex;

use super::consumer::record::Partitions;
use crate::cluster::image::ClusterImage;

/// Why an assignment cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Malformed,
    /// The members' assignor says something besides that only they understand.
    HasUserData,
}

/// `None` where it is malformed.
pub(super) fn read_subscription(metadata: &[u8]) -> Option<ConsumerProtocolSubscription<'_>> {
    ConsumerProtocolSubscription::decode_open(metadata).ok()
}

/// No bytes are no partitions.
pub(super) fn read_assignment(bytes: &[u8], image: &ClusterImage) -> Result<Partitions, Unreadable> {
    if bytes.is_empty() {
        return Ok(Partitions::new());
    }
    let assignment = ConsumerProtocolAssignment::decode_open(bytes).map_err(|_| Unreadable::Malformed)?;
    if assignment.user_data.is_some_and(|it| !it.is_empty()) {
        return Err(Unreadable::HasUserData);
    }
    Ok(partitions(&assignment.assigned_partitions, image))
}

pub(super) fn partitions(topics: &[EmbeddedTopic<'_>], image: &ClusterImage) -> Partitions {
    let known = topics
        .iter()
        .filter_map(|topic| Some((image.topic_by_name(topic.topic)?.id, &topic.partitions)));
    let all = known.flat_map(|(id, indexes)| indexes.iter().map(move |index| (id, *index)));
    all.map(|(id, index)| (id, PartitionIndex::new(index))).collect()
}

/// For a member with this metadata, in the version that it speaks.
pub(super) fn assignment(partitions: &Partitions, metadata: &[u8], image: &ClusterImage) -> Arc<[u8]> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic_id, index) in partitions {
        if let Some(topic) = image.topic(*topic_id) {
            topics.entry(&topic.name).or_default().push(index.get());
        }
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| EmbeddedTopic { topic, partitions });
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics.collect(),
        user_data: None,
    };
    let mut w = Writer::new();
    let encoded = assignment.encode(&mut w, version(metadata));
    encoded.expect("names of topics are short, and the version is known");
    w.bytes().into()
}

/// That of a member's metadata, as far as it is known here.
fn version(metadata: &[u8]) -> i16 {
    let told = metadata
        .first_chunk::<2>()
        .map_or(0, |it| i16::from_be_bytes(*it));
    let versions = ConsumerProtocolAssignment::VERSIONS;
    told.clamp(*versions.start(), *versions.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::topic_created;
    use millstream_protocol::types::TopicId;

    fn image() -> ClusterImage {
        ClusterImage::empty().apply(&[topic_created(1, "t", 3), topic_created(2, "a", 1)])
    }

    #[test]
    fn assignments_go_over_and_back_in_every_version() {
        let image = image();
        let partition = |topic, index| (TopicId::new([topic; 16]), PartitionIndex::new(index));
        let all: Partitions = [partition(1, 0), partition(1, 2), partition(2, 0)].into();
        for (metadata, version) in [(&b""[..], 0), (b"\0\x02", 2), (b"\0\x09", 3), (b"\xff\xff", 0)] {
            let bytes = assignment(&all, metadata, &image);
            assert_eq!(bytes[..2], i16::to_be_bytes(version));
            assert_eq!(read_assignment(&bytes, &image), Ok(all.clone()));
        }
        let gone: Partitions = [partition(7, 0)].into();
        let bytes = assignment(&gone, b"", &image);
        assert_eq!(read_assignment(&bytes, &image), Ok(Partitions::new()));
    }

    #[test]
    fn what_cannot_be_taken_over_is_told_apart() {
        let image = image();
        assert_eq!(read_assignment(b"", &image), Ok(Partitions::new()));
        assert_eq!(read_assignment(b"\0\x01x", &image), Err(Unreadable::Malformed));
        let custom = b"\0\x01\0\0\0\0\0\0\0\x01x";
        assert_eq!(read_assignment(custom, &image), Err(Unreadable::HasUserData));
        assert_eq!(read_subscription(b"\xff\xff\0\0\0\0"), None, "a negative version");
        assert!(read_subscription(b"\0\0\0\0\0\0\xff\xff\xff\xff").is_some());
    }
}

//! What was committed, asked for in every way.

use millstream_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use millstream_protocol::types::TopicId;

use super::Story;

#[test]
fn fetched_offsets() {
    let mut story = Story::new("fetch");
    let (topic, id) = (story.topic.clone(), story.topic_id);
    let group = story.group(0);
    story.commit(&group, &topic, 1, 11);
    for version in 1..=10 {
        let topics = |group_id, name, topic_id, indexes: &[i32]| match version {
            1..=7 => OffsetFetchRequest {
                group_id,
                topics: Some(vec![OffsetFetchRequestTopic {
                    name,
                    partition_indexes: indexes.to_vec(),
                }]),
                ..OffsetFetchRequest::default()
            },
            _ => {
                let topics = vec![OffsetFetchRequestTopics {
                    name,
                    topic_id,
                    partition_indexes: indexes.to_vec(),
                }];
                let topics = Some(topics);
                OffsetFetchRequest {
                    groups: vec![OffsetFetchRequestGroup {
                        group_id,
                        topics,
                        ..OffsetFetchRequestGroup::default()
                    }],
                    ..OffsetFetchRequest::default()
                }
            }
        };
        let strange = TopicId::new([7; 16]);
        for (case, request) in [
            ("good", topics(&group, &topic, id, &[0, 1])),
            ("unknown partitions", topics(&group, &topic, id, &[9, -1, 1, 1])),
            ("an unknown topic", topics(&group, "unknown", strange, &[0])),
            ("no topic", topics(&group, "", TopicId::ZERO, &[0])),
            ("no partitions", topics(&group, &topic, id, &[])),
            ("an unknown group", topics("nobody's", &topic, id, &[0])),
            ("no group", topics("", &topic, id, &[0])),
        ] {
            story.tell(case, version, &request);
        }
        let all = |group_id| OffsetFetchRequestGroup {
            group_id,
            ..OffsetFetchRequestGroup::default()
        };
        let mut everything = OffsetFetchRequest {
            group_id: &group,
            groups: vec![all(&group), all("nobody's")],
            ..OffsetFetchRequest::default()
        };
        if version >= 2 {
            story.tell("everything", version, &everything);
        }
        if version >= 7 {
            everything.require_stable = true;
            story.tell("everything stable", version, &everything);
        }
        if version >= 8 {
            everything.groups.push(all(&group));
            story.tell("a group twice", version, &everything);
            everything.groups.clear();
            story.tell("nothing", version, &everything);
        }
        if version >= 9 {
            let member = OffsetFetchRequestGroup {
                member_id: Some("stranger"),
                member_epoch: 3,
                ..all(&group)
            };
            everything.groups.push(member);
            story.tell("a stranger's", version, &everything);
        }
    }
    story.finish(include_str!("fetch.txt"), "fetch");
}

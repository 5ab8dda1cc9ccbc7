//! Where groups are kept, which there are, and how they go.

use millstream_protocol::message::delete_groups::DeleteGroupsRequest;
use millstream_protocol::message::describe_groups::DescribeGroupsRequest;
use millstream_protocol::message::find_coordinator::FindCoordinatorRequest;
use millstream_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use super::Story;

#[test]
fn coordinators() {
    let mut story = Story::new("find");
    for version in 0..=6 {
        let mut request = FindCoordinatorRequest {
            key: "g",
            ..FindCoordinatorRequest::default()
        };
        if version >= 4 {
            story.tell("of none", version, &request);
            request.coordinator_keys = vec!["g", "", "h"];
        }
        story.tell("of a group", version, &request);
        for (case, key_type) in [("share", 2), ("no kind", 9), ("negative", -1)] {
            if version >= 1 {
                request.key_type = key_type;
                story.tell(case, version, &request);
            }
        }
    }
    story.finish(include_str!("find.txt"), "find");
}

#[test]
fn administration() {
    let mut story = Story::new("admin");
    let topic = story.topic.clone();
    let (group, offsets) = (story.group(0), story.group(1));
    let member = story.member(&group, 5);
    story.tell_sync("the leader", 5, (&group, 1, &member));
    story.commit(&offsets, &topic, 0, 5);
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec![&group, &offsets, "nobody's", &group],
            include_authorized_operations: version >= 3,
        };
        story.tell("groups", version, &request);
    }
    for version in 0..=5 {
        story.tell_list(version, &[], &[]);
        if version >= 4 {
            story.tell_list(version, &["Stable"], &[]);
            story.tell_list(version, &["stable", "Empty"], &[]);
            story.tell_list(version, &["nonsense"], &[]);
        }
        if version >= 5 {
            story.tell_list(version, &[], &["classic"]);
            story.tell_list(version, &[], &["Classic", "nonsense"]);
            story.tell_list(version, &[], &["share"]);
            story.tell_list(version, &[], &["nonsense"]);
        }
    }
    let delete = |group_id, name, indexes: &[i32]| OffsetDeleteRequest {
        group_id,
        topics: vec![OffsetDeleteRequestTopic {
            name,
            partitions: indexes
                .iter()
                .map(|&partition_index| OffsetDeleteRequestPartition { partition_index })
                .collect(),
        }],
    };
    for (case, request) in [
        ("no group", delete("", &topic, &[0])),
        ("an unknown group", delete("nobody's", &topic, &[0])),
        ("an unknown topic", delete(&offsets, "unknown", &[0, 1])),
        ("an unknown group and topic", delete("nobody's", "unknown", &[0])),
        ("unknown partitions", delete(&offsets, &topic, &[7, -1, 1])),
        ("of a group with members", delete(&group, &topic, &[0])),
        ("good", delete(&offsets, &topic, &[0])),
        ("again", delete(&offsets, &topic, &[0])),
    ] {
        story.tell(case, 0, &request);
    }
    story.tell(
        "nothing",
        0,
        &OffsetDeleteRequest {
            group_id: "nobody's",
            topics: Vec::new(),
        },
    );
    for version in 0..=2 {
        let name = story.group(7);
        story.commit(&name, &topic, 0, 5);
        let groups_names = vec![&*name, &group, "nobody's", &name];
        story.tell("groups", version, &DeleteGroupsRequest { groups_names });
        story.tell(
            "none",
            version,
            &DeleteGroupsRequest {
                groups_names: Vec::new(),
            },
        );
    }
    story.finish(include_str!("admin.txt"), "admin");
}

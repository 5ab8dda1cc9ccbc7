//! What members do between joining and leaving.

use millstream_protocol::message::heartbeat::HeartbeatRequest;
use millstream_protocol::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use millstream_protocol::message::sync_group::SyncGroupRequest;

use super::{Story, sync};

#[test]
fn synced_beaten_and_left() {
    let mut story = Story::new("sync");
    syncs(&mut story);
    heartbeats(&mut story);
    leaves(&mut story);
    story.finish(include_str!("sync.txt"), "sync");
}

fn syncs(story: &mut Story) {
    for version in 0..=5 {
        let group = story.group(version);
        story.tell_sync("no group", version, ("", 1, "m"));
        story.tell_sync("an unknown group", version, ("nobody's", 1, "m"));
        let member = story.member(&group, 5);
        story.tell_sync("a stranger", version, (&group, 1, "stranger"));
        story.tell_sync("nobody", version, (&group, 1, ""));
        story.tell_sync("another generation", version, (&group, 7, &member));
        if version >= 5 {
            let good = sync((&group, 1, &member));
            story.tell(
                "no type",
                version,
                &SyncGroupRequest {
                    protocol_type: None,
                    ..good.clone()
                },
            );
            story.tell(
                "no name",
                version,
                &SyncGroupRequest {
                    protocol_name: None,
                    ..good.clone()
                },
            );
            story.tell(
                "other type",
                version,
                &SyncGroupRequest {
                    protocol_type: Some("x"),
                    ..good.clone()
                },
            );
            story.tell(
                "other name",
                version,
                &SyncGroupRequest {
                    protocol_name: Some("x"),
                    ..good
                },
            );
        }
        story.tell_sync("the leader", version, (&group, 1, &member));
        story.tell_sync("again", version, (&group, 1, &member));
    }
}

fn heartbeats(story: &mut Story) {
    for version in 0..=4 {
        let group = format!("{}-beat", story.group(version));
        let beat = |group_id, generation_id, member_id| HeartbeatRequest {
            group_id,
            generation_id,
            member_id,
            ..HeartbeatRequest::default()
        };
        story.tell("no group", version, &beat("", 1, "m"));
        story.tell("an unknown group", version, &beat("nobody's", 1, "m"));
        let member = story.member(&group, 5);
        story.tell("not synced", version, &beat(&group, 1, &member));
        story.tell_sync("the leader", 5, (&group, 1, &member));
        story.tell("a stranger", version, &beat(&group, 1, "stranger"));
        story.tell("nobody", version, &beat(&group, 1, ""));
        story.tell("a former generation", version, &beat(&group, 0, &member));
        story.tell("a later generation", version, &beat(&group, 2, &member));
        story.tell("good", version, &beat(&group, 1, &member));
        if version >= 3 {
            let group_instance_id = Some("unknown");
            let request = HeartbeatRequest {
                group_instance_id,
                ..beat(&group, 1, &member)
            };
            story.tell("a strange instance", version, &request);
        }
    }
}

fn leaves(story: &mut Story) {
    for version in 0..=5 {
        let group = format!("{}-left", story.group(version));
        let leave = |group_id, member_id| LeaveGroupRequest {
            group_id,
            member_id,
            members: vec![MemberIdentity {
                member_id,
                ..MemberIdentity::default()
            }],
        };
        story.tell("no group", version, &leave("", "m"));
        story.tell("an unknown group", version, &leave("nobody's", "m"));
        let member = story.member(&group, 5);
        story.tell("a stranger", version, &leave(&group, "stranger"));
        story.tell("nobody", version, &leave(&group, ""));
        if version >= 3 {
            let mut request = leave(&group, "");
            request.members[0].group_instance_id = Some("unknown");
            story.tell("a strange instance", version, &request);
            request.members.clear();
            story.tell("none", version, &request);
        }
        story.tell("good", version, &leave(&group, &member));
        story.tell("again", version, &leave(&group, &member));
    }
}

//! Joining, and why not.

use millstream_protocol::message::join_group::JoinGroupRequest;

use super::{Story, join, protocols};

#[test]
fn joins() {
    let mut story = Story::new("join");
    for version in 0..=9 {
        let group = story.group(version);
        strangers(&mut story, version, &group);
        members(&mut story, version, &group);
    }
    story.finish(include_str!("join.txt"), "join");
}

fn strangers(story: &mut Story, version: i16, group: &str) {
    let good = join(group, "");
    for (case, request) in [
        (
            "no group",
            JoinGroupRequest {
                group_id: "",
                ..good.clone()
            },
        ),
        (
            "a short session",
            JoinGroupRequest {
                session_timeout_ms: 5,
                ..good.clone()
            },
        ),
        (
            "a long session",
            JoinGroupRequest {
                session_timeout_ms: i32::MAX,
                ..good.clone()
            },
        ),
        (
            "a negative session",
            JoinGroupRequest {
                session_timeout_ms: -1,
                ..good.clone()
            },
        ),
        (
            "a stranger",
            JoinGroupRequest {
                member_id: "stranger",
                ..good.clone()
            },
        ),
        (
            "no protocols",
            JoinGroupRequest {
                protocols: Vec::new(),
                ..good.clone()
            },
        ),
        (
            "no type",
            JoinGroupRequest {
                protocol_type: "",
                ..good.clone()
            },
        ),
    ] {
        story.tell(case, version, &request);
    }
    if version >= 5 {
        let instance = |member_id, group_instance_id| JoinGroupRequest {
            member_id,
            group_instance_id: Some(group_instance_id),
            ..good.clone()
        };
        story.tell("a strange instance", version, &instance("stranger", "i"));
        for (case, name) in [
            ("an instance without a name", ""),
            ("an instance with blanks", "a b"),
        ] {
            let apart = format!("{group}-{}", name.len());
            let request = JoinGroupRequest {
                group_id: &apart,
                ..instance("", name)
            };
            story.tell(case, version, &request);
        }
    }
}

fn members(story: &mut Story, version: i16, group: &str) {
    let member = story.member(group, version);
    let again = join(group, &member);
    for (case, request) in [
        (
            "another type",
            JoinGroupRequest {
                member_id: "",
                protocol_type: "connect",
                ..again.clone()
            },
        ),
        (
            "no common protocol",
            JoinGroupRequest {
                protocols: protocols("other"),
                ..again.clone()
            },
        ),
        (
            "none",
            JoinGroupRequest {
                protocols: Vec::new(),
                ..again.clone()
            },
        ),
        ("again", again.clone()),
    ] {
        story.tell(case, version, &request);
    }
}

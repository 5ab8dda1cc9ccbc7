//! DescribeGroups and ListGroups: what an administrator sees.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::answer::{
    ConsumerDescribeAnswer, DescribeAnswer, DescribedMember, GroupType, ListAnswer, ListedGroup,
};
use super::classic::ClassicGroup;
use super::member::Member;
use super::request::{DescribeRequest, ListRequest};
use super::state::{ClassicState, GroupState};
use super::subscription::CONSUMER;
use super::{Group, GroupCoordinator};

impl GroupCoordinator {
    pub(super) fn describe(&self, request: DescribeRequest) -> DescribeAnswer {
        match self.groups.get(&*request.group_id) {
            Some(group) if group.consumer.is_none() => group.classic.describe(request.group_id),
            other => DescribeAnswer {
                error_message: Some(match other {
                    Some(_) => format!("Group {} is not a classic group.", request.group_id),
                    None => format!("Group {} not found.", request.group_id),
                }),
                ..DescribeAnswer::without_members(
                    request.group_id,
                    ErrorCode::GroupIdNotFound,
                    Some(GroupState::Dead),
                )
            },
        }
    }

    pub(super) fn describe_consumer(&self, request: DescribeRequest) -> ConsumerDescribeAnswer {
        let group = self.groups.get(&*request.group_id);
        if let Some(consumer) = group.and_then(|it| it.consumer.as_ref()) {
            return consumer.describe(request.group_id);
        }
        let message = match group {
            Some(_) => format!("Group {} is not a consumer group.", request.group_id),
            None => format!("Group {} not found.", request.group_id),
        };
        ConsumerDescribeAnswer::refusal(request.group_id, ErrorCode::GroupIdNotFound, Some(message))
    }

    pub(super) fn list(&self, request: &ListRequest) -> ListAnswer {
        let groups = self.groups.values().map(Group::listed);
        let groups = groups.filter(|group| {
            names(&request.states, group.state.name()) && names(&request.types, group.group_type.name())
        });
        ListAnswer {
            error: ErrorCode::None,
            groups: groups.collect(),
        }
    }
}

impl Group {
    fn listed(&self) -> ListedGroup {
        let classic = &self.classic;
        if let Some(consumer) = &self.consumer {
            return ListedGroup {
                group_id: Arc::clone(&classic.group_id),
                protocol_type: CONSUMER.into(),
                state: consumer.state(),
                group_type: GroupType::Consumer,
            };
        }
        ListedGroup {
            group_id: Arc::clone(&classic.group_id),
            protocol_type: classic.protocol_type.clone().unwrap_or_else(|| "".into()),
            state: classic.state.into(),
            group_type: GroupType::Classic,
        }
    }
}

impl ClassicGroup {
    fn describe(&self, group_id: String) -> DescribeAnswer {
        let is_stable = self.state == ClassicState::Stable;
        let protocol = self.protocol_name.as_ref().filter(|_| is_stable);
        let members = self.members.iter();
        DescribeAnswer {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            protocol: protocol.cloned().unwrap_or_else(|| "".into()),
            members: members.map(|member| described(member, protocol)).collect(),
            ..DescribeAnswer::without_members(group_id, ErrorCode::None, Some(self.state.into()))
        }
    }
}

fn described(member: &Member, protocol: Option<&Arc<str>>) -> DescribedMember {
    let metadata = protocol.and_then(|protocol| member.metadata(protocol));
    DescribedMember {
        member_id: Arc::clone(&member.member_id),
        group_instance_id: member.group_instance_id.clone(),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        metadata: metadata.cloned().unwrap_or_else(|| Arc::new([])),
        assignment: Arc::clone(member.assignment()),
    }
}

/// Whether a filter lets `name` through.
fn names(filter: &[String], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|it| it.trim().eq_ignore_ascii_case(name))
}

//! Which request goes where, and what is answered where its group is not there.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::answer::{ConsumerHeartbeatAnswer, DeleteOffsetsAnswer, GroupAnswer, SyncAnswer, TopicErrors};
use super::consumer::Refusal;
use super::fetch::fetch;
use super::request::{
    CommitRequest, ConsumerHeartbeatRequest, DeleteOffsetsRequest, GroupRequest, JoinRequest, LeaveRequest,
    SyncRequest,
};
use super::turn::Turn;
use super::{Effects, Group, GroupCoordinator, Now, Ticket};

impl GroupCoordinator {
    /// `None` where the answer waits, or is among the effects already.
    pub(super) fn dispatch(
        &mut self,
        now: Now,
        ticket: Ticket,
        request: GroupRequest,
        effects: &mut Effects,
    ) -> Option<GroupAnswer> {
        if request.lacks_group_id() {
            return Some(request.refused(ErrorCode::InvalidGroupId));
        }
        if request.has_overlong_text() {
            return Some(request.refused(ErrorCode::UnknownServerError));
        }
        Some(match request {
            GroupRequest::Join(request) => return self.join(now, ticket, request, effects),
            GroupRequest::Sync(request) => return self.sync(now, ticket, request, effects),
            GroupRequest::Heartbeat(request) => {
                let act = |group: &mut Group, turn: &mut Turn| match &mut group.consumer {
                    Some(consumer) => consumer.classic_heartbeat(&request, turn),
                    None => group.classic.heartbeat(&request, turn),
                };
                let alive = self.with_group(&request.group_id, now, effects, act);
                GroupAnswer::Heartbeat(code(alive.unwrap_or(Err(ErrorCode::UnknownMemberId))))
            }
            GroupRequest::Leave(request) => self.leave(now, request, effects),
            GroupRequest::CommitOffsets(request) => {
                GroupAnswer::CommitOffsets(self.commit(now, request, effects))
            }
            GroupRequest::FetchOffsets(request) => {
                let group = self.groups.get(&*request.group_id);
                GroupAnswer::FetchOffsets(fetch(group, &self.topics, request))
            }
            GroupRequest::DeleteOffsets(request) => self.delete_offsets(now, request, effects),
            GroupRequest::Describe(request) => GroupAnswer::Describe(self.describe(request)),
            GroupRequest::Delete(request) => {
                GroupAnswer::Delete(code(self.delete(now, &request.group_id, effects)))
            }
            GroupRequest::List(request) => GroupAnswer::List(self.list(&request)),
            GroupRequest::ConsumerHeartbeat(request) => {
                let answer = self.consumer_heartbeat(now, request, effects);
                GroupAnswer::ConsumerHeartbeat(answer.unwrap_or_else(|(error, message)| {
                    ConsumerHeartbeatAnswer::refusal(error, Some(message))
                }))
            }
            GroupRequest::ConsumerDescribe(request) => {
                GroupAnswer::ConsumerDescribe(self.describe_consumer(request))
            }
        })
    }

    /// Makes the group that a new member joins, and writes it at once.
    fn join(
        &mut self,
        now: Now,
        ticket: Ticket,
        request: JoinRequest,
        effects: &mut Effects,
    ) -> Option<GroupAnswer> {
        let refused = |error, request: JoinRequest| Some(GroupAnswer::Join(request.refused(error)));
        let settings = &self.settings;
        let (min, max) = (settings.min_session_timeout, settings.max_session_timeout);
        let timeout = u64::try_from(request.session_timeout_ms).unwrap_or(0);
        if timeout < min.as_millis() || timeout > max.as_millis() {
            return refused(ErrorCode::InvalidSessionTimeout, request);
        }
        let group_id = request.group_id.clone();
        if !self.groups.contains_key(&*group_id) {
            if !request.member_id.is_empty() {
                return refused(ErrorCode::UnknownMemberId, request);
            }
            if !self.create(&group_id, now) {
                return refused(ErrorCode::CoordinatorNotAvailable, request);
            }
            self.with_group(&group_id, now, effects, |group, turn| {
                let metadata = group.classic.metadata();
                group.classic.write(Some(metadata), turn);
            });
        }
        let mut is_over = false;
        let joined = self.with_group(&group_id, now, effects, |group, turn| {
            let was_consumer = group.consumer.is_some();
            if !group.become_classic(turn) {
                return Some(group.join_consumers(&request, turn));
            }
            if was_consumer && !request.member_id.is_empty() {
                // It is a new group, which knows nobody: nothing else of the request is looked at.
                is_over = group.is_forgotten();
                return Some(request.refused(ErrorCode::UnknownMemberId));
            }
            group.classic.join(ticket, request, turn);
            None
        });
        if is_over {
            self.remove(&group_id);
        }
        joined.flatten().map(GroupAnswer::Join)
    }

    /// Makes the group that a first member joins, or takes over an empty one that was classic.
    fn consumer_heartbeat(
        &mut self,
        now: Now,
        request: ConsumerHeartbeatRequest,
        effects: &mut Effects,
    ) -> Result<ConsumerHeartbeatAnswer, Refusal> {
        request.check()?;
        let group_id = request.group_id.clone();
        let not_found = || {
            let message = format!("Consumer group {group_id} not found.");
            (ErrorCode::GroupIdNotFound, message)
        };
        if !self.groups.contains_key(&*group_id) {
            if request.member_epoch != 0 {
                return Err(not_found());
            }
            if !self.create(&group_id, now) {
                let message = String::from("The coordinator has no room for one more group.");
                return Err((ErrorCode::CoordinatorNotAvailable, message));
            }
        }
        self.with_group(&group_id, now, effects, |group, turn| {
            group.consumer_heartbeat(request, turn)
        })
        .expect("it is there")
    }

    fn sync(
        &mut self,
        now: Now,
        ticket: Ticket,
        request: SyncRequest,
        effects: &mut Effects,
    ) -> Option<GroupAnswer> {
        let group_id = request.group_id.clone();
        let refusal = |error| Some(SyncAnswer::refusal(error));
        let synced = self.with_group(&group_id, now, effects, |group, turn| match &mut group.consumer {
            Some(consumer) => consumer.sync(&request, turn).map_or_else(refusal, Some),
            None => {
                group.classic.sync(ticket, request, turn);
                None
            }
        });
        let answer = synced.unwrap_or_else(|| refusal(ErrorCode::UnknownMemberId));
        answer.map(GroupAnswer::Sync)
    }

    fn leave(&mut self, now: Now, request: LeaveRequest, effects: &mut Effects) -> GroupAnswer {
        let group_id = request.group_id.clone();
        GroupAnswer::Leave(if self.groups.contains_key(&*group_id) {
            let act = |group: &mut Group, turn: &mut Turn| group.leave(request, turn);
            self.with_group(&group_id, now, effects, act)
                .expect("it is there")
        } else {
            request.refused(ErrorCode::UnknownMemberId)
        })
    }

    /// Makes the group that somebody commits to who is no member.
    fn commit(&mut self, now: Now, request: CommitRequest, effects: &mut Effects) -> Vec<TopicErrors> {
        let group_id = request.group_id.clone();
        if !self.groups.contains_key(&*group_id) {
            if request.generation_id >= 0 {
                let is_new_client = request.understands_new_errors;
                return request.refused(if is_new_client {
                    ErrorCode::GroupIdNotFound
                } else {
                    ErrorCode::IllegalGeneration
                });
            }
            if !self.create(&group_id, now) {
                return request.refused(ErrorCode::CoordinatorNotAvailable);
            }
        }
        let act = |group: &mut Group, turn: &mut Turn| group.commit(request, turn);
        self.with_group(&group_id, now, effects, act)
            .expect("it is there")
    }

    fn delete_offsets(
        &mut self,
        now: Now,
        request: DeleteOffsetsRequest,
        effects: &mut Effects,
    ) -> GroupAnswer {
        let group_id = request.group_id.clone();
        let act = |group: &mut Group, turn: &mut Turn| group.delete_offsets(request, turn);
        let answer = self.with_group(&group_id, now, effects, act);
        GroupAnswer::DeleteOffsets(answer.unwrap_or(DeleteOffsetsAnswer {
            error: ErrorCode::GroupIdNotFound,
            topics: Vec::new(),
        }))
    }

    fn delete(&mut self, now: Now, group_id: &str, effects: &mut Effects) -> Result<(), ErrorCode> {
        let deleted = self.with_group(group_id, now, effects, Group::delete);
        deleted.unwrap_or(Err(ErrorCode::GroupIdNotFound))?;
        self.remove(group_id);
        Ok(())
    }
}

impl GroupRequest {
    /// Some requests need a group id that is not empty; the older ones do not.
    fn lacks_group_id(&self) -> bool {
        let may_be_empty = matches!(
            self,
            GroupRequest::CommitOffsets(_)
                | GroupRequest::FetchOffsets(_)
                | GroupRequest::Describe(_)
                | GroupRequest::Delete(_)
                | GroupRequest::ConsumerHeartbeat(_)
        );
        self.group_id() == Some("") && !may_be_empty
    }

    /// Whether one of the texts that would go into a record is longer than a record's text can be. Kafka reads no such
    /// text either.
    fn has_overlong_text(&self) -> bool {
        let is_overlong = |text: &str| text.len() > TEXT_BYTES_MAX;
        match self {
            GroupRequest::Join(request) => {
                let prefix = request.group_instance_id.as_ref().unwrap_or(&request.client.id);
                let mut names = request.protocols.iter().map(|protocol| &protocol.name);
                let texts = [&request.group_id, &request.protocol_type, &request.client.host];
                texts.into_iter().any(|text| is_overlong(text))
                    || names.any(|name| is_overlong(name))
                    || request.client.id.len() > TEXT_BYTES_MAX
                    || prefix.len() + MEMBER_ID_SUFFIX_BYTES > TEXT_BYTES_MAX
            }
            GroupRequest::CommitOffsets(request) => {
                let mut names = request.topics.iter().map(|topic| &topic.name);
                is_overlong(&request.group_id) || names.any(|name| is_overlong(name))
            }
            GroupRequest::ConsumerHeartbeat(request) => {
                let others = [&request.instance_id, &request.rack_id, &request.server_assignor];
                let others = others
                    .into_iter()
                    .chain([&request.subscribed_topic_regex])
                    .flatten();
                let names = request.subscribed_topic_names.iter().flatten();
                let texts = [
                    &request.group_id,
                    &request.member_id,
                    &request.client.id,
                    &request.client.host,
                ];
                texts
                    .into_iter()
                    .chain(others)
                    .chain(names)
                    .any(|text| is_overlong(text))
            }
            _ => false,
        }
    }
}

fn code(result: Result<(), ErrorCode>) -> ErrorCode {
    match result {
        Ok(()) => ErrorCode::None,
        Err(error) => error,
    }
}

/// Longest text of a record, whose lengths are 16 bits and signed.
pub(super) const TEXT_BYTES_MAX: usize = i16::MAX as usize;
/// A dash and a UUID.
const MEMBER_ID_SUFFIX_BYTES: usize = 37;

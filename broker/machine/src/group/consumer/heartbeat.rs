//! ConsumerGroupHeartbeat: a member joins, says what it wants and what it has, and is told what it may have.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TopicId;

use super::super::answer::ConsumerHeartbeatAnswer;
use super::super::request::ConsumerHeartbeatRequest;
use super::super::timers::TimerKind;
use super::super::turn::Turn;
use super::assignor::Assignor;
use super::record::{ConsumerRecord, CurrentAssignment, MemberSubscription};
use super::{ConsumerGroup, ConsumerMember, expressions};

/// Why a request is refused, with words for the client.
pub(in crate::group) type Refusal = (ErrorCode, String);

impl ConsumerGroup {
    /// The request is one that [`ConsumerHeartbeatRequest::check`] lets through, and does not leave.
    pub fn heartbeat(
        &mut self,
        request: ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<ConsumerHeartbeatAnswer, Refusal> {
        assert!(request.member_epoch >= 0, "a heartbeat that leaves");
        self.check_place(&request.member_id, turn)?;
        self.check_room(&request, turn)?;
        let member_id = self.find_member(&request, turn)?;
        let had = self.assigned(&member_id);
        let wants_other = self.subscribe(&member_id, |before| subscription(before, &request), turn);
        self.forgive_classic(&member_id, turn);
        self.heard_of(&member_id, turn);
        self.hold_against_image(wants_other, turn);
        self.assign_if_due(turn)?;
        self.reconcile(&member_id, request.topic_partitions.as_ref(), wants_other, turn);
        let current = self.members[&member_id].current();
        let tells_all = request.member_epoch == 0 || request.is_full();
        let changed = !current.assigned.keys().eq(had.iter());
        Ok(ConsumerHeartbeatAnswer {
            member_epoch: current.member_epoch,
            assignment: (tells_all || changed).then(|| current.assigned.keys().copied().collect()),
            ..ConsumerHeartbeatAnswer::to(&self.group_id, member_id, turn)
        })
    }

    /// The member's session lasts its whole time from now on: its own where it speaks the classic protocol.
    pub(super) fn heard_of(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let due = match member.classic() {
            Some(classic) => turn.in_ms(classic.session_timeout_ms),
            None => turn.now.monotonic + turn.consumer_times(&self.group_id).session_timeout,
        };
        let kind = TimerKind::Session(Arc::clone(member_id));
        turn.timers.arm(&mut member.session, due, &self.group_id, kind);
    }

    pub fn check_place(&self, member_id: &str, turn: &Turn) -> Result<(), Refusal> {
        let size_max = turn.settings.consumer_group_max_size;
        if self.members.len() < size_max as usize || self.members.contains_key(member_id) {
            return Ok(());
        }
        let message = format!("The consumer group has reached its maximum capacity of {size_max} members.");
        Err((ErrorCode::GroupMaxSizeReached, message))
    }

    /// A member may grow by what it subscribes to, and its record may not be larger than a record can be.
    pub fn check_room(&self, request: &ConsumerHeartbeatRequest, turn: &Turn) -> Result<(), Refusal> {
        let bytes = request.bytes();
        if bytes > turn.settings.group_record_bytes_max as u64 {
            let message = String::from("The member subscribes to more than a record can hold.");
            return Err((ErrorCode::UnknownServerError, message));
        }
        let growth = match self.members.get(&*request.member_id) {
            Some(member) => bytes.saturating_sub(NEW_MEMBER_BYTES + member.subscription.bytes()),
            None => bytes,
        };
        if growth > turn.room {
            let message = String::from("The coordinator has no room for more members or subscriptions.");
            return Err((ErrorCode::CoordinatorNotAvailable, message));
        }
        Ok(())
    }

    /// Who asks, if it is known at this epoch, or new.
    fn find_member(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<Arc<str>, Refusal> {
        let joins = request.member_epoch == 0;
        let member_id: Arc<str> = match request.member_id.as_str() {
            "" => new_member_id(request.draw),
            known => known.into(),
        };
        if let Some(instance_id) = &request.instance_id {
            match self.instances.get(&**instance_id).cloned() {
                Some(owner) if joins => {
                    self.check_released(&owner, &member_id, instance_id)?;
                    self.replace(&owner, &member_id, turn);
                }
                None if joins => {}
                owner => self.check_instance(owner.as_ref(), &member_id, instance_id)?,
            }
        } else if !joins && !self.members.contains_key(&member_id) {
            return Err(self.unknown(&member_id));
        }
        if let Some(member) = self.members.get(&member_id).filter(|_| !joins) {
            check_epoch(member, request)?;
        }
        Ok(member_id)
    }

    /// Whether the instance id is free: its owner went away for a while, or speaks the classic protocol, in which a
    /// new member takes over at once.
    fn check_released(&self, owner: &Arc<str>, member_id: &str, instance_id: &str) -> Result<(), Refusal> {
        let owner_now = &self.members[owner];
        if owner_now.classic().is_some() || owner_now.current().member_epoch == AWAY_EPOCH {
            return Ok(());
        }
        let message = format!(
            "Static member {member_id} with instance id {instance_id} cannot join the group because the \
             instance id is owned by {owner} member."
        );
        Err((ErrorCode::UnreleasedInstanceId, message))
    }

    pub(super) fn check_instance(
        &self,
        owner: Option<&Arc<str>>,
        member_id: &str,
        instance_id: &str,
    ) -> Result<(), Refusal> {
        match owner {
            None => {
                let message = format!("Instance id {instance_id} is unknown.");
                Err((ErrorCode::UnknownMemberId, message))
            }
            Some(owner) if **owner != *member_id => {
                let message = format!(
                    "Static member {member_id} with instance id {instance_id} was fenced by member {owner}."
                );
                Err((ErrorCode::FencedInstanceId, message))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn unknown(&self, member_id: &str) -> Refusal {
        let message = format!("Member {member_id} is not a member of group {}.", self.group_id);
        (ErrorCode::UnknownMemberId, message)
    }

    /// A static member that was away is back, under another id or its own.
    pub(super) fn replace(&mut self, old_id: &Arc<str>, new_id: &Arc<str>, turn: &mut Turn) {
        let member = &self.members[old_id];
        let (subscription, target) = (Arc::clone(&member.subscription), member.target.clone());
        let current = CurrentAssignment {
            member_epoch: 0,
            previous_epoch: 0,
            ..member.current().clone()
        };
        self.remove_member(old_id, turn);
        let id = || Arc::clone(new_id);
        self.emit(ConsumerRecord::Member(id(), Some(subscription)), turn);
        self.emit(
            ConsumerRecord::Target(id(), Some(target.unwrap_or_default())),
            turn,
        );
        self.emit(ConsumerRecord::Current(id(), Some(Arc::new(current))), turn);
    }

    /// Writes what the member says of itself, if it is new. True where it subscribes to other topics than before.
    pub(super) fn subscribe(
        &mut self,
        member_id: &Arc<str>,
        after: impl FnOnce(&MemberSubscription) -> MemberSubscription,
        turn: &mut Turn,
    ) -> bool {
        let before = self.members.get(member_id).map(|it| Arc::clone(&it.subscription));
        let is_new = before.is_none();
        let before = before.unwrap_or_else(|| Arc::new(MemberSubscription::unsaid()));
        let after = after(&before);
        let wants_other = after.topic_names != before.topic_names || after.pattern() != before.pattern();
        if is_new || after != *before {
            self.emit(
                ConsumerRecord::Member(Arc::clone(member_id), Some(Arc::new(after))),
                turn,
            );
        }
        wants_other
    }

    fn assigned(&self, member_id: &str) -> Vec<super::record::TopicPartition> {
        let member = self.members.get(member_id);
        member.map_or_else(Vec::new, |it| it.current().assigned.keys().copied().collect())
    }
}

impl ConsumerHeartbeatRequest {
    /// Whether it makes sense by itself.
    pub(in crate::group) fn check(&self) -> Result<(), Refusal> {
        let invalid = |message: &str| Err((ErrorCode::InvalidRequest, String::from(message)));
        let is_empty = |text: &Option<String>| text.as_deref().is_some_and(|text| text.trim().is_empty());
        let needs_member_id =
            self.needs_member_id || self.member_epoch > 0 || self.member_epoch == LEAVE_EPOCH;
        if needs_member_id && self.member_id.trim().is_empty() {
            return invalid("MemberId can't be empty.");
        }
        if self.group_id.trim().is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if is_empty(&self.instance_id) {
            return invalid("InstanceId can't be empty.");
        }
        if is_empty(&self.rack_id) {
            return invalid("RackId can't be empty.");
        }
        match self.member_epoch {
            0 if self.rebalance_timeout_ms == -1 => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            0 if self.topic_partitions.as_ref().is_none_or(|it| !it.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            0 if self.subscribed_topic_names.is_none() && self.subscribed_topic_regex.is_none() => {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            AWAY_EPOCH if self.instance_id.is_none() => return invalid("InstanceId can't be null."),
            epoch if epoch < AWAY_EPOCH => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        if let Some(pattern) = self.subscribed_topic_regex.as_deref().filter(|it| !it.is_empty())
            && let Err(reason) = expressions::check(pattern)
        {
            let message =
                format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {reason}.");
            return Err((ErrorCode::InvalidRegularExpression, message));
        }
        match &self.server_assignor {
            Some(name) if Assignor::find(name).is_none() => {
                let known = Assignor::ALL.map(Assignor::name).join(", ");
                let message =
                    format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
                Err((ErrorCode::UnsupportedAssignor, message))
            }
            _ => Ok(()),
        }
    }

    /// Whether it says everything, as after an answer that did not arrive.
    fn is_full(&self) -> bool {
        let subscribes = self.subscribed_topic_names.is_some() || self.subscribed_topic_regex.is_some();
        self.rebalance_timeout_ms != -1 && subscribes && self.topic_partitions.is_some()
    }

    /// More than a new member takes.
    fn bytes(&self) -> u64 {
        let regex = &self.subscribed_topic_regex;
        let texts = [&self.instance_id, &self.rack_id, &self.server_assignor, regex];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let names = self.subscribed_topic_names.iter().flatten();
        let names: usize = names.map(|name| name.len() + 40).sum();
        let fixed = self.client.id.len() + self.client.host.len() + 3 * self.member_id.len();
        NEW_MEMBER_BYTES + (texts + names + fixed) as u64
    }
}

/// What the member says now, over what it said before.
fn subscription(before: &MemberSubscription, request: &ConsumerHeartbeatRequest) -> MemberSubscription {
    let or = |new: &Option<String>, old: &Option<Arc<str>>| match new {
        Some(new) => Some(Arc::from(new.as_str())),
        None => old.clone(),
    };
    let topic_names = match &request.subscribed_topic_names {
        Some(names) => MemberSubscription::names(names.iter().map(String::as_str)),
        None => before.topic_names.clone(),
    };
    MemberSubscription {
        instance_id: or(&request.instance_id, &before.instance_id),
        rack_id: or(&request.rack_id, &before.rack_id),
        client_id: request.client.id.as_str().into(),
        client_host: request.client.host.as_str().into(),
        topic_names,
        topic_regex: or(&request.subscribed_topic_regex, &before.topic_regex).filter(|it| !it.is_empty()),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => before.rebalance_timeout_ms,
            timeout => timeout,
        },
        server_assignor: or(&request.server_assignor, &before.server_assignor),
        classic: None,
    }
}

/// The epoch that the member was told last, or the one before if the answer was lost and it has nothing beyond.
fn check_epoch(member: &ConsumerMember, request: &ConsumerHeartbeatRequest) -> Result<(), Refusal> {
    let (asked, current) = (request.member_epoch, member.current());
    let owned = request.topic_partitions.as_ref();
    let has_no_more = owned.is_some_and(|it| it.iter().all(|it| current.assigned.contains_key(it)));
    let missed_answer = asked == current.previous_epoch && has_no_more;
    if asked == current.member_epoch || asked < current.member_epoch && missed_answer {
        return Ok(());
    }
    let relation = if asked > current.member_epoch {
        "greater"
    } else {
        "smaller"
    };
    let message = format!(
        "The consumer group member has a {relation} member epoch ({asked}) than the one known by the group \
         coordinator ({}). The member must abandon all its partitions and rejoin.",
        current.member_epoch
    );
    Err((ErrorCode::FencedMemberEpoch, message))
}

/// As Kafka writes an id that it draws.
pub(super) fn new_member_id(draw: u128) -> Arc<str> {
    let text = TopicId::new(draw.to_be_bytes()).to_base64();
    core::str::from_utf8(&text).expect("base64 is ASCII").into()
}

/// More than a member takes beside its texts and its partitions.
pub(super) const NEW_MEMBER_BYTES: u64 = 2048;
/// By which a member says that it leaves.
pub(super) const LEAVE_EPOCH: i32 = -1;
/// By which a static member says that it will be back.
pub(super) const AWAY_EPOCH: i32 = -2;

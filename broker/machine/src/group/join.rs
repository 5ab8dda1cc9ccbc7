//! JoinGroup: members come, come back, and say what they can do.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::Ticket;
use super::answer::{GroupAnswer, JoinAnswer};
use super::classic::ClassicGroup;
use super::member::{Member, protocols};
use super::request::JoinRequest;
use super::state::ClassicState;
use super::timers::TimerKind;
use super::turn::Turn;

impl ClassicGroup {
    /// The request's session timeout is one that the settings allow.
    pub fn join(&mut self, ticket: Ticket, request: JoinRequest, turn: &mut Turn) {
        let joined = if !self.has_place_for(&request.member_id, turn) {
            self.remove(&request.member_id, turn);
            Err(JoinAnswer::refusal(ErrorCode::GroupMaxSizeReached, "".into()))
        } else if self.growth(&request) > turn.room {
            Err(JoinAnswer::refusal(
                ErrorCode::CoordinatorNotAvailable,
                request.member_id.into(),
            ))
        } else if request.member_id.is_empty() {
            self.join_new(ticket, &request, turn)
        } else {
            let refusal = |error| JoinAnswer::refusal(error, request.member_id.as_str().into());
            self.join_known(ticket, &request, turn).map_err(refusal)
        };
        if let Err(refusal) = joined {
            turn.answer(ticket, GroupAnswer::Join(refusal));
        }
    }

    fn has_place_for(&self, member_id: &str, turn: &Turn) -> bool {
        let size_max = turn.settings.group_max_size as usize;
        match self.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                let waits = self.members.get(member_id).is_some_and(Member::has_joined);
                waits || self.members.joined() < size_max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.members.contains(member_id) || self.members.len() < size_max
            }
        }
    }

    /// Somebody without a member id: gets one.
    fn join_new(&mut self, ticket: Ticket, request: &JoinRequest, turn: &mut Turn) -> Result<(), JoinAnswer> {
        let refusal = |error| JoinAnswer::refusal(error, "".into());
        if !self.supports(request) {
            return Err(refusal(ErrorCode::InconsistentGroupProtocol));
        }
        let member_id = new_member_id(request);
        if self.members.contains(&member_id) || self.pending.contains(&member_id) {
            return Err(refusal(ErrorCode::CoordinatorNotAvailable));
        }
        if let Some(instance_id) = &request.group_instance_id {
            if let Some(replaced) = self.members.of_instance(instance_id).cloned() {
                self.replace_static(&replaced, member_id, ticket, request, turn);
                return Ok(());
            }
        } else if request.requires_known_member_id {
            let mut slot = None;
            let due = turn.in_ms(request.session_timeout_ms);
            let kind = TimerKind::Session(Arc::clone(&member_id));
            turn.timers.arm(&mut slot, due, &self.group_id, kind);
            self.pending.insert(Arc::clone(&member_id), slot);
            return Err(JoinAnswer::refusal(ErrorCode::MemberIdRequired, member_id));
        }
        self.add_member(member_id, ticket, request, turn);
        Ok(())
    }

    /// Somebody with a member id: comes for the first time with it, or again.
    fn join_known(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        turn: &mut Turn,
    ) -> Result<(), ErrorCode> {
        if !self.supports(request) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let (member_id, instance_id) = (request.member_id.as_str(), request.group_instance_id.as_deref());
        if instance_id.is_some() && self.pending.contains(member_id) {
            return Err(ErrorCode::UnknownServerError);
        }
        if let Some((member_id, mut slot)) = self.pending.remove(member_id) {
            let kind = TimerKind::Session(Arc::clone(&member_id));
            turn.timers.disarm(&mut slot, &self.group_id, kind);
            self.add_member(member_id, ticket, request, turn);
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        let member = self.members.get(member_id).expect("checked");
        let is_same = member.matches(&request.protocols);
        let member_id = Arc::clone(&member.member_id);
        let as_before = match self.state {
            ClassicState::CompletingRebalance => is_same,
            ClassicState::Stable => is_same && !self.is_leader(&member_id),
            ClassicState::PreparingRebalance => false,
            ClassicState::Empty => return Err(ErrorCode::UnknownMemberId),
        };
        if as_before {
            let answer = self.join_answer(&member_id);
            turn.answer(ticket, GroupAnswer::Join(answer));
            return Ok(());
        }
        self.update_member(&member_id, request);
        self.park_join(&member_id, ticket, turn);
        self.rebalance_or_complete_join(turn);
        Ok(())
    }

    fn add_member(&mut self, member_id: Arc<str>, ticket: Ticket, request: &JoinRequest, turn: &mut Turn) {
        if let Some(delay) = &mut self.initial_delay {
            delay.member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.as_str().into());
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member_id));
        }
        let mut member = Member::new(Arc::clone(&member_id), request);
        let due = turn.in_ms(NEW_MEMBER_JOIN_TIMEOUT_MS);
        let kind = TimerKind::Session(Arc::clone(&member_id));
        turn.timers.arm(&mut member.session, due, &self.group_id, kind);
        self.members.insert(member);
        self.park_join(&member_id, ticket, turn);
        self.rebalance_or_complete_join(turn);
    }

    pub(super) fn update_member(&mut self, member_id: &str, request: &JoinRequest) {
        self.members
            .set_protocols(member_id, protocols(&request.protocols));
        let member = self.members.get_mut(member_id).expect("set just now");
        member.rebalance_timeout_ms = request.rebalance_timeout_ms();
        member.session_timeout_ms = request.session_timeout_ms;
    }

    /// By how many bytes the group grows at most.
    fn growth(&self, request: &JoinRequest) -> u64 {
        match self.members.get(&request.member_id) {
            Some(member) => request.bytes().saturating_sub(2 * member.bytes()),
            None => request.bytes(),
        }
    }

    /// Whether the group and who joins would still have a protocol in common.
    fn supports(&self, request: &JoinRequest) -> bool {
        if self.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let has_type = self.protocol_type.as_deref() == Some(&*request.protocol_type);
        let mut protocols = request.protocols.iter();
        has_type && protocols.any(|protocol| self.members.all_support(&protocol.name))
    }
}

/// The instance id, else the client's, and a random UUID.
fn new_member_id(request: &JoinRequest) -> Arc<str> {
    let prefix = request.group_instance_id.as_ref().unwrap_or(&request.client.id);
    let version_4 = (request.draw & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
    let hex: String = format!("{version_4:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("{prefix}-{}", parts.join("-")).into()
}

/// How long a new member may wait for its first generation, as Kafka's `group.new.member.join.timeout.ms`: so long
/// nobody hears of it, and a client that went away would keep all others waiting.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;

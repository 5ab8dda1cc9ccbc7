//! Members that speak the classic protocol in a group of the consumer protocol, while its members go from one to the
//! other: their generation is the member epoch, they learn of changes by REBALANCE_IN_PROGRESS, join again with what
//! they still have, and ask for what they may have then.
//!
//! Nobody of them leads, and nobody waits for the others: every request is answered at once.
//!
//! Invariant: there is a protocol that all of them know.

use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::super::answer::{JoinAnswer, SyncAnswer};
use super::super::embedded;
use super::super::member::{Member, MemberProtocol, protocols};
use super::super::request::{HeartbeatRequest, JoinRequest, SyncRequest};
use super::super::subscription::CONSUMER;
use super::super::timers::TimerKind;
use super::super::turn::Turn;
use super::heartbeat::{NEW_MEMBER_BYTES, new_member_id};
use super::record::{ClassicMember, MemberState, MemberSubscription, Partitions};
use super::{ConsumerGroup, ConsumerMember};
use crate::cluster::image::ClusterImage;

impl ConsumerGroup {
    /// JoinGroup, of who stays a member of this group. The answer is made by [`Self::join_answer`] for the id.
    ///
    /// `keeps_target` where the group becomes a classic one now: then it makes no new target, and the member goes
    /// towards the one that there is, if that is of this epoch.
    pub fn join(
        &mut self,
        request: &JoinRequest,
        keeps_target: bool,
        turn: &mut Turn,
    ) -> Result<Arc<str>, JoinAnswer> {
        let refusal = |error| JoinAnswer::refusal(error, "".into());
        self.check_place(&request.member_id, turn)
            .map_err(|(error, _)| refusal(error))?;
        if !self.supports(request) {
            return Err(refusal(ErrorCode::InconsistentGroupProtocol));
        }
        let is_dynamic = request.group_instance_id.is_none();
        if is_dynamic && request.member_id.is_empty() && request.requires_known_member_id {
            let member_id = new_member_id(request.draw);
            return Err(JoinAnswer::refusal(ErrorCode::MemberIdRequired, member_id));
        }
        let owned = self.check_join(request, turn).map_err(refusal)?;
        let member_id = self.find_joining(request, turn).map_err(refusal)?;
        let wants_other = self.subscribe(&member_id, |before| subscription(before, request), turn);
        self.hold_against_image(wants_other, turn);
        let mut assigned = Ok(());
        if !keeps_target {
            assigned = self.assign_if_due(turn);
        }
        if assigned.is_ok() && (!keeps_target || self.target_epoch() >= self.group_epoch()) {
            self.reconcile(&member_id, Some(&owned), wants_other, turn);
        }
        self.time_revocation(&member_id, turn);
        self.heard_of(&member_id, turn);
        self.expect_sync(&member_id, turn);
        assigned.map_err(|(error, _)| refusal(error))?;
        Ok(member_id)
    }

    /// What a classic member is told that has joined.
    pub fn join_answer(&self, member_id: Arc<str>) -> JoinAnswer {
        let member = &self.members[&member_id];
        let protocol = member.classic().and_then(|it| it.protocols.first());
        JoinAnswer {
            error: ErrorCode::None,
            generation_id: member.current().member_epoch,
            protocol_type: Some(CONSUMER.into()),
            protocol_name: protocol.map(|it| Arc::clone(&it.name)),
            ..JoinAnswer::refusal(ErrorCode::None, member_id)
        }
    }

    /// SyncGroup of a classic member.
    pub fn sync(&mut self, request: &SyncRequest, turn: &mut Turn) -> Result<SyncAnswer, ErrorCode> {
        let instance_id = request.group_instance_id.as_deref();
        let member_id = self.check_classic(&request.member_id, instance_id, request.generation_id)?;
        let member = &self.members[&member_id];
        let protocol = member.first_protocol();
        let differs =
            |told: &Option<alloc::string::String>, own: &str| told.as_deref().is_some_and(|told| told != own);
        if differs(&request.protocol_type, CONSUMER) || differs(&request.protocol_name, &protocol.name) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let current = member.current();
        if self.target_epoch() > current.member_epoch && current.state != MemberState::UnrevokedPartitions {
            self.expect_rejoin(&member_id, turn);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let assigned: Partitions = current.assigned.keys().copied().collect();
        let answer = SyncAnswer {
            error: ErrorCode::None,
            protocol_type: request.protocol_type.as_deref().map(Arc::from),
            protocol_name: request.protocol_name.as_deref().map(Arc::from),
            assignment: embedded::assignment(&assigned, &protocol.metadata, turn.image),
        };
        self.forgive_sync(&member_id, turn);
        self.heard_of(&member_id, turn);
        Ok(answer)
    }

    /// Heartbeat of a classic member. Where all are classic it is them who ask for the next target: a member of the
    /// consumer protocol would do it with its own heartbeats.
    pub fn classic_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<(), ErrorCode> {
        let instance_id = request.group_instance_id.as_deref();
        let member_id = self.check_classic(&request.member_id, instance_id, request.generation_id)?;
        self.heard_of(&member_id, turn);
        if self.classic_members().count() == self.members.len() {
            self.hold_against_image(false, turn);
            self.assign_if_due(turn).map_err(|(error, _)| error)?;
        }
        let member = &self.members[&member_id];
        let current = member.current();
        let has_to_join = current.member_epoch < self.target_epoch()
            || match current.state {
                MemberState::Stable => false,
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(member),
            };
        if has_to_join {
            self.expect_rejoin(&member_id, turn);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether all members but these are classic ones.
    pub fn others_are_classic(&self, but: &[Arc<str>]) -> bool {
        let mut others = self.members.iter().filter(|(id, _)| !but.contains(id));
        others.all(|(_, member)| member.classic().is_some())
    }

    /// The member that a static one who joins takes the place of.
    pub fn of_instance(&self, request: &JoinRequest) -> Option<&Arc<str>> {
        self.instances.get(request.group_instance_id.as_deref()?)
    }

    pub fn speaks_consumer(&self, member_id: &str) -> bool {
        self.members
            .get(member_id)
            .is_some_and(|it| it.classic().is_none())
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// The members as a classic group has them, but for `leaving`: each is to work on what its target is. `None`
    /// where some speak the consumer protocol, or they have no protocol in common.
    pub fn classic_form(&self, leaving: &[Arc<str>], image: &ClusterImage) -> Option<Vec<Member>> {
        let protocol = self.common_protocol()?;
        let staying = self.members.iter().filter(|(id, _)| !leaving.contains(id));
        let members = staying.map(|(member_id, member)| {
            let classic = member.classic()?;
            let known = classic.protocols.iter().find(|it| it.name == protocol.name)?;
            let assignment = embedded::assignment(member.target(), &known.metadata, image);
            Some(Member::migrated(
                member_id,
                &member.subscription,
                classic,
                assignment,
            ))
        });
        members.collect()
    }

    pub(super) fn classic_members(&self) -> impl Iterator<Item = &ClassicMember> {
        self.members.values().filter_map(ConsumerMember::classic)
    }

    /// One that all classic members know.
    pub(super) fn common_protocol(&self) -> Option<&MemberProtocol> {
        let first = self.classic_members().next()?;
        first.protocols.iter().find(|it| self.all_know(&it.name))
    }

    /// The member has to have joined again within its rebalance timeout from when it was told so first.
    pub(super) fn expect_rejoin(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        if member.rejoin.is_none() {
            let due = turn.in_ms(member.subscription.rebalance_timeout_ms);
            let kind = TimerKind::Rejoin(Arc::clone(member_id));
            turn.timers.arm(&mut member.rejoin, due, &self.group_id, kind);
        }
    }

    /// The member speaks the consumer protocol from now on, and owes none of these.
    pub(super) fn forgive_classic(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        self.forgive_rejoin(member_id, turn);
        self.forgive_sync(member_id, turn);
        let member = &self.members[member_id];
        if member.has_to_revoke() && member.revocation.is_none() {
            self.time_revocation(member_id, turn);
        }
    }

    /// The member has joined, and has to ask for its assignment within its rebalance timeout.
    fn expect_sync(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        self.forgive_rejoin(member_id, turn);
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let due = turn.in_ms(member.subscription.rebalance_timeout_ms);
        let kind = TimerKind::MemberSync(Arc::clone(member_id));
        turn.timers.arm(&mut member.sync, due, &self.group_id, kind);
    }

    fn forgive_rejoin(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let kind = TimerKind::Rejoin(Arc::clone(member_id));
        turn.timers.disarm(&mut member.rejoin, &self.group_id, kind);
    }

    fn forgive_sync(&mut self, member_id: &Arc<str>, turn: &mut Turn) {
        let member = self.members.get_mut(member_id).expect("a member of the group");
        let kind = TimerKind::MemberSync(Arc::clone(member_id));
        turn.timers.disarm(&mut member.sync, &self.group_id, kind);
    }

    /// Whether classic members and who joins would still have a protocol in common.
    fn supports(&self, request: &JoinRequest) -> bool {
        let mut protocols = request.protocols.iter();
        request.protocol_type == CONSUMER && protocols.any(|it| self.all_know(&it.name))
    }

    fn all_know(&self, protocol: &str) -> bool {
        self.classic_members()
            .all(|member| member.protocols.iter().any(|it| *it.name == *protocol))
    }

    /// What the member still has, if what it says can be read and kept.
    fn check_join(&self, request: &JoinRequest, turn: &Turn) -> Result<Partitions, ErrorCode> {
        let first = request
            .protocols
            .first()
            .ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let told = embedded::read_subscription(&first.metadata).ok_or(ErrorCode::UnknownServerError)?;
        let known = self.members.get(&*request.member_id).or_else(|| {
            let owner = self.of_instance(request)?;
            self.members.get(owner)
        });
        let before = known.map(|it| Arc::clone(&it.subscription));
        let after = subscription(&before.clone().unwrap_or_default(), request);
        let fixed = NEW_MEMBER_BYTES + 3 * request.member_id.len() as u64;
        if fixed + after.bytes() > turn.settings.group_record_bytes_max as u64 {
            return Err(ErrorCode::UnknownServerError);
        }
        let growth = match before {
            Some(before) => after.bytes().saturating_sub(before.bytes()),
            None => fixed + after.bytes(),
        };
        if growth > turn.room {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        Ok(embedded::partitions(&told.owned_partitions, turn.image))
    }

    /// The id of who joins: a new one, a known one, or one that takes over a static member's place.
    fn find_joining(&mut self, request: &JoinRequest, turn: &mut Turn) -> Result<Arc<str>, ErrorCode> {
        let has_id = !request.member_id.is_empty();
        let member_id: Arc<str> = match request.member_id.as_str() {
            "" => new_member_id(request.draw),
            known => known.into(),
        };
        if request.group_instance_id.is_some() {
            match self.of_instance(request).cloned() {
                None if has_id => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if has_id && owner != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(owner) if !has_id => self.replace(&owner, &member_id, turn),
                _ => {}
            }
        }
        Ok(member_id)
    }

    /// Whether it is a classic member at this generation; its id as the group has it.
    fn check_classic(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<Arc<str>, ErrorCode> {
        if let Some(instance_id) = instance_id {
            let owner = self
                .instances
                .get(instance_id)
                .ok_or(ErrorCode::UnknownMemberId)?;
            if **owner != *member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let (member_id, member) = self
            .members
            .get_key_value(member_id)
            .filter(|(_, member)| member.classic().is_some())
            .ok_or(ErrorCode::UnknownMemberId)?;
        if member.current().member_epoch != generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(Arc::clone(member_id))
    }

    /// Whether somebody still has what the member is to have.
    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        let mut missing = member
            .target()
            .iter()
            .filter(|it| !member.current().assigned.contains_key(it));
        missing.any(|partition| self.owners.contains_key(partition))
    }
}

impl ConsumerMember {
    fn first_protocol(&self) -> &MemberProtocol {
        let protocol = self.classic().and_then(|it| it.protocols.first());
        protocol.expect("a classic member knows a protocol")
    }
}

/// What the member says now, over what it said before. Its metadata for the first protocol can be read.
fn subscription(before: &MemberSubscription, request: &JoinRequest) -> MemberSubscription {
    let told = request.protocols.first();
    let told = told.and_then(|it| embedded::read_subscription(&it.metadata));
    let told = told.unwrap_or_default();
    let instance_id = request.group_instance_id.as_deref().map(Arc::from);
    MemberSubscription {
        instance_id: instance_id.or_else(|| before.instance_id.clone()),
        rack_id: told.rack_id.map(Arc::from).or_else(|| before.rack_id.clone()),
        client_id: request.client.id.as_str().into(),
        client_host: request.client.host.as_str().into(),
        topic_names: MemberSubscription::names(told.topics.iter().copied()),
        topic_regex: None,
        rebalance_timeout_ms: request.rebalance_timeout_ms(),
        server_assignor: before.server_assignor.clone(),
        classic: Some(ClassicMember {
            session_timeout_ms: request.session_timeout_ms,
            protocols: protocols(&request.protocols),
        }),
    }
}

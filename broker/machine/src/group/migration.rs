//! A group goes from one protocol to the other while its members live: member by member, each when its client is
//! restarted with the other protocol.
//!
//! The first member of the consumer protocol makes a consumer group of a classic one, and the others go on as
//! [classic members](super::consumer) of it; when only such are left again, it becomes a classic group.
//!
//! Invariant: what a member had it has, at the same generation, on the other side; the records say the same step.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TimestampMs;

use super::Group;
use super::answer::{ConsumerHeartbeatAnswer, GroupAnswer, JoinAnswer, LeaveAnswer, SyncAnswer};
use super::classic::ClassicGroup;
use super::consumer::record::{
    ClassicMember, ConsumerRecord, CurrentAssignment, GroupEpoch, MemberState, MemberSubscription,
    PartitionEpochs, TargetEpoch,
};
use super::consumer::{ConsumerGroup, Refusal};
use super::embedded::{self, Unreadable};
use super::member::Member;
use super::record::GroupRecord;
use super::request::{ConsumerHeartbeatRequest, JoinRequest, LeaveRequest};
use super::state::{ClassicState, GroupState};
use super::subscription::CONSUMER;
use super::timers::TimerKind;
use super::turn::Turn;

impl Group {
    /// ConsumerGroupHeartbeat. Who joins makes a consumer group of an empty or a classic one.
    pub fn consumer_heartbeat(
        &mut self,
        request: ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<ConsumerHeartbeatAnswer, Refusal> {
        if self.consumer.is_none() {
            self.become_consumer(&request, turn)?;
        }
        let consumer = self.consumer.as_mut().expect("it became one");
        if request.member_epoch >= 0 {
            return consumer.heartbeat(request, turn);
        }
        let (answer, leaving) = consumer.leave(&request, turn)?;
        if let Some(member_id) = leaving {
            self.fence(&[member_id], turn);
        }
        Ok(answer)
    }

    /// JoinGroup to a consumer group with members.
    pub fn join_consumers(&mut self, request: &JoinRequest, turn: &mut Turn) -> JoinAnswer {
        let consumer = self.consumer.as_mut().expect("a consumer group");
        if !turn.settings.migration.allows_mixing() {
            return JoinAnswer::refusal(ErrorCode::InconsistentGroupProtocol, "".into());
        }
        let replaced = consumer.of_instance(request).cloned();
        let replaces_last =
            replaced.is_some_and(|id| consumer.speaks_consumer(&id) && consumer.others_are_classic(&[id]));
        let becomes_classic = replaces_last && may_downgrade(consumer.member_count(), turn);
        let generation = consumer.group_epoch();
        let member_id = match consumer.join(request, becomes_classic, turn) {
            Ok(member_id) => member_id,
            Err(refusal) => return refusal,
        };
        let answer = consumer.join_answer(member_id);
        if becomes_classic {
            // Who is on its way still has what another one is to have: then all have to meet.
            let is_settled = consumer.state() == GroupState::Stable;
            if self.downgrade(&[], generation, turn) && !is_settled {
                self.classic.prepare_rebalance(turn);
            }
        }
        answer
    }

    pub fn leave(&mut self, request: LeaveRequest, turn: &mut Turn) -> LeaveAnswer {
        let Some(consumer) = &mut self.consumer else {
            return self.classic.leave(request, turn);
        };
        let (answer, leaving) = consumer.find_leaving(request);
        if !leaving.is_empty() {
            self.fence(&leaving, turn);
        }
        answer
    }

    /// Takes members of a consumer group out. Where only classic ones are left, it becomes a classic group, which
    /// rebalances.
    pub fn fence(&mut self, member_ids: &[Arc<str>], turn: &mut Turn) {
        let consumer = self.consumer.as_mut().expect("a consumer group");
        let staying = consumer.member_count() - member_ids.len();
        let becomes_classic =
            staying > 0 && consumer.others_are_classic(member_ids) && may_downgrade(staying, turn);
        let generation = consumer.group_epoch();
        if becomes_classic && self.downgrade(member_ids, generation, turn) {
            self.classic.prepare_rebalance(turn);
        } else if let Some(consumer) = &mut self.consumer {
            consumer.fence(member_ids, turn);
        }
    }

    /// False where it has members that speak the consumer protocol, or did once.
    pub fn become_classic(&mut self, turn: &mut Turn) -> bool {
        if self.consumer.as_ref().is_some_and(|it| !it.is_empty()) {
            return false;
        }
        if let Some(mut consumer) = self.consumer.take() {
            consumer.end(turn);
        }
        true
    }

    /// The group has no consumer part yet, and gets one if the request may join it.
    fn become_consumer(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        let group_id = Arc::clone(&self.classic.group_id);
        if request.member_epoch != 0 {
            let message = format!("Group {group_id} is not a consumer group.");
            return Err((ErrorCode::GroupIdNotFound, message));
        }
        let consumer = if self.classic.is_empty() {
            self.classic.end(turn);
            ConsumerGroup::new(&group_id)
        } else {
            self.upgrade(request, turn)?
        };
        self.classic = ClassicGroup::new(&group_id, Some(turn.now.wall));
        self.consumer = Some(consumer);
        Ok(())
    }

    fn upgrade(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<ConsumerGroup, Refusal> {
        let (mut upgraded, records) = self.classic.upgraded(turn)?;
        self.check_upgrade(&upgraded, &records, request, turn)?;
        self.classic.disband(turn);
        let group_id = &self.classic.group_id;
        let records = records.into_iter().map(|record| GroupRecord::Consumer {
            group_id: Arc::clone(group_id),
            record,
        });
        turn.effects.records.extend(records);
        upgraded.load(turn);
        Ok(upgraded)
    }

    /// Whether what the group comes to be can be written and kept, with who joins it.
    fn check_upgrade(
        &self,
        upgraded: &ConsumerGroup,
        records: &[ConsumerRecord],
        request: &ConsumerHeartbeatRequest,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        let longest = records.iter().map(ConsumerRecord::bytes).max().unwrap_or(0);
        if longest > turn.settings.group_record_bytes_max {
            let message = String::from("A member of the group has more than a record can hold.");
            return Err((ErrorCode::UnknownServerError, message));
        }
        let growth = upgraded.bytes().saturating_sub(self.classic.bytes());
        turn.room = turn.room.checked_sub(growth).ok_or_else(|| {
            let message = String::from("The coordinator has no room for the group as a consumer group.");
            (ErrorCode::CoordinatorNotAvailable, message)
        })?;
        upgraded.check_place(&request.member_id, turn)?;
        upgraded.check_room(request, turn)
    }

    /// Makes a classic group of the members, without `leaving`. False where it cannot be written or kept, or has none.
    fn downgrade(&mut self, leaving: &[Arc<str>], generation: i32, turn: &mut Turn) -> bool {
        let Some(consumer) = &mut self.consumer else {
            return false;
        };
        let Some(members) = consumer.classic_form(leaving, turn.image) else {
            return false;
        };
        let group_id = Arc::clone(&self.classic.group_id);
        let Some(mut classic) = ClassicGroup::downgraded(&group_id, generation, members, turn) else {
            return false;
        };
        let metadata = classic.metadata();
        let growth = (classic.bytes() + metadata.bytes()).saturating_sub(consumer.bytes());
        if metadata.record_bytes() > turn.settings.group_record_bytes_max || growth > turn.room {
            return false;
        }
        consumer.dissolve(turn);
        self.consumer = None;
        classic.write(Some(metadata), turn);
        classic.begin_sessions(turn);
        self.classic = classic;
        true
    }
}

impl ClassicGroup {
    /// What its members are as members of a consumer group: at the same generation, with what they have.
    fn upgraded(&self, turn: &Turn) -> Result<(ConsumerGroup, Vec<ConsumerRecord>), Refusal> {
        self.check_upgradable(turn)?;
        let epoch = self.generation;
        let known = self
            .protocol_name
            .clone()
            .filter(|it| self.members.all_support(it));
        let protocol = known.or_else(|| self.members.select_protocol());
        // None without members, who may all have gone while others were waited for.
        let protocol = protocol.unwrap_or_else(|| "".into());
        let mut records = Vec::with_capacity(3 * self.members.len() + 2);
        let mut owned = PartitionEpochs::new();
        for member in self.members.iter() {
            let metadata = member.metadata(&protocol).expect("all know it");
            let subscription = subscription(member, metadata).ok_or_else(|| self.refuses(MALFORMED))?;
            let assigned = embedded::read_assignment(member.assignment(), turn.image);
            let assigned = assigned.map_err(|reason| match reason {
                Unreadable::Malformed => self.refuses(MALFORMED),
                Unreadable::HasUserData => self.refuses(CUSTOM_ASSIGNOR),
            })?;
            for partition in &assigned {
                if owned.insert(*partition, epoch).is_some() {
                    // Without a word, as from Kafka, which stumbles over them.
                    return Err((ErrorCode::UnknownServerError, String::new()));
                }
            }
            let current = CurrentAssignment {
                member_epoch: epoch,
                previous_epoch: epoch,
                state: MemberState::Stable,
                assigned: assigned.iter().map(|partition| (*partition, epoch)).collect(),
                pending_revocation: PartitionEpochs::new(),
            };
            let id = || Arc::clone(&member.member_id);
            records.push(ConsumerRecord::Member(id(), Some(Arc::new(subscription))));
            records.push(ConsumerRecord::Target(id(), Some(Arc::new(assigned))));
            records.push(ConsumerRecord::Current(id(), Some(Arc::new(current))));
        }
        let mut upgraded = ConsumerGroup::new(&self.group_id);
        records.iter().cloned().for_each(|record| upgraded.apply(record));
        let metadata_hash = upgraded.metadata_hash(turn.image);
        // As old as can be, so that the next target need not wait.
        let timestamp = TimestampMs::new(0);
        for record in [
            ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash })),
            ConsumerRecord::TargetEpoch(Some(TargetEpoch { epoch, timestamp })),
        ] {
            upgraded.apply(record.clone());
            records.push(record);
        }
        Ok((upgraded, records))
    }

    fn check_upgradable(&self, turn: &Turn) -> Result<(), Refusal> {
        let reason = if !turn.settings.migration.allows_upgrade() {
            "online upgrade is disabled."
        } else if !self.uses_consumer_protocol() {
            "the group does not use the consumer embedded protocol."
        } else if self.members.len() > turn.settings.consumer_group_max_size as usize {
            "the group size exceeds the consumer group maximum size."
        } else {
            return Ok(());
        };
        Err(self.refuses(reason))
    }

    fn refuses(&self, reason: &str) -> Refusal {
        let message = format!(
            "Cannot upgrade classic group {} to consumer group because {reason}",
            self.group_id
        );
        (ErrorCode::GroupIdNotFound, message)
    }

    /// Its members are members of a consumer group from now on: who waits is told to join again.
    fn disband(&mut self, turn: &mut Turn) {
        let error = ErrorCode::RebalanceInProgress;
        for member_id in self.members.ids_where(|_| true) {
            if let Some(ticket) = self.members.take_join(&member_id) {
                let refusal = JoinAnswer::refusal(error, Arc::clone(&member_id));
                turn.answer(ticket, GroupAnswer::Join(refusal));
            }
            let member = self.members.get_mut(&member_id).expect("one of the members");
            if let Some(ticket) = member.parked_sync.take() {
                turn.answer(ticket, GroupAnswer::Sync(SyncAnswer::refusal(error)));
            }
            let kind = TimerKind::Session(member_id);
            turn.timers.disarm(&mut member.session, &self.group_id, kind);
        }
        for (slot, kind) in [
            (&mut self.join_timer, TimerKind::Join),
            (&mut self.sync_timer, TimerKind::Sync),
        ] {
            turn.timers.disarm(slot, &self.group_id, kind);
        }
        self.end(turn);
    }

    /// A stable group of these members. `None` where there are none, or they have no protocol in common.
    fn downgraded(group_id: &Arc<str>, generation: i32, members: Vec<Member>, turn: &Turn) -> Option<Self> {
        let mut group = Self::new(group_id, None);
        group.leader = members.first().map(|member| Arc::clone(&member.member_id));
        members
            .into_iter()
            .for_each(|member| group.members.insert(member));
        group.protocol_type = Some(CONSUMER.into());
        group.protocol_name = Some(group.members.select_protocol()?);
        group.generation = generation;
        group.turn_to(ClassicState::Stable, turn);
        group.read_subscriptions();
        Some(group)
    }

    fn begin_sessions(&mut self, turn: &mut Turn) {
        for member_id in self.members.ids_where(|_| true) {
            self.heard_of(&member_id, turn);
        }
    }
}

/// `None` where the metadata is malformed.
fn subscription(member: &Member, metadata: &[u8]) -> Option<MemberSubscription> {
    let told = embedded::read_subscription(metadata)?;
    Some(MemberSubscription {
        instance_id: member.group_instance_id.clone(),
        rack_id: told.rack_id.map(Arc::from),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        topic_names: MemberSubscription::names(told.topics.iter().copied()),
        topic_regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols().into(),
        }),
    })
}

/// Whether so many members may be a classic group again.
fn may_downgrade(members: usize, turn: &Turn) -> bool {
    turn.settings.migration.allows_downgrade() && members <= turn.settings.group_max_size as usize
}

const MALFORMED: &str = "the embedded consumer protocol is malformed.";
const CUSTOM_ASSIGNOR: &str = "an unsupported custom assignor is in use. Please refer to the documentation or switch \
                               to a default assignor before re-attempting the upgrade.";

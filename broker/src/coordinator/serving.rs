//! Requests to groups at the shard that owns them.
//! Invariants: a request that finds no coordinator is answered at once; one that a machine keeps is answered when the
//! machine answers, or when its coordinator is given up.

use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_machine::group::{DeletedTopic, GroupRequest, Now as GroupNow};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Duration;
use millstream_protocol::types::PartitionIndex;
use millstream_storage::Now;

use super::coordinators::{Coordinator, Reply, Stage, ticket_of};
use super::loading::Loading;
use super::settings::assignment_interval;
use super::{Answered, weight};
use crate::limits::COORDINATOR_PAUSE;
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::state::Shard;

/// Where a request to a group came from.
#[derive(Clone, Copy, Debug)]
pub struct GroupOrigin {
    pub origin: Origin,
    /// Its place in the call.
    pub slot: usize,
}

/// Who waits for a machine's answer.
#[derive(Debug)]
pub(super) struct Asker {
    pub to: GroupOrigin,
    pub partition: PartitionIndex,
}

impl Shard {
    /// Asks a group of this shard.
    pub(crate) fn group_request(&mut self, to: GroupOrigin, key: PartitionKey, request: GroupRequest) {
        match self.admit_group_request(to, key) {
            Ok(ticket) => {
                let now = group_now(self.now);
                self.coordinators.decide(key.partition, |machine, effects| {
                    machine.handle(now, ticket, request, effects)
                });
            }
            Err(code) => self.deliver_group_answer(to, Err(code)),
        }
    }

    fn admit_group_request(
        &mut self,
        to: GroupOrigin,
        key: PartitionKey,
    ) -> Result<millstream_machine::group::Ticket, ErrorCode> {
        let groups = &mut self.coordinators;
        if groups.closed {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if groups.topic != Some(key.topic) {
            return Err(ErrorCode::NotCoordinator);
        }
        match groups.get_mut(key.partition) {
            None => return Err(ErrorCode::NotCoordinator),
            Some(Coordinator { stage, .. }) => match stage {
                Stage::Loading(_) => return Err(ErrorCode::CoordinatorLoadInProgress),
                // As from Kafka: the groups of the others are listed all the same.
                Stage::Failed(_) => return Err(ErrorCode::NotCoordinator),
                // Whoever comes while the log takes nothing would only wait as well.
                Stage::Ready(ready) if ready.refused_since.is_some() => {
                    return Err(ErrorCode::CoordinatorNotAvailable);
                }
                Stage::Ready(_) => {}
            },
        }
        let partition = key.partition;
        match groups.askers.insert(Asker { to, partition }) {
            Ok(asker) => Ok(ticket_of(asker)),
            Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Does what is due.
    pub(crate) fn expire_coordinators(&mut self) {
        let now = group_now(self.now);
        for index in self.coordinators.take_due(now.monotonic) {
            let stage = self.coordinators.get_mut(index).map(|found| &mut found.stage);
            match stage {
                Some(Stage::Failed(_)) => self.begin_load(index),
                Some(Stage::Ready(ready)) => {
                    ready.again_at = None;
                    match self.coordinators.closed {
                        true => drop(self.coordinators.touched.insert(index)),
                        false => self
                            .coordinators
                            .decide(index, |machine, effects| machine.expire(now, effects)),
                    }
                }
                Some(Stage::Loading(_)) | None => {}
            }
        }
    }

    /// Takes notice of an image: the offsets topic may have come or gone, and others that were committed for.
    pub(crate) fn install_coordinators(&mut self, deleted: &[DeletedTopic<'_>]) {
        let topic = self.offsets_topic();
        let id = topic.as_ref().map(|topic| topic.id);
        if self.coordinators.topic != id {
            for index in self.coordinators.indexes() {
                self.give_up_coordinator(index, ErrorCode::NotCoordinator);
                self.coordinators.remove(index);
            }
            self.coordinators.topic = id;
        }
        let interval = assignment_interval(&self.image, &self.options);
        self.coordinators.settings.consumer.assignment_interval = interval;
        for index in self.coordinators.indexes() {
            if let Some((_, ready)) = self.coordinators.ready(index) {
                ready.machine.set_image(Arc::clone(&self.image));
                ready.machine.set_assignment_interval(interval);
            }
            match self.coordinators.get_mut(index).map(|found| &mut found.stage) {
                Some(Stage::Loading(loading)) => loading.install(deleted, interval),
                Some(Stage::Ready(_)) if !deleted.is_empty() => self
                    .coordinators
                    .decide(index, |machine, effects| machine.forget_topics(deleted, effects)),
                _ => {}
            }
        }
        let Some(topic) = topic else { return };
        for index in (0..topic.partitions).map(PartitionIndex::new) {
            let key = PartitionKey {
                topic: topic.id,
                partition: index,
            };
            if self.coordinators.get_mut(index).is_none()
                && let Some((_, owned)) = self.partitions.find(key)
            {
                let log = owned.log;
                let loading = Loading::new(self.coordinators.settings);
                self.coordinators
                    .insert(key, log, Stage::Loading(Box::new(loading)));
                self.begin_load(index);
            }
        }
    }

    /// The broker ends: whoever waits for other members is sent away, what waits for the disk is still answered.
    pub(crate) fn close_coordinators(&mut self) {
        self.coordinators.closed = true;
        self.coordinators.load_queue.clear();
        for index in self.coordinators.indexes() {
            self.coordinators.arm(index);
            for to in self.coordinators.take_askers(index) {
                self.deliver_group_answer(to, Err(ErrorCode::NotCoordinator));
            }
        }
    }

    /// Drops a coordinator with all that it has not made durable. It is loaded anew after a while.
    pub(super) fn give_up_coordinator(&mut self, index: PartitionIndex, code: ErrorCode) {
        let again = self.now.monotonic + Duration::from(COORDINATOR_PAUSE);
        let before = self.coordinators.set_stage(index, Stage::Failed(again));
        let waiting = self.coordinators.take_askers(index);
        match before {
            Some(Stage::Ready(ready)) => {
                self.coordinators.state_bytes -= ready.state_bytes;
                for reply in ready.into_replies() {
                    self.deliver_reply(reply, Some(code));
                }
                self.charge_groups();
            }
            Some(Stage::Loading(_)) => self.coordinators.load_queue.retain(|queued| *queued != index),
            Some(Stage::Failed(_)) | None => {}
        }
        for to in waiting {
            self.deliver_group_answer(to, Err(code));
        }
    }

    /// Gives an answer that waited, or `instead` of it an error.
    pub(super) fn deliver_reply(&mut self, reply: Reply, instead: Option<ErrorCode>) {
        let Reply { to, answer } = reply;
        self.coordinators.reply_bytes -= weight::of(&answer) as u64;
        self.deliver_group_answer(to, instead.map_or(answer, Err));
    }

    pub(super) fn deliver_group_answer(&mut self, to: GroupOrigin, answer: Answered) {
        let GroupOrigin { origin, slot } = to;
        if origin.shard == self.id {
            self.group_answered(origin.call, slot, answer);
        } else {
            let message = PeerMessage::GroupAnswer {
                call: origin.call,
                slot,
                answer: Box::new(answer),
            };
            self.mail.send(origin.shard, message);
        }
    }

    /// Charges what groups take to the shard's memory.
    pub(super) fn charge_groups(&mut self) {
        let groups = &mut self.coordinators;
        let bytes = groups.state_bytes + groups.reply_bytes;
        let before = std::mem::replace(&mut groups.charged_bytes, bytes);
        self.budget.recharge(before as usize, bytes as usize);
    }
}

pub(super) fn group_now(now: Now) -> GroupNow {
    GroupNow {
        monotonic: now.monotonic,
        wall: now.wall,
    }
}

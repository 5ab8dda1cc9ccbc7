//! What a group needs from outside while it handles one request or one timer.

use millstream_protocol::time::{Duration, Instant};

use super::answer::GroupAnswer;
use super::settings::{ConsumerTimes, GroupSettings};
use super::timers::Timers;
use super::topics::Topics;
use super::{Effects, Now, Ticket};
use crate::cluster::image::ClusterImage;

pub(super) struct Turn<'a> {
    pub now: Now,
    pub settings: &'a GroupSettings,
    pub timers: &'a mut Timers,
    pub topics: &'a mut Topics,
    pub effects: &'a mut Effects,
    /// The topics that there are, and what groups have configured.
    pub image: &'a ClusterImage,
    /// Bytes that the group may grow by in this turn.
    pub room: u64,
}

impl Turn<'_> {
    pub fn answer(&mut self, ticket: Ticket, answer: GroupAnswer) {
        self.effects.replies.push((ticket, answer));
    }

    /// What members of the group that speak the consumer protocol are held to.
    pub fn consumer_times(&self, group_id: &str) -> ConsumerTimes {
        self.settings.of_group(self.image.group_configs().of(group_id))
    }

    /// So many milliseconds from now; from a client, so perhaps negative, and then now.
    pub fn in_ms(&self, ms: i32) -> Instant {
        self.now.monotonic + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

//! What is wrong with a shard, as every shard of the process can tell it.
//!
//! Place: each shard notes its own in the [`super::table::ShardTable`] once a second and when something changes;
//! DescribeConfigs tells them under the name [`HEALTH`], which `millstream cluster info` asks for.

use millstream_protocol::time::Duration;
use millstream_storage::StallReport;
use millstream_storage::Stalled;
use serde::{Deserialize, Serialize};

use super::state::Shard;
use crate::limits::METADATA_STALL;

/// The broker config that nobody can set: asked for by this name alone, it is not among those that are listed.
pub const HEALTH: &str = "millstream.health";

/// One shard that is not well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardHealth {
    pub shard: usize,
    /// Since when the disk has not finished a flush of the journal: nothing is acknowledged meanwhile. Milliseconds
    /// since 1970.
    pub flush_stalled_since: Option<i64>,
    /// The same of anything else that it was given.
    pub disk_stalled_since: Option<i64>,
    /// Produce requests that wait for the flush.
    pub waiting: usize,
    /// The journal failed: no appends until a restart.
    pub writes_stopped: bool,
    /// Partitions that are out of service since the start.
    pub fenced: usize,
    /// Since when a change of topics or configurations that was asked for here has no answer: the metadata log is not
    /// flushed, or a shard does not take the change in.
    pub metadata_stalled_since: Option<i64>,
    /// The metadata log could not be written: topics and configurations stay as they are until a restart.
    pub metadata_stopped: bool,
}

impl ShardHealth {
    pub fn is_well(&self) -> bool {
        let Self {
            flush_stalled_since,
            disk_stalled_since,
            writes_stopped,
            fenced,
            metadata_stalled_since,
            metadata_stopped,
            ..
        } = self;
        let stalls = [flush_stalled_since, disk_stalled_since, metadata_stalled_since];
        let is_stalled = stalls.iter().any(|since| since.is_some());
        !(is_stalled || *writes_stopped || *metadata_stopped || *fenced > 0)
    }

    /// A line for people.
    pub fn to_text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(since) = self.flush_stalled_since {
            let at = crate::telemetry::civil_time::format_millis(since);
            parts.push(format!(
                "the disk has not finished a flush since {at}, produce requests that wait: {}",
                self.waiting
            ));
        }
        if let Some(since) = self.disk_stalled_since {
            let at = crate::telemetry::civil_time::format_millis(since);
            parts.push(format!("the disk has not finished what it was given at {at}"));
        }
        if self.writes_stopped {
            parts.push("its journal failed: no appends until a restart".to_owned());
        }
        if self.fenced > 0 {
            parts.push(format!(
                "partitions that were fenced since the start: {}",
                self.fenced
            ));
        }
        if let Some(since) = self.metadata_stalled_since {
            let at = crate::telemetry::civil_time::format_millis(since);
            parts.push(format!(
                "a change of topics or configurations has waited since {at}"
            ));
        }
        if self.metadata_stopped {
            parts.push(
                "the metadata log failed: topics and configurations stay as they are until a restart"
                    .to_owned(),
            );
        }
        format!("shard {}: {}", self.shard, parts.join("; "))
    }
}

impl Shard {
    /// Notes a stall that was told of, or its end.
    pub(super) fn note_stall(&mut self, report: &StallReport) {
        let since = self.now.wall.get() - report.lasted.as_millis() as i64;
        let known = match report.what {
            Stalled::Round => &mut self.health.flush_stalled_since,
            Stalled::Other => &mut self.health.disk_stalled_since,
        };
        *known = (!report.over).then(|| known.unwrap_or(since));
        self.publish_health();
    }

    /// Once a second: looks how long a change of metadata has waited.
    pub(super) fn look_for_metadata_stall(&mut self) {
        let now = self.now.monotonic;
        let lasted = self
            .controller
            .waits_since()
            .map_or(Duration::ZERO, |since| now.saturating_since(since));
        let since = (lasted >= Duration::from(METADATA_STALL))
            .then(|| self.now.wall.get() - lasted.as_millis() as i64);
        let shard = self.id.0;
        match (self.health.metadata_stalled_since, since) {
            (None, Some(_)) => tracing::warn!(
                shard,
                lasted_ms = lasted.as_millis(),
                "a change of topics or configurations waits: the metadata log is not flushed, or a shard does not take \
                 the change in"
            ),
            (Some(_), None) => {
                tracing::info!(shard, "changes of topics and configurations are answered again")
            }
            // The same one, or the next: told already.
            _ => return,
        }
        self.health.metadata_stalled_since = since;
        self.publish_health();
    }

    /// The controller said whether it can still decide.
    pub(crate) fn note_metadata(&mut self, is_stopped: bool) {
        if self.health.metadata_stopped != is_stopped {
            self.health.metadata_stopped = is_stopped;
            self.publish_health();
        }
    }

    /// No partition of the shard takes anything until a restart.
    pub(crate) fn has_stopped_writing(&self) -> bool {
        self.health.writes_stopped
    }

    /// Lets the others know.
    pub(super) fn publish_health(&mut self) {
        self.health.shard = self.id.0;
        self.health.waiting = match self.health.flush_stalled_since {
            Some(_) => self.awaiting_flush,
            None => 0,
        };
        self.table.set_health(&self.health);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::table::ShardTable;

    #[test]
    fn a_shard_that_is_not_well_is_told_of_until_it_is() {
        let table = ShardTable::new(3, 10);
        let mut ill = ShardHealth {
            shard: 2,
            flush_stalled_since: Some(0),
            waiting: 7,
            ..ShardHealth::default()
        };
        table.set_health(&ill);
        table.set_health(&ShardHealth::default());
        assert_eq!(table.unwell(), [ill.clone()]);
        let text = ill.to_text();
        assert!(
            text.starts_with("shard 2: the disk has not finished a flush since 1970-01-01"),
            "{text}"
        );
        assert!(text.ends_with("produce requests that wait: 7"), "{text}");
        let sent = serde_json::to_string(&table.unwell()).unwrap();
        assert_eq!(
            serde_json::from_str::<Vec<ShardHealth>>(&sent).unwrap(),
            [ill.clone()]
        );
        ill.flush_stalled_since = None;
        table.set_health(&ill);
        assert!(table.unwell().is_empty());
    }

    #[test]
    fn each_ill_is_one() {
        let well = ShardHealth::default();
        assert!(well.is_well());
        for ill in [
            ShardHealth {
                disk_stalled_since: Some(1),
                ..well.clone()
            },
            ShardHealth {
                writes_stopped: true,
                ..well.clone()
            },
            ShardHealth {
                fenced: 1,
                ..well.clone()
            },
            ShardHealth {
                metadata_stalled_since: Some(1),
                ..well.clone()
            },
            ShardHealth {
                metadata_stopped: true,
                ..well.clone()
            },
        ] {
            assert!(
                !ill.is_well() && ill.to_text().len() > "shard 0: ".len(),
                "{ill:?}"
            );
        }
    }
}

//! What is wrong with a shard, as every shard of the process can tell it.
//!
//! Place: each shard notes its own in the [`super::table::ShardTable`] once a second and when something changes;
//! DescribeConfigs tells them under the name [`HEALTH`], which `millstream cluster info` asks for.

use millstream_storage::StallReport;
use millstream_storage::Stalled;
use serde::{Deserialize, Serialize};

use super::state::Shard;

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
}

impl ShardHealth {
    pub fn is_well(&self) -> bool {
        let Self {
            flush_stalled_since,
            disk_stalled_since,
            writes_stopped,
            fenced,
            ..
        } = self;
        let is_stalled = flush_stalled_since.is_some() || disk_stalled_since.is_some();
        !(is_stalled || *writes_stopped || *fenced > 0)
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
        ] {
            assert!(
                !ill.is_well() && ill.to_text().len() > "shard 0: ".len(),
                "{ill:?}"
            );
        }
    }
}

//! What an operator reads when the disk has no room left for appends, and when it has again.
//!
//! Place: told by each shard when its logs change their mind, and once by the start, which the shards then agree with.

use millstream_storage::{SpaceReport, SpaceState};

use super::mailbox::ShardId;
use crate::config::Key;
use crate::config::units::show_bytes;

/// One line; `shard` is `None` for the whole broker.
pub fn tell(shard: Option<ShardId>, report: &SpaceReport) {
    let shard = shard.map(|shard| shard.0);
    let SpaceReport {
        free,
        refused_below,
        taken_from,
        ..
    } = *report;
    match report.state {
        SpaceState::Full => tracing::error!(
            shard,
            free_bytes = free,
            refused_below_bytes = refused_below,
            taken_from_bytes = taken_from,
            "{}",
            line(report)
        ),
        SpaceState::Enough => tracing::warn!(shard, free_bytes = free, "{}", line(report)),
    }
}

fn line(report: &SpaceReport) -> String {
    let free = report.free.map_or_else(
        || "nothing".to_owned(),
        |free| format!("only {}", show_bytes(free)),
    );
    let setting = Key::FreeSpaceMin.spec();
    match report.state {
        SpaceState::Enough => "there is room on the disk again: produce requests are taken".to_owned(),
        SpaceState::Full => format!(
            "the disk is full: {free} is free, and below {} (`{}`) produce requests are refused, while fetches and \
             deletions go on; free space, delete topics or records, shorten retention.ms or retention.bytes, or start \
             with a lower {}; produce requests are taken again by themselves from {} on",
            show_bytes(report.refused_below),
            setting.name,
            setting.flag,
            show_bytes(report.taken_from),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_how_full_and_what_to_do() {
        let mut report = SpaceReport {
            state: SpaceState::Full,
            free: Some(160 << 20),
            refused_below: 1 << 30,
            taken_from: 1088 << 20,
        };
        let said = line(&report);
        for part in [
            "only 160MiB is free",
            "below 1GiB (`free_space_min`)",
            "delete topics",
            "retention.ms",
            "--free-space-min",
            "from 1.1GiB on",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        report.free = None;
        assert!(line(&report).contains("nothing is free"));
        report.state = SpaceState::Enough;
        assert!(line(&report).contains("room on the disk again"));
    }
}

//! What a broker that was started here says of itself when it gets SIGUSR1: one JSON line of the process, one of each
//! shard.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Sums over all shards, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStatus {
    /// Memory of the batch caches.
    pub cache_held: u64,
    pub cache_limit: u64,
    /// Connections, a plain count.
    pub connections: u64,
    /// Partitions, a plain count.
    pub partitions: u64,
    /// What a recovery would read of the journals.
    pub journal_live: u64,
    pub journal_size: u64,
}

impl BrokerStatus {
    /// Waits until all lines of one answer stand in `log` from byte `from` on.
    pub fn read(log: &Path, from: u64, patience: Duration) -> io::Result<BrokerStatus> {
        let deadline = Instant::now() + patience;
        loop {
            let text = fs::read(log)?;
            let new = String::from_utf8_lossy(&text[(from as usize).min(text.len())..]).into_owned();
            if let Some(status) = parse(&new) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the broker does not say what its shards hold; see its log",
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// `None` while a line is missing.
fn parse(log: &str) -> Option<BrokerStatus> {
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let about = |what: &'static str| lines.iter().filter(move |line| line["message"] == what);
    let shards = about("status of the process").next_back()?["shards"].as_u64()?;
    let said: Vec<&Value> = about("status of a shard").collect();
    let sum = |field: &str| said.iter().map(|line| line[field].as_u64()).sum::<Option<u64>>();
    if (said.len() as u64) < shards {
        return None;
    }
    Some(BrokerStatus {
        cache_held: sum("cache_held_bytes")?,
        cache_limit: sum("cache_limit_bytes")?,
        connections: sum("connections")?,
        partitions: sum("partitions_led")?,
        journal_live: sum("journal_live_bytes")?,
        journal_size: sum("journal_bytes")?,
    })
}

/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_whole_or_awaited() {
        let process = r#"{"level":"INFO","message":"status of the process","shards":2,"resident_bytes":9}"#;
        let shard = r#"{"message":"status of a shard","shard":0,"cache_held_bytes":5,"cache_limit_bytes":7,
            "connections":50,"partitions_led":3,"journal_live_bytes":1,"journal_bytes":4}"#
            .replace('\n', "");
        let half = format!("not JSON\n{process}\n{shard}\n");
        assert_eq!(parse(&half), None);
        let expected = BrokerStatus {
            cache_held: 10,
            cache_limit: 14,
            connections: 100,
            partitions: 6,
            journal_live: 2,
            journal_size: 8,
        };
        assert_eq!(parse(&format!("{half}{shard}\n")), Some(expected));
    }
}

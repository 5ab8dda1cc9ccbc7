//! Every topic configuration that Kafka 4.3 documents.
//!
//! Place: the controller accepts exactly these names; [`super::effective`] resolves them.
//!
//! Invariants: sorted by name. Names, types and defaults are Kafka's, with one difference that is a decision:
//! `flush.messages` is 1 unless somebody says otherwise. Names that Kafka 4 removed
//! (`message.format.version`, `message.downconversion.enable`, `message.timestamp.difference.max.ms`) are
//! unknown here as they are there.

use super::definition::{Validator::*, configs};

configs! {
    /// Sorted by name.
    TOPIC_CONFIGS;

    /// What happens to old segments. `delete` removes them by retention.ms and retention.bytes. `compact`
    /// keeps the last record of every key: it is accepted, records without a key are refused, and nothing
    /// is removed until compaction exists. An empty list keeps everything.
    "cleanup.policy": List = "delete", ListOf(CLEANUP_POLICIES), acted_on, ["log.cleanup.policy" * 1];

    /// The gzip level for compression.type=gzip; -1 is the codec's own default.
    "compression.gzip.level": Int = "-1", BetweenOrMinusOne(1, 9), accepted, ["compression.gzip.level" * 1];

    /// The lz4 level for compression.type=lz4.
    "compression.lz4.level": Int = "9", Between(1, 17), accepted, ["compression.lz4.level" * 1];

    /// The codec that batches are stored with. Batches are stored as producers compressed them, which is
    /// what `producer` asks for; with any other value batches still pass as they are.
    "compression.type": String = "producer", OneOf(COMPRESSION_TYPES), accepted, ["compression.type" * 1];

    /// The zstd level for compression.type=zstd.
    "compression.zstd.level": Int = "3", Between(-131072, 22), accepted, ["compression.zstd.level" * 1];

    /// How long a tombstone stays readable in a compacted topic, in milliseconds.
    "delete.retention.ms": Long = "86400000", AtLeast(0), accepted, ["log.cleaner.delete.retention.ms" * 1];

    /// How long a file outlives its removal from the log, in milliseconds. Space is returned at once here.
    "file.delete.delay.ms": Long = "60000", AtLeast(0), accepted, ["log.segment.delete.delay.ms" * 1];

    /// How many records of a partition may be acknowledged before they are flushed to the disk. 1, the
    /// default here, flushes every record before its acknowledgement. With a larger value records are
    /// acknowledged and read as soon as they are accepted; they still go into the next flush, so it comes at
    /// least as often as asked for, and a crash may lose what was accepted since the last one.
    "flush.messages": Long = "1", AtLeast(1), acted_on, ["log.flush.interval.messages" * 1];

    /// The longest time that an acknowledged record stays unflushed, in milliseconds. Setting it, to whatever
    /// value, lets records be acknowledged before they are flushed, like flush.messages above 1, unless
    /// flush.messages is set to 1.
    "flush.ms": Long = "9223372036854775807", AtLeast(0), acted_on,
        ["log.flush.interval.ms" * 1, "log.flush.scheduler.interval.ms" * 1];

    /// Follower replicas whose replication is slowed down: partition:broker pairs, or * for all.
    "follower.replication.throttled.replicas": List = "", ThrottledReplicas, accepted;

    /// How many bytes lie between two entries of the offset index. The index here chooses its own density.
    "index.interval.bytes": Int = "4096", AtLeast(0), accepted, ["log.index.interval.bytes" * 1];

    /// Leader replicas whose replication is slowed down: partition:broker pairs, or * for all.
    "leader.replication.throttled.replicas": List = "", ThrottledReplicas, accepted;

    /// How much of a tiered partition stays on local disks, in bytes; -2 follows retention.bytes.
    "local.retention.bytes": Long = "-2", AtLeast(-2), accepted, ["log.local.retention.bytes" * 1];

    /// How long a tiered partition's records stay on local disks, in milliseconds; -2 follows retention.ms.
    "local.retention.ms": Long = "-2", AtLeast(-2), accepted, ["log.local.retention.ms" * 1];

    /// The longest time that a record may escape compaction, in milliseconds.
    "max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), accepted,
        ["log.cleaner.max.compaction.lag.ms" * 1];

    /// The largest record batch that is accepted, in bytes, as it is sent (after compression, with its
    /// header).
    "max.message.bytes": Int = "1048588", AtLeast(0), acted_on, ["message.max.bytes" * 1];

    /// How far a record's own timestamp may lie ahead of the broker's clock, in milliseconds. In compressed
    /// batches the batch's header is checked.
    "message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), acted_on,
        ["log.message.timestamp.after.max.ms" * 1];

    /// How far a record's own timestamp may lie behind the broker's clock, in milliseconds. In compressed
    /// batches the batch's header is checked.
    "message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), acted_on,
        ["log.message.timestamp.before.max.ms" * 1];

    /// Whose time a record carries: the producer's (CreateTime) or the broker's at the append
    /// (LogAppendTime).
    "message.timestamp.type": String = "CreateTime", OneOf(TIMESTAMP_TYPES), acted_on,
        ["log.message.timestamp.type" * 1];

    /// The share of uncompacted bytes at which a log is compacted.
    "min.cleanable.dirty.ratio": Double = "0.5", Ratio, accepted, ["log.cleaner.min.cleanable.ratio" * 1];

    /// How long a record is safe from compaction, in milliseconds.
    "min.compaction.lag.ms": Long = "0", AtLeast(0), accepted, ["log.cleaner.min.compaction.lag.ms" * 1];

    /// How many in-sync replicas a write with acks=all needs; with fewer it is refused. A topic with fewer
    /// replicas in all needs every one of them.
    "min.insync.replicas": Int = "1", AtLeast(1), acted_on, ["min.insync.replicas" * 1];

    /// Whether a segment's space is taken when it is created. Space is always taken ahead of the writes
    /// here.
    "preallocate": Boolean = "false", Anything, accepted, ["log.preallocate" * 1];

    /// Whether a tiered topic stops copying segments to remote storage.
    "remote.log.copy.disable": Boolean = "false", Anything, accepted;

    /// Whether remote data is deleted when tiering is switched off for the topic.
    "remote.log.delete.on.disable": Boolean = "false", Anything, accepted;

    /// Whether old segments move to remote storage. There is none yet, so `true` is refused.
    "remote.storage.enable": Boolean = "false", Anything, accepted;

    /// The size of a partition above which its oldest segments are deleted, in bytes; -1 is no limit.
    "retention.bytes": Long = "-1", Anything, acted_on, ["log.retention.bytes" * 1];

    /// The age above which a segment is deleted, in milliseconds; -1 is no limit.
    "retention.ms": Long = "604800000", AtLeast(-1), acted_on,
        ["log.retention.ms" * 1, "log.retention.minutes" * 60_000, "log.retention.hours" * 3_600_000];

    /// The size at which a new segment is begun, in bytes. Retention deletes whole segments.
    "segment.bytes": Int = "1073741824", AtLeast(1_048_576), acted_on, ["log.segment.bytes" * 1];

    /// The size of an index file, in bytes. Indexes here take what they need.
    "segment.index.bytes": Int = "10485760", AtLeast(4), accepted, ["log.index.size.max.bytes" * 1];

    /// The largest random time taken off segment.ms, in milliseconds.
    "segment.jitter.ms": Long = "0", AtLeast(0), accepted,
        ["log.roll.jitter.ms" * 1, "log.roll.jitter.hours" * 3_600_000];

    /// The age at which a new segment is begun although the present one is not full, in milliseconds.
    "segment.ms": Long = "604800000", AtLeast(1), acted_on,
        ["log.roll.ms" * 1, "log.roll.hours" * 3_600_000];

    /// Whether a replica that is not in sync may become leader, at the price of records. There is one
    /// replica here.
    "unclean.leader.election.enable": Boolean = "false", Anything, accepted,
        ["unclean.leader.election.enable" * 1];
}

/// `none` is not among them: a topic says `uncompressed`.
pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker::BROKER_CONFIGS;
    use crate::config::definition::{ConfigValue, Effect, find};

    #[test]
    fn tables_are_sorted_and_defaults_read() {
        for table in [TOPIC_CONFIGS, BROKER_CONFIGS] {
            assert!(table.is_sorted_by(|one, next| one.name < next.name));
            for definition in table {
                if let Some(default) = definition.default {
                    let value = definition.parse(default).expect(definition.name);
                    assert_eq!(value.to_text(), default, "{} is canonical", definition.name);
                }
            }
        }
    }

    #[test]
    fn documentation_says_what_changes_nothing() {
        for definition in TOPIC_CONFIGS.iter().chain(BROKER_CONFIGS) {
            let says_so = definition.documentation.ends_with("it changes nothing yet.");
            assert_eq!(
                says_so,
                definition.effect == Effect::Accepted,
                "{}",
                definition.name
            );
        }
    }

    #[test]
    fn synonyms_are_broker_configs_with_the_same_meaning() {
        for topic in TOPIC_CONFIGS {
            for synonym in topic.synonyms {
                let broker = find(BROKER_CONFIGS, synonym.name).expect(synonym.name);
                assert_eq!(broker.effect, topic.effect, "{}", synonym.name);
            }
            // The weakest synonym carries the default.
            if let Some(last) = topic.synonyms.last() {
                let broker = find(BROKER_CONFIGS, last.name).expect(last.name);
                let default = broker.default.expect(last.name);
                let scaled = match broker.parse(default).expect(last.name) {
                    ConfigValue::Number(number) => alloc::format!("{}", number * last.scale),
                    other => other.to_text(),
                };
                assert_eq!(Some(scaled.as_str()), topic.default, "{}", topic.name);
            }
        }
    }
}

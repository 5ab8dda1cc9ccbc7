//! The broker configurations that a single broker has, and those that tools read.
//!
//! Place: [`super::settings`] checks what the broker was started with against them, the controller what is
//! altered while it runs, DescribeConfigs reports them.
//!
//! Invariants: sorted by name. Names, types and defaults are Kafka's 4.3, except where one broker alone would
//! contradict them (replication of internal topics) or where durability does (`log.flush.interval.messages`).

use super::definition::{Validator::*, configs};
use super::topic::{CLEANUP_POLICIES, COMPRESSION_TYPES, TIMESTAMP_TYPES};

/// Whether `name`, a broker configuration, may be altered while the broker runs, for one broker or for all of
/// them. As Kafka's `DynamicBrokerConfig` has it, except that what only the start can decide here (listeners,
/// security) is not.
pub fn is_dynamic(name: &str) -> bool {
    DYNAMIC.binary_search(&name).is_ok()
}

configs! {
    /// Sorted by name.
    BROKER_CONFIGS;

    /// The addresses that clients are told to connect to; by default the ones listened on.
    "advertised.listeners": List = null, Anything, acted_on;

    /// Whether a topic that a client asks for and that does not exist is created, if the client allows it.
    "auto.create.topics.enable": Boolean = "true", Anything, acted_on;

    /// Whether leadership is moved back to preferred replicas.
    "auto.leader.rebalance.enable": Boolean = "true", Anything, accepted;

    /// Threads for background work. Work here is done by the cores' own loops.
    "background.threads": Int = "10", AtLeast(1), accepted;

    /// The broker's id under its older name; the same as node.id.
    "broker.id": Int = "-1", Anything, acted_on;

    /// The rack that the broker stands in.
    "broker.rack": String = null, Anything, accepted;

    /// After how long without a heartbeat a broker counts as gone, in milliseconds.
    "broker.session.timeout.ms": Int = "9000", Anything, accepted;

    /// The gzip level for topics that say nothing.
    "compression.gzip.level": Int = "-1", BetweenOrMinusOne(1, 9), accepted;

    /// The lz4 level for topics that say nothing.
    "compression.lz4.level": Int = "9", Between(1, 17), accepted;

    /// The codec for topics that say nothing.
    "compression.type": String = "producer", OneOf(COMPRESSION_TYPES), accepted;

    /// The zstd level for topics that say nothing.
    "compression.zstd.level": Int = "3", Between(-131072, 22), accepted;

    /// After how long without a request a connection is closed, in milliseconds.
    "connections.max.idle.ms": Long = "600000", Anything, acted_on;

    /// After how long a client has to authenticate again, in milliseconds; 0 is never.
    "connections.max.reauth.ms": Long = "0", Anything, accepted;

    /// Whether leadership is handed over before the broker stops.
    "controlled.shutdown.enable": Boolean = "true", Anything, accepted;

    /// The replication factor of topics that do not name one.
    "default.replication.factor": Int = "1", Anything, acted_on;

    /// Whether topics may be deleted.
    "delete.topic.enable": Boolean = "true", Anything, acted_on;

    /// The most bytes that one fetch is answered with, beyond which only a single first batch may go.
    "fetch.max.bytes": Int = "57671680", AtLeast(1024), acted_on;

    /// Whether an empty follower begins behind what is in remote storage.
    "follower.fetch.last.tiered.offset.enable": Boolean = "false", Anything, accepted;

    /// The speed limit of throttled replicas on their follower, in bytes per second.
    "follower.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), accepted;

    /// The shortest time between two assignments of a group of the consumer protocol, in milliseconds.
    "group.consumer.assignment.interval.ms": Int = "1000", Between(0, ASSIGNMENT_INTERVAL_MS_MAX), acted_on;

    /// How often members of the consumer protocol are told to be heard of, in milliseconds.
    "group.consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), acted_on;

    /// The longest group.consumer.heartbeat.interval.ms that a group may have of its own.
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), acted_on;

    /// The longest group.consumer.session.timeout.ms that a group may have of its own.
    "group.consumer.max.session.timeout.ms": Int = "60000", AtLeast(1), acted_on;

    /// The most members of one group of the consumer protocol.
    "group.consumer.max.size": Int = "2147483647", AtLeast(1), acted_on;

    /// Which way groups with members may go between the classic protocol and the consumer protocol.
    "group.consumer.migration.policy": String = "bidirectional", OneOfInAnyCase(MIGRATION_POLICIES), acted_on;

    /// The shortest group.consumer.heartbeat.interval.ms that a group may have of its own.
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), acted_on;

    /// The shortest group.consumer.session.timeout.ms that a group may have of its own.
    "group.consumer.min.session.timeout.ms": Int = "45000", AtLeast(1), acted_on;

    /// How long a member of the consumer protocol may be silent, in milliseconds.
    "group.consumer.session.timeout.ms": Int = "45000", AtLeast(1), acted_on;

    /// The largest buffer that a coordinator of groups keeps.
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524288), accepted;

    /// How long a new group waits for more members, in milliseconds.
    "group.initial.rebalance.delay.ms": Int = "3000", Anything, acted_on;

    /// The longest session timeout that a group member may ask for, in milliseconds.
    "group.max.session.timeout.ms": Int = "1800000", Anything, acted_on;

    /// The most members of one group.
    "group.max.size": Int = "2147483647", AtLeast(1), acted_on;

    /// The shortest session timeout that a group member may ask for, in milliseconds.
    "group.min.session.timeout.ms": Int = "6000", Anything, acted_on;

    /// The shortest time between two assignments of a share group, in milliseconds. There are none.
    "group.share.assignment.interval.ms": Int = "1000", Between(0, ASSIGNMENT_INTERVAL_MS_MAX), accepted;

    /// The shortest time between two assignments of a streams group, in milliseconds. There are none.
    "group.streams.assignment.interval.ms": Int = "1000", Between(0, ASSIGNMENT_INTERVAL_MS_MAX), accepted;

    /// The listener that brokers use among themselves.
    "inter.broker.listener.name": String = null, Anything, accepted;

    /// The speed limit of throttled replicas on their leader, in bytes per second.
    "leader.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), accepted;

    /// Which security protocol each listener speaks. All of them speak PLAINTEXT.
    "listener.security.protocol.map": String =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Anything, accepted;

    /// The addresses that the broker listens on.
    "listeners": List = "PLAINTEXT://:9092", Anything, acted_on;

    /// The pause of the compactor when there is nothing to do, in milliseconds.
    "log.cleaner.backoff.ms": Long = "15000", AtLeast(0), accepted;

    /// The compactor's memory, in bytes.
    "log.cleaner.dedupe.buffer.size": Long = "134217728", Anything, accepted;

    /// delete.retention.ms for topics that say nothing.
    "log.cleaner.delete.retention.ms": Long = "86400000", AtLeast(0), accepted;

    /// Whether compacted topics are compacted.
    "log.cleaner.enable": Boolean = "true", Anything, accepted;

    /// How full the compactor's table may be.
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Anything, accepted;

    /// The compactor's buffer, in bytes.
    "log.cleaner.io.buffer.size": Int = "524288", AtLeast(0), accepted;

    /// The compactor's speed limit, in bytes per second.
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Anything, accepted;

    /// max.compaction.lag.ms for topics that say nothing.
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), accepted;

    /// min.cleanable.dirty.ratio for topics that say nothing.
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Ratio, accepted;

    /// min.compaction.lag.ms for topics that say nothing.
    "log.cleaner.min.compaction.lag.ms": Long = "0", AtLeast(0), accepted;

    /// Threads of the compactor.
    "log.cleaner.threads": Int = "1", AtLeast(0), accepted;

    /// cleanup.policy for topics that say nothing.
    "log.cleanup.policy": List = "delete", ListOf(CLEANUP_POLICIES), acted_on;

    /// The data directory under its older name.
    "log.dir": List = "/tmp/kafka-logs", Anything, acted_on;

    /// The data directory. There is exactly one, chosen at the start.
    "log.dirs": List = null, Anything, acted_on;

    /// flush.messages for topics that say nothing. 1, the default here, flushes every record before its
    /// acknowledgement.
    "log.flush.interval.messages": Long = "1", AtLeast(1), acted_on;

    /// flush.ms for topics that say nothing.
    "log.flush.interval.ms": Long = null, AtLeast(0), acted_on,
        ["log.flush.interval.ms" * 1, "log.flush.scheduler.interval.ms" * 1];

    /// flush.ms where log.flush.interval.ms says nothing either.
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", Anything, acted_on;

    /// index.interval.bytes for topics that say nothing.
    "log.index.interval.bytes": Int = "4096", AtLeast(0), accepted;

    /// segment.index.bytes for topics that say nothing.
    "log.index.size.max.bytes": Int = "10485760", AtLeast(4), accepted;

    /// How long after the start retention is looked at for the first time, in milliseconds.
    "log.initial.task.delay.ms": Long = "30000", AtLeast(0), acted_on;

    /// local.retention.bytes for topics that say nothing.
    "log.local.retention.bytes": Long = "-2", AtLeast(-2), accepted;

    /// local.retention.ms for topics that say nothing.
    "log.local.retention.ms": Long = "-2", AtLeast(-2), accepted;

    /// message.timestamp.after.max.ms for topics that say nothing.
    "log.message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), acted_on;

    /// message.timestamp.before.max.ms for topics that say nothing.
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), acted_on;

    /// message.timestamp.type for topics that say nothing.
    "log.message.timestamp.type": String = "CreateTime", OneOf(TIMESTAMP_TYPES), acted_on;

    /// preallocate for topics that say nothing.
    "log.preallocate": Boolean = "false", Anything, accepted;

    /// retention.bytes for topics that say nothing.
    "log.retention.bytes": Long = "-1", Anything, acted_on;

    /// How often it is looked for segments that retention gives up, in milliseconds, to a second; on a full disk every
    /// second.
    "log.retention.check.interval.ms": Long = "300000", AtLeast(1), acted_on;

    /// retention.ms in hours, for topics that say nothing.
    "log.retention.hours": Int = "168", Anything, acted_on;

    /// retention.ms in minutes, for topics that say nothing; prevails over log.retention.hours.
    "log.retention.minutes": Int = null, Anything, acted_on;

    /// retention.ms for topics that say nothing; prevails over log.retention.minutes.
    "log.retention.ms": Long = null, Anything, acted_on,
        ["log.retention.ms" * 1, "log.retention.minutes" * 60_000, "log.retention.hours" * 3_600_000];

    /// segment.ms in hours, for topics that say nothing.
    "log.roll.hours": Int = "168", AtLeast(1), acted_on;

    /// segment.jitter.ms in hours, for topics that say nothing.
    "log.roll.jitter.hours": Int = "0", AtLeast(0), accepted;

    /// segment.jitter.ms for topics that say nothing.
    "log.roll.jitter.ms": Long = null, AtLeast(0), accepted,
        ["log.roll.jitter.ms" * 1, "log.roll.jitter.hours" * 3_600_000];

    /// segment.ms for topics that say nothing; prevails over log.roll.hours.
    "log.roll.ms": Long = null, AtLeast(1), acted_on, ["log.roll.ms" * 1, "log.roll.hours" * 3_600_000];

    /// segment.bytes for topics that say nothing.
    "log.segment.bytes": Int = "1073741824", AtLeast(1_048_576), acted_on;

    /// file.delete.delay.ms for topics that say nothing.
    "log.segment.delete.delay.ms": Long = "60000", AtLeast(0), accepted;

    /// The most new connections per second.
    "max.connection.creation.rate": Int = "2147483647", AtLeast(0), accepted;

    /// The most connections to the broker at one time.
    "max.connections": Int = "2147483647", AtLeast(0), acted_on;

    /// The most connections from one address.
    "max.connections.per.ip": Int = "2147483647", AtLeast(0), acted_on;

    /// Exceptions from max.connections.per.ip, such as 10.0.0.7:100,::1:5; at most 4096 here too. Names of hosts are
    /// not looked up.
    "max.connections.per.ip.overrides": String = "", CountsOfAddresses, acted_on;

    /// The most produce requests of one connection in progress at a time; other requests are alone. Kafka has no such
    /// setting for brokers.
    "max.in.flight.requests.per.connection": Int = "64", Between(1, 1_024), acted_on;

    /// The most incremental fetch sessions that the broker keeps.
    "max.incremental.fetch.session.cache.slots": Int = "1000", AtLeast(0), acted_on;

    /// The most partitions of all incremental fetch sessions together; memory may allow fewer. Kafka has no such
    /// setting.
    "max.incremental.fetch.session.partitions": Int = "1000000", AtLeast(0), acted_on;

    /// The most bytes of names and configurations of all topics together; each configuration counts 128 bytes more
    /// than its name and value. Beyond the default it comes off the cache. Kafka has no such setting.
    "max.metadata.bytes": Long = "33554432", AtLeast(0), acted_on;

    /// The most partitions of all topics together; memory may allow fewer. Kafka has no such setting.
    "max.partitions": Int = "200000", AtLeast(1), acted_on;

    /// The most producers that all partitions together remember; one that writes to three partitions counts three
    /// times, and memory may allow fewer. Kafka has no such setting.
    "max.producers": Int = "1000000", AtLeast(1), acted_on;

    /// The most partitions that one DescribeTopicPartitions answer holds.
    "max.request.partition.size.limit": Int = "2000", AtLeast(1), acted_on;

    /// The most topics. Kafka has no such setting.
    "max.topics": Int = "100000", AtLeast(1), acted_on;

    /// The most requests, and parts of requests from other cores, that wait on one core: for a flush, for records, for
    /// the disk. Kafka has no such setting.
    "max.waiting.requests.per.core": Int = "262144", Between(1, 262_144), acted_on;

    /// max.message.bytes for topics that say nothing.
    "message.max.bytes": Int = "1048588", AtLeast(0), acted_on;

    /// Classes that report metrics. Metrics here need no classes.
    "metric.reporters": List = "", Anything, accepted;

    /// min.insync.replicas for topics that say nothing.
    "min.insync.replicas": Int = "1", AtLeast(1), acted_on;

    /// The broker's id within its cluster.
    "node.id": Int = "1", AtLeast(0), acted_on;

    /// Threads that carry out requests. One thread per core does everything here.
    "num.io.threads": Int = "8", AtLeast(1), accepted;

    /// Threads that serve sockets. One thread per core does everything here.
    "num.network.threads": Int = "3", AtLeast(1), accepted;

    /// How many partitions a topic has whose creator does not say.
    "num.partitions": Int = "1", AtLeast(1), acted_on;

    /// Threads for recovery. Every core recovers its own logs.
    "num.recovery.threads.per.data.dir": Int = "2", AtLeast(1), accepted;

    /// Threads that fetch from leaders.
    "num.replica.fetchers": Int = "1", AtLeast(1), accepted;

    /// The most bytes of metadata beside a committed offset.
    "offset.metadata.max.bytes": Int = "4096", Anything, acted_on;

    /// How long an offset commit may take, in milliseconds.
    "offsets.commit.timeout.ms": Int = "5000", AtLeast(1), acted_on;

    /// How many bytes are read at once when committed offsets are loaded.
    "offsets.load.buffer.size": Int = "5242880", AtLeast(1), accepted;

    /// How often expired offsets are looked for, in milliseconds.
    "offsets.retention.check.interval.ms": Long = "600000", AtLeast(1), acted_on;

    /// How long the offsets of an empty group are kept, in minutes.
    "offsets.retention.minutes": Int = "10080", AtLeast(1), acted_on;

    /// The codec of the offsets topic's batches.
    "offsets.topic.compression.codec": Int = "0", Anything, accepted;

    /// How many partitions the offsets topic has.
    "offsets.topic.num.partitions": Int = "50", AtLeast(1), acted_on;

    /// The replication factor of the offsets topic. Kafka says 3; there is one broker here.
    "offsets.topic.replication.factor": Short = "1", AtLeast(1), accepted;

    /// segment.bytes of the offsets topic.
    "offsets.topic.segment.bytes": Int = "104857600", AtLeast(1), acted_on;

    /// What the process does: it serves clients and keeps the cluster's metadata.
    "process.roles": List = "broker,controller", ListOf(PROCESS_ROLES), accepted;

    /// After how long without a write a producer's sequence numbers are forgotten, in milliseconds.
    "producer.id.expiration.ms": Int = "86400000", AtLeast(1), acted_on;

    /// The most bytes of requests waiting. Memory is bounded by a budget per core here.
    "queued.max.request.bytes": Long = "-1", Anything, accepted;

    /// The most requests waiting. Requests here are bounded per connection and per core.
    "queued.max.requests": Int = "500", AtLeast(1), accepted;

    /// How long a fetch may wait for remote storage, in milliseconds.
    "remote.fetch.max.wait.ms": Int = "500", AtLeast(1), accepted;

    /// How long a question about offsets may wait for remote storage, in milliseconds.
    "remote.list.offsets.request.timeout.ms": Long = "30000", AtLeast(1), accepted;

    /// How much of remote indexes is kept on local disks.
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", AtLeast(1), accepted;

    /// Threads that copy segments to remote storage.
    "remote.log.manager.copier.thread.pool.size": Int = "10", AtLeast(1), accepted;

    /// How fast segments are copied to remote storage, in bytes per second.
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), accepted;

    /// Threads that delete from remote storage.
    "remote.log.manager.expiration.thread.pool.size": Int = "10", AtLeast(1), accepted;

    /// How fast is read from remote storage, in bytes per second.
    "remote.log.manager.fetch.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), accepted;

    /// Threads that look for what followers have in remote storage.
    "remote.log.manager.follower.thread.pool.size": Int = "2", AtLeast(1), accepted;

    /// Threads that read from remote storage.
    "remote.log.reader.threads": Int = "10", AtLeast(1), accepted;

    /// The speed limit of moves between data directories, in bytes per second.
    "replica.alter.log.dirs.io.max.bytes.per.second": Long = "9223372036854775807", AtLeast(0), accepted;

    /// How many bytes of one partition a follower asks for.
    "replica.fetch.max.bytes": Int = "1048576", AtLeast(0), accepted;

    /// After how long a follower that lags is out of sync, in milliseconds.
    "replica.lag.time.max.ms": Long = "30000", Anything, accepted;

    /// How long the broker waits for an answer to its own requests, in milliseconds.
    "request.timeout.ms": Int = "30000", Anything, accepted;

    /// The ways to authenticate that are offered. There is none yet.
    "sasl.enabled.mechanisms": List = "GSSAPI", Anything, accepted;

    /// How brokers talk among themselves.
    "security.inter.broker.protocol": String = "PLAINTEXT", OneOf(SECURITY_PROTOCOLS), accepted;

    /// The largest buffer that a coordinator of share groups keeps.
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524288), accepted;

    /// How many connections may wait to be accepted.
    "socket.listen.backlog.size": Int = "50", AtLeast(1), accepted;

    /// The kernel's receive buffer for a connection, in bytes. The kernel sizes it.
    "socket.receive.buffer.bytes": Int = "102400", Anything, accepted;

    /// The largest request, in bytes. Where the memory budget is smaller, that is the limit, and it is
    /// reported at the start.
    "socket.request.max.bytes": Int = "104857600", AtLeast(1), acted_on;

    /// The kernel's send buffer for a connection, in bytes. The kernel sizes it.
    "socket.send.buffer.bytes": Int = "102400", Anything, accepted;

    /// Principals that may do everything. There is no authorization yet, so everybody may.
    "super.users": String = "", Anything, accepted;

    /// The most bytes of one push of a client's metrics, as they are sent; decompressed they may be a mebibyte.
    "telemetry.max.bytes": Int = "1048576", AtLeast(1), acted_on;

    /// The longest timeout that a transaction may ask for, in milliseconds.
    "transaction.max.timeout.ms": Int = "900000", AtLeast(1), accepted;

    /// Whether a transaction must have been told of a partition before it writes to it.
    "transaction.partition.verification.enable": Boolean = "true", Anything, accepted;

    /// min.insync.replicas of the transaction topic. Kafka says 2; there is one broker here.
    "transaction.state.log.min.isr": Int = "1", AtLeast(1), accepted;

    /// How many partitions the transaction topic has.
    "transaction.state.log.num.partitions": Int = "50", AtLeast(1), accepted;

    /// The replication factor of the transaction topic. Kafka says 3; there is one broker here.
    "transaction.state.log.replication.factor": Short = "1", AtLeast(1), accepted;

    /// segment.bytes of the transaction topic.
    "transaction.state.log.segment.bytes": Int = "104857600", AtLeast(1), accepted;

    /// After how long without a transaction a transactional id is forgotten, in milliseconds.
    "transactional.id.expiration.ms": Int = "604800000", AtLeast(1), accepted;

    /// unclean.leader.election.enable for topics that say nothing.
    "unclean.leader.election.enable": Boolean = "false", Anything, accepted;
}

/// The sizes of pools of threads. As in Kafka one step makes a pool at most twice as large, or half as large; they are
/// only accepted here.
pub const THREAD_COUNTS: [&str; 6] = [
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// Sorted by name.
const DYNAMIC: &[&str] = &[
    "background.threads",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "follower.fetch.last.tiered.offset.enable",
    "follower.replication.throttled.rate",
    "group.consumer.assignment.interval.ms",
    "group.coordinator.cached.buffer.max.bytes",
    "group.share.assignment.interval.ms",
    "group.streams.assignment.interval.ms",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.threads",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.local.retention.bytes",
    "log.local.retention.ms",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.preallocate",
    "log.retention.bytes",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "message.max.bytes",
    "metric.reporters",
    "min.insync.replicas",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "producer.id.expiration.ms",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.fetch.max.bytes.per.second",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "share.coordinator.cached.buffer.max.bytes",
    "transaction.partition.verification.enable",
    "unclean.leader.election.enable",
];
/// The `max` beside it, which is not to be set: see [`super::lacking`].
const ASSIGNMENT_INTERVAL_MS_MAX: i64 = 15_000;
const PROCESS_ROLES: &[&str] = &["broker", "controller"];
const MIGRATION_POLICIES: &[&str] = &["bidirectional", "disabled", "downgrade", "upgrade"];
const SECURITY_PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

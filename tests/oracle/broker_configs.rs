//! What brokers have configured while they run: for one, for all, taken back, and what cannot be.

use millstream_protocol::message::alter_configs::{self, AlterConfigsRequest};
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    what_cannot_be(talk);
    threads(talk);
    only_at_the_start(talk);
    without_effect(talk);
    layers(talk);
    replaced(talk);
}

/// One change of one config, for one broker and for all.
fn what_cannot_be(talk: &mut Talk) {
    for (name, operation, value) in [
        ("num.partitions", SET, Some("3")),
        ("log.retention.hours", SET, Some("3")),
        ("log.roll.hours", SET, Some("3")),
        ("log.retention.check.interval.ms", SET, Some("1000")),
        ("connections.max.idle.ms", SET, Some("1000")),
        ("socket.request.max.bytes", SET, Some("1000")),
        ("auto.create.topics.enable", SET, Some("false")),
        ("group.max.size", SET, Some("7")),
        ("offsets.retention.minutes", SET, Some("7")),
        ("telemetry.max.bytes", SET, Some("7")),
        ("node.id", DELETE, None),
        ("no.such.config", SET, Some("1")),
        ("no.such.config", DELETE, None),
        ("log.retention.ms", SET, Some("x")),
        ("log.retention.ms", SET, Some("-2")),
        ("log.retention.ms", SET, Some("")),
        ("log.retention.ms", SET, None),
        ("log.retention.ms", APPEND, Some("1")),
        ("log.retention.ms", 9, Some("1")),
        ("log.segment.bytes", SET, Some("1000")),
        ("message.max.bytes", SET, Some("-1")),
        ("max.connections", SET, Some("-1")),
        ("max.connections.per.ip.overrides", SET, Some("nonsense")),
        ("max.connections.per.ip.overrides", SET, Some("127.0.0.9:x")),
        ("min.insync.replicas", SET, Some("0")),
        ("compression.type", SET, Some("none")),
        ("log.cleanup.policy", SET, Some("nonsense")),
        ("log.cleanup.policy", APPEND, Some("compact")),
        ("log.cleanup.policy", SUBTRACT, Some("compact")),
        ("log.message.timestamp.type", SET, Some("Never")),
        ("log.cleaner.min.cleanable.ratio", SET, Some("2")),
        ("unclean.leader.election.enable", SET, Some("maybe")),
        ("producer.id.expiration.ms", SET, Some("0")),
        ("group.consumer.assignment.interval.ms", SET, Some("-1")),
        ("group.consumer.assignment.interval.ms", SET, Some("15001")),
        ("group.coordinator.cached.buffer.max.bytes", SET, Some("0")),
        ("group.share.assignment.interval.ms", SET, Some("-1")),
        ("group.share.assignment.interval.ms", SET, Some("15001")),
        ("group.streams.assignment.interval.ms", SET, Some("-1")),
        ("group.streams.assignment.interval.ms", SET, Some("15001")),
        ("share.coordinator.cached.buffer.max.bytes", SET, Some("0")),
        ("transaction.partition.verification.enable", SET, Some("maybe")),
        ("follower.fetch.last.tiered.offset.enable", SET, Some("maybe")),
        ("remote.fetch.max.wait.ms", SET, Some("0")),
        ("remote.list.offsets.request.timeout.ms", SET, Some("0")),
        ("remote.log.index.file.cache.total.size.bytes", SET, Some("0")),
        ("remote.log.index.file.cache.total.size.bytes", SET, Some("-1")),
        ("remote.log.manager.copier.thread.pool.size", SET, Some("0")),
        ("remote.log.manager.copy.max.bytes.per.second", SET, Some("0")),
        ("remote.log.manager.expiration.thread.pool.size", SET, Some("0")),
        ("remote.log.manager.fetch.max.bytes.per.second", SET, Some("0")),
        ("remote.log.manager.follower.thread.pool.size", SET, Some("0")),
        ("remote.log.reader.threads", SET, Some("0")),
        ("remote.log.reader.threads", SET, Some("x")),
        ("remote.log.storage.system.enable", SET, Some("true")),
    ] {
        for (whose, resource_name) in [("one", "1"), ("all", "")] {
            let shown = value.unwrap_or("null");
            let case = format!("{whose}: {name} {operation} {shown}");
            talk.ask(
                case,
                &change(resource_name, &[(name, operation, value)], false),
                1,
            );
        }
    }
    for resource_name in ["1", ""] {
        let set = change(resource_name, &[("no.such.config", SET, Some("1"))], false);
        talk.ask("unknown set", &set, 1);
    }
    for resource in [ONE, ALL] {
        talk.until_configured(resource, "no.such.config", Some(""));
    }
    for names in [None, Some(vec!["no.such.config"])] {
        let named = names.is_some();
        talk.ask(
            format!("unknown set: all, {named}"),
            &describe(BROKER, "", names),
            4,
        );
    }
    talk.ask(
        "unknown set: one",
        &describe(BROKER, "1", Some(vec!["no.such.config"])),
        4,
    );
    for name in ["no.such.config", "log.cleanup.policy"] {
        for resource_name in ["1", ""] {
            talk.ask(
                format!("back: {name}"),
                &change(resource_name, &[(name, DELETE, None)], false),
                1,
            );
        }
    }
}

/// What Kafka may alter while it runs, and what is decided here when the broker starts.
fn only_at_the_start(talk: &mut Talk) {
    for (name, value) in [
        ("cordoned.log.dirs", ""),
        ("cordoned.log.dirs", "*"),
        ("cordoned.log.dirs", "/nowhere"),
        ("ssl.protocol", "TLSv1.2"),
        ("ssl.client.auth", "maybe"),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", "/nowhere.jks"),
        ("ssl.truststore.location", "/nowhere.jks"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.jaas.config", "nonsense"),
        ("sasl.kerberos.service.name", "kafka"),
        ("sasl.login.refresh.buffer.seconds", "-1"),
        ("sasl.login.refresh.buffer.seconds", "60"),
        ("listeners", "nonsense"),
        ("listeners", "PLAINTEXT://127.0.0.1:1"),
        ("listener.security.protocol.map", "nonsense"),
        ("advertised.listeners", "PLAINTEXT://127.0.0.1:1"),
        ("principal.builder.class", "no.such.Class"),
        ("config.providers", "nonsense"),
        ("remote.log.storage.system.enable", "true"),
    ] {
        for (whose, resource_name) in [("one", "1"), ("all", "")] {
            let change = change(resource_name, &[(name, SET, Some(value))], true);
            talk.ask(format!("at the start: {whose}: {name}={value}"), &change, 1);
        }
    }
}

/// What Kafka takes while it runs, for what a broker alone with neither remote storage nor share groups does not have.
fn without_effect(talk: &mut Talk) {
    let set = [
        ("group.coordinator.cached.buffer.max.bytes", "524288"),
        ("group.share.assignment.interval.ms", "2000"),
        ("group.streams.assignment.interval.ms", "2000"),
        ("share.coordinator.cached.buffer.max.bytes", "524288"),
        ("transaction.partition.verification.enable", "false"),
        ("follower.fetch.last.tiered.offset.enable", "true"),
        ("remote.fetch.max.wait.ms", "700"),
        ("remote.list.offsets.request.timeout.ms", "20000"),
        ("remote.log.index.file.cache.total.size.bytes", "1048576"),
        ("remote.log.manager.copier.thread.pool.size", "9"),
        ("remote.log.manager.copy.max.bytes.per.second", "1000000"),
        ("remote.log.manager.expiration.thread.pool.size", "9"),
        ("remote.log.manager.fetch.max.bytes.per.second", "1000000"),
        ("remote.log.manager.follower.thread.pool.size", "3"),
        ("remote.log.reader.threads", "9"),
    ];
    for (whose, resource_name) in [("one", "1"), ("all", "")] {
        for (name, value) in set {
            let change = change(resource_name, &[(name, SET, Some(value))], false);
            talk.ask(format!("without effect: {whose}: {name}"), &change, 1);
        }
    }
    for (name, value) in set {
        talk.until_configured(ONE, name, Some(value));
    }
    let names: Vec<_> = set.iter().map(|(name, _)| *name).collect();
    for (whose, resource_name) in [("one", "1"), ("all", "")] {
        let describe = describe(BROKER, resource_name, Some(names.clone()));
        talk.ask(format!("without effect: {whose}"), &describe, 4);
    }
    for (whose, resource_name) in [("one", "1"), ("all", "")] {
        for (name, _) in set {
            let change = change(resource_name, &[(name, DELETE, None)], false);
            talk.ask(format!("without effect: {whose}: {name} back"), &change, 1);
        }
    }
    talk.until_configured(ONE, "remote.log.reader.threads", None);
}

/// Kafka lets a pool grow to twice its size at most, and shrink to half of it.
fn threads(talk: &mut Talk) {
    for name in [
        "num.io.threads",
        "num.network.threads",
        "background.threads",
        "num.replica.fetchers",
        "num.recovery.threads.per.data.dir",
        "log.cleaner.threads",
    ] {
        for (count, validate_only) in [("0", true), ("1", true), ("100", true), ("2", true)] {
            let change = change("", &[(name, SET, Some(count))], validate_only);
            talk.ask(format!("threads: {name} {count}"), &change, 1);
        }
    }
}

fn layers(talk: &mut Talk) {
    talk.topic("inherits", 1, &[]);
    let all = [
        ("log.retention.ms", SET, Some("3600000")),
        ("message.max.bytes", SET, Some("2000000")),
        ("log.segment.bytes", SET, Some(" 2000000 ")),
        ("compression.type", SET, Some("zstd")),
        ("max.connections.per.ip", SET, Some("900")),
        ("group.consumer.assignment.interval.ms", SET, Some("0")),
    ];
    let one = [
        ("log.retention.ms", SET, Some("7200000")),
        ("max.connections.per.ip.overrides", SET, Some("127.0.0.9:5")),
        ("log.message.timestamp.type", SET, Some("LogAppendTime")),
        ("log.roll.ms", SET, Some("1000000")),
        ("producer.id.expiration.ms", SET, Some("70000000")),
    ];
    talk.ask("only checked", &change("", &all, true), 1);
    described(talk, "nothing set");
    talk.ask("for all", &change("", &all, false), 1);
    talk.ask("for one", &change("1", &one, false), 1);
    talk.until_configured(ONE, "log.roll.ms", Some("1000000"));
    talk.until_configured(ALL, "message.max.bytes", Some("2000000"));
    described(talk, "both set");
    let back = [
        ("log.retention.ms", DELETE, None),
        ("log.message.timestamp.type", DELETE, None),
    ];
    talk.ask("taken back from one", &change("1", &back, false), 1);
    talk.until_configured(ONE, "log.retention.ms", Some("3600000"));
    described(talk, "taken back from one");
}

/// The old request takes back what it does not name.
fn replaced(talk: &mut Talk) {
    let kept = [("log.retention.ms", "1800000")];
    talk.ask_in_all("for all", &replace("", &kept));
    talk.ask_in_all("for one, nothing", &replace("1", &[]));
    talk.ask_in_all("for all, unknown", &replace("", &[("num.partitions", "3")]));
    talk.until_configured(ALL, "log.retention.ms", Some("1800000"));
    talk.until_configured(ONE, "log.roll.ms", None);
    described(talk, "replaced");
    talk.ask_in_all("for all, nothing", &replace("", &[]));
    talk.until_configured(ALL, "log.retention.ms", None);
    described(talk, "nothing set again");
}

fn described(talk: &mut Talk, case: &str) {
    let names = [
        "log.retention.ms",
        "log.retention.hours",
        "message.max.bytes",
        "log.segment.bytes",
        "compression.type",
        "max.connections.per.ip",
        "max.connections.per.ip.overrides",
        "log.message.timestamp.type",
        "log.roll.ms",
        "producer.id.expiration.ms",
        "group.consumer.assignment.interval.ms",
    ];
    for (whose, resource_type, resource_name, names) in [
        ("one", BROKER, "1", Some(names.to_vec())),
        ("all", BROKER, "", None),
        ("all, by name", BROKER, "", Some(names.to_vec())),
        (
            "a topic",
            TOPIC,
            "inherits",
            Some(vec![
                "retention.ms",
                "max.message.bytes",
                "segment.bytes",
                "compression.type",
                "message.timestamp.type",
                "segment.ms",
            ]),
        ),
    ] {
        talk.ask(
            format!("{case}: {whose}"),
            &describe(resource_type, resource_name, names),
            4,
        );
    }
}

fn describe<'a>(
    resource_type: i8,
    resource_name: &'a str,
    configuration_keys: Option<Vec<&'a str>>,
) -> DescribeConfigsRequest<'a> {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys,
        }],
        include_synonyms: true,
        include_documentation: false,
    }
}

fn change<'a>(
    resource_name: &'a str,
    changes: &[(&'a str, i8, Option<&'a str>)],
    validate_only: bool,
) -> IncrementalAlterConfigsRequest<'a> {
    let changes = changes
        .iter()
        .map(|&(name, config_operation, value)| AlterableConfig {
            name,
            config_operation,
            value,
        });
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: BROKER,
            resource_name,
            configs: changes.collect(),
        }],
        validate_only,
    }
}

fn replace<'a>(resource_name: &'a str, configs: &[(&'a str, &'a str)]) -> AlterConfigsRequest<'a> {
    let configs = configs
        .iter()
        .map(|&(name, value)| alter_configs::AlterableConfig {
            name,
            value: Some(value),
        });
    AlterConfigsRequest {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: BROKER,
            resource_name,
            configs: configs.collect(),
        }],
        validate_only: false,
    }
}

const ONE: (i8, &str) = (BROKER, "1");
const ALL: (i8, &str) = (BROKER, "");
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

//! What groups have configured: set, taken back, what cannot be, and what members are told.

use millstream_protocol::message::alter_configs::{self, AlterConfigsRequest};
use millstream_protocol::message::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_protocol::message::list_config_resources::ListConfigResourcesRequest;

use super::committed::awake;
use super::configs::described;
use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    describe(talk, "nothing set", None);
    describe(
        talk,
        "some",
        Some(vec![SESSION, "share.auto.offset.reset", "no.such"]),
    );
    describe(talk, "none", Some(vec![]));
    talk.ask_in_all("groups: no name", &described(TYPE, "", None, true));
    what_cannot_be(talk);
    what_may_be(talk);
    replaced(talk);
    members(talk);
}

fn what_cannot_be(talk: &mut Talk) {
    for (name, operation, value) in [
        ("no.such", SET, Some("1")),
        ("no.such", DELETE, None),
        ("retention.ms", SET, Some("1")),
        ("consumer.assignor.offload.enable", SET, Some("true")),
        (SESSION, SET, Some("44999")),
        (SESSION, SET, Some("45000")),
        (SESSION, SET, Some("60000")),
        (SESSION, SET, Some("60001")),
        (SESSION, SET, Some("0")),
        (SESSION, SET, Some("-1")),
        (SESSION, SET, Some("x")),
        (SESSION, SET, Some("")),
        (SESSION, SET, None),
        (SESSION, DELETE, None),
        (SESSION, APPEND, Some("1")),
        (SESSION, SUBTRACT, Some("1")),
        (SESSION, 9, Some("1")),
        (HEARTBEAT, SET, Some("4999")),
        (HEARTBEAT, SET, Some("15000")),
        (HEARTBEAT, SET, Some("15001")),
        (ASSIGNMENT, SET, Some("-1")),
        (ASSIGNMENT, SET, Some("0")),
        (ASSIGNMENT, SET, Some("15000")),
        (ASSIGNMENT, SET, Some("15001")),
        ("share.session.timeout.ms", SET, Some("44999")),
        ("share.session.timeout.ms", SET, Some("60000")),
        ("share.heartbeat.interval.ms", SET, Some("15001")),
        ("share.assignment.interval.ms", SET, Some("15001")),
        ("share.record.lock.duration.ms", SET, Some("999")),
        ("share.record.lock.duration.ms", SET, Some("14999")),
        ("share.record.lock.duration.ms", SET, Some("60000")),
        ("share.record.lock.duration.ms", SET, Some("60001")),
        ("share.delivery.count.limit", SET, Some("1")),
        ("share.delivery.count.limit", SET, Some("10")),
        ("share.delivery.count.limit", SET, Some("11")),
        ("share.partition.max.record.locks", SET, Some("99")),
        ("share.partition.max.record.locks", SET, Some("4000")),
        ("share.partition.max.record.locks", SET, Some("4001")),
        ("share.isolation.level", SET, Some("read_committed")),
        ("share.isolation.level", SET, Some("READ_COMMITTED")),
        ("share.renew.acknowledge.enable", SET, Some("FALSE")),
        ("share.renew.acknowledge.enable", SET, Some("maybe")),
        ("share.auto.offset.reset", SET, Some("earliest")),
        ("share.auto.offset.reset", SET, Some("Earliest")),
        ("share.auto.offset.reset", SET, Some("none")),
        ("share.auto.offset.reset", SET, Some("by_duration")),
        ("share.auto.offset.reset", SET, Some("by_duration:")),
        ("share.auto.offset.reset", SET, Some("by_duration:PT1H")),
        ("share.auto.offset.reset", SET, Some("by_duration:p1dt2.5s")),
        ("share.auto.offset.reset", SET, Some("by_duration:P1DT")),
        ("share.auto.offset.reset", SET, Some("by_duration:PT0S")),
        ("share.auto.offset.reset", SET, Some("by_duration:-PT1S")),
        ("share.auto.offset.reset", SET, Some("by_duration:PT-1H61M")),
        ("share.auto.offset.reset", SET, Some("by_duration:1h")),
        ("streams.session.timeout.ms", SET, Some("60001")),
        ("streams.heartbeat.interval.ms", SET, Some("4999")),
        ("streams.assignment.interval.ms", SET, Some("15001")),
        ("streams.num.standby.replicas", SET, Some("-1")),
        ("streams.num.standby.replicas", SET, Some("2")),
        ("streams.num.standby.replicas", SET, Some("3")),
        ("streams.initial.rebalance.delay.ms", SET, Some("-1")),
        ("streams.initial.rebalance.delay.ms", SET, Some("2147483647")),
        ("streams.initial.rebalance.delay.ms", SET, Some("2147483648")),
    ] {
        let case = format!("groups: {name} {operation} {}", value.unwrap_or("null"));
        let request = alteration("checked", &[(name, operation, value)], true);
        talk.ask(case, &request, 1);
    }
    talk.ask_in_all(
        "groups: no name",
        &alteration("", &[(SESSION, SET, Some("50000"))], false),
    );
    talk.ask_in_all(
        "groups: one config twice",
        &alteration(
            "checked",
            &[(SESSION, SET, Some("50000")), (SESSION, DELETE, None)],
            false,
        ),
    );
    talk.ask("groups: nothing", &alteration("checked", &[], false), 1);
}

fn what_may_be(talk: &mut Talk) {
    let set = [
        (SESSION, SET, Some("50000")),
        ("share.renew.acknowledge.enable", SET, Some("FALSE")),
        ("streams.num.standby.replicas", SET, Some("1")),
    ];
    talk.ask("groups: only checked", &alteration(GROUP, &set, true), 1);
    list(talk, "nobody");
    talk.ask("groups: several", &alteration(GROUP, &set, false), 1);
    talk.until_configured((TYPE, GROUP), SESSION, Some("50000"));
    describe(talk, "several", None);
    list(talk, "one");
    let another = [
        ("streams.num.standby.replicas", DELETE, None),
        ("consumer.assignment.interval.ms", SET, Some("2000")),
        ("share.auto.offset.reset", SET, Some("by_duration:PT1H")),
    ];
    talk.ask("groups: others", &alteration(GROUP, &another, false), 1);
    talk.until_configured((TYPE, GROUP), "consumer.assignment.interval.ms", Some("2000"));
    describe(talk, "others", None);
    // The second of these would do alone.
    let too_much = [(HEARTBEAT, SET, Some("99999")), (SESSION, SET, Some("55000"))];
    talk.ask("groups: one of two", &alteration(GROUP, &too_much, false), 1);
    describe(talk, "as before", Some(vec![SESSION, HEARTBEAT]));
}

fn replaced(talk: &mut Talk) {
    let replace = |configs: &[(&'static str, Option<&'static str>)]| AlterConfigsRequest {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: TYPE,
            resource_name: GROUP,
            configs: configs
                .iter()
                .map(|&(name, value)| alter_configs::AlterableConfig { name, value })
                .collect(),
        }],
        validate_only: false,
    };
    talk.ask("groups: no number", &replace(&[(SESSION, Some("x"))]), 2);
    talk.ask("groups: null", &replace(&[(SESSION, None)]), 2);
    talk.ask("groups: replaced", &replace(&[(HEARTBEAT, Some("6000"))]), 2);
    talk.until_configured((TYPE, GROUP), SESSION, None);
    describe(talk, "replaced", None);
}

/// The group has a heartbeat interval of its own here.
fn members(talk: &mut Talk) {
    for group in [GROUP, "inherits"] {
        awake(talk, group);
        talk.ask(format!("groups: joins {group}"), &join(group), 1);
    }
    let nothing = [(HEARTBEAT, DELETE, None)];
    talk.ask("groups: all taken back", &alteration(GROUP, &nothing, false), 1);
    talk.until_configured((TYPE, GROUP), HEARTBEAT, None);
    talk.ask("groups: joins again", &join(GROUP), 1);
    describe(talk, "nothing any more", None);
    list(talk, "nobody any more");
    for group in [GROUP, "inherits"] {
        let leave = ConsumerGroupHeartbeatRequest {
            group_id: group,
            member_id: MEMBER,
            member_epoch: -1,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        talk.ask(format!("groups: leaves {group}"), &leave, 1);
    }
}

fn join(group_id: &str) -> ConsumerGroupHeartbeatRequest<'_> {
    ConsumerGroupHeartbeatRequest {
        group_id,
        member_id: MEMBER,
        member_epoch: 0,
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec!["nobody"]),
        topic_partitions: Some(vec![]),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn alteration<'a>(
    resource_name: &'a str,
    changes: &[(&'a str, i8, Option<&'a str>)],
    validate_only: bool,
) -> IncrementalAlterConfigsRequest<'a> {
    let change = |&(name, config_operation, value)| AlterableConfig {
        name,
        config_operation,
        value,
    };
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TYPE,
            resource_name,
            configs: changes.iter().map(change).collect(),
        }],
        validate_only,
    }
}

fn describe(talk: &mut Talk, case: &str, configuration_keys: Option<Vec<&str>>) {
    for include_synonyms in [false, true] {
        let request = described(TYPE, GROUP, configuration_keys.clone(), include_synonyms);
        talk.ask_in_all(format!("groups: {case}, synonyms {include_synonyms}"), &request);
    }
}

fn list(talk: &mut Talk, case: &str) {
    for resource_types in [vec![TYPE], vec![TYPE, 4]] {
        let case = format!("groups: {case}, of {resource_types:?}");
        talk.ask(case, &ListConfigResourcesRequest { resource_types }, 1);
    }
    talk.ask(
        format!("groups: {case}, as at first"),
        &ListConfigResourcesRequest::default(),
        0,
    );
}

const TYPE: i8 = 32;
const GROUP: &str = "configured";
const MEMBER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const ASSIGNMENT: &str = "consumer.assignment.interval.ms";
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

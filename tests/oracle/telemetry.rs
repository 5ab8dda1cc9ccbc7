//! Clients' metrics: what is asked for, who may tell when, and what cannot be.

use std::thread::sleep;
use std::time::Duration;

use millstream_protocol::message::alter_configs::{self, AlterConfigsRequest};
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::get_telemetry_subscriptions::GetTelemetrySubscriptionsRequest;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_protocol::message::list_config_resources::ListConfigResourcesRequest;
use millstream_protocol::message::push_telemetry::PushTelemetryRequest;
use millstream_protocol::types::TopicId;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    let (instance, subscription) = asked(talk, "nothing subscribed", TopicId::ZERO);
    talk.ask("nothing subscribed, again", &get(instance), 0);
    talk.ask("nothing subscribed", &push(instance, subscription), 0);
    talk.ask(
        "nothing subscribed, something else",
        &push(instance, subscription ^ 1),
        0,
    );
    wrong_subscriptions(talk);
    subscriptions(talk);
    clients(talk);
    alter(
        talk,
        "taken back",
        "some",
        &[("metrics", 1, None), ("interval.ms", 1, None), ("match", 1, None)],
    );
    alter(
        talk,
        "all taken back",
        "all",
        &[("metrics", 1, None), ("interval.ms", 1, None)],
    );
    talk.until_configured(metrics_of("all"), "metrics", None);
    talk.until_configured(metrics_of("some"), "match", None);
    list(talk, "none left");
    describe(talk, "one that is gone", "some", None);
}

fn wrong_subscriptions(talk: &mut Talk) {
    for (case, name, config, operation, value) in [
        ("no name", "", "metrics", 0, Some("a.")),
        ("an unknown config", "wrong", "retention.ms", 0, Some("1")),
        ("too often", "wrong", "interval.ms", 0, Some("99")),
        ("too seldom", "wrong", "interval.ms", 0, Some("3600001")),
        ("no number", "wrong", "interval.ms", 0, Some("x")),
        ("null", "wrong", "interval.ms", 0, None),
        ("append to a number", "wrong", "interval.ms", 2, Some("1000")),
        ("no selector", "wrong", "match", 0, Some("client_id")),
        ("an empty selector", "wrong", "match", 0, Some("client_id=")),
        ("two signs", "wrong", "match", 0, Some("client_id=a=b")),
        ("a sign at the end", "wrong", "match", 0, Some("client_id=a=")),
        ("an unknown selector", "wrong", "match", 0, Some("user=x")),
        ("no expression", "wrong", "match", 0, Some("client_id=(")),
        ("no metrics", "wrong", "metrics", 0, Some("")),
        ("a blank metric", "wrong", "metrics", 0, Some("a,,b")),
        ("a metric twice", "wrong", "metrics", 0, Some("a,a")),
        ("delete what is not set", "wrong", "match", 1, None),
        ("delete what there is not", "wrong", "no.such", 1, None),
    ] {
        alter(talk, case, name, &[(config, operation, value)]);
    }
    alter(
        talk,
        "clear",
        "wrong",
        &[("metrics", 1, None), ("match", 1, None)],
    );
    talk.until_configured(metrics_of("wrong"), "metrics", None);
}

fn subscriptions(talk: &mut Talk) {
    list(talk, "none");
    describe(talk, "an unknown one", "some", None);
    describe(talk, "one without a name", "", None);
    let configs = [
        ("metrics", 0, Some("a.,b.")),
        ("interval.ms", 0, Some("200")),
        ("match", 0, Some("client_id=x")),
    ];
    alter(talk, "some", "some", &configs);
    alter(
        talk,
        "another",
        "all",
        &[("metrics", 0, Some("c.")), ("interval.ms", 0, Some("3600000"))],
    );
    alter(talk, "append", "some", &[("metrics", 2, Some("d."))]);
    alter(talk, "subtract", "some", &[("metrics", 3, Some("b."))]);
    talk.until_configured(metrics_of("some"), "metrics", Some("a.,b."));
    talk.until_configured(metrics_of("all"), "metrics", Some("c."));
    list(talk, "two");
    describe(talk, "some", "some", None);
    describe(talk, "some of some", "some", Some(vec!["interval.ms", "no.such"]));
    // Without a `match`: the old request replaces all.
    let request = AlterConfigsRequest {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: CLIENT_METRICS,
            resource_name: "some",
            configs: vec![
                alter_configs::AlterableConfig {
                    name: "metrics",
                    value: Some("a.,b."),
                },
                alter_configs::AlterableConfig {
                    name: "interval.ms",
                    value: Some("200"),
                },
            ],
        }],
        validate_only: false,
    };
    talk.ask_in_all("some", &request);
    talk.until_configured(metrics_of("some"), "match", None);
    describe(talk, "some, replaced", "some", None);
}

fn clients(talk: &mut Talk) {
    // Of the subscriptions one is for everybody and the other as well: both are asked.
    let (instance, subscription) = asked(talk, "who comes anew", TopicId::ZERO);
    let good = push(instance, subscription);
    talk.ask("asks again", &get(instance), 0);
    talk.ask("tells", &good, 0);
    talk.ask("tells again", &good, 0);
    talk.ask("asks after it told", &get(instance), 0);
    sleep(INTERVAL);
    talk.ask("after the interval", &good, 0);
    sleep(INTERVAL);

    let reserved = PushTelemetryRequest {
        client_instance_id: TopicId::ZERO,
        ..good.clone()
    };
    talk.ask("nobody tells", &reserved, 0);
    let mut one = [0; 16];
    one[15] = 1;
    talk.ask("a reserved one tells", &push(TopicId::new(one), subscription), 0);
    let other = PushTelemetryRequest {
        subscription_id: subscription ^ 1,
        ..good.clone()
    };
    talk.ask("something else", &other, 0);
    talk.ask("asks, for it must", &get(instance), 0);
    sleep(INTERVAL);
    let compressed = PushTelemetryRequest {
        compression_type: 5,
        ..good.clone()
    };
    talk.ask("an unknown compression", &compressed, 0);
    talk.ask("asks, for it must compress otherwise", &get(instance), 0);
    sleep(INTERVAL);
    let much = vec![0; 1_048_577];
    let large = PushTelemetryRequest {
        metrics: &much,
        ..good.clone()
    };
    talk.ask("too much", &large, 0);
    talk.ask("asks after too much", &get(instance), 0);
    sleep(INTERVAL);

    alter(talk, "a change", "all", &[("metrics", 0, Some("*"))]);
    talk.until_configured(metrics_of("all"), "metrics", Some("*"));
    talk.ask("after a change", &good, 0);
    let (_, subscription) = asked(talk, "asks after a change", instance);
    sleep(INTERVAL);
    let last = PushTelemetryRequest {
        terminating: true,
        ..push(instance, subscription)
    };
    talk.ask("tells before the last time", &push(instance, subscription), 0);
    talk.ask("tells for the last time, at once", &last, 0);
    talk.ask("tells after the last time", &last, 0);
}

fn asked(talk: &mut Talk, case: &str, instance: TopicId) -> (TopicId, i32) {
    let reply = talk.ask(case, &get(instance), 0).expect("an answer");
    let answer = reply.read::<GetTelemetrySubscriptionsRequest>();
    (answer.client_instance_id, answer.subscription_id)
}

fn get(client_instance_id: TopicId) -> GetTelemetrySubscriptionsRequest {
    GetTelemetrySubscriptionsRequest { client_instance_id }
}

/// Of a gauge without points.
fn push<'a>(client_instance_id: TopicId, subscription_id: i32) -> PushTelemetryRequest<'a> {
    PushTelemetryRequest {
        client_instance_id,
        subscription_id,
        terminating: false,
        compression_type: 0,
        metrics: &[0x0a, 7, 0x12, 5, 0x12, 3, 0x0a, 1, b'a'],
    }
}

fn alter(talk: &mut Talk, case: &str, resource_name: &str, changes: &[(&str, i8, Option<&str>)]) {
    let change = |&(name, config_operation, value)| AlterableConfig {
        name,
        config_operation,
        value,
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: CLIENT_METRICS,
            resource_name,
            configs: changes.iter().map(change).collect(),
        }],
        validate_only: false,
    };
    talk.ask(format!("metrics: {case}"), &request, 1);
}

fn describe(talk: &mut Talk, case: &str, resource_name: &str, configuration_keys: Option<Vec<&str>>) {
    for include_synonyms in [false, true] {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: CLIENT_METRICS,
                resource_name,
                configuration_keys: configuration_keys.clone(),
            }],
            include_synonyms,
            include_documentation: include_synonyms,
        };
        talk.ask(
            format!("metrics: {case}, synonyms {include_synonyms}"),
            &request,
            4,
        );
    }
}

fn list(talk: &mut Talk, case: &str) {
    talk.ask(
        format!("metrics: {case}"),
        &ListConfigResourcesRequest::default(),
        0,
    );
    let request = ListConfigResourcesRequest {
        resource_types: vec![CLIENT_METRICS],
    };
    talk.ask(format!("metrics: {case}, by type"), &request, 1);
}

fn metrics_of(subscription: &str) -> (i8, &str) {
    (CLIENT_METRICS, subscription)
}

const CLIENT_METRICS: i8 = 16;
/// More than that of the subscriptions here.
const INTERVAL: Duration = Duration::from_millis(250);

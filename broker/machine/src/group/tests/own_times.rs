//! Groups of the consumer protocol that have configurations of their own.

use std::string::ToString;

use super::consumers::{Consumer, described, told, world};
use super::world::*;
use crate::config::map::ConfigMap;
use crate::group::*;

#[test]
fn a_session_is_as_long_as_the_group_has_it() {
    let lasts = |own: Option<&str>| {
        let mut world = world();
        let mut member = Consumer::new("a");
        member.joins(&mut world, &["t"]);
        world.configures("consumer.session.timeout.ms", own);
        let members = |world: &mut World| described(world).members.len();
        world.pass(40_000);
        member.beats(&mut world);
        world.pass(44_999);
        assert_eq!(members(&mut world), 1);
        world.pass(2);
        let after_the_brokers = members(&mut world);
        world.pass(5_000);
        (after_the_brokers, members(&mut world))
    };
    assert_eq!(lasts(None), (0, 0));
    assert_eq!(lasts(Some("50000")), (1, 0));
}

/// As in Kafka: until it is heard of, a member keeps the time that it was told.
#[test]
fn a_session_that_has_begun_is_as_long_as_it_was() {
    let mut world = world();
    let mut member = Consumer::new("a");
    member.joins(&mut world, &["t"]);
    world.configures("consumer.session.timeout.ms", Some("60000"));
    world.pass(45_001);
    assert_eq!(described(&mut world).members.len(), 0);
    member.epoch = 0;
    member.joins(&mut world, &["t"]);
    world.restart();
    world.pass(59_999);
    assert_eq!(described(&mut world).members.len(), 1, "after a restart too");
}

#[test]
fn members_are_told_the_groups_own_interval() {
    let mut world = world();
    let mut member = Consumer::new("a");
    member.joins(&mut world, &["t"]);
    let mut interval = |own: Option<&str>| {
        world.configures("consumer.heartbeat.interval.ms", own);
        told(&mut world, member.request()).heartbeat_interval_ms
    };
    assert_eq!(interval(Some("7000")), 7_000);
    assert_eq!(interval(None), 5_000);
}

#[test]
fn targets_follow_one_another_as_the_group_has_it() {
    let is_assigned = |own: Option<&str>| {
        let mut world = world();
        world.configures("consumer.assignment.interval.ms", own);
        let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
        first.joins(&mut world, &["t"]);
        world.pass(1_000);
        second.joins(&mut world, &["t"]);
        first.beats(&mut world);
        first.has.len() == 3
    };
    assert_eq!(
        [None, Some("1000"), Some("1001")].map(is_assigned),
        [true, true, false]
    );
}

#[test]
fn bounds_that_came_later_prevail() {
    let settings = GroupSettings::default();
    let of = |session: &str, heartbeat: &str| {
        let own: ConfigMap = [
            ("consumer.session.timeout.ms", session),
            ("consumer.heartbeat.interval.ms", heartbeat),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
        let times = settings.of_group(&own);
        (
            times.session_timeout.as_millis(),
            times.heartbeat_interval.as_millis(),
        )
    };
    assert_eq!(of("1", "1"), (45_000, 5_000));
    assert_eq!(of("50000", "6000"), (50_000, 6_000));
    assert_eq!(of("900000", "900000"), (60_000, 15_000));
    assert_eq!(settings.of_group(&ConfigMap::new()), settings.consumer);
}

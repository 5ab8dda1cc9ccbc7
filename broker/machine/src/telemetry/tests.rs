//! Clients that ask, push, fall silent and come again; as a table, and by a random walk against a plain model.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::testing::{client, subscriptions};
use super::*;
use crate::testing::Random;

const INTERVAL: u64 = 1_000;
const LIMITS: TelemetryLimits = TelemetryLimits {
    instances_max: 4,
    kept_bytes_max: 100,
};

struct World {
    telemetry: Telemetry,
    subscriptions: Subscriptions,
    now: Instant,
}

impl World {
    fn new(limits: TelemetryLimits) -> Self {
        Self {
            telemetry: Telemetry::new(limits),
            subscriptions: subscriptions(&[("s", &[("metrics", "a."), ("interval.ms", "1000")])]),
            now: Instant::from_nanos(1),
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn get(&mut self, number: u8) -> Result<Requested, ErrorCode> {
        self.telemetry
            .get(&client(number, "c"), &self.subscriptions, self.now)
    }

    fn good(&self, number: u8) -> Push {
        let requested = self.subscriptions.of_client(&client(number, "c"));
        Push {
            subscription_id: requested.subscription_id,
            terminating: false,
            compression: 0,
            bytes: 10,
            bytes_max: 10,
        }
    }

    fn push(&mut self, number: u8, push: &Push) -> Result<(), ErrorCode> {
        self.telemetry
            .push(&client(number, "c"), push, &self.subscriptions, self.now)
    }

    fn push_good(&mut self, number: u8) -> Result<(), ErrorCode> {
        self.push(number, &self.good(number))
    }

    fn keep(&mut self, number: u8, bytes: usize) {
        let told = Told {
            metrics: vec![number; bytes].into(),
            at: TimestampMs::new(0),
        };
        self.telemetry.keep(client(number, "c").instance, told);
        self.check_sums();
    }

    /// Of each client that is known, the bytes that are kept of it.
    fn kept(&self) -> Vec<(u8, usize)> {
        let all = self.telemetry.instances();
        all.map(|(id, instance)| {
            (
                id.get().get()[0],
                instance.told.as_ref().map_or(0, |told| told.metrics.len()),
            )
        })
        .collect()
    }

    fn check_sums(&self) {
        let kept: usize = self.kept().iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(kept, self.telemetry.kept);
        assert!(kept <= self.telemetry.limits.kept_bytes_max);
        assert!(self.telemetry.instances.len() <= self.telemetry.limits.instances_max);
        let known: BTreeSet<_> = self
            .telemetry
            .instances
            .iter()
            .map(|(id, it)| (it.expires, *id))
            .collect();
        assert_eq!(known, self.telemetry.by_expiry);
    }
}

const THROTTLED: Result<(), ErrorCode> = Err(ErrorCode::ThrottlingQuotaExceeded);

#[test]
fn a_client_asks_and_then_pushes_once_an_interval() {
    let mut world = World::new(LIMITS);
    let requested = world.get(1).unwrap();
    assert_eq!(
        (requested.metrics, requested.push_interval.as_millis()),
        (vec!["a.".to_string()], INTERVAL)
    );
    assert_eq!(world.get(1).map(|_| ()), THROTTLED);
    world.wait(1);
    assert_eq!(
        world.push_good(1),
        Ok(()),
        "the first one after the question comes when it likes"
    );
    assert_eq!(world.push_good(1), THROTTLED);
    world.wait(INTERVAL - 1);
    assert_eq!(world.push_good(1), THROTTLED);
    assert_eq!(
        world.get(1).map(|_| ()),
        THROTTLED,
        "a push counts for a question too"
    );
    world.wait(1);
    assert_eq!(world.push_good(1), Ok(()));
    world.wait(INTERVAL);
    world.get(1).unwrap();
    assert_eq!(world.push_good(1), Ok(()));
    // Who does not ask at all, which a broker cannot tell from one that asked another broker, may push as well.
    assert_eq!(world.push_good(2), Ok(()));
    assert_eq!(world.push_good(2), THROTTLED);
}

#[test]
fn what_is_wrong_with_a_push_is_said_in_kafkas_order() {
    let world = World::new(LIMITS);
    let good = world.good(1);
    let unknown = Push {
        subscription_id: good.subscription_id ^ 1,
        ..good
    };
    let compressed = Push {
        compression: 5,
        ..good
    };
    let large = Push { bytes: 11, ..good };
    let cases = [
        (unknown, ErrorCode::UnknownSubscriptionId),
        (
            Push {
                compression: 5,
                ..unknown
            },
            ErrorCode::UnknownSubscriptionId,
        ),
        (compressed, ErrorCode::UnsupportedCompressionType),
        (
            Push {
                compression: -1,
                ..good
            },
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            Push {
                bytes: 11,
                ..compressed
            },
            ErrorCode::UnsupportedCompressionType,
        ),
        (large, ErrorCode::TelemetryTooLarge),
    ];
    for (push, expect) in cases {
        let mut world = World::new(LIMITS);
        assert_eq!(world.push(1, &push), Err(expect), "{push:?}");
        assert_eq!(world.push_good(1), THROTTLED, "what was refused counts");
        world.wait(INTERVAL);
        assert_eq!(world.push_good(1), Ok(()));
    }
    for compression in 0..=4 {
        assert_eq!(World::new(LIMITS).push(1, &Push { compression, ..good }), Ok(()));
    }
}

/// Only those may ask again at once who were told that what they know is wrong.
#[test]
fn who_must_ask_again_may() {
    let good = World::new(LIMITS).good(1);
    for (push, may) in [
        (
            Push {
                subscription_id: good.subscription_id ^ 1,
                ..good
            },
            true,
        ),
        (
            Push {
                compression: 9,
                ..good
            },
            true,
        ),
        (Push { bytes: 11, ..good }, false),
        (good, false),
    ] {
        let mut world = World::new(LIMITS);
        let _ = world.push(1, &push);
        assert_eq!(world.get(1).is_ok(), may, "{push:?}");
        assert_eq!(world.get(1).map(|_| ()), THROTTLED, "once");
    }
    let mut world = World::new(LIMITS);
    world.push_good(1).unwrap();
    world
        .telemetry
        .refused(client(1, "c").instance, ErrorCode::InvalidRecord);
    assert_eq!(world.get(1).map(|_| ()), THROTTLED);
}

#[test]
fn who_ends_pushes_once_more_at_any_time() {
    let mut world = World::new(LIMITS);
    world.push_good(1).unwrap();
    let last = Push {
        terminating: true,
        ..world.good(1)
    };
    assert_eq!(world.push(1, &last), Ok(()));
    assert_eq!(world.push(1, &last), Err(ErrorCode::InvalidRequest));
    assert!(world.telemetry.find(client(1, "c").instance).unwrap().terminating);
    // As Kafka: what was refused, and did not say that it ends, takes it back.
    assert_eq!(world.push_good(1), Err(ErrorCode::InvalidRequest));
    world.wait(INTERVAL);
    assert_eq!(world.push_good(1), Ok(()));
}

#[test]
fn a_change_of_what_is_asked_is_noticed_with_the_next_request() {
    let mut world = World::new(LIMITS);
    let before = world.get(1).unwrap();
    let old = world.good(1);
    world.keep(1, 5);
    world.subscriptions.set(
        "t",
        [("metrics".to_string(), "b.".to_string())].into_iter().collect(),
        9,
    );
    world.wait(1);
    assert_eq!(world.push(1, &old), Err(ErrorCode::UnknownSubscriptionId));
    let after = world.get(1).unwrap();
    assert_eq!(after.metrics, ["a.", "b."]);
    assert_ne!(after.subscription_id, before.subscription_id);
    assert_eq!(world.kept(), [(1, 5)], "what it told stays");
    // A shard that has not heard of it yet changes nothing.
    let older = subscriptions(&[("s", &[("metrics", "a."), ("interval.ms", "1000")])]);
    let again = world.telemetry.push(&client(1, "c"), &old, &older, world.now);
    assert_ne!(again, Ok(()));
}

#[test]
fn who_is_not_heard_of_is_forgotten() {
    let mut world = World::new(LIMITS);
    world.get(1).unwrap();
    world.keep(1, 7);
    world.wait(59_999);
    world.telemetry.expire(world.now);
    assert_eq!(world.kept(), [(1, 7)]);
    world.get(1).unwrap();
    world.wait(59_999);
    world.get(2).unwrap();
    assert_eq!(world.kept(), [(1, 7), (2, 0)], "to be heard of is enough");
    world.wait(1);
    world.get(2).unwrap_err();
    assert_eq!(world.kept(), [(2, 0)]);
    world.check_sums();
    // Three intervals where that is longer.
    let mut slow = World::new(LIMITS);
    slow.subscriptions = subscriptions(&[("s", &[("interval.ms", "30000")])]);
    slow.get(1).unwrap();
    slow.wait(89_999);
    slow.telemetry.expire(slow.now);
    assert_eq!(slow.kept().len(), 1);
    slow.wait(1);
    slow.telemetry.expire(slow.now);
    assert_eq!(slow.kept(), []);
}

#[test]
fn clients_beyond_the_bound_push_out_the_most_silent() {
    let mut world = World::new(LIMITS);
    for number in 1..=4 {
        world.get(number).unwrap();
        world.keep(number, 1);
        world.wait(1);
    }
    let _ = world.push_good(1);
    world.get(5).unwrap();
    assert_eq!(world.kept(), [(1, 1), (3, 1), (4, 1), (5, 0)]);
    world.check_sums();
}

#[test]
fn bytes_beyond_the_bound_push_out_the_most_silent() {
    let mut world = World::new(LIMITS);
    for number in 1..=3 {
        world.get(number).unwrap();
        world.keep(number, 30);
        world.wait(1);
    }
    world.keep(3, 40);
    assert_eq!(world.kept(), [(1, 30), (2, 30), (3, 40)]);
    world.keep(3, 41);
    assert_eq!(world.kept(), [(2, 30), (3, 41)]);
    world.keep(2, 101);
    assert_eq!(
        world.kept(),
        [(2, 30), (3, 41)],
        "more than all may have is not kept"
    );
    world.keep(2, 100);
    assert_eq!(world.kept(), [(2, 100)]);
    world.keep(9, 1);
    assert_eq!(world.kept(), [(2, 100)], "nobody knows that one");
}

#[test]
fn long_names_are_cut_where_a_letter_ends() {
    assert_eq!(shown(&"ä".repeat(100)).len(), 128);
    assert_eq!(shown(&std::format!("a{}", "ä".repeat(100))).len(), 127);
    assert_eq!(&*shown("short"), "short");
}

#[test]
fn reserved_ids_are_nobodys() {
    for (last, reserved) in [(0, true), (1, true), (2, false)] {
        let mut id = [0; 16];
        id[15] = last;
        assert_eq!(ClientInstanceId::new(TopicId::new(id)).is_reserved(), reserved);
    }
}

/// Whatever comes, sums and bounds hold, and nobody is taken two pushes from within an interval, but the last one.
#[test]
fn no_order_of_requests_breaks_the_bounds() {
    let mut random = Random::new(11);
    let mut world = World::new(TelemetryLimits {
        instances_max: 6,
        ..LIMITS
    });
    let mut accepted: BTreeMap<u8, Instant> = BTreeMap::new();
    for step in 0..20_000u64 {
        let number = random.below(9) as u8 + 1;
        match random.below(12) {
            0..=3 => {
                let known = world.kept().iter().any(|(known, _)| *known == number);
                let asked = world.telemetry.find(client(number, "c").instance);
                let asked = asked.is_some_and(|it| it.last_get > it.last_push);
                if world.push_good(number).is_ok() {
                    let before = accepted.insert(number, world.now);
                    let soon = before
                        .is_some_and(|at| world.now.saturating_since(at) < Duration::from_millis(INTERVAL));
                    assert!(!(known && soon && !asked), "step {step}: {number} pushed twice");
                    world.keep(number, random.below(60) as usize);
                }
            }
            4..=5 => {
                let _ = world.get(number);
            }
            6 => {
                let push = Push {
                    subscription_id: random.below(3) as i32,
                    terminating: random.below(2) == 0,
                    compression: random.below(7) as i8,
                    ..world.good(number)
                };
                let _ = world.push(number, &push);
            }
            7 if random.below(50) == 0 => {
                let metrics = random.below(3).to_string();
                world.subscriptions.set(
                    "s",
                    [("metrics".to_string(), metrics)].into_iter().collect(),
                    step + 2,
                );
                accepted.clear();
            }
            _ => world.wait(random.of_any_size(14)),
        }
        world.check_sums();
    }
}

"""What every client is asked to do, once for all of them: the rows of docs/clients.md."""

import re
import time
import uuid

from adapter import Absent, Failed
from broker import make_topic

FEATURES = []
LIMIT = 100_000
# What a batch of one record without key and headers needs beside a value of about that length.
OVERHEAD = 72
# Long, for machines that are busy with something else.
SETTLE_SECONDS = 90
LEARN_SECONDS = 5
# Less than a member may be silent.
AWAY_SECONDS = 1.5
# Many more bytes than this follow.
MIDDLE_BYTES = 100_000


def feature(title):
    def keep(scenario):
        FEATURES.append((title, scenario))
        return scenario

    return keep


def record(value, partition=0, key=None, headers=(), timestamp=None):
    return {"partition": partition, "key": key, "value": value, "headers": headers, "timestamp": timestamp}


def numbered(count, first=0, partitions=1, padding=""):
    return [record(f"{n}{padding}", n % partitions) for n in range(first, first + count)]


def values(records):
    return [it["value"] for it in records]


def same(found, expected, what):
    assert found == expected, f"{what}: {str(found)[:200]} instead of {str(expected)[:200]}"


def compression(codec):
    def scenario(rig):
        topic = make_topic(rig.admin)
        records = [record(f"{codec}-{n}-" + "x" * (n % 700)) for n in range(1000)]
        length, before = sum(map(len, values(records))), rig.proxy.sent
        rig.client.produce(topic, records, compression=codec)
        sent = rig.proxy.sent - before
        assert (sent < length / 2) == (codec != "none"), f"{sent} bytes were sent for {length} of values"
        same(values(rig.client.read(topic, 0, 0, 1000)), values(records), "values")

    return scenario


for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    feature("produce: no compression" if codec == "none" else f"produce: {codec}")(compression(codec))


def round_trip(rig, records, fields):
    topic = make_topic(rig.admin)
    rig.client.produce(topic, records)
    found = rig.client.read(topic, 0, 0, len(records))
    for field in fields:
        same([it[field] for it in found], [it[field] for it in records], field)


@feature("keys, and none")
def keys(rig):
    round_trip(rig, [record("a", key="k"), record("b", key="ключ"), record("c", key=None)], ["key", "value"])


@feature("headers")
def headers(rig):
    several = [["a", "1"], ["a", "2"], ["empty", ""]]
    round_trip(rig, [record("a", headers=several), record("b", headers=[])], ["headers"])


@feature("timestamps")
def timestamps(rig):
    start = 1_700_000_000_123
    round_trip(rig, [record(f"{n}", timestamp=start + n * 1000) for n in range(3)], ["timestamp"])


@feature("null values, empty values")
def null_values(rig):
    round_trip(rig, [record(None, key="k"), record("", key="k"), record("v", key="k")], ["value"])


@feature("a message at the size limit")
def at_the_limit(rig):
    topic = make_topic(rig.admin, max_message_bytes=LIMIT)
    value = "x" * (LIMIT - OVERHEAD)
    rig.client.produce(topic, [record(value)])
    same(values(rig.client.read(topic, 0, 0, 1)), [value], "values")


@feature("a message over the size limit is refused")
def over_the_limit(rig):
    topic = make_topic(rig.admin, max_message_bytes=LIMIT)
    try:
        rig.client.produce(topic, [record("x" * (LIMIT - OVERHEAD + 1))])
    except Failed as refusal:
        assert re.search("(?i)too.?large|larger than", str(refusal)), refusal
    else:
        raise AssertionError("it was not refused")
    rig.client.produce(topic, [record("after")])
    same(values(rig.client.read(topic, 0, 0, 1)), ["after"], "values")


@feature("seek by offset")
def seek_by_offset(rig):
    topic = make_topic(rig.admin)
    rig.send(topic, numbered(300))
    found = rig.client.read(topic, 0, 140, 100)
    same([it["offset"] for it in found], list(range(140, 240)), "offsets")
    same(values(found), [f"{n}" for n in range(140, 240)], "values")


@feature("seek by time")
def seek_by_time(rig):
    topic, start = make_topic(rig.admin), 1_700_000_000_000
    rig.send(topic, [record(f"{n}", timestamp=start + n * 10) for n in range(100)])
    for stamp, expected in ((start, 0), (start + 500, 50), (start + 501, 51), (start + 990, 99), (start + 991, None)):
        same(rig.client.offset_at(topic, 0, stamp), expected, f"the offset at {stamp - start} ms")
    same(values(rig.client.read(topic, 0, rig.client.offset_at(topic, 0, start + 905), 9)),
         [f"{n}" for n in range(91, 100)], "values")


def becomes(ask, expected, what):
    """Clients, and Kafka's brokers, learn of changes a moment later."""
    deadline = time.monotonic() + LEARN_SECONDS
    while ask() != expected:
        assert time.monotonic() < deadline, f"{what} is not {expected}"
        time.sleep(0.05)


class Group:
    """Members of the client's that share one topic, and what each of them was given."""

    def __init__(self, rig, partitions, protocol="classic", commit="any"):
        self.rig, self.protocol, self.commit = rig, protocol, commit
        self.topic, self.name = make_topic(rig.admin, partitions=partitions), f"g-{uuid.uuid4().hex[:12]}"
        self.partitions = partitions
        self.sent = 0
        self.seen = set()
        # With the process that each is in.
        self.members = {}

    def join(self, name, client=None, instance=None):
        member, client = f"{self.name}-{name}", client or self.rig.client
        client.join(member, self.topic, self.name, self.protocol, self.commit, instance)
        self.members[member] = client
        return member

    def leave(self, member):
        self.members.pop(member).leave(member)

    def send(self, count):
        records = numbered(count, self.sent, self.partitions)
        self.sent += count
        self.rig.send(self.topic, records)
        return values(records)

    def read(self, expected, seconds=SETTLE_SECONDS, ms=100):
        """What each member is given until all of these values have come."""
        missing, found = set(expected), {member: [] for member in self.members}
        deadline = time.monotonic() + seconds
        while missing and time.monotonic() < deadline:
            for member, client in self.members.items():
                came = values(client.poll(member, ms))
                found[member] += came
                missing -= set(came)
        self.seen.update(value for came in found.values() for value in came)
        assert not missing, f"{len(missing)} of {len(expected)} records did not come within {seconds} s"
        return found

    def settle(self):
        """Sends rounds until one of them is shared by all members, each record given to one of them."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            given = self.read(self.send(self.partitions))
            is_committed = all([self.try_commit(member) for member in self.members])
            if is_committed and all(given.values()) and sum(map(len, given.values())) == self.partitions:
                return
        raise AssertionError(f"{len(self.members)} members share nothing after {SETTLE_SECONDS} s: {given}")

    def try_commit(self, member):
        """In a rebalance the broker refuses commits; what is not committed comes again."""
        try:
            self.members[member].commit(member)
            return True
        except Failed:
            return False


def come_and_go(rig, protocol):
    group = Group(rig, 6, protocol)
    first = group.join("first")
    group.settle()
    second = group.join("second")
    group.settle()
    kind = rig.group_type(group.name)
    assert (kind == "CONSUMER") == (protocol == "consumer"), f"the broker holds a group of type {kind}"
    group.join("third")
    group.settle()
    group.leave(second)
    group.settle()
    group.leave(first)
    group.settle()
    same(len(group.seen), group.sent, "the records that were given to anyone")
    group.leave(next(iter(group.members)))


@feature("group: members come and go, eager")
def eager(rig):
    come_and_go(rig, "classic")


@feature("group: members come and go, cooperative")
def cooperative(rig):
    come_and_go(rig, "cooperative")


@feature("group: members come and go, KIP-848")
def consumer_protocol(rig):
    come_and_go(rig, "consumer")


@feature("group: from the classic protocol to KIP-848, member by member")
def rolled(rig):
    group = Group(rig, 6)
    old = [group.join(f"old-{number}") for number in range(2)]
    group.settle()
    group.protocol = "consumer"
    for number, member in enumerate(old):
        group.join(f"new-{number}")
        group.settle()
        group.leave(member)
        group.settle()
    kind = rig.group_type(group.name)
    assert kind == "CONSUMER", f"the broker holds a group of type {kind}"
    same(len(group.seen), group.sent, "the records that were given to anyone")
    for member in list(group.members):
        group.leave(member)


def killed(rig, protocol):
    group = Group(rig, 4, protocol)
    stays = group.join("stays")
    with rig.another() as other:
        killed = group.join("killed", other)
        group.settle()
        other.kill()
        del group.members[killed]
        group.settle()
    group.leave(stays)


@feature("group: a member is killed, and others have its partitions")
def killed_classic(rig):
    killed(rig, "classic")


@feature("group: a member is killed, and others have its partitions, KIP-848")
def killed_consumer(rig):
    killed(rig, "consumer")


def static_member(rig, protocol):
    group = Group(rig, 4, protocol)
    stays, goes = group.join("stays", instance="stays"), group.join("goes", instance="goes")
    group.settle()
    given = group.read(group.send(4))
    its = {int(value) % 4 for value in given[goes]}
    for member in (stays, goes):
        rig.client.commit(member)
    group.leave(goes)
    sent = group.send(8)
    waits = [value for value in sent if int(value) % 4 in its]
    same(sorted(group.read(set(sent) - set(waits))[stays]), sorted(set(sent) - set(waits)), "what goes on")
    deadline = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < deadline:
        same(values(rig.client.poll(stays, 100)), [], "records of who is away")
    back = group.join("back", instance="goes")
    same(sorted(group.read(waits)[back]), sorted(waits), "what waited")
    for member in (stays, back):
        group.leave(member)


@feature("group: a static member comes back to its partitions")
def static_classic(rig):
    static_member(rig, "classic")


@feature("group: a static member comes back to its partitions, KIP-848")
def static_consumer(rig):
    static_member(rig, "consumer")


@feature("manual commits")
def manual_commits(rig):
    group = Group(rig, 2, commit="manual")
    member = group.join("first")
    group.read(group.send(30))
    rig.client.commit(member)
    again = group.send(20)
    group.read(again)
    group.leave(member)
    member = group.join("second")
    same(sorted(group.read(again)[member]), sorted(again), "what was not committed")
    group.leave(member)


@feature("automatic commits")
def automatic_commits(rig):
    group = Group(rig, 2, commit="auto")
    member = group.join("first")
    group.read(group.send(30))
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        same(values(rig.client.poll(member, 100)), [], "more records")
    group.leave(member)
    member = group.join("second")
    later = group.send(4)
    same(sorted(group.read(later)[member]), later, "what came after the commit")
    group.leave(member)


@feature("admin: topics")
def admin_topics(rig):
    name, admin = f"t-{uuid.uuid4().hex[:12]}", rig.client.admin
    admin("create_topic", topic=name, partitions=2, config={"retention.ms": "7200000"})
    becomes(lambda: name in admin("list_topics"), True, "whether the new topic is listed")
    becomes(lambda: admin("partitions", topic=name), 2, "partitions")
    try:
        admin("create_topic", topic=name, partitions=2, config={})
    except Failed as refusal:
        assert re.search("(?i)exist", str(refusal)), refusal
    else:
        raise AssertionError("a topic was made twice")
    admin("add_partitions", topic=name, total=5)
    becomes(lambda: admin("partitions", topic=name), 5, "partitions")
    admin("delete_topic", topic=name)
    becomes(lambda: name in admin("list_topics"), False, "whether the removed topic is listed")


@feature("admin: configs")
def admin_configs(rig):
    topic, admin = make_topic(rig.admin, retention_ms=7200000), rig.client.admin
    same(admin("describe_config", topic=topic, name="retention.ms"), "7200000", "retention.ms")
    admin("alter_config", topic=topic, name="retention.ms", value="3600000")
    becomes(lambda: admin("describe_config", topic=topic, name="retention.ms"), "3600000", "retention.ms")


@feature("admin: groups")
def admin_groups(rig):
    group, admin = Group(rig, 1), rig.client.admin
    member = group.join("only")
    group.read(group.send(7))
    rig.client.commit(member)
    assert group.name in admin("list_groups")
    same(admin("describe_group", group=group.name), {"state": "stable", "members": 1}, "the group")
    same(admin("committed", group=group.name, topic=group.topic, partition=0), 7, "the committed offset")
    group.leave(member)
    same(admin("describe_group", group=group.name), {"state": "empty", "members": 0}, "the group")
    admin("delete_group", group=group.name)
    becomes(lambda: group.name in admin("list_groups"), False, "whether the removed group is listed")


@feature("admin: committed offsets are altered")
def admin_offsets(rig):
    group, admin = Group(rig, 1), rig.client.admin
    group.send(7)
    admin("alter_committed", group=group.name, topic=group.topic, partition=0, offset=5)
    same(admin("committed", group=group.name, topic=group.topic, partition=0), 5, "the committed offset")
    member = group.join("only")
    same(group.read(["5", "6"])[member], ["5", "6"], "values")
    group.leave(member)


@feature("admin: records are deleted")
def admin_records(rig):
    topic = make_topic(rig.admin)
    rig.send(topic, numbered(10))
    rig.client.admin("delete_records", topic=topic, partition=0, offset=4)
    same(values(rig.read(topic, 0)), [f"{n}" for n in range(4, 10)], "values")


@feature("idempotent produce, connections cut in the middle")
def idempotent_cut(rig):
    topic = make_topic(rig.admin)
    records = numbered(5000, padding="-" * 100)
    for _ in range(2):
        is_cut = rig.proxy.after(MIDDLE_BYTES, rig.proxy.cut)
        rig.client.produce(topic, records, idempotent=True)
        assert is_cut.is_set(), "nothing was cut"
    same(values(rig.read(topic, 0)), values(records) * 2, "values")


@feature("the broker is killed and starts again in the middle")
def restart(rig):
    group = Group(rig, 1)
    member = group.join("only")
    group.read(group.send(1))
    rig.client.commit(member)
    records = numbered(4000, first=1, padding="-" * 100)
    is_back = rig.proxy.after(MIDDLE_BYTES, rig.restart)
    try:
        rig.client.produce(group.topic, records, idempotent=True)
    except Absent:
        rig.client.produce(group.topic, records)
    assert is_back.wait(30), "the broker was not killed"
    same(set(values(rig.read(group.topic, 0))), {"0", *values(records)}, "values that are there")
    group.read(values(records), ms=500)
    rig.client.commit(member)
    group.leave(member)

"""Consumers in groups: what they share, what they committed, and what becomes of both when somebody goes."""

import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter

import pytest
import confluent_kafka
from confluent_kafka import (Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType, KafkaError,
                             KafkaException, TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic
from broker import make_topic
from test_produce_consume import producer, send_all


@pytest.fixture
def group():
    return f"g-{uuid.uuid4().hex[:12]}"


# Only later librdkafkas speak the protocol of KIP-848 for good.
PROTOCOLS = ["classic", "consumer"] if confluent_kafka.libversion()[1] >= 0x020C0000 else ["classic"]


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


def member(broker, group, topic, protocol="classic", **config):
    """A consumer that is joining."""
    settings = {"bootstrap.servers": broker.address, "group.id": group, "auto.offset.reset": "earliest",
                "enable.auto.commit": False, "group.protocol": protocol}
    # With the other protocol the broker says these.
    if protocol == "classic":
        # Long enough for a machine that stands still for a while: no test here waits for its end.
        settings.update({"session.timeout.ms": 20000, "heartbeat.interval.ms": 500})
        settings.update({key.replace("_", "."): value for key, value in config.items()})
    else:
        settings.update({key.replace("_", "."): value for key, value in config.items() if key not in CLASSIC})
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    return consumer


CLASSIC = ("partition_assignment_strategy",)


def read(consumers, count, seconds=40):
    """So many values, whoever gets them; for each consumer its own."""
    found, deadline = [[] for _ in consumers], time.monotonic() + seconds
    while sum(map(len, found)) < count and time.monotonic() < deadline:
        for consumer, values in zip(consumers, found):
            for message in consumer.consume(100, 0.05):
                if message.error():
                    raise KafkaException(message.error())
                values.append(message.value())
    assert sum(map(len, found)) == count, f"{sum(map(len, found))} of {count} records came"
    return found


def settle(consumers, partitions, seconds=40):
    """Polls until the members share all partitions, none of them idle."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for consumer in consumers:
            message = consumer.poll(0.05)
            assert message is None, told(message)
        assigned = [[place.partition for place in consumer.assignment()] for consumer in consumers]
        if all(assigned) and sorted(sum(assigned, [])) == list(range(partitions)):
            return assigned
    raise AssertionError(f"the members do not agree: {assigned}")


def told(message):
    """What a message was, for whoever did not expect it."""
    return message.error() or (message.partition(), message.offset(), message.leader_epoch(), message.value())


def values(count, first=0):
    return [b"%d" % n for n in range(first, first + count)]


def send(broker, topic, count, partitions, first=0):
    send_all(producer(broker), topic, [(n % partitions, None, b"%d" % n) for n in range(first, first + count)])


def committed(consumer, topic, partitions):
    places = consumer.committed([TopicPartition(topic, n) for n in range(partitions)], timeout=20)
    return [place.offset for place in places]


@pytest.mark.parametrize("automatic", [True, False])
def test_a_group_goes_on_where_it_committed(broker, admin, group, protocol, automatic):
    topic = make_topic(admin, partitions=3)
    send(broker, topic, 300, 3)
    first = member(broker, group, topic, protocol, enable_auto_commit=automatic)
    assert sorted(read([first], 300)[0]) == sorted(values(300))
    if not automatic:
        first.commit(asynchronous=False)
    first.close()
    send(broker, topic, 30, 3, first=300)
    second = member(broker, group, topic, protocol)
    assert sorted(read([second], 30)[0]) == sorted(values(30, first=300))
    assert committed(second, topic, 3) == [100, 100, 100]
    second.close()


def test_what_was_not_committed_comes_again(broker, admin, group, protocol):
    topic = make_topic(admin)
    send(broker, topic, 20, 1)
    first = member(broker, group, topic, protocol)
    read([first], 20)
    first.commit(offsets=[TopicPartition(topic, 0, 7, "as far as this")], asynchronous=False)
    place = first.committed([TopicPartition(topic, 0)], timeout=20)[0]
    assert (place.offset, place.metadata) == (7, "as far as this")
    first.close()
    second = member(broker, group, topic, protocol)
    assert read([second], 13)[0] == values(13, first=7)
    second.close()


def test_a_subscription_by_expression(broker, admin, group, protocol):
    topic = make_topic(admin)
    # Also what comes later is found, by librdkafka itself or by the broker.
    one = member(broker, group, f"^{topic}.*", protocol, topic_metadata_refresh_interval_ms=500)
    send(broker, topic, 10, 1)
    assert read([one], 10)[0] == values(10)
    one.commit(asynchronous=False)
    later = f"{topic}-later"
    admin.create_topics([NewTopic(later, 2, 1)])[later].result()
    send(broker, later, 10, 2, first=10)
    assert sorted(read([one], 10)[0]) == sorted(values(10, first=10))
    one.commit(asynchronous=False)
    assert committed(one, topic, 1) + committed(one, later, 2) == [10, 5, 5]
    one.close()


def test_members_of_the_consumer_protocol_share_while_they_come_and_go(broker, admin, group):
    if "consumer" not in PROTOCOLS:
        pytest.skip("this client does not speak it")
    topic = make_topic(admin, partitions=6)
    consumers = [member(broker, group, topic, "consumer")]
    settle(consumers, 6)
    consumers.append(member(broker, group, topic, "consumer"))
    assert sorted(len(one) for one in settle(consumers, 6)) == [3, 3]
    send(broker, topic, 60, 6)
    assert sorted(sum(read(consumers, 60), [])) == sorted(values(60))
    for consumer in consumers:
        consumer.commit(asynchronous=False)
    consumers.pop().close()
    settle(consumers, 6)
    consumers[0].close()


def take(consumers, wanted, seconds=60):
    """Until all the values came: each once, but for those of which a commit was refused."""
    seen, unsure, deadline = Counter(), set(), time.monotonic() + seconds
    while not seen.keys() >= wanted and time.monotonic() < deadline:
        for consumer in consumers:
            found = [message.value() for message in consumer.consume(100, 0.05) if not message.error()]
            seen.update(found)
            try:
                if found:
                    consumer.commit(asynchronous=False)
            except KafkaException:
                unsure.update(found)
    assert seen.keys() == wanted, f"{len(wanted - seen.keys())} values are missing"
    assert {value for value, times in seen.items() if times > 1} <= unsure, "a committed value came again"


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_group_is_rolled_to_the_other_protocol_and_back(broker, admin, group, strategy):
    if "consumer" not in PROTOCOLS:
        pytest.skip("this client does not speak it")
    topic, first = make_topic(admin, partitions=4), 0
    consumers = [member(broker, group, topic, partition_assignment_strategy=strategy) for _ in range(2)]
    settle(consumers, 4)
    for protocol in ("consumer", "classic"):
        for place in range(len(consumers)):
            send(broker, topic, 40, 4, first)
            consumers[place].close()
            consumers[place] = member(broker, group, topic, protocol, partition_assignment_strategy=strategy)
            take(consumers, set(values(40, first)))
            first += 40
            settle(consumers, 4)
        listed = admin.list_consumer_groups().result(20).valid
        assert [one.type for one in listed if one.group_id == group] == [ConsumerGroupType[protocol.upper()]]
    assert committed(consumers[0], topic, 4) == [first // 4] * 4
    for consumer in consumers:
        consumer.close()


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_members_share_while_they_come_and_go(broker, admin, group, strategy):
    topic = make_topic(admin, partitions=6)
    consumers = [member(broker, group, topic, partition_assignment_strategy=strategy)]
    assert settle(consumers, 6) == [list(range(6))]
    for _ in range(2):
        consumers.append(member(broker, group, topic, partition_assignment_strategy=strategy))
        settle(consumers, 6)
    assert sorted(len(one) for one in settle(consumers, 6)) == [2, 2, 2]
    send(broker, topic, 60, 6)
    assert sorted(sum(read(consumers, 60), [])) == sorted(values(60))
    for consumer in consumers:
        consumer.commit(asynchronous=False)
    consumers.pop().close()
    settle(consumers, 6)
    send(broker, topic, 60, 6, first=60)
    assert sorted(sum(read(consumers, 60), [])) == sorted(values(60, first=60))
    for consumer in consumers:
        consumer.close()


def test_a_member_that_dies_is_missed_within_its_session(broker, admin, group):
    topic = make_topic(admin, partitions=4)
    body = f"""
        from confluent_kafka import Consumer
        consumer = Consumer({{"bootstrap.servers": "{broker.address}", "group.id": "{group}",
                              "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}})
        consumer.subscribe(["{topic}"])
        while True:
            consumer.poll(0.1)
            print(len(consumer.assignment()), flush=True)
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(body)], stdout=subprocess.PIPE)
    try:
        while other.stdout.readline() != b"4\n":
            pass
        survivor = member(broker, group, topic)
        deadline = time.monotonic() + 40
        while len(survivor.assignment()) != 2:
            assert time.monotonic() < deadline
            survivor.poll(0.1)
            other.stdout.readline()
    finally:
        other.kill()
        other.wait()
    died = time.monotonic()
    settle([survivor], 4)
    missed = time.monotonic() - died
    survivor.close()
    assert missed < 10, f"missed after {missed:.1f} s"


def test_a_static_member_comes_back_without_disturbing_the_others(broker, admin, group):
    topic = make_topic(admin, partitions=4)
    one = member(broker, group, topic, group_instance_id="one")
    two = member(broker, group, topic, group_instance_id="two")
    before = settle([one, two], 4)
    two.close()
    two = member(broker, group, topic, group_instance_id="two")
    assert settle([one, two], 4) == before
    one.close()
    two.close()


def test_a_restart_of_the_broker_costs_a_group_nothing(own_broker, group, protocol):
    admin = AdminClient({"bootstrap.servers": own_broker.address})
    topic = make_topic(admin, partitions=4)
    consumers = [member(own_broker, group, topic, protocol) for _ in range(2)]
    settle(consumers, 4)
    send(own_broker, topic, 40, 4)
    assert sorted(sum(read(consumers, 40), [])) == sorted(values(40))
    for consumer in consumers:
        consumer.commit(asynchronous=False)
    for end in (own_broker.kill, own_broker.stop):
        end()
        own_broker.start()
        send(own_broker, topic, 40, 4, first=40)
        found = read(consumers, 40)
        assert sorted(sum(found, [])) == sorted(values(40, first=40)), "nothing again, nothing left out"
        for consumer in consumers:
            consumer.commit(asynchronous=False)
    assert committed(consumers[0], topic, 4) == [30, 30, 30, 30]
    for consumer in consumers:
        consumer.close()


def test_operators_see_and_change_groups(broker, admin, group):
    topic = make_topic(admin, partitions=2)
    send(broker, topic, 20, 2)
    consumer = member(broker, group, topic, client_id="who-reads")
    read([consumer], 20)
    consumer.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(20)
    assert described.state == ConsumerGroupState.STABLE and described.partition_assignor == "range"
    [seen] = described.members
    assert (seen.client_id, seen.host) == ("who-reads", "/127.0.0.1")
    assert [place.partition for place in seen.assignment.topic_partitions] == [0, 1]
    listed = admin.list_consumer_groups().result(20)
    assert group in [one.group_id for one in listed.valid] and not listed.errors
    with pytest.raises(KafkaException) as refused:
        admin.delete_consumer_groups([group])[group].result(20)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    consumer.close()

    assert offsets_of(admin, group) == {0: 10, 1: 10}
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
    admin.alter_consumer_group_offsets([moved])[group].result(20)
    assert offsets_of(admin, group) == {0: 3, 1: 10}
    admin.delete_consumer_groups([group])[group].result(20)
    assert offsets_of(admin, group) == {}
    with pytest.raises(KafkaException) as refused:
        admin.delete_consumer_groups([group])[group].result(20)
    assert refused.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def offsets_of(admin, group):
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(20)
    return {place.partition: place.offset for place in answer.topic_partitions}


def test_offsets_of_a_topic_that_was_deleted_are_forgotten(broker, admin, group):
    topic, kept = make_topic(admin), make_topic(admin)
    consumer = member(broker, group, topic)
    consumer.commit(offsets=[TopicPartition(topic, 0, 5), TopicPartition(kept, 0, 6)], asynchronous=False)
    consumer.close()
    admin.delete_topics([topic])[topic].result(20)
    deadline = time.monotonic() + 20
    while offsets_of(admin, group) != {0: 6}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_nobody_writes_to_the_offsets_topic(broker, admin, group):
    consumer = member(broker, group, make_topic(admin))
    consumer.poll(1)
    consumer.close()
    errors = []
    source = producer(broker)
    source.produce("__consumer_offsets", b"v", b"k", 0, on_delivery=lambda error, _: errors.append(error.code()))
    source.flush(20)
    assert errors == [KafkaError.TOPIC_EXCEPTION]
    place = TopicPartition("__consumer_offsets", 0, 0)
    with pytest.raises(KafkaException) as refused:
        admin.delete_records([place])[place].result(20)
    assert refused.value.args[0].code() == KafkaError.TOPIC_EXCEPTION

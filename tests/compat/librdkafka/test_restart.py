"""What is there after a restart; under load and with random kills: tests/crash."""

import time

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from broker import make_topic
from test_produce_consume import lone_consumer, producer, read_all, send_all


def test_sigterm_ends_cleanly_and_keeps_everything(own_broker):
    topic = make_topic(AdminClient({"bootstrap.servers": own_broker.address}))
    send_all(producer(own_broker), topic, [(0, None, b"%d" % n) for n in range(1000)])
    code, seconds = own_broker.stop()
    assert code == 0 and seconds < 10
    own_broker.start()
    assert [message.value() for message in read_all(own_broker, topic, 0, 1000)] == [b"%d" % n for n in range(1000)]


def test_the_number_of_cores_may_change_between_starts(own_broker):
    topic = make_topic(AdminClient({"bootstrap.servers": own_broker.address}), partitions=5)
    for cores in ("1", "2", "1"):
        own_broker.kill()
        own_broker.flags = ("--cores", cores)
        own_broker.start()
        send_all(producer(own_broker), topic, [(n % 5, None, b"%d" % n) for n in range(500)])
    for partition in range(5):
        values = [int(message.value()) for message in read_all(own_broker, topic, partition, 300)]
        assert values == list(range(partition, 500, 5)) * 3


@pytest.mark.parametrize("relaxed", [{"flush_messages": 1000}, {"flush_ms": 10000}])
def test_a_topic_that_relaxes_the_flush_loses_its_end_at_most_and_its_epoch_tells(own_broker, relaxed):
    topic = make_topic(AdminClient({"bootstrap.servers": own_broker.address}), **relaxed)
    send_all(producer(own_broker), topic, [(0, None, b"%d" % n) for n in range(2000)])
    before = read_all(own_broker, topic, 0, 2000)
    assert [int(message.value()) for message in before] == list(range(2000))
    time.sleep(0.5)
    source = producer(own_broker)
    for n in range(2000, 3000):
        source.produce(topic, b"%d" % n, partition=0)
    source.poll(0.01)
    own_broker.kill()
    source.purge()
    own_broker.start()
    consumer = lone_consumer(own_broker)
    kept = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=15)[1]
    consumer.close()
    assert 2000 <= kept <= 3000, "what was flushed long before is there"
    send_all(producer(own_broker), topic, [(0, None, b"new")])
    found = read_all(own_broker, topic, 0, kept + 1)
    assert [int(message.value()) for message in found[:-1]] == list(range(kept)), "a prefix of what was sent"
    assert found[-1].value() == b"new" and found[-1].offset() == kept
    assert found[-1].leader_epoch() > before[-1].leader_epoch(), "the offset after a crash is of another epoch"

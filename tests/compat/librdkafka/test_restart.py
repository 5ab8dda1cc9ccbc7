"""What an acknowledgement is worth: the broker is killed under real producers, and everything acknowledged is there."""

import threading
import time

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from conftest import make_topic
from test_produce_consume import lone_consumer, producer, read_all, send_all


@pytest.mark.parametrize("idempotent", [False, True])
def test_acknowledged_records_survive_kill_9_under_load(own_broker, idempotent):
    topic = make_topic(AdminClient({"bootstrap.servers": own_broker.address}), partitions=4)
    acknowledged, sent, stop = {}, [0], threading.Event()

    def on_delivery(error, message):
        if error is None:
            acknowledged[int(message.value())] = (message.partition(), message.offset())

    def load():
        source = Producer({"bootstrap.servers": own_broker.address, "enable.idempotence": idempotent, "linger.ms": 1,
                           "acks": "all", "message.timeout.ms": 60000, "reconnect.backoff.max.ms": 200})
        while not stop.is_set():
            source.produce(topic, b"%d" % sent[0], partition=sent[0] % 4, on_delivery=on_delivery)
            sent[0] += 1
            source.poll(0)
            time.sleep(0.0002)
        assert source.flush(60) == 0

    thread = threading.Thread(target=load)
    thread.start()
    for _ in range(4):
        time.sleep(1.0)
        own_broker.kill()
        own_broker.start()
    time.sleep(1.0)
    stop.set()
    thread.join()
    assert len(acknowledged) == sent[0] > 1000
    check_history(own_broker, topic, acknowledged, sent[0], idempotent)


def check_history(broker, topic, acknowledged, sent, idempotent):
    """Every acknowledged record at its offset; nothing that was never sent; with idempotence, each once and in order."""
    consumer = lone_consumer(broker)
    found = {}
    for partition in range(4):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=15)
        assert low == 0
        messages = read_all(broker, topic, partition, high)
        assert [message.offset() for message in messages] == list(range(high))
        values = [int(message.value()) for message in messages]
        assert all(0 <= value < sent and value % 4 == partition for value in values)
        if idempotent:
            assert values == sorted(set(values)), "duplicated or out of order"
        found.update({(partition, message.offset()): int(message.value()) for message in messages})
    consumer.close()
    lost = {value for value, place in acknowledged.items() if found.get(place) != value}
    assert not lost, f"{len(lost)} acknowledged records are not at their offsets"


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

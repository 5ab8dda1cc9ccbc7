"""Producers, and consumers that assign partitions themselves, through confluent-kafka (librdkafka)."""

import time
import uuid

import pytest
from confluent_kafka import (OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition,
                             TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME)
from broker import make_topic


def producer(broker, **config):
    settings = {"bootstrap.servers": broker.address, "linger.ms": 5, "message.timeout.ms": 20000}
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    return Producer(settings)


def send_all(source, topic, records):
    """Sends (partition, key, value) and returns the delivered messages, in the order of their acknowledgement."""
    delivered = []

    def on_delivery(error, message):
        assert error is None, error
        delivered.append(message)

    for partition, key, value in records:
        while True:
            try:
                source.produce(topic, value, key, partition, on_delivery=on_delivery)
                break
            except BufferError:
                source.poll(0.1)
    assert source.flush(30) == 0
    return delivered


def lone_consumer(broker, **config):
    """A consumer outside of any group: librdkafka asks for a group's name all the same, but nothing is committed."""
    settings = {"bootstrap.servers": broker.address, "group.id": "unused", "enable.auto.commit": False,
                "auto.offset.reset": "error"}
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    return Consumer(settings)


def read_all(broker, topic, partition, count, start=OFFSET_BEGINNING, seconds=20, **config):
    consumer = lone_consumer(broker, **config)
    consumer.assign([TopicPartition(topic, partition, start)])
    messages, deadline = [], time.monotonic() + seconds
    while len(messages) < count and time.monotonic() < deadline:
        for message in consumer.consume(count - len(messages), 0.5):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
    consumer.close()
    assert len(messages) == count, f"{len(messages)} of {count} records came"
    return messages


def test_transactions_are_refused_at_once(broker):
    source = producer(broker, transactional_id="t")
    begun = time.monotonic()
    with pytest.raises(KafkaException) as refusal:
        source.init_transactions(30)
    assert refusal.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, refusal.value
    assert refusal.value.args[0].fatal() and time.monotonic() < begun + 10


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_comes_back_as_it_was(broker, topic, codec):
    values = [f"{codec}-{n}-".encode() + b"x" * (n % 700) for n in range(2000)]
    delivered = send_all(producer(broker, compression_type=codec), topic, [(1, None, value) for value in values])
    assert sorted(message.offset() for message in delivered) == list(range(2000))
    messages = read_all(broker, topic, 1, 2000)
    assert [message.value() for message in messages] == values
    assert [message.offset() for message in messages] == list(range(2000))


def test_keys_headers_timestamps_and_null_values(broker, topic):
    source = producer(broker)
    stamp = 1_700_000_000_123
    headers = [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]
    source.produce(topic, None, b"key", 0, timestamp=stamp, headers=headers)
    source.produce(topic, b"", None, 0)
    source.produce(topic, "ünï".encode(), "ключ".encode(), 0)
    assert source.flush(20) == 0
    first, second, third = read_all(broker, topic, 0, 3)
    assert (first.key(), first.value()) == (b"key", None)
    assert first.headers() == headers
    assert first.timestamp() == (TIMESTAMP_CREATE_TIME, stamp)
    assert (second.key(), second.value()) == (None, b"")
    assert (third.key().decode(), third.value().decode()) == ("ключ", "ünï")


def test_log_append_time(broker, admin):
    topic = make_topic(admin, message_timestamp_type="LogAppendTime")
    source = producer(broker)
    before = int(time.time() * 1000)
    source.produce(topic, b"v", partition=0, timestamp=1000)
    assert source.flush(20) == 0
    kind, stamp = read_all(broker, topic, 0, 1)[0].timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before - 5 <= stamp <= int(time.time() * 1000) + 5


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_level_of_acknowledgement(broker, topic, acks):
    send_all(producer(broker, acks=acks), topic, [(2, None, b"%d" % n) for n in range(500)])
    values = [message.value() for message in read_all(broker, topic, 2, 500)]
    assert values == [b"%d" % n for n in range(500)]


def test_an_idempotent_producer_keeps_order_over_all_partitions(broker, topic):
    source = producer(broker, enable_idempotence=True, linger_ms=0)
    send_all(source, topic, [(n % 3, None, b"%d" % n) for n in range(3000)])
    for partition in range(3):
        values = [int(message.value()) for message in read_all(broker, topic, partition, 1000)]
        assert values == list(range(partition, 3000, 3))


def test_a_consumer_seeks_by_offset(broker, topic):
    send_all(producer(broker), topic, [(0, None, b"%d" % n) for n in range(300)])
    assert [message.value() for message in read_all(broker, topic, 0, 50, start=250)] == [b"%d" % n for n in range(250, 300)]


def test_a_consumer_finds_an_offset_by_time(broker, topic):
    source = producer(broker, linger_ms=200, compression_type="lz4")
    start = 1_700_000_000_000
    for n in range(200):
        source.produce(topic, b"%d" % n, partition=0, timestamp=start + n * 10)
    assert source.flush(20) == 0
    consumer = lone_consumer(broker)

    def found(stamp):
        return consumer.offsets_for_times([TopicPartition(topic, 0, stamp)], timeout=15)[0].offset

    assert found(start) == 0
    assert found(start + 1000) == 100
    assert found(start + 1001) == 101
    assert found(start + 1990) == 199
    assert found(start + 1991) == -1
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=15) == (0, 200)
    assert consumer.get_watermark_offsets(TopicPartition(topic, 1), timeout=15) == (0, 0)
    consumer.close()


def test_an_offset_out_of_range_is_said(broker, topic):
    send_all(producer(broker), topic, [(0, None, b"v")])
    with pytest.raises(KafkaException) as raised:
        read_all(broker, topic, 0, 1, start=77)
    assert raised.value.args[0].code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


def test_a_waiting_consumer_gets_a_record_at_once(broker, topic):
    consumer = lone_consumer(broker, fetch_wait_max_ms=10000)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    assert consumer.poll(1.0) is None
    source = producer(broker, linger_ms=0)
    source.produce(topic, b"now", partition=0)
    assert source.flush(20) == 0
    started = time.monotonic()
    message = consumer.poll(5.0)
    assert message is not None and message.value() == b"now"
    assert time.monotonic() - started < 2
    consumer.close()


def test_a_large_record_and_one_over_the_limit(broker, admin):
    topic = make_topic(admin, max_message_bytes=3_000_000)
    source = producer(broker, message_max_bytes=8_000_000)
    big = bytes(range(256)) * 10_000
    send_all(source, topic, [(0, None, big)])
    assert read_all(broker, topic, 0, 1, fetch_message_max_bytes=100_000)[0].value() == big
    errors = []
    source.produce(topic, big + big, partition=0, on_delivery=lambda error, _: errors.append(error))
    source.flush(20)
    assert [error.code() for error in errors] == [KafkaError.MSG_SIZE_TOO_LARGE]


def test_a_topic_is_made_by_its_first_producer(broker):
    topic = f"auto-{uuid.uuid4().hex[:8]}"
    send_all(producer(broker), topic, [(-1, b"k", b"v")])
    assert read_all(broker, topic, 0, 1)[0].value() == b"v"


def test_an_unknown_partition_is_refused(broker, topic):
    errors = []
    source = producer(broker)
    source.produce(topic, b"v", partition=9, on_delivery=lambda error, _: errors.append(error))
    source.flush(20)
    assert [error.code() for error in errors] == [KafkaError._UNKNOWN_PARTITION]


def test_many_partitions_at_once(broker, admin):
    topic = make_topic(admin, partitions=200)
    send_all(producer(broker), topic, [(n % 200, None, b"%d" % n) for n in range(4000)])
    consumer = lone_consumer(broker)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(200)])
    seen, deadline = {}, time.monotonic() + 30
    while sum(map(len, seen.values())) < 4000 and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.5):
            assert message.error() is None, message.error()
            seen.setdefault(message.partition(), []).append(int(message.value()))
    consumer.close()
    assert seen == {partition: list(range(partition, 4000, 200)) for partition in range(200)}

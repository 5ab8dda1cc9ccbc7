"""What librdkafka makes of quotas: it tells its user how long the broker has it wait."""

import socket
import struct
import time
import uuid

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from test_produce_consume import producer, send_all

ALTER_CLIENT_QUOTAS = 49


def write(settings, topic, told):
    source = Producer({"linger.ms": 0, **settings})
    for _ in range(100):
        if not told:
            send_all(source, topic, [(0, None, b"v")])


def read(settings, topic, told):
    # It asks again and again for what is not there yet.
    reader = Consumer({"group.id": "unused", "enable.auto.commit": False, "fetch.wait.max.ms": 10, **settings})
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    until = time.monotonic() + 2
    while not told and time.monotonic() < until:
        reader.poll(0.1)
    reader.close()


@pytest.mark.parametrize("use", [write, read])
def test_who_uses_too_much_time_is_told(broker, topic, use):
    send_all(producer(broker), topic, [(0, None, b"v")])
    limited, free = (f"{whom}-{uuid.uuid4().hex[:12]}" for whom in ("limited", "free"))
    # A tenth of a millisecond of ten seconds.
    alter_quota(broker, limited, "request_percentage", 0.001)

    def waits(client):
        told = []
        use({"bootstrap.servers": broker.address, "client.id": client, "throttle_cb": told.append}, topic, told)
        return [event.throttle_time for event in told]

    assert max(waits(limited)) > 0
    assert waits(free) == []


def alter_quota(broker, client, key, value):
    """Sets a client's quota, for which librdkafka has no call."""
    entity = array(text("client-id") + text(client))
    body = array(entity + array(text(key) + struct.pack(">d?", value, False))) + struct.pack(">?", False)
    frame = struct.pack(">hhi", ALTER_CLIENT_QUOTAS, 0, 1) + text("test") + body
    with socket.create_connection(("127.0.0.1", broker.port), 15) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    # Correlation id, throttle time, one entry and its error.
    assert struct.unpack(">iiih", answer[:14]) == (1, 0, 1, 0), answer


def array(element):
    return struct.pack(">i", 1) + element


def text(value):
    return struct.pack(">h", len(value)) + value.encode()

"""What librdkafka tells of itself (KIP-714), which it does unasked for by its user."""

import logging
import time

import confluent_kafka
from confluent_kafka import Consumer
from broker import make_topic
from test_produce_consume import producer, read_all, send_all


def until(look, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.1)
    return found


def test_metrics_are_pushed_as_they_are_asked_for(own_broker):
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": own_broker.address})
    topic = make_topic(admin)
    own_broker.tool("config", "alter", "--client-metrics", "some", "--set", "interval.ms=200", "--set",
                    "metrics=org.apache.kafka.producer.connection.,org.apache.kafka.consumer.", "--set",
                    "match=client_id=told-.*")
    writer = producer(own_broker, **{"client.id": "told-writer"})
    send_all(writer, topic, [(0, None, b"v")])
    reader = Consumer({"bootstrap.servers": own_broker.address, "group.id": topic, "client.id": "told-reader"})
    reader.subscribe([topic])

    def written():
        writer.poll(0)
        return [it for it in own_broker.client_metrics("told-writer").values() if it]

    def read():
        reader.poll(0.1)
        return [it for it in own_broker.client_metrics("told-reader").values() if it]

    [metrics] = until(written)
    name = "org.apache.kafka.producer.connection.creation.total"
    assert metrics[name][0]["value"] >= 1
    assert all(it.startswith("org.apache.kafka.producer.connection.") for it in metrics)
    if confluent_kafka.libversion()[1] < 0x020C0000:
        # A consumer that has nothing to tell yet sends null, which the format does not allow: its connection ends.
        return
    [metrics] = until(read)
    assert any(it.startswith("org.apache.kafka.consumer.") for it in metrics)
    # Counts are those since the start, so that they are still there in the next push.
    before = own_broker.tool("client", "metrics", "--client-id", "told-writer", "--json")
    until(lambda: own_broker.tool("client", "metrics", "--client-id", "told-writer", "--json") != before)
    assert written()[0][name][0]["value"] >= 1
    assert own_broker.client_metrics("rdkafka") == {}
    reader.close()


class Kept(logging.Handler):
    """What a client logs."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def test_a_subscription_is_taken_back_between_pushes(own_broker):
    """The next push is refused; the client asks at once what is asked for, is not throttled, and goes on writing."""
    from confluent_kafka.admin import AdminClient

    topic = make_topic(AdminClient({"bootstrap.servers": own_broker.address}))
    own_broker.tool("config", "alter", "--client-metrics", "some", "--set", "interval.ms=200", "--set",
                    "metrics=org.apache.kafka.producer.", "--set", "match=client_id=told-.*")
    said, logger = Kept(), logging.getLogger(topic)
    logger.addHandler(said)
    logger.setLevel(logging.DEBUG)
    writer = producer(own_broker, logger=logger, **{"client.id": "told-writer", "debug": "telemetry"})

    def says(*texts):
        writer.poll(0)
        return [line for line in said.lines if all(text in line for text in texts)]

    send_all(writer, topic, [(0, None, b"before")])
    until(lambda: says("state = PushScheduled, err = Success"))
    own_broker.tool("config", "alter", "--client-metrics", "some", "--unset", "metrics", "--unset", "interval.ms",
                    "--unset", "match")
    until(lambda: says("PushTelemetryRequest failed", "invalid or outdated subscription ID"))
    until(lambda: says("state = GetSubscriptionsScheduled, err = Success, metrics = 0"))
    send_all(writer, topic, [(0, None, b"after")])
    assert [message.value() for message in read_all(own_broker, topic, 0, 2)] == [b"before", b"after"]

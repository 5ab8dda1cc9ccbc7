"""What one client is tested on: a broker of its own, a proxy before it, and a look at the broker past the client."""

import os
import tempfile
from contextlib import contextmanager

from adapter import Adapter
from broker import Broker
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka import Kafka
from proxy import Proxy

# Groups of either protocol settle, and miss who is gone, in less time than by default.
SETTINGS = {
    "group.initial.rebalance.delay.ms": "200",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.session.timeout.ms": "6000",
}


class Rig:
    def __init__(self, broker, proxy, client):
        self.broker, self.proxy, self.client = broker, proxy, client
        self.admin = AdminClient({"bootstrap.servers": proxy.address, "log_level": 0})
        self.producer = Producer({"bootstrap.servers": proxy.address, "linger.ms": 0, "log_level": 0})

    def send(self, topic, records):
        failures = []
        for it in records:
            self.producer.produce(topic, it["value"], it["key"], it["partition"], timestamp=it["timestamp"] or 0,
                                  on_delivery=lambda error, _: error and failures.append(error))
        assert self.producer.flush(30) == 0 and not failures, f"records for the client do not arrive: {failures[:1]}"

    def read(self, topic, partition):
        """Everything that is in the partition."""
        consumer = Consumer({"bootstrap.servers": self.proxy.address, "group.id": "unused",
                             "enable.auto.commit": False})
        start, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        found = []
        while start + len(found) < end:
            came = consumer.consume(end - start - len(found), 20)
            assert came and not any(it.error() for it in came), f"{len(found)} of {end - start} records came"
            found += [{"offset": it.offset(), "value": it.value() and it.value().decode()} for it in came]
        consumer.close()
        return found

    @contextmanager
    def another(self):
        """Another process of the client, which may be killed."""
        other = Adapter(self.client.command, self.proxy.address, self.client.folder)
        try:
            yield other
        finally:
            other.close()

    def group_type(self, name):
        listed = self.admin.list_consumer_groups().result(20).valid
        return next(it.type.name for it in listed if it.group_id == name)

    def restart(self):
        self.broker.kill()
        self.broker.start()


@contextmanager
def rig(command, is_kafka=False):
    """A rig for the client whose adapter this command starts."""
    with tempfile.TemporaryDirectory(prefix="compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        proxy = Proxy()
        broker = client = None
        try:
            broker = start_kafka(folder, proxy) if is_kafka else start(folder, proxy)
            client = Adapter(command, proxy.address, folder)
            yield Rig(broker, proxy, client)
        finally:
            if client:
                client.close()
            if broker:
                broker.end()
            proxy.close()


def start(folder, proxy):
    settings = [it for name, value in SETTINGS.items() for it in ("--set", f"{name}={value}")]
    broker = Broker(folder, "--cores", "1", "--advertise", proxy.address, *settings)
    proxy.upstream = broker.port
    return broker.start()


def start_kafka(folder, proxy):
    least = {"group.consumer.min.heartbeat.interval.ms": "300", "group.consumer.min.session.timeout.ms": "6000"}
    broker = Kafka(folder, proxy.address, {**SETTINGS, **least})
    proxy.upstream = broker.port
    return broker.start()

"""Starts the real broker for the tests, and stops it whatever happens to them.

With KAFKA_ADDRESS=127.0.0.1:9092 the tests that kill nothing run against the broker there instead: run against Apache
Kafka itself, they show that the tests ask for what Kafka does.
"""

import os
import tempfile

import pytest
from broker import Broker, make_topic
from confluent_kafka.admin import AdminClient

ORACLE = os.environ.get("KAFKA_ADDRESS")
# Groups wait half a second for their first members, not three.
FLAGS = ("--cores", "2", "--set", "group.initial.rebalance.delay.ms=500")


class Attached:
    """A broker that somebody else runs."""

    def __init__(self, address):
        self.address = address
        self.port = int(address.rsplit(":", 1)[1])


@pytest.fixture(scope="session")
def broker():
    if ORACLE:
        yield Attached(ORACLE)
        return
    with tempfile.TemporaryDirectory(prefix="millstream-compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        running = Broker(folder, *FLAGS).start()
        yield running
        running.end()


@pytest.fixture
def own_broker():
    """A broker of the test's own, to be killed."""
    if ORACLE:
        pytest.skip("an attached broker is not killed")
    with tempfile.TemporaryDirectory(prefix="millstream-compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        running = Broker(folder, *FLAGS).start()
        yield running
        running.end()


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.address})


@pytest.fixture
def topic(broker, admin):
    """A new topic with three partitions."""
    return make_topic(admin, partitions=3)

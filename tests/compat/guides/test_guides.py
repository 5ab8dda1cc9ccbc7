"""Programs of guides to Kafka, run against the real broker as they are printed.

The texts are not in the repository: GUIDES names the folder that they lie in, ../shared/reference/guides beside the
repository if it names none. What has to be changed in a program stands in its mends, and nothing else is. Where a text
lost its line breaks, the layout gives them back: for each line, how deep it is indented and how many words are on it.

Not run are fragments without a beginning or an end (Java in 003 and 004, one line of pseudo code in 002, the batch
consumer of 000, which nothing calls), and what needs transactions, Streams, a schema registry or several brokers.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from broker import Broker
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).resolve().parents[3]
GUIDES = Path(os.environ["GUIDES"])
# The module that has what programs in Go import.
GO = ROOT / "tests/compat/go"
KAFKA_PYTHON = os.environ["KAFKA_PYTHON"]

HOSTS = ('["kafka-broker-1:9092", "kafka-broker-2:9092"]', '["{address}"]', "host names are mapped")
HOST = ("localhost:9092", "{address}", "host names are mapped")


@dataclass
class Program:
    guide: str
    begins: str
    ends: str
    # What is found, what stands there instead, and why.
    mends: list
    layout: str = ""

    def text(self, address):
        text = (GUIDES / self.guide).read_text()
        start = text.index(self.begins)
        code = text[start:text.index(self.ends, start) + len(self.ends)]
        for found, instead, _ in self.mends:
            assert found in code, f"{found} is not in {self.guide}"
            code = code.replace(found, instead.replace("{address}", address))
        return laid_out(code, self.layout) if self.layout else code


def laid_out(code, layout):
    words, lines = iter(code.split()), []
    for depth, count in re.findall("([0-9]+):([0-9]+)", layout):
        lines.append("    " * int(depth) + " ".join(next(words) for _ in range(int(count))))
    assert next(words, None) is None, "the layout ends before the program"
    return "\n".join(lines) + "\n"


LESSON = "001_3b13b85822818401.txt"
LESSON_PRODUCER = Program(LESSON, "from kafka import KafkaProducer", "producer.flush()\nproducer.close()\n", [
    HOSTS,
    ("retry_backoff=retry_backoff_ms", "retry_backoff_ms=retry_backoff_ms", "the library never had such a keyword"),
    ("            buffer_memory=67108864,        # 64MB buffer\n", "", "kafka-python 3 has no such setting any more"),
])
LESSON_CONSUMER = Program(LESSON, "from kafka import KafkaConsumer", "\nconsumer.consume()\n", [HOSTS])

DIVE = "000_70576c9c21f3fb62.txt"
DIVE_PRODUCER = Program(
    DIVE, "from confluent_kafka import Producer\n", "# Wait for all messages to be delivered", [
        HOST,
        ("\nProducer configuration\n", "\n", "a comment became a line of its own"),
        ("\nSend orders\n", "\n", "a comment became a line of its own"),
    ],
    "0:4 0:2 0:3 1:2 1:2 1:7 1:2 1:2 1:5 1:2 1:2 1:6 0:1 0:3 0:3 1:2 2:4 1:1 2:7 0:3 1:5 1:1 2:1 2:1 2:1 2:1 2:1 3:2 "
    "3:2 2:1 1:1 1:5 0:4 1:3 2:2 2:4 2:2 2:3 1:1 1:1 0:9")
DIVE_CONSUMER = Program(
    DIVE, "from confluent_kafka import Consumer, KafkaError", "finally: consumer.close()", [HOST],
    "0:6 0:2 0:3 1:2 1:2 1:2 1:7 1:2 1:2 0:1 0:3 0:1 0:3 1:8 1:3 1:9 0:1 1:2 2:3 2:4 3:1 2:2 3:4 4:1 3:2 2:3 2:3 2:1 "
    "2:6 2:1 0:2 1:1 0:1 1:1")
DIVE_GO_PRODUCER = Program(
    DIVE, "package main", "producer.Flush(15 * 1000) }", [
        HOST,
        *((f'json:"{name}"', f'`json:"{name}"`', "quotes were lost")
          for name in ("order_id", "customer_id", "amount", "items")),
    ],
    " ".join(f"0:{count}" for count in (
        "2 2 1 1 1 1 4 3 3 3 3 1 3 4 2 2 2 2 2 2 1 5 1 1 2 4 3 6 5 2 5 4 3 4 1 1 1 1 3 3 9 3 3 3 2 3 1 4 1 5 2 2 2 4 1 "
        "2 1 3 1").split()))


@pytest.fixture(scope="module")
def broker():
    with tempfile.TemporaryDirectory(prefix="compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        running = Broker(folder, "--cores", "1", "--set", "group.initial.rebalance.delay.ms=200").start()
        yield running
        running.end()


def start(program, broker, folder, command, name="program.py"):
    path = Path(folder) / name
    path.write_text(program.text(broker.address))
    # Whoever runs in the background ignores Ctrl-C, and so would what it starts.
    return subprocess.Popen([*command, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=GO,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))


def finish(process, seconds=60):
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said


def records(broker, topic):
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "look", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, end = [], consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)[1]
    while len(found) < end:
        found += consumer.consume(end - len(found), 10)
    consumer.close()
    return found


def committed(broker, group, topic):
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    admin = AdminClient({"bootstrap.servers": broker.address})
    return admin.list_consumer_group_offsets([asked])[group].result(20).topic_partitions[0].offset


def ends_when_committed(reader, broker, group, topic, expected, how):
    """Programs that read for ever are told to end when all is done."""
    deadline = time.monotonic() + 40
    while committed(broker, group, topic) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    reader.send_signal(how)
    said = finish(reader)
    assert committed(broker, group, topic) == expected, said
    return said


def test_the_lesson_s_producer_and_consumer(broker, tmp_path):
    finish(start(LESSON_PRODUCER, broker, tmp_path, [KAFKA_PYTHON]))
    sent = records(broker, "orders.events")
    assert [it.key() for it in sent] == [b"ORD-12345"]
    assert sent[0].headers() == [("event_type", b"order_created")]
    reader = start(LESSON_CONSUMER, broker, tmp_path, [KAFKA_PYTHON])
    ends_when_committed(reader, broker, "order-processing-group", "orders.events", 1, signal.SIGTERM)


def test_the_deep_dive_s_producers_and_consumer(broker, tmp_path):
    said = finish(start(DIVE_PRODUCER, broker, tmp_path, [sys.executable]))
    assert said.count("Message delivered to orders [0] @ ") == 100
    said = finish(start(DIVE_GO_PRODUCER, broker, tmp_path, ["go", "run"], "program.go"), seconds=200)
    # The last reports may come when the program ends already.
    assert "Delivered to orders[0]@" in said and "failed" not in said
    assert [it.key() for it in records(broker, "orders")] == [b"ORD-%d" % (n % 100) for n in range(200)]
    reader = start(DIVE_CONSUMER, broker, tmp_path, [sys.executable])
    said = ends_when_committed(reader, broker, "order-processor", "orders", 200, signal.SIGINT)
    assert said.count("Processing order: ORD-") == 200

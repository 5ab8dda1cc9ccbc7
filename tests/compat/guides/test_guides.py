"""Programs of guides to Kafka, run against the real broker as they are printed.

The texts are not in the repository: GUIDES names the folder that they lie in, ../shared/reference/guides beside the
repository if it names none. What has to be changed in a program stands in its mends, and nothing else is. Where a text
lost its line breaks, the layout gives them back: for each line, how deep it is indented and how many words are on it.

A fragment without a beginning or an end stands in a frame, which has what it needs and the text does not say: a file
of frames/, where the line `guide: NAME` gives its place to the fragment. Frames in Java are compiled by javac.

Not run is what needs transactions (the transactional producer of 000, the settings for exactly-once of 003), Streams
(000), a schema registry (the Avro producer of 000), ksqlDB (004) or several brokers (the compose file of 000, the topic
settings of 003).
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
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parents[3]
FRAMES = Path(__file__).resolve().parent / "frames"
GUIDES = Path(os.environ["GUIDES"])
# The module that has what programs in Go import.
GO = ROOT / "tests/compat/go"
KAFKA_PYTHON = os.environ["KAFKA_PYTHON"]
CLASS_PATH = os.environ["KAFKA_CLASS_PATH"]

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


@dataclass
class Framed:
    frame: str
    # What stands where, by the names that the frame gives.
    parts: dict

    def text(self, address):
        def part(place):
            return self.parts[place[1]].text(address)

        frame = (FRAMES / self.frame).read_text().replace("{address}", address)
        return re.sub(r"^ *(?:#|//) guide: (\w+)\n", part, frame, flags=re.MULTILINE)


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

DIVE_BATCH_CONSUMER = Framed("batch_consumer.py", {"consumer": Program(
    DIVE, "from confluent_kafka import Consumer\n", "finally: self.consumer.close()", [],
    "0:4 0:2 0:4 0:2 1:8 2:3 2:3 2:3 1:4 2:5 2:3 2:4 3:3 3:4 4:1 3:2 4:1 3:1 4:2 4:2 4:2 3:1 2:2 1:8 2:5 2:4 3:3 3:4 "
    "4:1 5:1 5:1 4:4 5:3 5:4 6:1 1:4 2:7 2:5 2:1 1:2 2:3 2:1 2:1 3:2 4:3 4:2 5:1 5:1 2:1 3:1")})

SUMMARY = "002_8198e846d50b00c6.txt"
SUMMARY_LINE = Framed("line.py", {"send": Program(SUMMARY, "producer.send(", '"login-event")\n', [])})

NOTES = "003_cce0265ba77866a4.txt"
NOTES_LOOP = ("while (true) {", "consumer.commitSync();  // Commit after processing\n}\n")
NOTES_JAVA = [
    Framed("OrderEvent.java", {}),
    Framed("OrderReader.java", {}),
    Framed("OrderProducer.java", {
        "configuration": Program(NOTES, "Properties props", "new KafkaProducer<>(props);\n", [
            ("kafka:9092", "{address}", "host names are mapped"),
            ("KafkaAvroSerializer.class", "OrderEvent.ToString.class", "Avro needs a schema registry"),
        ]),
        "send": Program(NOTES, "// Same orderId always", "));\n", []),
    }),
    Framed("OrderConsumer.java", {
        "loop": Program(NOTES, *NOTES_LOOP, []),
        "process": Program(NOTES, "public void processEvent", "save(event.getEventId());\n}\n", []),
    }),
    Framed("RetryingConsumer.java", {
        "loop": Program(NOTES, *NOTES_LOOP, [
            ("processEvent(record.value());", "processWithRetry(record);", "the loop is told with another method"),
        ]),
        "retry": Program(NOTES, "public void processWithRetry", "record.value()));\n}\n", []),
    }),
]

HOW_TO = "004_90f892a68c35cd0e.txt"
HOW_TO_PRODUCER = Framed("OrderBytes.java", {"producer": Program(HOW_TO, "Properties props", "\n}\n});\n", [
    ("broker1:9092,broker2:9092", "{address}", "host names are mapped"),
])})


@pytest.fixture
def broker():
    with tempfile.TemporaryDirectory(prefix="compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        running = Broker(folder, "--cores", "1", "--set", "group.initial.rebalance.delay.ms=200").start()
        yield running
        running.end()


def start(program, broker, folder, command, name="program.py"):
    path = Path(folder) / name
    path.write_text(program.text(broker.address))
    return spawn([*command, path])


def spawn(command):
    # Whoever runs in the background ignores Ctrl-C, and so would what it starts.
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=GO,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))


def compiled(programs, broker, folder):
    """How a class of theirs is started."""
    for it in programs:
        (folder / it.frame).write_text(it.text(broker.address))
    finish(spawn(["javac", "-encoding", "UTF-8", "-cp", CLASS_PATH, "-d", folder, *folder.glob("*.java")]))
    flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return lambda name: spawn(["java", *flags, "-cp", f"{folder}:{CLASS_PATH}", name])


def finish(process, seconds=60, code=0):
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == code, said
    return said


def records(broker, topic, partition=0):
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "look", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    place = TopicPartition(topic, partition, 0)
    consumer.assign([place])
    found, end = [], consumer.get_watermark_offsets(place, timeout=20)[1]
    while len(found) < end:
        found += consumer.consume(end - len(found), 10)
    consumer.close()
    return found


def committed(broker, group, topic, partitions=1):
    """Over all partitions."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, it) for it in range(partitions)])
    admin = AdminClient({"bootstrap.servers": broker.address})
    found = admin.list_consumer_group_offsets([asked])[group].result(20).topic_partitions
    return sum(it.offset for it in found if it.offset > 0)


def becomes(ask, expected, seconds=90):
    deadline = time.monotonic() + seconds
    while (found := ask()) != expected:
        assert time.monotonic() < deadline, f"{found} instead of {expected}"
        time.sleep(0.2)


def ends_when_committed(reader, broker, group, topic, expected, how, code=0, partitions=1):
    """Programs that read for ever are told to end when all is done."""
    deadline = time.monotonic() + 90
    while committed(broker, group, topic, partitions) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    reader.send_signal(how)
    said = finish(reader, code=code)
    assert committed(broker, group, topic, partitions) == expected, said
    return said


def processed(said):
    return re.findall("^Processing(?: order)?: (.*)$", said, re.MULTILINE)


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


def test_the_deep_dive_s_batch_consumer(broker, tmp_path):
    finish(start(DIVE_PRODUCER, broker, tmp_path, [sys.executable]))
    reader = start(DIVE_BATCH_CONSUMER, broker, tmp_path, [sys.executable])
    said = ends_when_committed(reader, broker, "batch-order-processor", "orders", 100, signal.SIGINT)
    # What fails is tried three times, and does not hold up what comes after it.
    assert processed(said) == [f"ORD-{n}" for n in sorted([13, 13, *range(100)])]


def test_the_summary_s_line(broker, tmp_path):
    finish(start(SUMMARY_LINE, broker, tmp_path, [KAFKA_PYTHON]))
    assert [(it.key(), it.value()) for it in records(broker, "user-events")] == [(b"user-42", b"login-event")]


# What Java says that is told to end, and does so as it wants to.
TERMINATED = 128 + signal.SIGTERM
EVENTS = sorted(f"event-{n}" for n in range(100))


def test_the_notes_producer_and_group_of_two_consumers(broker, tmp_path):
    run = compiled(NOTES_JAVA, broker, tmp_path)
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("orders", 4, 1)])["orders"].result(20)

    def shares():
        members = admin.describe_consumer_groups(["order-processor"])["order-processor"].result(20).members
        return [len(it.assignment.topic_partitions) for it in members]

    def all_committed(count):
        becomes(lambda: committed(broker, "order-processor", "orders", 4), count)

    stays, leaves = run("OrderConsumer"), run("OrderConsumer")
    becomes(shares, [2, 2])
    finish(run("OrderProducer"))
    sent = [record for partition in range(4) for record in records(broker, "orders", partition)]
    assert sorted((it.key().decode(), it.value().decode()) for it in sent) == \
        sorted((f"ORD-{n}", f"event-{n}") for n in range(100))
    all_committed(100)
    leaves.send_signal(signal.SIGTERM)
    others = processed(finish(leaves, code=TERMINATED))
    assert 0 < len(others) < 100 and len(set(others)) == len(others)
    # The same events once more, all to the one that stayed, which has processed those of its partitions.
    becomes(shares, [4])
    finish(run("OrderProducer"))
    all_committed(200)
    stays.send_signal(signal.SIGTERM)
    assert sorted(processed(finish(stays, code=TERMINATED))) == EVENTS


def test_the_notes_retries_and_dead_letters(broker, tmp_path):
    run = compiled(NOTES_JAVA, broker, tmp_path)
    finish(run("OrderProducer"))
    reader = run("RetryingConsumer")
    said = ends_when_committed(reader, broker, "retrying", "orders", 100, signal.SIGTERM, code=TERMINATED)
    assert sorted(processed(said)) == sorted([*EVENTS, "event-13", "event-13"])
    assert [(it.key(), it.value()) for it in records(broker, "orders.dlq")] == [(b"ORD-13", b"event-13")]


def test_the_how_to_s_producer(broker, tmp_path):
    finish(compiled([HOW_TO_PRODUCER], broker, tmp_path)("OrderBytes"))
    assert [(it.key(), it.value()) for it in records(broker, "orders")] == [(b"ORD-12345", b"an order")]

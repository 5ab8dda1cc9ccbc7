"""The clients: the columns of docs/clients.md. What each is started by has been made by tests/compat/run."""

import os
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BUILT = Path(os.environ["COMPAT_BUILT"])


@dataclass
class Client:
    name: str
    command: list
    # Cells that are red for a reason that is known: a feature's title and why. They stay red on the page.
    known: dict = field(default_factory=dict)


def go(name):
    return [BUILT / "go" / name]


def java(version):
    built = BUILT / "java" / version
    class_path = f"{built}/classes:{(built / 'classpath').read_text()}"
    flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return ["java", *flags, "-cp", class_path, "millstream.compat.Main"]


def python(environment, name):
    return [BUILT.parent / environment / "bin/python", "-B", HERE / "python" / name]


CLIENTS = [
    Client("confluent-kafka", python("compat-venv-newest", "confluent.py")),
    Client("confluent-kafka", python("compat-venv-2.10.0", "confluent.py")),
    Client("kafka-python", python("compat-venv-kafka-python", "kafka_python.py")),
    Client("kcat", python("compat-venv-newest", "kcat.py")),
    Client("Java", java("4.3.1")),
    Client("Java", java("3.9.2")),
    Client("confluent-kafka-go", go("confluent")),
    Client("franz-go", go("franz-go"), {
        "group: a static member comes back to its partitions, KIP-848":
            "its leave does not name the instance and is refused, so that the name is not free, by Apache Kafka as well",
    }),
    Client("sarama", go("sarama")),
    Client("segmentio/kafka-go", go("segmentio"), {
        "null values, empty values": "its reader gives an empty value as null, from Apache Kafka as well",
    }),
    Client("kafkajs", ["node", HERE / "kafkajs/main.js"]),
]

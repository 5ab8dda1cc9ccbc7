"""Apache Kafka in Millstream's place: it shows whose fault a red cell is. Its jars are those of tests/oracle."""

import os
import subprocess
import time

from broker import Broker, end_with, free_port
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

CLASS_PATH = os.environ.get("KAFKA_CLASS_PATH")
READY_SECONDS = 60
CLUSTER_ID = "bWlsbHN0cmVhbS1vcmFjbA"


class Kafka(Broker):
    """Told from outside as a Broker is: started, killed and started again over one data directory. Clients are told to
    come to `advertised`, or to where it listens."""

    def __init__(self, folder, advertised, settings):
        super().__init__(folder)
        self.properties = os.path.join(folder, "server.properties")
        with open(self.properties, "w") as file:
            controller = f"127.0.0.1:{free_port()}"
            file.write(properties(self.address, controller, advertised or self.address, self.data, settings))
        subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"), check=True,
                       stdout=self.log, stderr=self.log)

    def java(self, name, *arguments):
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", CLASS_PATH, name, *arguments,
                self.properties]

    def spawn(self):
        self.process = subprocess.Popen(self.java("kafka.Kafka"), stdout=self.log, stderr=self.log,
                                        preexec_fn=end_with(os.getpid()))

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"Kafka ended: {self.tail()}"
            try:
                AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=2)
                return
            except KafkaException:
                time.sleep(0.1)
        raise AssertionError(f"Kafka was not ready within {READY_SECONDS} s: {self.tail()}")


def properties(address, controller, advertised, data, settings):
    """Its defaults, but for what one broker on this machine needs."""
    needed = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{address},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
    }
    return "".join(f"{name}={value}\n" for name, value in {**needed, **settings}.items())

"""A user interface in the manner of kafbat's kafka-ui: Ui.java makes its calls, and holds each to what it shows."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from broker import Broker
from kafka import Kafka

CLASS_PATH = os.environ["KAFKA_CLASS_PATH"]
SOURCE = Path(__file__).resolve().parent / "Ui.java"
# Groups settle in less time than by default.
SETTINGS = {"group.initial.rebalance.delay.ms": "200"}


@pytest.fixture
def broker(request):
    with tempfile.TemporaryDirectory(prefix="compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        if request.config.getoption("--kafka"):
            running = Kafka(folder, None, SETTINGS)
        else:
            settings = [it for name, value in SETTINGS.items() for it in ("--set", f"{name}={value}")]
            running = Broker(folder, "--cores", "1", *settings)
        running.start()
        yield running
        running.end()


def test_every_call_answers(broker):
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", CLASS_PATH, SOURCE]
    done = subprocess.run([*command, broker.address], capture_output=True, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

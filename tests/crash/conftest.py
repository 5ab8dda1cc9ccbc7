"""What the crash tests share: a broker whose data lies on a disk of the test's own, and its life under load."""

import contextlib
import json
import os
import subprocess
import tempfile

import pytest
from broker import BINARY, Broker
from disks import Device, missing

LEAST_FREE = "64MiB"


@pytest.fixture
def scratch():
    with tempfile.TemporaryDirectory(prefix="millstream-crash-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        yield folder


@pytest.fixture
def able():
    """A machine that can make disks for a test."""
    lacking = missing()
    if lacking:
        reason = f"this test mounts file systems of its own, and here is no {', '.join(lacking)}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture
def mounted(scratch, able):
    """Mounts a disk and starts a broker on it; both end with the test."""
    with contextlib.ExitStack() as stack:

        def mount(disk, cores="2"):
            stack.callback(disk.end)
            disk.mount()
            broker = on(disk, scratch, cores)
            stack.callback(broker.end)
            broker.start()
            if isinstance(disk, Device):
                # Nobody can be killed who waits for a device that hangs.
                stack.callback(disk.go_on)
                # The journals are made at the speed of the machine.
                broker.stop()
                disk.again()
                broker.start()
            return broker

        yield mount


def on(disk, scratch, cores="2"):
    return Broker(scratch, "--cores", cores, "--free-space-min", LEAST_FREE, data=os.path.join(disk.folder, "data"))


def after_power_returns(broker, disk):
    """The process, the file system and its device begin anew."""
    broker.kill()
    disk.again()
    broker.start()


def cluster_info(broker, *flags):
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MILLSTREAM_")}
    command = [BINARY, "cluster", "info", "--brokers", broker.address, *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=environment).stdout


def unwell(broker):
    """The shards that are not well, as `millstream cluster info` has it."""
    return json.loads(cluster_info(broker, "--json"))["brokers"][0]["unwell"]

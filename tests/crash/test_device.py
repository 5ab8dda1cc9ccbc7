"""A device that fails, dawdles or dies under the broker's file system (qemu-storage-daemon)."""

import time

import pytest
from conftest import after_power_returns
from confluent_kafka import KafkaException
from disks import Device, insist
from load import Load, read_all


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("operation, once", [("write", True), ("write", False), ("flush", True)])
def test_nothing_acknowledged_is_lost_when_writes_or_flushes_fail(scratch, mounted, kind, operation, once):
    device = Device(scratch, kind)
    broker = mounted(device)
    load = Load(broker, "failing", segment_bytes=1 << 20)
    load.wait_for(300)
    device.fail(operation, once)
    insist(lambda: b"ERROR" in broker.said())
    time.sleep(0.5)
    assert broker.process.poll() is None, f"it does not outlive its disk: {broker.tail()}"
    device.heal()
    time.sleep(0.5)
    after_power_returns(broker, device)
    load.wait_for(100)
    load.finish()
    after_power_returns(broker, device)
    load.check()


def test_what_cannot_be_read_is_an_error_and_comes_back_with_the_device(scratch, mounted):
    device = Device(scratch)
    broker = mounted(device)
    load = Load(broker, "unreadable", segment_bytes=1 << 20)
    load.wait_for(3000)
    load.finish()
    broker.stop()
    broker.start()
    device.forget_reads()
    device.fail("read", once=False)
    with pytest.raises((KafkaException, AssertionError)):
        list(read_all(broker, load.histories[0].topic, seconds=3))
    assert broker.process.poll() is None
    device.heal()
    load.check()


def test_a_slow_device_slows_and_breaks_nothing(scratch, mounted):
    device = Device(scratch)
    broker = mounted(device)
    load = Load(broker, "slow")
    load.wait_for(100)
    device.pace(30)
    load.wait_for(100)
    device.pace(0)
    load.finish()
    assert b"ERROR" not in broker.said()
    after_power_returns(broker, device)
    load.check()


def test_a_device_that_dies_takes_nothing_acknowledged_with_it(scratch, mounted):
    device = Device(scratch)
    broker = mounted(device)
    load = Load(broker, "dead")
    load.wait_for(300)
    device.daemon.kill()
    insist(lambda: b"ERROR" in broker.said())
    assert broker.process.poll() is None, f"it does not outlive its disk: {broker.tail()}"
    after_power_returns(broker, device)
    load.wait_for(100)
    load.finish()
    after_power_returns(broker, device)
    load.check()

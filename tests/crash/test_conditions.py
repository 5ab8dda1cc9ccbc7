"""Disks that are full, read-only or not fit for direct writes."""

import os
import subprocess
import time

import pytest
from broker import BINARY
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from conftest import after_power_returns, cluster_info, unwell
from disks import Disk, run
from load import Load


def test_a_disk_filled_to_the_last_block_refuses_writes_and_recovers_by_itself(scratch, mounted):
    disk = Disk(scratch)
    broker = mounted(disk)
    load = Load(broker, "full", segment_bytes=1 << 20)
    load.wait_for(300)
    disk.fill()
    assert disk.free_bytes() == 0
    time.sleep(1.5)
    assert b"the disk is full" in broker.said()
    admin = AdminClient({"bootstrap.servers": broker.address})
    with pytest.raises(KafkaException, match="metadata cannot be written"):
        for number in range(200):
            create(admin, f"one-too-many-{number}")
    disk.free()
    time.sleep(1.5)
    create(admin, "there-is-room")
    assert unwell(broker) == []
    disk.fill()
    assert disk.free_bytes() == 0
    time.sleep(1.5)
    broker.kill()
    broker.start()
    disk.fill()
    assert disk.free_bytes() == 0
    time.sleep(1)
    disk.free()
    load.wait_for(300)
    load.finish()
    assert b"fenced" not in broker.said() and b"no more appends" not in broker.said()
    after_power_returns(broker, disk)
    load.check()


def create(admin, topic):
    (creation,) = admin.create_topics([NewTopic(topic, 1)]).values()
    creation.result(timeout=15)


def test_a_file_system_that_goes_read_only_is_told_of_and_loses_nothing(scratch, mounted):
    disk = Disk(scratch)
    broker = mounted(disk)
    load = Load(broker, "read-only", segment_bytes=1 << 20)
    load.wait_for(300)
    disk.fail_with_error()
    time.sleep(1)
    assert broker.process.poll() is None, f"it does not outlive its disk: {broker.tail()}"
    assert b"no more appends on this shard" in broker.said()
    told = unwell(broker)
    assert told and all(shard["writes_stopped"] for shard in told), told
    assert "its journal failed: no appends until a restart" in cluster_info(broker)
    admin = AdminClient({"bootstrap.servers": broker.address})
    (creation,) = admin.create_topics([NewTopic("too-late", 1)]).values()
    with pytest.raises(KafkaException, match="metadata cannot be written"):
        creation.result(timeout=15)
    assert any(shard["metadata_stopped"] for shard in unwell(broker))
    assert "the metadata log failed" in cluster_info(broker)
    broker.kill()
    disk.unmount()
    subprocess.run(["e2fsck", "-p", disk.image], stdout=subprocess.DEVNULL)
    disk.mount()
    broker.start()
    assert unwell(broker) == []
    load.wait_for(100)
    load.finish()
    after_power_returns(broker, disk)
    load.check()


def test_a_file_system_that_is_read_only_is_read(scratch, mounted):
    disk = Disk(scratch)
    broker = mounted(disk)
    load = Load(broker, "read-only", segment_bytes=1 << 20)
    load.wait_for(300)
    load.finish()
    # No file is open, and no record in memory.
    broker.stop()
    broker.start()
    disk.fail_with_error()
    load.check()


def test_a_file_system_without_direct_io_is_refused_with_a_way_out(scratch, mounted):
    mounted(Disk(scratch))
    folder = os.path.join(scratch, "ramfs")
    os.mkdir(folder)
    run("mount", "-t", "ramfs", "ramfs", folder)
    try:
        command = [BINARY, "start", "--data-dir", os.path.join(folder, "data"), "--listen", "127.0.0.1:0"]
        environment = {name: text for name, text in os.environ.items() if not name.startswith("MILLSTREAM_")}
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    finally:
        run("umount", folder)
    assert ended.returncode != 0
    for part in ("has no direct I/O", "ext4 or XFS", "--data-dir"):
        assert part in ended.stderr, ended.stderr

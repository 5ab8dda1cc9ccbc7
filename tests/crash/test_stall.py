"""A flush that takes ten seconds: who waits for it waits or times out, and the log tells of it; nobody else notices."""

import os
import signal
import time

from broker import make_topic
from conftest import after_power_returns, cluster_info, unwell
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from disks import Device, Disk, insist, run
from load import PARTITIONS, Load

STALL_SECONDS = 10


def test_a_device_that_hangs_for_ten_seconds_delays_and_breaks_nothing(scratch, mounted):
    device = Device(scratch)
    broker = mounted(device)
    topic = make_topic(AdminClient({"bootstrap.servers": broker.address}))
    load = Load(broker, "hangs")
    load.wait_for(300)
    assert unwell(broker) == []
    device.hang()
    begun = time.monotonic()
    assert outcome(impatient(broker), topic, 0, seconds=8) is not None, "who does not wait so long times out"
    before = load.acknowledged
    time.sleep(STALL_SECONDS - (time.monotonic() - begun))
    assert load.acknowledged == before, "acknowledged without a flush"
    told = unwell(broker)
    assert [shard["shard"] for shard in told] == [0, 1] and all(shard["waiting"] > 0 for shard in told), told
    for shard in told:
        assert 5 < time.time() - shard["flush_stalled_since"] / 1000 < STALL_SECONDS + 5, told
    broker.process.send_signal(signal.SIGUSR1)
    insist(lambda: broker.said().count(b"round_lasts_ms") == 2)
    device.go_on()
    load.wait_for(100)
    insist(lambda: unwell(broker) == [])
    load.finish()
    for part in (b"the disk does not finish a flush", b"the disk finished the flush"):
        assert part in broker.said()
    for part in (b"ERROR", b"fenced"):
        assert part not in broker.said()
    after_power_returns(broker, device)
    load.check()


def test_a_device_that_hangs_while_topics_are_made_stops_no_shard(scratch, mounted):
    """What a topic's making syncs is in the file system's journal, and ext4 begins no write while that is written."""
    device = Device(scratch)
    broker = mounted(device)
    admin = AdminClient({"bootstrap.servers": broker.address})
    make_topic(admin)
    load = Load(broker, "hangs")
    load.wait_for(300)
    for number in range(10):
        (creation,) = admin.create_topics([NewTopic(f"in-between-{number}", PARTITIONS)]).values()
        # Some of them before it is durable, some after.
        time.sleep(number * 0.002)
        device.hang()
        begun = time.monotonic()
        time.sleep(0.5)
        told = [cluster_info(broker) for _ in range(3)]
        assert len(told) == 3 and time.monotonic() - begun < 5, f"a shard stood still, the {number}th time"
        device.go_on()
        creation.result(timeout=20)
        load.wait_for(50)
    (creation,) = admin.create_topics([NewTopic("waits", 1)]).values()
    device.hang()
    insist(lambda: any(shard["metadata_stalled_since"] for shard in unwell(broker)))
    assert "a change of topics or configurations has waited since" in cluster_info(broker)
    device.go_on()
    creation.result(timeout=20)
    insist(lambda: unwell(broker) == [])
    load.finish()
    load.check()


def test_a_read_that_hangs_is_told_of_and_answered_at_last(scratch, mounted):
    device = Device(scratch)
    broker = mounted(device)
    load = Load(broker, "cold", segment_bytes=1 << 20)
    load.wait_for(1000)
    load.finish()
    # Nothing is in memory, and what the kernel knows of the device is forgotten.
    broker.stop()
    device.again()
    broker.start()
    reader = Consumer({"bootstrap.servers": broker.address, "group.id": "g", "log_level": 2})
    partitions = [TopicPartition(load.histories[0].topic, partition, 0) for partition in range(PARTITIONS)]
    # Who looks for its group has the topic of groups made, which would wait for the disk as well, and a fetch behind it.
    reader.committed(partitions, timeout=20)
    device.forget_reads()
    device.hang()
    reader.assign(partitions)
    insist(lambda: reader.poll(0.1) is None and any(shard["disk_stalled_since"] for shard in unwell(broker)))
    assert "the disk has not finished what it was given" in cluster_info(broker)
    device.go_on()
    insist(lambda: reader.poll(0.1) is not None)
    reader.close()
    insist(lambda: unwell(broker) == [])
    load.check()


def test_other_shards_go_on_while_the_journal_of_one_hangs(scratch, mounted):
    """The journal of the second shard lies on a device of its own."""
    broker = mounted(Disk(scratch))
    topic = make_topic(AdminClient({"bootstrap.servers": broker.address}), partitions=PARTITIONS)
    broker.stop()
    aside = os.path.join(scratch, "aside")
    os.mkdir(aside)
    device = Device(aside, size=1 << 30)
    device.mount()
    journal, moved = os.path.join(broker.data, "journal-1"), os.path.join(device.folder, "journal-1")
    try:
        run("cp", journal, moved)
        device.again()
        run("mount", "--bind", moved, journal)
        broker.start()
        producers = [impatient(broker) for _ in range(PARTITIONS)]
        assert [outcome(producers[partition], topic, partition) for partition in range(PARTITIONS)] == [None] * PARTITIONS
        device.hang()
        failed = [partition for partition in range(PARTITIONS) if outcome(producers[partition], topic, partition)]
        assert len(failed) == PARTITIONS // 2, f"{failed} wait for the shard whose journal hangs"
        for partition in set(range(PARTITIONS)) - set(failed):
            begun = time.monotonic()
            for _ in range(50):
                assert outcome(producers[partition], topic, partition) is None
            assert time.monotonic() - begun < 5
        assert b"the disk does not finish a flush" in broker.said()
        told = unwell(broker)
        assert len(told) == 1 and told[0]["flush_stalled_since"] is not None, told
        assert f"shard {told[0]['shard']}: the disk has not finished a flush since" in cluster_info(broker)
        device.go_on()
        insist(lambda: not any(outcome(producers[partition], topic, partition) for partition in range(PARTITIONS)))
    finally:
        device.go_on()
        broker.kill()
        insist(lambda: run("umount", journal))
        device.end()


def impatient(broker):
    return Producer({"bootstrap.servers": broker.address, "message.timeout.ms": 3000, "request.timeout.ms": 2000,
                     "linger.ms": 0, "log_level": 2})


def outcome(source, topic, partition, seconds=5):
    """Sends one record; `None` if it was acknowledged."""
    errors = []
    source.produce(topic, b"one", partition=partition, on_delivery=lambda error, _: errors.append(error))
    source.flush(seconds)
    assert len(errors) == 1
    return errors[0]

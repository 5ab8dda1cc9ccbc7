"""Load by real clients, and the one checker of every crash test: what librdkafka was told is held against what is there,
record by record.

Each value tells which of all that were ever sent it is, and its other bytes follow from that. So every record that is
there can be checked whole, and one that is missing, changed, in another place or there twice has a name.
"""

import random
import struct
import threading
import time
from array import array
from bisect import bisect_right

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
HEADER = struct.Struct("<cBI")
NOISE = random.Random(0).randbytes(1 << 17)
PATIENCE_SECONDS = 120
# After every so many records: load, not a race.
PAUSE_EVERY, PAUSE_SECONDS = 32, 0.002


class Load:
    """A plain and an idempotent producer, each on a topic of its own, until told to finish."""

    def __init__(self, broker, name, segment_bytes=16 << 20, large_every=24, clock=None):
        """`clock` is asked at every acknowledgement: `History.check` can then tell what had to be there by when."""
        self.broker, self.large_every = broker, large_every
        self.stopping = threading.Event()
        config = {"segment.bytes": str(segment_bytes), "retention.ms": "-1"}
        self.histories = [History(f"{name}-plain", b"p", clock), History(f"{name}-idempotent", b"i", clock)]
        topics = [NewTopic(history.topic, PARTITIONS, 1, config=config) for history in self.histories]
        admin = AdminClient({"bootstrap.servers": broker.address})
        for future in admin.create_topics(topics).values():
            future.result(30)
        self.threads = [threading.Thread(target=self.work, args=[history], daemon=True) for history in self.histories]
        for thread in self.threads:
            thread.start()

    def work(self, history):
        source = Producer({
            "bootstrap.servers": self.broker.address, "enable.idempotence": history.tag == b"i", "acks": "all",
            "linger.ms": 1, "message.timeout.ms": PATIENCE_SECONDS * 1000, "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 200, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100,
            "error_cb": history.on_error, "log_level": 2,
        })
        try:
            while not self.stopping.is_set() and history.fatal is None:
                partition = history.total % PARTITIONS
                number = history.sent[partition]
                try:
                    source.produce(history.topic, value(history.tag, partition, number, self.large_every),
                                   partition=partition, on_delivery=history.on_delivery)
                    history.sent[partition] += 1
                    history.total += 1
                except BufferError:
                    source.poll(0.05)
                source.poll(0)
                if history.total % PAUSE_EVERY == 0:
                    time.sleep(PAUSE_SECONDS)
            history.unanswered = source.flush(PATIENCE_SECONDS + 10)
        except Exception as error:  # Told by finish, in the test's own thread.
            history.fatal = error

    @property
    def acknowledged(self):
        return sum(len(history.places) for history in self.histories)

    def wait_for(self, more, seconds=60):
        """Until so many more are acknowledged by each producer."""
        wanted = [len(history.places) + more for history in self.histories]
        deadline = time.monotonic() + seconds
        while any(len(history.places) < least for history, least in zip(self.histories, wanted)):
            assert time.monotonic() < deadline, f"{self.acknowledged} acknowledged, and no more: {self.broker.tail()}"
            time.sleep(0.01)

    def finish(self):
        """Sends no more and waits for every acknowledgement: all that was sent must get one."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        for history in self.histories:
            assert history.fatal is None, f"{history.topic}: {history.fatal}"
            assert not history.failed, f"{history.topic}: {history.failed[:3]}"
            assert history.unanswered == 0 and len(history.places) == history.total > 0

    def delete_topics(self):
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        for future in admin.delete_topics([history.topic for history in self.histories]).values():
            future.result(30)

    def abandon(self):
        """Sends no more, whatever becomes of what is on its way."""
        self.stopping.set()
        for history in self.histories:
            history.fatal = history.fatal or "abandoned"

    def check(self, broker=None, by=None):
        """Reads everything and compares it; returns how many records that were. What was acknowledged `by` then must be
        there, or all that was."""
        return sum(history.check(broker or self.broker, self.large_every, by) for history in self.histories)


class History:
    """What one producer sent, and what it was told."""

    def __init__(self, topic, tag, clock=None):
        self.topic, self.tag, self.clock = topic, tag, clock
        self.sent, self.total = [0] * PARTITIONS, 0
        # Acknowledged records: partition, number, offset, in the order in which they were.
        self.places, self.times = [], array("q")
        self.failed, self.fatal, self.unanswered = [], None, 0

    def on_delivery(self, error, message):
        _, partition, number = HEADER.unpack_from(message.value())
        if error is not None:
            self.failed.append((partition, number, str(error)))
            return
        assert message.partition() == partition
        self.places.append((partition, number, message.offset()))
        if self.clock:
            self.times.append(self.clock())

    def on_error(self, error):
        if error.fatal():
            self.fatal = error

    def check(self, broker, large_every, by=None):
        due = len(self.places) if by is None else bisect_right(self.times, by)
        found = [array("q") for _ in range(PARTITIONS)]
        for message in read_all(broker, self.topic):
            partition, offset, bytes_ = message.partition(), message.offset(), message.value()
            numbers = found[partition]
            where = f"{self.topic}-{partition} at {offset}"
            assert offset == len(numbers), f"{where}: {len(numbers)} comes next"
            tag, home, number = HEADER.unpack_from(bytes_)
            assert (tag, home) == (self.tag, partition) and number < self.sent[partition], f"{where}: never sent"
            assert bytes_ == value(tag, home, number, large_every), f"{where}: other bytes than were sent"
            numbers.append(number)
        for partition, number, offset in self.places[:due]:
            numbers = found[partition]
            assert offset < len(numbers) and numbers[offset] == number, (
                f"{self.topic}-{partition}: {number} was acknowledged at {offset}, there is "
                f"{numbers[offset] if offset < len(numbers) else 'nothing'}")
        if self.tag == b"i":
            for partition, numbers in enumerate(found):
                assert list(numbers) == list(range(len(numbers))), f"{self.topic}-{partition}: duplicated or out of order"
        return sum(map(len, found))


def value(tag, partition, number, large_every):
    """Mostly small, and now and then a run of large ones, which go another way through the broker."""
    large = number // 64 % large_every == large_every - 1
    length = number * 40503 % (60_000 if large else 300)
    begin = (number * 2654435761 + partition * 7919) % 65_536
    return HEADER.pack(tag, partition, number) + NOISE[begin:begin + length]


def read_all(broker, topic, seconds=120):
    """Every record of the topic, each partition's in the order in which they are served."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "unused", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "check.crcs": True, "log_level": 2})
    try:
        left = {}
        for partition in range(PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            assert low == 0
            left[partition] = high
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        missing, deadline = sum(left.values()), time.monotonic() + seconds
        while missing > 0:
            assert time.monotonic() < deadline, f"{topic}: {missing} records do not come: {broker.tail()}"
            for message in consumer.consume(10_000, 0.2):
                if message.error():
                    raise KafkaException(message.error())
                if message.offset() < left[message.partition()]:
                    missing -= 1
                    yield message
    finally:
        consumer.close()

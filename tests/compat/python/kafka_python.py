"""The adapter of kafka-python."""

import queue
import sys
import threading
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from wire import Absent, data, gather, serve, told

POLL_MS = 1000
ASSIGNORS = {"classic": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}


class KafkaPython:
    def __init__(self, address):
        self.address = address
        self.admin = KafkaAdminClient(bootstrap_servers=address)
        self.members = {}

    def version(self):
        return kafka.__version__

    def produce(self, topic, records, compression, idempotent):
        producer = KafkaProducer(
            bootstrap_servers=self.address, compression_type=None if compression == "none" else compression,
            enable_idempotence=idempotent, acks="all", linger_ms=5)
        try:
            sent = [producer.send(topic, data(it["value"]), data(it["key"]), [(name, data(text)) for name, text in it["headers"]],
                                  it["partition"], it["timestamp"]) for it in records]
            for each in sent:
                each.get(60)
        finally:
            producer.close(10)

    def read(self, topic, partition, offset, count):
        consumer, place = KafkaConsumer(bootstrap_servers=self.address), TopicPartition(topic, partition)
        consumer.assign([place])
        consumer.seek(place, offset)
        found = gather(count, lambda: polled(consumer, 100))
        consumer.close()
        return found

    def offset_at(self, topic, partition, timestamp):
        consumer, place = KafkaConsumer(bootstrap_servers=self.address), TopicPartition(topic, partition)
        found = consumer.offsets_for_times({place: timestamp})[place]
        consumer.close()
        return found and found.offset

    def join(self, member, topic, group, protocol, commit, instance):
        if protocol == "consumer":
            raise Absent("the library speaks the classic protocol only")
        consumer = KafkaConsumer(
            topic, bootstrap_servers=self.address, group_id=group, auto_offset_reset="earliest",
            enable_auto_commit=commit == "auto", auto_commit_interval_ms=200, session_timeout_ms=6000,
            heartbeat_interval_ms=300, group_instance_id=instance,
            partition_assignment_strategy=[ASSIGNORS[protocol]])
        self.members[member] = Member(consumer, topic)

    def poll(self, member, ms):
        return self.members[member].take(ms)

    def commit(self, member):
        self.members[member].commit()

    def leave(self, member):
        self.members.pop(member).close()

    def create_topic(self, topic, partitions, config):
        self.admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": config}})

    def list_topics(self):
        return self.admin.list_topics()

    def partitions(self, topic):
        return len(self.admin.describe_topics([topic])[0]["partitions"])

    def add_partitions(self, topic, total):
        self.admin.create_partitions({topic: total})

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])

    def describe_config(self, topic, name):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
        found = self.admin.describe_configs([resource], config_filter="all")
        return found["topic"][topic][name]["value"]

    def alter_config(self, topic, name, value):
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])

    def list_groups(self):
        return [it["group_id"] for it in self.admin.list_groups()]

    def describe_group(self, group):
        found = self.admin.describe_groups([group])[group]
        return {"state": found["group_state"].lower(), "members": len(found["members"])}

    def delete_group(self, group):
        self.admin.delete_groups([group])

    def committed(self, group, topic, partition):
        place = TopicPartition(topic, partition)
        return self.admin.list_group_offsets({group: [place]})[group][place].offset

    def alter_committed(self, group, topic, partition, offset):
        self.admin.alter_group_offsets(group, {TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)})

    def delete_records(self, topic, partition, offset):
        self.admin.delete_records({TopicPartition(topic, partition): offset})


class Member:
    """A consumer in a group, polled by a thread of its own: polls that are shorter than a rebalance begin it anew."""

    def __init__(self, consumer, topic):
        self.consumer, self.topic = consumer, topic
        self.inbox = queue.SimpleQueue()
        self.taken = {}
        self.lock = threading.Lock()
        self.is_closed = False
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.is_closed:
            with self.lock:
                if not self.is_closed:
                    for it in polled(self.consumer, POLL_MS):
                        self.inbox.put(it)
            time.sleep(0.001)

    def take(self, ms):
        found = []
        try:
            found.append(self.inbox.get(timeout=ms / 1000))
            while True:
                found.append(self.inbox.get_nowait())
        except queue.Empty:
            pass
        for it in found:
            self.taken[TopicPartition(self.topic, it["partition"])] = OffsetAndMetadata(it["offset"] + 1, "", -1)
        return found

    def commit(self):
        with self.lock:
            mine = self.consumer.assignment()
            self.consumer.commit({place: offset for place, offset in self.taken.items() if place in mine})

    def close(self):
        with self.lock:
            self.is_closed = True
            self.consumer.close()


def polled(consumer, ms):
    return [told(it.partition, it.offset, it.key, it.value, it.headers, it.timestamp)
            for records in consumer.poll(timeout_ms=ms).values() for it in records]


serve(KafkaPython(sys.argv[1]))

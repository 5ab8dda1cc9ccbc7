"""The adapter of confluent-kafka, which is librdkafka; tests/compat/librdkafka asks it for more."""

import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   ResourceType)
from wire import data, gather, serve, told

SECONDS = 20


class Confluent:
    def __init__(self, address):
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address})
        self.members = {}

    def version(self):
        return confluent_kafka.__version__

    def produce(self, topic, records, compression, idempotent):
        failures, now = [], int(time.time() * 1000)

        def acknowledged(sent):
            def check(error, message):
                if error:
                    failures.append(KafkaException(error))
                elif message.timestamp()[1] != sent:
                    failures.append(AssertionError(f"sent with {sent}, acknowledged with {message.timestamp()}"))
            return check

        producer = Producer({"bootstrap.servers": self.address, "compression.type": compression, "batch.size": 16384,
                             "enable.idempotence": idempotent})
        for it in records:
            headers = [(name, data(text)) for name, text in it["headers"]]
            sent = it["timestamp"] or now
            producer.produce(topic, data(it["value"]), data(it["key"]), it["partition"], timestamp=sent,
                             headers=headers, on_delivery=acknowledged(sent))
        if producer.flush(60):
            raise TimeoutError("records are not acknowledged")
        if failures:
            raise failures[0]

    def outsider(self):
        return Consumer({"bootstrap.servers": self.address, "group.id": "unused", "enable.auto.commit": False})

    def read(self, topic, partition, offset, count):
        consumer = self.outsider()
        consumer.assign([TopicPartition(topic, partition, offset)])
        found = gather(count, lambda: consumed(consumer, 100))
        consumer.close()
        return found

    def offset_at(self, topic, partition, timestamp):
        consumer = self.outsider()
        offset = consumer.offsets_for_times([TopicPartition(topic, partition, timestamp)], SECONDS)[0].offset
        consumer.close()
        return None if offset < 0 else offset

    def join(self, member, topic, group, protocol, commit, instance):
        config = {"bootstrap.servers": self.address, "group.id": group, "auto.offset.reset": "earliest",
                  "enable.auto.commit": commit == "auto", "auto.commit.interval.ms": 200}
        if instance:
            config["group.instance.id"] = instance
        if protocol == "consumer":
            config["group.protocol"] = "consumer"
        else:
            assignor = "cooperative-sticky" if protocol == "cooperative" else "range"
            config.update({"session.timeout.ms": 6000, "heartbeat.interval.ms": 300,
                           "partition.assignment.strategy": assignor})
        self.members[member] = Consumer(config)
        self.members[member].subscribe([topic])

    def poll(self, member, ms):
        return consumed(self.members[member], ms)

    def commit(self, member):
        self.members[member].commit(asynchronous=False)

    def leave(self, member):
        self.members.pop(member).close()

    def create_topic(self, topic, partitions, config):
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(SECONDS)

    def list_topics(self):
        return list(self.admin.list_topics(timeout=SECONDS).topics)

    def partitions(self, topic):
        return len(self.admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions)

    def add_partitions(self, topic, total):
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(SECONDS)

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])[topic].result(SECONDS)

    def describe_config(self, topic, name):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return self.admin.describe_configs([resource])[resource].result(SECONDS)[name].value

    def alter_config(self, topic, name, value):
        change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
        self.admin.incremental_alter_configs([resource])[resource].result(SECONDS)

    def list_groups(self):
        return [it.group_id for it in self.admin.list_consumer_groups().result(SECONDS).valid]

    def describe_group(self, group):
        found = self.admin.describe_consumer_groups([group])[group].result(SECONDS)
        return {"state": found.state.name.lower(), "members": len(found.members)}

    def delete_group(self, group):
        self.admin.delete_consumer_groups([group])[group].result(SECONDS)

    def committed(self, group, topic, partition):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
        found = self.admin.list_consumer_group_offsets([asked])[group].result(SECONDS)
        return found.topic_partitions[0].offset

    def alter_committed(self, group, topic, partition, offset):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset)])
        self.admin.alter_consumer_group_offsets([asked])[group].result(SECONDS)

    def delete_records(self, topic, partition, offset):
        place = TopicPartition(topic, partition, offset)
        self.admin.delete_records([place])[place].result(SECONDS)


def consumed(consumer, ms):
    """What is there after the first message, or nothing after that time."""
    first = consumer.poll(ms / 1000)
    messages = [first, *consumer.consume(500, 0.001)] if first is not None else []
    for it in messages:
        if it.error():
            raise KafkaException(it.error())
    return [told(it.partition(), it.offset(), it.key(), it.value(), it.headers(), it.timestamp()[1]) for it in messages]


serve(Confluent(sys.argv[1]))

"""Administration as librdkafka's AdminClient asks for it."""

import uuid

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
                                   ResourceType)
from broker import make_topic
from test_produce_consume import producer, read_all, send_all


def config_of(admin, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return admin.describe_configs([resource])[resource].result(15)


def failure(future):
    with pytest.raises(KafkaException) as raised:
        future.result(15)
    return raised.value.args[0].code()


def test_a_topic_is_created_described_and_deleted(admin):
    topic = make_topic(admin, partitions=4)
    described = admin.list_topics(topic, timeout=15).topics[topic]
    assert sorted(described.partitions) == [0, 1, 2, 3]
    assert {partition.leader for partition in described.partitions.values()} == {1}
    found = admin.describe_topics(TopicCollection([topic]))[topic].result(15)
    assert str(found.topic_id) and len(found.partitions) == 4
    admin.delete_topics([topic])[topic].result(15)
    assert topic not in admin.list_topics(timeout=15).topics


def test_what_cannot_be_created_is_refused_by_kafkas_codes(admin):
    def code(name, partitions=1, replicas=1, **config):
        return failure(admin.create_topics([NewTopic(name, partitions, replicas, config=config)])[name])

    existing = make_topic(admin)
    assert code(existing) == KafkaError.TOPIC_ALREADY_EXISTS
    assert code("bad name!") == KafkaError.TOPIC_EXCEPTION
    assert code("replicated", replicas=3) == KafkaError.INVALID_REPLICATION_FACTOR
    assert code("odd", **{"no.such.config": "1"}) == KafkaError.INVALID_CONFIG
    assert code("odd", **{"retention.ms": "soon"}) == KafkaError.INVALID_CONFIG
    assert failure(admin.delete_topics(["never-there"])["never-there"]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_validating_creates_nothing(admin):
    name = f"v-{uuid.uuid4().hex[:8]}"
    admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)[name].result(15)
    assert name not in admin.list_topics(timeout=15).topics


def test_partitions_are_added(broker, admin):
    topic = make_topic(admin, partitions=2)
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(15)
    assert len(admin.list_topics(topic, timeout=15).topics[topic].partitions) == 5
    send_all(producer(broker), topic, [(4, None, b"v")])
    assert read_all(broker, topic, 4, 1)[0].value() == b"v"
    assert failure(admin.create_partitions([NewPartitions(topic, 3)])[topic]) == KafkaError.INVALID_PARTITIONS


def test_configs_are_described_altered_and_reset(admin):
    topic = make_topic(admin, retention_ms=3_600_000)
    configs = config_of(admin, topic)
    assert configs["retention.ms"].value == "3600000" and not configs["retention.ms"].is_default
    assert configs["segment.bytes"].value == "1073741824" and configs["segment.bytes"].is_default
    assert configs["flush.messages"].value == "1" and configs["flush.messages"].is_default
    for name in ("cleanup.policy", "compression.type", "max.message.bytes", "flush.messages", "min.insync.replicas"):
        assert name in configs

    def change(name, value, operation):
        entry = ConfigEntry(name, value, incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        return admin.incremental_alter_configs([resource])[resource]

    change("retention.bytes", "123456", AlterConfigOpType.SET).result(15)
    assert config_of(admin, topic)["retention.bytes"].value == "123456"
    change("retention.ms", None, AlterConfigOpType.DELETE).result(15)
    assert config_of(admin, topic)["retention.ms"].is_default
    assert failure(change("retention.bytes", "many", AlterConfigOpType.SET)) == KafkaError.INVALID_CONFIG


def test_broker_configs_are_described(admin):
    resource = ConfigResource(ResourceType.BROKER, "1")
    configs = admin.describe_configs([resource])[resource].result(15)
    assert "num.partitions" in configs and "socket.request.max.bytes" in configs
    durable = configs["log.flush.interval.messages"]
    assert durable.value == "1" and durable.is_default and not durable.is_read_only
    # Ours alone, what Kafka could alter while it runs, and what stands under another name.
    assert configs["max.topics"].is_read_only and configs["ssl.protocol"].is_read_only
    assert configs["log.dir"].value == configs["log.dirs"].value
    assert {it for it in configs["log.dir"].synonyms} >= {"log.dir"}


def test_records_are_deleted_up_to_an_offset(broker, admin, topic):
    send_all(producer(broker), topic, [(0, None, b"%d" % n) for n in range(100)])
    partition = TopicPartition(topic, 0, 40)
    assert admin.delete_records([partition])[partition].result(15).low_watermark == 40
    assert [message.offset() for message in read_all(broker, topic, 0, 60)] == list(range(40, 100))


def test_offsets_are_listed(broker, admin, topic):
    send_all(producer(broker), topic, [(0, None, b"%d" % n) for n in range(10)])

    def listed(spec):
        partition = TopicPartition(topic, 0)
        return admin.list_offsets({partition: spec})[partition].result(15).offset

    assert listed(OffsetSpec.earliest()) == 0
    assert listed(OffsetSpec.latest()) == 10
    assert listed(OffsetSpec.max_timestamp()) in range(10)


def test_the_cluster_is_described(admin, broker):
    cluster = admin.describe_cluster().result(15)
    assert cluster.cluster_id
    assert [(node.id, node.port) for node in cluster.nodes] == [(1, broker.port)]
    assert cluster.controller.id == 1


def test_a_topic_made_anew_is_empty_and_has_another_id(broker, admin):
    topic = make_topic(admin)
    send_all(producer(broker), topic, [(0, None, b"old")])
    first = str(admin.describe_topics(TopicCollection([topic]))[topic].result(15).topic_id)
    admin.delete_topics([topic])[topic].result(15)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(15)
    second = str(admin.describe_topics(TopicCollection([topic]))[topic].result(15).topic_id)
    assert first != second
    send_all(producer(broker), topic, [(0, None, b"new")])
    assert [message.value() for message in read_all(broker, topic, 0, 1)] == [b"new"]

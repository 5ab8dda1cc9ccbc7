"""Kafka's console tools, from its own jars, as their users type them."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager

import pytest
from broker import Broker
from confluent_kafka import Producer

CLASS_PATH = os.environ["KAFKA_CLASS_PATH"]
IS_3 = "kafka-tools-3." in CLASS_PATH
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", CLASS_PATH]
TOOLS = "org.apache.kafka.tools."
GROUPS = TOOLS + "consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"
CLUSTER = TOOLS + "ClusterTool"
CONSOLE_CONSUMER = TOOLS + "consumer.ConsoleConsumer"
# What was written anew for 4.
CONSOLE_PRODUCER = ("kafka.tools." if IS_3 else TOOLS) + "ConsoleProducer"
API_VERSIONS = ("kafka.admin." if IS_3 else TOOLS) + "BrokerApiVersionsCommand"
ACLS = ("kafka.admin." if IS_3 else TOOLS) + "AclCommand"
since_4 = pytest.mark.skipif(IS_3, reason="the tools of 3.9 have none")
SETTLE_SECONDS = 60


@pytest.fixture(scope="module")
def broker():
    with tempfile.TemporaryDirectory(prefix="compat-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as folder:
        running = Broker(folder, "--cores", "1", "--set", "group.initial.rebalance.delay.ms=200").start()
        yield running
        running.end()


@pytest.fixture
def topic():
    return f"t-{uuid.uuid4().hex[:12]}"


def tool(name, broker, *arguments, given="", option="--bootstrap-server", code=0):
    """What the tool says; it must end with this code."""
    return run(name, option, broker.address, *arguments, given=given, code=code)


def run(name, *arguments, given="", code=0):
    done = subprocess.run([*JAVA, name, *arguments], input=given, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def topics(broker, *arguments):
    return tool(TOOLS + "TopicCommand", broker, *arguments)


def make(broker, topic, partitions=1):
    topics(broker, "--create", "--topic", topic, "--partitions", str(partitions))


def send(broker, topic, lines):
    tool(CONSOLE_PRODUCER, broker, "--topic", topic, given="".join(f"{line}\n" for line in lines))


def producer_performance(broker, topic, records, size, *arguments, client="", code=0):
    """As fast as it can, unless an argument says otherwise; its client has this id."""
    own = [f"client.id={client}"] if client else []
    if IS_3:
        where = ["--producer-props", f"bootstrap.servers={broker.address}", *own]
    else:
        where = ["--bootstrap-server", broker.address, *(it for pair in own for it in ("--command-property", pair))]
    if "--throughput" not in arguments:
        arguments = ("--throughput", "-1", *arguments)
    return run(TOOLS + "ProducerPerformance", *where, "--topic", topic, "--num-records", str(records), "--record-size",
               str(size), *arguments, code=code)


def consumer_performance(broker, topic, messages, *arguments, client=""):
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as file:
        file.write(f"client.id={client}\n" if client else "")
        file.flush()
        config = "--consumer.config" if IS_3 else "--command-config"
        return tool(TOOLS + "ConsumerPerformance", broker, "--topic", topic, "--messages", str(messages), "--timeout",
                    "20000", config, file.name, *arguments)


def described(broker, group, topic):
    """Of the group's row for the topic: partition, committed offset, end, lag."""
    lines = tool(GROUPS, broker, "--describe", "--group", group).splitlines()
    return next(line.split()[2:6] for line in lines if topic in line)


def test_topics(broker, topic):
    make(broker, topic, 3)
    assert topic in topics(broker, "--list").split()
    assert "PartitionCount: 3" in topics(broker, "--describe", "--topic", topic)
    topics(broker, "--alter", "--topic", topic, "--partitions", "4")
    assert "PartitionCount: 4" in topics(broker, "--describe", "--topic", topic)
    topics(broker, "--delete", "--topic", topic)
    assert topic not in topics(broker, "--list").split()


def test_configs(broker, topic):
    make(broker, topic)
    place = ("--entity-type", "topics", "--entity-name", topic)
    tool(CONFIGS, broker, "--alter", *place, "--add-config", "retention.ms=3600000")
    assert "retention.ms=3600000" in tool(CONFIGS, broker, "--describe", *place)


def test_configs_of_brokers(broker):
    def alter(*arguments):
        tool(CONFIGS, broker, "--alter", "--entity-type", "brokers", *arguments)

    def described(*arguments):
        return tool(CONFIGS, broker, "--describe", "--entity-type", "brokers", *arguments)

    alter("--entity-default", "--add-config", "log.retention.ms=3600000")
    alter("--entity-name", "1", "--add-config", "log.retention.ms=7200000")
    assert "log.retention.ms=3600000" in described("--entity-default")
    of_one = described("--entity-name", "1")
    assert "log.retention.ms=7200000" in of_one and "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=3600000" in of_one
    alter("--entity-name", "1", "--delete-config", "log.retention.ms")
    alter("--entity-default", "--delete-config", "log.retention.ms")
    assert "log.retention.ms" not in described("--entity-default")
    everything = described("--entity-name", "1", "--all")
    assert "log.flush.interval.messages=1 sensitive=false synonyms={DEFAULT_CONFIG:" in everything
    assert "  max.topics=" in everything and "  log.dir=" in everything
    # What is decided at the start alone is refused, with the reason.
    tls = ("--entity-name", "1", "--add-config", "ssl.protocol=TLSv1.2")
    refused = tool(CONFIGS, broker, "--alter", "--entity-type", "brokers", *tls, code=1)
    assert "Cannot update these configs dynamically: [ssl.protocol]" in refused


def test_configs_of_users_and_addresses(broker, topic):
    """The quotas of each as they were set, and none once they are gone."""
    user, client, other = f"u-{topic}", f"c-{topic}", ("--entity-type", "clients", "--entity-name")
    addresses, users = ("--entity-type", "ips"), ("--entity-type", "users")
    for place, quota, told in (
        ((*users, "--entity-name", user, *other, client), "consumer_byte_rate=6000.0", f"client-id '{client}'"),
        ((*users, "--entity-default"), "request_percentage=5000.0", "the default user-principal"),
        ((*addresses, "--entity-name", "10.1.2.3"), "connection_creation_rate=70.0", "ip '10.1.2.3'"),
    ):
        tool(CONFIGS, broker, "--alter", *place, "--add-config", quota)
        said = tool(CONFIGS, broker, "--describe", *place)
        assert told in said and quota in said, said
        tool(CONFIGS, broker, "--alter", *place, "--delete-config", quota.split("=")[0])
        assert quota not in tool(CONFIGS, broker, "--describe", *place)


def test_configs_of_loggers(broker):
    place = ("--entity-type", "broker-loggers", "--entity-name", "1")
    tool(CONFIGS, broker, "--alter", *place, "--add-config", "millstream.cli=DEBUG")
    assert "millstream.cli=DEBUG " in tool(CONFIGS, broker, "--describe", *place)
    tool(CONFIGS, broker, "--alter", *place, "--delete-config", "millstream.cli")
    assert "millstream.cli=INFO " in tool(CONFIGS, broker, "--describe", *place)
    unknown = tool(CONFIGS, broker, "--alter", *place, "--add-config", "none=DEBUG", code=1)
    assert "Invalid broker logger(s): none" in unknown


def test_configs_of_groups(broker, topic):
    group, entity = f"g-{topic}", ("--entity-type", "groups")

    def alter(*arguments, code=0):
        return tool(CONFIGS, broker, "--alter", *entity, "--entity-name", group, *arguments, code=code)

    def described(*arguments):
        return tool(CONFIGS, broker, "--describe", *entity, *arguments)

    alter("--add-config", "consumer.session.timeout.ms=50000,share.auto.offset.reset=earliest")
    of_one = described("--entity-name", group)
    assert "consumer.session.timeout.ms=50000" in of_one and "share.auto.offset.reset=earliest" in of_one
    assert "DEFAULT_CONFIG:group.consumer.session.timeout.ms=45000" in of_one
    assert group in described()
    refused = alter("--add-config", "consumer.session.timeout.ms=1000", code=1)
    assert "group.consumer.min.session.timeout.ms" in refused
    alter("--delete-config", "consumer.session.timeout.ms,share.auto.offset.reset")
    assert group not in described()


def test_client_metrics(broker, topic):
    command = TOOLS + "ClientMetricsCommand"
    subscription = ("--name", topic, "--metrics", "org.apache.kafka.", "--interval", "200", "--match",
                    f"client_id={topic}-.*")
    tool(command, broker, "--alter", *subscription)
    assert topic in tool(command, broker, "--list").split()
    described = tool(command, broker, "--describe", "--name", topic)
    assert "interval.ms=200" in described and "metrics=org.apache.kafka." in described
    make(broker, topic)
    # For two seconds, so that several pushes fall into them; a Java client pushes unless it is told not to.
    producer_performance(broker, topic, 100, 10, "--throughput", "50", client=f"{topic}-writer")
    told = broker.client_metrics(f"{topic}-writer")["apache-kafka-java"]
    # What the last records did may come after the push with which the client ends.
    assert 0 < told["org.apache.kafka.producer.record.send.total"][0]["value"] <= 100
    tool(command, broker, "--delete", "--name", topic)
    assert topic not in tool(command, broker, "--list").split()


def test_quotas(broker, topic):
    """Who sends or reads too much is told to wait, waits, and gets everything all the same."""
    make(broker, topic)
    alter = ("--alter", "--entity-type", "clients", "--entity-name", "limited")
    quotas = "producer_byte_rate=200000,consumer_byte_rate=200000,request_percentage=200"
    tool(CONFIGS, broker, *alter, "--add-config", quotas)
    # Of 2.6 MB 2 MB may go at once.
    sent = producer_performance(broker, topic, 2600, 1000, "--print-metrics", client="limited")
    read = consumer_performance(broker, topic, 2600, "--print-metrics", client="limited")
    assert metric(sent, "produce-throttle-time-max") > 500
    assert ", 2600, " in read and metric(read, "fetch-throttle-time-max") > 500


def metric(said, name):
    """The largest of the values that a client's metrics have under the name."""
    lines = [line for line in said.splitlines() if f":{name}:" in line]
    return max(float(line.rsplit(":", 1)[1]) for line in lines)


def test_console_producer_consumer_and_groups(broker, topic):
    make(broker, topic)
    group = f"g-{topic}"
    send(broker, topic, ["one", "two", "three"])
    read = tool(CONSOLE_CONSUMER, broker, "--topic", topic, "--from-beginning", "--max-messages", "3",
                "--group", group, "--timeout-ms", "20000")
    assert read.split() == ["one", "two", "three"]
    assert group in tool(GROUPS, broker, "--list").split()
    assert described(broker, group, topic) == ["0", "3", "3", "0"]
    tool(GROUPS, broker, "--reset-offsets", "--to-earliest", "--execute", "--group", group, "--topic", topic)
    assert described(broker, group, topic) == ["0", "0", "3", "3"]
    tool(GROUPS, broker, "--delete", "--group", group)
    assert group not in tool(GROUPS, broker, "--list").split()


@contextmanager
def members(broker, topic, group, protocol, count):
    """Console consumers that read until the end of the block, and leave then."""
    setting = "--consumer-property" if IS_3 else "--command-property"
    command = [*JAVA, CONSOLE_CONSUMER, "--bootstrap-server", broker.address, "--topic", topic, "--group", group,
               "--from-beginning", setting, f"group.protocol={protocol}"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
        for it in running:
            it.send_signal(signal.SIGTERM)
        for it in running:
            it.wait(timeout=SETTLE_SECONDS)
    finally:
        for it in running:
            it.kill()


def describes(broker, group, words, *expected):
    """Waits until this is how the tool describes the group."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        said = tool(GROUPS, broker, "--describe", "--group", group, *words)
        if all(re.search(it, said) for it in expected):
            return said
        assert time.monotonic() < deadline, said


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_with_live_members(broker, topic, protocol):
    make(broker, topic, 2)
    group = f"g-{topic}"
    with members(broker, topic, group, protocol, 2):
        each = f"{group} .*/127.0.0.1 +console-consumer +1"
        describes(broker, group, ["--members"], f"{each}(.*\n)*{each}")
        places = (r"\(0\)", r"\(1\)") if IS_3 else (f"{topic}:0", f"{topic}:1")
        describes(broker, group, ["--members", "--verbose"], *places)
        strategy = "range" if protocol == "classic" else "uniform"
        describes(broker, group, ["--state"], rf"{group} +{broker.address} +\(1\) +{strategy} +Stable.* 2 *\n")
        send(broker, topic, ["one", "two", "three"])
        # The rows have the offset that was committed, the end, the lag, and who reads. What a member of a group of
        # consumers commits while it leaves may come too late: another one left before, and the epoch has risen.
        describes(broker, group, [], rf"{topic} +0 .*console-consumer", rf"{topic} +1 .*console-consumer",
                  rf"{topic} +[01] +[1-3] +[1-3] +0 .*console-consumer")
        assert re.search(f"{group} +Stable", tool(GROUPS, broker, "--list", "--state"))
        in_use = tool(GROUPS, broker, "--delete-offsets", "--group", group, "--topic", topic)
        assert "GroupSubscribedToTopicException" in in_use
        reset = ("--reset-offsets", "--to-earliest", "--execute", "--group", group, "--topic", topic)
        assert "is inactive, but the current state is Stable" in tool(GROUPS, broker, *reset)
        assert "GroupNotEmptyException" in tool(GROUPS, broker, "--delete", "--group", group)
    describes(broker, group, ["--state"], f"{group} .*Empty")
    lags = [line.split()[5] for line in tool(GROUPS, broker, "--describe", "--group", group).splitlines()
            if topic in line and " - " in line]
    assert set(lags) <= {"0", "-"} and "0" in lags


def test_offsets_by_duration_and_none_at_all(broker, topic):
    make(broker, topic)
    group, now = f"g-{topic}", int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": broker.address})
    for hours in (3, 2, 0):
        producer.produce(topic, f"{hours} hours old", timestamp=now - hours * 3_600_000)
    assert producer.flush(20) == 0

    def reset(duration, what):
        tool(GROUPS, broker, "--reset-offsets", "--by-duration", duration, what, "--group", group, "--topic", topic)

    reset("PT1H", "--execute")
    assert described(broker, group, topic) == ["0", "2", "3", "1"]
    reset("PT2H30M", "--dry-run")
    assert described(broker, group, topic) == ["0", "2", "3", "1"]
    reset("PT2H30M", "--execute")
    assert described(broker, group, topic) == ["0", "1", "3", "2"]
    assert "Successful" in tool(GROUPS, broker, "--delete-offsets", "--group", group, "--topic", topic)
    assert topic not in tool(GROUPS, broker, "--describe", "--group", group).split()


@since_4
def test_groups_of_all_types(broker, topic):
    make(broker, topic)
    group = f"g-{topic}"
    tool(GROUPS, broker, "--reset-offsets", "--to-latest", "--execute", "--group", group, "--topic", topic)
    assert re.search(f"{group} +Classic", tool(TOOLS + "GroupsCommand", broker, "--list"))


def test_offsets_and_deleted_records(broker, topic):
    # All three get the same time, which is the latest.
    topics(broker, "--create", "--topic", topic, "--config", "message.timestamp.type=LogAppendTime")
    send(broker, topic, ["one", "two", "three"])
    assert f"{topic}:0:3" in tool(TOOLS + "GetOffsetShell", broker, "--topic", topic)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write('{"version": 1, "partitions": [{"topic": "%s", "partition": 0, "offset": 2}]}' % topic)
        file.flush()
        assert "low_watermark: 2" in tool(TOOLS + "DeleteRecordsCommand", broker, "--offset-json-file", file.name)
    assert f"{topic}:0:2" in tool(TOOLS + "GetOffsetShell", broker, "--topic", topic, "--time", "earliest")
    # Of those with the latest time one that is still there, which Kafka does not say.
    assert f"{topic}:0:2" in tool(TOOLS + "GetOffsetShell", broker, "--topic", topic, "--time", "max-timestamp")
    read = tool(CONSOLE_CONSUMER, broker, "--topic", topic, "--partition", "0", "--offset", "2",
                "--max-messages", "1", "--timeout-ms", "20000")
    assert read.split() == ["three"]


def test_log_dirs(broker, topic):
    make(broker, topic)
    assert f'"{topic}-0"' in tool(TOOLS + "LogDirsCommand", broker, "--describe", "--topic-list", topic)


def test_transactions(broker):
    listed = tool(TOOLS + "TransactionsCommand", broker, "list").splitlines()
    assert [line.split()[0] for line in listed] == ["TransactionalId"]
    unknown = tool(TOOLS + "TransactionsCommand", broker, "describe", "--transactional-id", "none", code=1)
    assert "because the ID could not be found" in unknown
    # A Java client that wants to begin one is told at once.
    refused = producer_performance(broker, "none", 1, 1, "--transactional-id", "none", "--transaction-duration-ms",
                                   "100", code=1)
    assert "TransactionalIdAuthorizationException" in refused


def test_leaders_and_reassignments(broker, topic):
    make(broker, topic)
    elected = tool(TOOLS + "LeaderElectionCommand", broker, "--election-type", "preferred", "--topic", topic,
                   "--partition", "0")
    assert f"Valid replica already elected for partitions {topic}-0" in elected
    under_way = tool(TOOLS + "reassign.ReassignPartitionsCommand", broker, "--list")
    assert "No partition reassignments found." in under_way


def test_metadata_quorum(broker):
    status = tool(TOOLS + "MetadataQuorumCommand", broker, "describe", "--status")
    assert re.search(r"LeaderId:\s+1\n", status) and re.search(r"MaxFollowerLag:\s+0\n", status), status
    replication = tool(TOOLS + "MetadataQuorumCommand", broker, "describe", "--replication").splitlines()
    assert [line.split()[0] for line in replication] == ["NodeId", "1"] and replication[1].split()[-1] == "Leader"


def test_api_versions(broker):
    said = tool(API_VERSIONS, broker)
    assert re.search(r"Produce\(0\): 0 to \d+ \[usable: \d+\]", said), said
    unheard_of = [] if IS_3 else ["ShareFetch(78)", "StreamsGroupHeartbeat(88)"]
    for absent in ("AddPartitionsToTxn(24)", "SaslHandshake(17)", "AlterReplicaLogDirs(34)", "UnregisterBroker(64)",
                   *unheard_of):
        assert f"{absent}: UNSUPPORTED" in said


def test_features(broker):
    described = tool(TOOLS + "FeatureCommand", broker, "describe")
    assert [line.split()[1] for line in described.splitlines() if "Feature:" in line] == ["group.version"]
    tool(TOOLS + "FeatureCommand", broker, "upgrade", "--feature", "group.version=1")
    for how in ([], ["--unsafe"]):
        refused = tool(TOOLS + "FeatureCommand", broker, "downgrade", "--feature", "group.version=0", *how, code=1)
        assert "`group.version` is always at level 1" in refused
    unknown = tool(TOOLS + "FeatureCommand", broker, "upgrade", "--feature", "none=1", code=1)
    assert "no feature `none`" in unknown


@since_4
def test_a_subscription_by_expression_of_java(broker, topic):
    """The broker finds what a Java consumer's RE2 expression matches, also what comes later."""
    make(broker, topic)
    send(broker, topic, ["one"])
    command = ["java", "-cp", CLASS_PATH, os.path.join(os.path.dirname(__file__), "Matching.java")]
    with subprocess.Popen([*command, broker.address, f"{topic}(-later)?"], stdout=subprocess.PIPE, text=True) as reader:
        patience = threading.Timer(60, reader.kill)
        patience.start()
        try:
            assert reader.stdout.readline() == "one\n"
            make(broker, f"{topic}-later", 2)
            send(broker, f"{topic}-later", ["two"])
            assert reader.stdout.readline() == "two\n"
        finally:
            patience.cancel()
            reader.kill()


def test_the_cluster(broker):
    assert re.search(r"Cluster ID: \S{22}\n", run(CLUSTER, "cluster-id", "--bootstrap-server", broker.address))


@since_4
def test_the_addresses_of_the_cluster(broker):
    listed = run(CLUSTER, "list-endpoints", "--bootstrap-server", broker.address)
    assert re.search(rf"1 +127.0.0.1 +{broker.port} .* broker", listed), listed


def test_access_control_lists(broker):
    assert "The node does not support DESCRIBE_ACLS" in tool(ACLS, broker, "--list", code=1)


def test_verifiable_producer_and_consumer(broker, topic):
    make(broker, topic)
    sent = tool(TOOLS + "VerifiableProducer", broker, "--topic", topic, "--max-messages", "50")
    assert sent.count("producer_send_success") == 50
    read = tool(TOOLS + "VerifiableConsumer", broker, "--topic", topic, "--group-id", topic, "--max-messages", "50",
                "--reset-policy", "earliest")
    assert "shutdown_complete" in read and '"count":50' in read


def test_perf_tools(broker, topic):
    make(broker, topic)
    assert "2000 records sent" in producer_performance(broker, topic, 2000, 100)
    assert ", 2000, " in consumer_performance(broker, topic, 2000)
    latency = TOOLS + "EndToEndLatency"
    if IS_3:
        measured = run(latency, broker.address, topic, "100", "all", "50")
    else:
        measured = tool(latency, broker, "--topic", topic, "--num-records", "100", "--producer-acks", "all",
                        "--record-size", "50")
    assert re.search(r"Avg latency: [0-9.]+ ms", measured), measured

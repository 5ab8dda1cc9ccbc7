import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeConsumerGroupsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What a user interface asks when it is started, at each of its refreshes and as its pages are opened, in this order.
 * Every call must answer with what there is to show of the traffic that was made, or refuse as such a program expects.
 */
public final class Ui {
    private static final String TOPIC = "orders";
    private static final String OFFSETS = "__consumer_offsets";
    private static final int PARTITIONS = 3;
    private static final int RECORDS = 30;
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final ClientQuotaAlteration QUOTA = new ClientQuotaAlteration(
            new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, "alice")),
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e9)));

    private final Admin admin;
    private final String address;
    // What one call says that later ones ask with.
    private String node;
    private Collection<String> topics;
    private List<TopicPartition> partitions;
    private List<String> groups;
    private int failed;

    interface Call {
        Object answer() throws Exception;
    }

    private Ui(Admin admin, String address) {
        this.admin = admin;
        this.address = address;
    }

    public static void main(String[] arguments) throws Exception {
        String address = arguments[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address));
                KafkaProducer<String, String> producer = producer(address);
                KafkaConsumer<String, String> classic = member(address, "classic");
                KafkaConsumer<String, String> consumer = member(address, "consumer")) {
            makeTraffic(admin, producer, List.of(classic, consumer));
            Ui ui = new Ui(admin, address);
            ui.begin();
            ui.refresh();
            ui.refresh();
            ui.openPages();
            System.exit(ui.failed == 0 ? 0 : 1);
        }
    }

    private void begin() {
        call("describeCluster with authorized operations", this::cluster);
        call("describeFeatures", this::features);
        call("describeConfigs of the broker", this::brokerConfigs);
        call("describeAcls", this::accessControlLists);
        call("describeClientQuotas", this::quotas);
    }

    private void refresh() {
        call("describeCluster", this::cluster);
        call("describeMetadataQuorum", this::quorum);
        call("describeLogDirs", this::directories);
        call("listTopics, internal ones too", this::listTopics);
        call("describeTopics", this::describeTopics);
        call("describeConfigs of all topics at once", this::topicConfigs);
        call("listOffsets earliest", () -> offsets(OffsetSpec.earliest(), 0));
        call("listOffsets latest", () -> offsets(OffsetSpec.latest(), RECORDS));
        call("listConsumerGroups", this::listGroups);
        call("describeConsumerGroups of both protocols", this::describeGroups);
        call("listConsumerGroupOffsets of all groups at once", this::committed);
    }

    private void openPages() {
        call("describeProducers", this::producers);
        call("listOffsets of a time", () -> offsets(OffsetSpec.forTimestamp(0), 0));
        call("listPartitionReassignments", this::reassignments);
        call("messages of a topic", this::messages);
    }

    private void call(String name, Call call) {
        try {
            System.out.println(name + ": " + call.answer());
        } catch (ExecutionException refused) {
            failed++;
            System.out.println(name + " FAILED: " + refused.getCause());
        } catch (Exception | AssertionError wrong) {
            failed++;
            System.out.println(name + " FAILED: " + wrong);
        }
    }

    private Object cluster() throws Exception {
        var found = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        node = found.controller().get().idString();
        check(found.nodes().get().size() == 1, found.nodes().get());
        check(found.nodes().get().iterator().next().idString().equals(node), node);
        check(found.clusterId().get().length() == 22, found.clusterId().get());
        Set<AclOperation> operations = found.authorizedOperations().get();
        check(operations.containsAll(Set.of(AclOperation.CREATE, AclOperation.ALTER_CONFIGS)), operations);
        return operations;
    }

    private Object features() throws Exception {
        var found = admin.describeFeatures().featureMetadata().get();
        check(found.finalizedFeatures().get("group.version").maxVersionLevel() == 1, found);
        return found;
    }

    private Object brokerConfigs() throws Exception {
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node);
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        Config found = admin.describeConfigs(List.of(broker), options).all().get().get(broker);
        check(found.get("delete.topic.enable").value().equals("true"), found.get("delete.topic.enable"));
        check(!found.get("log.dirs").documentation().isEmpty(), found.get("log.dirs"));
        check(!found.get("log.retention.hours").synonyms().isEmpty(), found.get("log.retention.hours"));
        return found.entries().size();
    }

    /** At either refusal a user interface shows no page of theirs. */
    private Object accessControlLists() throws Exception {
        try {
            throw new AssertionError("there are lists: " + admin.describeAcls(AclBindingFilter.ANY).values().get());
        } catch (ExecutionException refused) {
            Throwable cause = refused.getCause();
            check(cause instanceof SecurityDisabledException || cause instanceof UnsupportedVersionException, cause);
            return cause;
        }
    }

    private Object quotas() throws Exception {
        var found = admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get();
        check(found.equals(Map.of(QUOTA.entity(), Map.of("producer_byte_rate", 1e9))), found);
        return found;
    }

    private Object quorum() throws Exception {
        var found = admin.describeMetadataQuorum().quorumInfo().get();
        check(Integer.toString(found.leaderId()).equals(node) && found.voters().size() == 1, found);
        return found;
    }

    private Object directories() throws Exception {
        int id = Integer.parseInt(node);
        var found = admin.describeLogDirs(List.of(id)).allDescriptions().get().get(id);
        var replicas = new HashMap<TopicPartition, Long>();
        found.values().forEach(it -> it.replicaInfos().forEach((place, told) -> replicas.put(place, told.size())));
        var directory = found.values().iterator().next();
        check(found.size() == 1 && directory.error() == null && directory.totalBytes().getAsLong() > 0, found);
        check(places(TOPIC).stream().mapToLong(replicas::get).sum() > RECORDS, replicas);
        return found.keySet();
    }

    private Object listTopics() throws Exception {
        var found = admin.listTopics(new ListTopicsOptions().listInternal(true)).namesToListings().get();
        check(found.keySet().equals(Set.of(TOPIC, OFFSETS)), found);
        check(found.get(OFFSETS).isInternal() && !found.get(TOPIC).isInternal(), found);
        topics = found.keySet();
        return topics;
    }

    private Object describeTopics() throws Exception {
        var options = new DescribeTopicsOptions().includeAuthorizedOperations(true);
        Map<String, TopicDescription> found = admin.describeTopics(topics, options).allTopicNames().get();
        partitions = new ArrayList<>();
        for (TopicDescription topic : found.values()) {
            for (var it : topic.partitions()) {
                check(it.leader().idString().equals(node) && it.isr().size() == 1, topic);
                partitions.add(new TopicPartition(topic.name(), it.partition()));
            }
            check(topic.authorizedOperations().contains(AclOperation.DELETE), topic.authorizedOperations());
        }
        check(found.get(TOPIC).partitions().size() == PARTITIONS, found.get(TOPIC));
        return partitions.size();
    }

    private Object topicConfigs() throws Exception {
        List<ConfigResource> resources = topics.stream().map(Ui::resource).toList();
        var options = new DescribeConfigsOptions().includeSynonyms(true);
        Map<ConfigResource, Config> found = admin.describeConfigs(resources, options).all().get();
        check(found.get(resource(OFFSETS)).get("cleanup.policy").value().equals("compact"), found);
        check(found.get(resource(TOPIC)).get("retention.ms").value().equals("3600000"), found);
        check(!found.get(resource(TOPIC)).get("retention.ms").isDefault(), found);
        return found.size();
    }

    private Object offsets(OffsetSpec spec, long sum) throws Exception {
        var asked = partitions.stream().collect(Collectors.toMap(it -> it, it -> spec));
        var found = admin.listOffsets(asked).all().get();
        check(places(TOPIC).stream().mapToLong(it -> found.get(it).offset()).sum() == sum, found);
        return found.size();
    }

    // listGroups() is what 3.9 does not have yet.
    @SuppressWarnings({"deprecation", "removal"})
    private Object listGroups() throws Exception {
        Collection<ConsumerGroupListing> found = admin.listConsumerGroups().all().get();
        groups = found.stream().map(ConsumerGroupListing::groupId).sorted().toList();
        check(groups.equals(List.of("classic", "consumer")), found);
        for (ConsumerGroupListing it : found) {
            check(it.type().get().toString().equalsIgnoreCase(it.groupId()), it);
        }
        return groups;
    }

    @SuppressWarnings("deprecation")
    private Object describeGroups() throws Exception {
        var options = new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true);
        Map<String, ConsumerGroupDescription> found = admin.describeConsumerGroups(groups, options).all().get();
        for (ConsumerGroupDescription it : found.values()) {
            check(it.state().toString().equals("Stable") && it.coordinator().idString().equals(node), it);
            check(it.members().size() == 1, it);
            check(it.members().iterator().next().assignment().topicPartitions().size() == PARTITIONS, it);
            check(it.authorizedOperations().contains(AclOperation.DELETE), it);
        }
        return found.values().stream().map(it -> it.groupId() + " " + it.partitionAssignor()).toList();
    }

    private Object committed() throws Exception {
        Map<String, ListConsumerGroupOffsetsSpec> asked = new HashMap<>();
        groups.forEach(it -> asked.put(it, new ListConsumerGroupOffsetsSpec()));
        var found = admin.listConsumerGroupOffsets(asked).all().get();
        for (Map<TopicPartition, OffsetAndMetadata> it : found.values()) {
            check(it.values().stream().mapToLong(OffsetAndMetadata::offset).sum() == RECORDS, found);
        }
        return found.keySet();
    }

    private Object producers() throws Exception {
        var found = admin.describeProducers(places(TOPIC)).all().get();
        for (var it : found.values()) {
            check(it.activeProducers().size() == 1, found);
            check(it.activeProducers().get(0).lastSequence() == RECORDS / PARTITIONS - 1, found);
        }
        return found.size();
    }

    private Object reassignments() throws Exception {
        var found = admin.listPartitionReassignments().reassignments().get();
        check(found.isEmpty(), found);
        return found;
    }

    private Object messages() {
        List<String> found = new ArrayList<>();
        Map<String, Object> config = Map.of("bootstrap.servers", address, "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            check(consumer.partitionsFor(TOPIC).size() == PARTITIONS, consumer.partitionsFor(TOPIC));
            Map<TopicPartition, Long> ends = consumer.endOffsets(places(TOPIC));
            consumer.assign(places(TOPIC));
            consumer.beginningOffsets(places(TOPIC)).forEach(consumer::seek);
            Instant deadline = Instant.now().plus(PATIENCE);
            while (ends.entrySet().stream().anyMatch(it -> consumer.position(it.getKey()) < it.getValue())) {
                check(Instant.now().isBefore(deadline), found);
                for (ConsumerRecord<String, String> it : consumer.poll(Duration.ofMillis(200))) {
                    found.add(it.value());
                }
            }
        }
        check(found.size() == RECORDS, found);
        return found.size();
    }

    private static void check(boolean holds, Object found) {
        if (!holds) {
            throw new AssertionError(String.valueOf(found));
        }
    }

    private static List<TopicPartition> places(String topic) {
        List<TopicPartition> places = new ArrayList<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            places.add(new TopicPartition(topic, partition));
        }
        return places;
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private static KafkaProducer<String, String> producer(String address) {
        Map<String, Object> config = Map.of("bootstrap.servers", address);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    /** Of a group that has its protocol's name. */
    private static KafkaConsumer<String, String> member(String address, String protocol) {
        Map<String, Object> config = Map.of(
                "bootstrap.servers", address,
                "group.id", protocol,
                "group.protocol", protocol,
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    /** A topic with records, read by a group of either protocol, whose members stay; and a quota. */
    private static void makeTraffic(
            Admin admin, KafkaProducer<String, String> producer, List<KafkaConsumer<String, String>> members)
            throws Exception {
        NewTopic topic = new NewTopic(TOPIC, PARTITIONS, (short) 1).configs(Map.of("retention.ms", "3600000"));
        admin.createTopics(List.of(topic)).all().get();
        admin.alterClientQuotas(List.of(QUOTA)).all().get();
        for (int n = 0; n < RECORDS; n++) {
            producer.send(new ProducerRecord<>(TOPIC, n % PARTITIONS, "key-" + n, "value-" + n)).get();
        }
        for (KafkaConsumer<String, String> member : members) {
            member.subscribe(List.of(TOPIC));
            Instant deadline = Instant.now().plus(PATIENCE);
            for (int read = 0; read < RECORDS; ) {
                check(Instant.now().isBefore(deadline), read);
                read += member.poll(Duration.ofMillis(200)).count();
            }
            member.commitSync();
        }
    }
}

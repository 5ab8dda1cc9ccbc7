package millstream.compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What the admin client does. */
final class Administration {
    private final Admin admin;

    Administration(String address) {
        admin = Admin.create(Map.of("bootstrap.servers", address));
    }

    void addTo(Map<String, Main.Verb> verbs) {
        verbs.put("create_topic", this::createTopic);
        verbs.put("list_topics", call -> admin.listTopics().names().get());
        verbs.put("partitions", this::partitions);
        verbs.put("add_partitions", this::addPartitions);
        verbs.put("delete_topic", call -> admin.deleteTopics(List.of(topic(call))).all().get());
        verbs.put("describe_config", this::describeConfig);
        verbs.put("alter_config", this::alterConfig);
        verbs.put("list_groups", call -> admin.listConsumerGroups().all().get().stream().map(it -> it.groupId()).toList());
        verbs.put("describe_group", this::describeGroup);
        verbs.put("delete_group", call -> admin.deleteConsumerGroups(List.of(group(call))).all().get());
        verbs.put("committed", this::committed);
        verbs.put("alter_committed", this::alterCommitted);
        verbs.put("delete_records", this::deleteRecords);
    }

    private Object createTopic(JsonNode call) throws Exception {
        Map<String, String> configs = new HashMap<>();
        call.get("config").fields().forEachRemaining(it -> configs.put(it.getKey(), it.getValue().asText()));
        NewTopic topic = new NewTopic(topic(call), call.get("partitions").asInt(), (short) 1).configs(configs);
        return admin.createTopics(List.of(topic)).all().get();
    }

    private Object partitions(JsonNode call) throws Exception {
        return admin.describeTopics(List.of(topic(call))).allTopicNames().get().get(topic(call)).partitions().size();
    }

    private Object addPartitions(JsonNode call) throws Exception {
        NewPartitions total = NewPartitions.increaseTo(call.get("total").asInt());
        return admin.createPartitions(Map.of(topic(call), total)).all().get();
    }

    private Object describeConfig(JsonNode call) throws Exception {
        ConfigResource resource = resource(call);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(call.get("name").asText()).value();
    }

    private Object alterConfig(JsonNode call) throws Exception {
        ConfigEntry entry = new ConfigEntry(call.get("name").asText(), call.get("value").asText());
        AlterConfigOp change = new AlterConfigOp(entry, AlterConfigOp.OpType.SET);
        return admin.incrementalAlterConfigs(Map.of(resource(call), List.of(change))).all().get();
    }

    // groupState() is what 3.9 does not have yet.
    @SuppressWarnings("deprecation")
    private Object describeGroup(JsonNode call) throws Exception {
        var found = admin.describeConsumerGroups(List.of(group(call))).all().get().get(group(call));
        return Map.of("state", found.state().toString().toLowerCase(), "members", found.members().size());
    }

    private Object committed(JsonNode call) throws Exception {
        return admin.listConsumerGroupOffsets(group(call)).partitionsToOffsetAndMetadata().get().get(place(call)).offset();
    }

    private Object alterCommitted(JsonNode call) throws Exception {
        OffsetAndMetadata offset = new OffsetAndMetadata(call.get("offset").asLong(), Optional.empty(), "");
        return admin.alterConsumerGroupOffsets(group(call), Map.of(place(call), offset)).all().get();
    }

    private Object deleteRecords(JsonNode call) throws Exception {
        RecordsToDelete before = RecordsToDelete.beforeOffset(call.get("offset").asLong());
        return admin.deleteRecords(Map.of(place(call), before)).all().get();
    }

    private static String topic(JsonNode call) {
        return call.get("topic").asText();
    }

    private static String group(JsonNode call) {
        return call.get("group").asText();
    }

    private static TopicPartition place(JsonNode call) {
        return new TopicPartition(topic(call), call.get("partition").asInt());
    }

    private static ConfigResource resource(JsonNode call) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic(call));
    }
}

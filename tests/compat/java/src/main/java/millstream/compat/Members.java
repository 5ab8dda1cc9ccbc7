package millstream.compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Consumers in groups, by the name that the calls have for each. */
final class Members {
    private final String address;
    private final Map<String, KafkaConsumer<String, String>> members = new HashMap<>();

    Members(String address) {
        this.address = address;
    }

    void addTo(Map<String, Main.Verb> verbs) {
        verbs.put("join", this::join);
        verbs.put("poll", this::poll);
        verbs.put("commit", this::commit);
        verbs.put("leave", this::leave);
    }

    private Object join(JsonNode call) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", address);
        config.put("group.id", call.get("group").asText());
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", call.get("commit").asText().equals("auto"));
        config.put("auto.commit.interval.ms", 200);
        if (!call.get("instance").isNull()) {
            config.put("group.instance.id", call.get("instance").asText());
        }
        config.putAll(protocol(call.get("protocol").asText()));
        var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(call.get("topic").asText()));
        members.put(call.get("member").asText(), consumer);
        return null;
    }

    private static Map<String, Object> protocol(String name) {
        if (name.equals("consumer")) {
            return Map.of("group.protocol", "consumer");
        }
        String assignor = name.equals("cooperative") ? "CooperativeStickyAssignor" : "RangeAssignor";
        return Map.of(
                "session.timeout.ms", 6000,
                "heartbeat.interval.ms", 300,
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
    }

    private Object poll(JsonNode call) {
        List<Map<String, Object>> found = new ArrayList<>();
        member(call).poll(Duration.ofMillis(call.get("ms").asLong())).forEach(record -> found.add(Records.told(record)));
        return found;
    }

    private Object commit(JsonNode call) {
        member(call).commitSync();
        return null;
    }

    private Object leave(JsonNode call) {
        members.remove(call.get("member").asText()).close();
        return null;
    }

    private KafkaConsumer<String, String> member(JsonNode call) {
        return members.get(call.get("member").asText());
    }
}

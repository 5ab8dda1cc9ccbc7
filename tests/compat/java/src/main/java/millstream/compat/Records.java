package millstream.compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Producers, and consumers outside of groups. */
final class Records {
    private static final Duration READ_TIME = Duration.ofSeconds(20);
    private static final Duration POLL_TIME = Duration.ofMillis(100);

    private final String address;

    Records(String address) {
        this.address = address;
    }

    void addTo(Map<String, Main.Verb> verbs) {
        verbs.put("produce", this::produce);
        verbs.put("read", this::read);
        verbs.put("offset_at", this::offsetAt);
    }

    private Object produce(JsonNode call) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", address);
        config.put("compression.type", call.get("compression").asText());
        config.put("enable.idempotence", call.get("idempotent").asBoolean());
        config.put("linger.ms", "5");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode told : call.get("records")) {
                sent.add(producer.send(record(call.get("topic").asText(), told)));
            }
            for (Future<RecordMetadata> each : sent) {
                each.get();
            }
        }
        return null;
    }

    private Object read(JsonNode call) {
        TopicPartition place = place(call);
        int count = call.get("count").asInt();
        List<Map<String, Object>> found = new ArrayList<>();
        try (var consumer = consumer(count)) {
            consumer.assign(List.of(place));
            consumer.seek(place, call.get("offset").asLong());
            long deadline = System.nanoTime() + READ_TIME.toNanos();
            while (found.size() < count && System.nanoTime() < deadline) {
                consumer.poll(POLL_TIME).forEach(record -> found.add(told(record)));
            }
        }
        return found.subList(0, Math.min(count, found.size()));
    }

    private Object offsetAt(JsonNode call) {
        TopicPartition place = place(call);
        try (var consumer = consumer(1)) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(place, call.get("timestamp").asLong())).get(place);
            return found == null ? null : found.offset();
        }
    }

    private KafkaConsumer<String, String> consumer(int pollCount) {
        Map<String, Object> config = Map.of("bootstrap.servers", address, "max.poll.records", pollCount);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private static TopicPartition place(JsonNode call) {
        return new TopicPartition(call.get("topic").asText(), call.get("partition").asInt());
    }

    private static ProducerRecord<String, String> record(String topic, JsonNode told) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : told.get("headers")) {
            headers.add(new RecordHeader(header.get(0).asText(), header.get(1).asText().getBytes(StandardCharsets.UTF_8)));
        }
        JsonNode timestamp = told.get("timestamp");
        return new ProducerRecord<>(
                topic,
                told.get("partition").asInt(),
                timestamp.isNull() ? null : timestamp.asLong(),
                told.get("key").textValue(),
                told.get("value").textValue(),
                headers);
    }

    /** A record as the pipe tells it. */
    static Map<String, Object> told(ConsumerRecord<String, String> record) {
        List<List<String>> headers = new ArrayList<>();
        record.headers().forEach(it -> headers.add(List.of(it.key(), new String(it.value(), StandardCharsets.UTF_8))));
        Map<String, Object> told = new HashMap<>();
        told.put("partition", record.partition());
        told.put("offset", record.offset());
        told.put("key", record.key());
        told.put("value", record.value());
        told.put("headers", headers);
        told.put("timestamp", record.timestamp());
        return told;
    }
}

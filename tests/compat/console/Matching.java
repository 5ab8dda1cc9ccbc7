import java.time.Duration;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of the consumer protocol that reads what an expression matches, and writes down each value that comes. */
final class Matching {
    public static void main(String[] arguments) {
        Map<String, Object> config = Map.of(
                "bootstrap.servers", arguments[0],
                "group.id", UUID.randomUUID().toString(),
                "group.protocol", "consumer",
                "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(new SubscriptionPattern(arguments[1]));
            while (true) {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> System.out.println(record.value()));
            }
        }
    }
}

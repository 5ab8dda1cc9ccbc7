// What 003's retries and dead letters need, around its commit loop: imports, a class, what they call, and an order that
// cannot be processed.
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class RetryingConsumer {
    private static final int MAX_RETRIES = 3;

    private final KafkaProducer<String, OrderEvent> dlqProducer;

    static class RetryableException extends RuntimeException {}

    RetryingConsumer(KafkaProducer<String, OrderEvent> dlqProducer) {
        this.dlqProducer = dlqProducer;
    }

    public static void main(String[] arguments) {
        Properties props = new Properties();
        props.put("bootstrap.servers", "{address}");
        props.put("key.serializer", StringSerializer.class);
        props.put("value.serializer", OrderEvent.ToString.class);
        try (KafkaProducer<String, OrderEvent> dlqProducer = new KafkaProducer<>(props)) {
            OrderReader.read("retrying", new RetryingConsumer(dlqProducer)::run);
        }
    }

    private void run(KafkaConsumer<String, OrderEvent> consumer) {
        // guide: loop
    }

    // guide: retry

    private void process(OrderEvent event) {
        System.out.println("Processing: " + event.getEventId());
        if (event.getEventId().equals("event-13")) {
            throw new RetryableException();
        }
    }

    private void backoff(int retries) {
        try {
            Thread.sleep(10L * retries);
        } catch (InterruptedException ended) {
            throw new IllegalStateException(ended);
        }
    }
}

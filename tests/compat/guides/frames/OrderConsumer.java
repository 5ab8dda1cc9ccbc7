// What 003's commit loop and idempotent consumer need: imports, a class, and what they call.
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;

public class OrderConsumer {
    private final Repository processedEventRepository = new Repository();
    private final Service orderService = new Service();

    static class Repository {
        private final Set<String> saved = new HashSet<>();

        boolean exists(String id) {
            return saved.contains(id);
        }

        void save(String id) {
            saved.add(id);
        }
    }

    static class Service {
        void processOrder(OrderEvent event) {
            System.out.println("Processing: " + event.getEventId());
        }
    }

    public static void main(String[] arguments) {
        OrderReader.read("order-processor", new OrderConsumer()::run);
    }

    private void run(KafkaConsumer<String, OrderEvent> consumer) {
        // guide: loop
    }

    // guide: process
}

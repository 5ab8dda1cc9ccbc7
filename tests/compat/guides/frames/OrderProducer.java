// What 003's producer needs: imports, a class, orders, and an end.
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class OrderProducer {
    record Order(String id) {
        String getId() {
            return id;
        }
    }

    public static void main(String[] arguments) {
        // guide: configuration

        for (int n = 0; n < 100; n++) {
            Order order = new Order("ORD-" + n);
            OrderEvent orderEvent = new OrderEvent("event-" + n);
            // guide: send
        }
        producer.close();
    }
}

// What 004's producer needs: imports, a class, an order, and an end.
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

public class OrderBytes {
    public static void main(String[] arguments) {
        String orderKey = "ORD-12345";
        byte[] orderBytes = "an order".getBytes(StandardCharsets.UTF_8);

        // guide: producer

        producer.close();
    }
}

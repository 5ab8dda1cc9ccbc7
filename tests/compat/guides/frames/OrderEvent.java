// What 003's fragments send and read, and how it becomes a string instead of Avro.
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class OrderEvent {
    private final String eventId;

    public OrderEvent(String eventId) {
        this.eventId = eventId;
    }

    public String getEventId() {
        return eventId;
    }

    public static class ToString implements Serializer<OrderEvent> {
        @Override
        public byte[] serialize(String topic, OrderEvent event) {
            return new StringSerializer().serialize(topic, event.eventId);
        }
    }

    public static class FromString implements Deserializer<OrderEvent> {
        @Override
        public OrderEvent deserialize(String topic, byte[] bytes) {
            return new OrderEvent(new StringDeserializer().deserialize(topic, bytes));
        }
    }
}

// A consumer as 003 wants it configured, for its fragments to read with until the process is asked to end.
import java.util.List;
import java.util.Properties;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

final class OrderReader {
    private OrderReader() {}

    static void read(String group, Consumer<KafkaConsumer<String, OrderEvent>> loop) {
        Properties props = new Properties();
        props.put("bootstrap.servers", "{address}");
        props.put("group.id", group);
        props.put("auto.offset.reset", "earliest");
        props.put("enable.auto.commit", "false");
        props.put("key.deserializer", StringDeserializer.class);
        props.put("value.deserializer", OrderEvent.FromString.class);
        Thread reader = Thread.currentThread();
        try (KafkaConsumer<String, OrderEvent> consumer = new KafkaConsumer<>(props)) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                consumer.wakeup();
                try {
                    reader.join();
                } catch (InterruptedException ended) {
                    System.out.println("the consumer was not closed");
                }
            }));
            consumer.subscribe(List.of("orders"));
            loop.accept(consumer);
        } catch (WakeupException asked) {
            System.out.println("asked to end");
        }
    }
}

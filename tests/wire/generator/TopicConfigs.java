import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.ConfigResource;

/**
 * Writes what a broker with default settings says of a topic that nobody configured: one line per configuration, with
 * its name, type, whether it is read-only and sensitive, and its default.
 *
 * Arguments: the address of a Kafka 4.3.1 broker, and the file to write.
 */
public final class TopicConfigs {
    public static void main(String[] arguments) throws Exception {
        String name = "golden-" + System.nanoTime();
        Map<String, String> lines = new TreeMap<>();
        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]))) {
            admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get();
            ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, name);
            for (ConfigEntry entry : admin.describeConfigs(List.of(topic)).all().get().get(topic).entries()) {
                lines.put(entry.name(), String.join(" ", entry.name(), entry.type().name(),
                    "read_only=" + entry.isReadOnly(), "sensitive=" + entry.isSensitive(),
                    "default=" + entry.value()));
            }
            admin.deleteTopics(List.of(name)).all().get();
        }
        Files.write(Path.of(arguments[1]), lines.values());
    }
}

// A receiver of clients' metrics: without one Kafka does not serve the requests that bring them. It keeps nothing.

import java.util.List;
import java.util.Map;

import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporterProvider;

public class Receiver implements MetricsReporter, ClientTelemetryExporterProvider {
    public ClientTelemetryExporter clientTelemetryExporter() {
        return (context, payload) -> { };
    }

    public void configure(Map<String, ?> configs) { }

    public void init(List<KafkaMetric> metrics) { }

    public void metricChange(KafkaMetric metric) { }

    public void metricRemoval(KafkaMetric metric) { }

    public void close() { }
}

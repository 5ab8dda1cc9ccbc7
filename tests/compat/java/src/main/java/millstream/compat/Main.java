package millstream.compat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.common.utils.AppInfoParser;

/** The adapter of Kafka's own Java client: a verb a line comes in, its answer goes out. */
public final class Main {
    /** Answers a call: its arguments by name. */
    interface Verb {
        Object answer(JsonNode call) throws Exception;
    }

    private static final ObjectMapper JSON = new ObjectMapper();

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        // Whatever else writes there must not be taken for an answer.
        System.setOut(System.err);
        Map<String, Verb> verbs = new HashMap<>();
        verbs.put("version", call -> AppInfoParser.getVersion());
        new Records(arguments[0]).addTo(verbs);
        new Members(arguments[0]).addTo(verbs);
        new Administration(arguments[0]).addTo(verbs);
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = calls.readLine(); line != null; line = calls.readLine()) {
            answers.println(JSON.writeValueAsString(reply(verbs, JSON.readTree(line))));
            answers.flush();
        }
        // Consumers and producers may be open still.
        System.exit(0);
    }

    private static Map<String, Object> reply(Map<String, Verb> verbs, JsonNode call) {
        Verb verb = verbs.get(call.get("verb").asText());
        if (verb == null) {
            return Map.of("absent", "the library has no such call");
        }
        Map<String, Object> reply = new HashMap<>();
        try {
            reply.put("answer", verb.answer(call));
        } catch (ExecutionException refused) {
            reply.put("error", refused.getCause().toString());
        } catch (Exception refused) {
            reply.put("error", refused.toString());
        }
        return reply;
    }
}

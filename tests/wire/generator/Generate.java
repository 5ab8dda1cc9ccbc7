import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.ImplicitLinkedHashCollection;

/**
 * Writes what Kafka's own classes make of our messages: one file per API, one line per direction, version and shape;
 * and one file for the messages that belong to no API.
 *
 * A line is: direction, version, shape, the bytes in hexadecimal, and the fields of that version as JSON.
 * Shapes:
 *   full      every field has a value of its own that is not its default, arrays have two elements
 *   nulls     the same, but all that may be null in that version is
 *   hollow    every field has its default, arrays have one element
 *   defaults  every field has its default
 */
public final class Generate {
    enum Shape { FULL, NULLS, HOLLOW, DEFAULTS }

    /** The APIs of the broker's table with the versions that it serves. */
    private static final String[] APIS = {
        "Produce 3 13", "Fetch 4 18", "ListOffsets 1 11", "Metadata 0 13", "OffsetCommit 2 10", "OffsetFetch 1 10",
        "FindCoordinator 0 6", "JoinGroup 0 9", "Heartbeat 0 4", "LeaveGroup 0 5", "SyncGroup 0 5",
        "DescribeGroups 0 6", "ListGroups 0 5", "ApiVersions 0 4", "CreateTopics 2 7", "DeleteTopics 1 6",
        "DeleteRecords 0 2", "InitProducerId 0 5", "OffsetForLeaderEpoch 2 4", "DescribeConfigs 1 4",
        "AlterConfigs 0 2", "DescribeLogDirs 1 5", "CreatePartitions 0 3", "DeleteGroups 0 2", "ElectLeaders 0 2",
        "IncrementalAlterConfigs 0 1", "AlterPartitionReassignments 0 1", "ListPartitionReassignments 0 0",
        "OffsetDelete 0 0", "DescribeClientQuotas 0 1", "AlterClientQuotas 0 1", "DescribeUserScramCredentials 0 0",
        "DescribeQuorum 0 2", "UpdateFeatures 0 2", "DescribeCluster 0 2", "DescribeProducers 0 0",
        "DescribeTransactions 0 0", "ListTransactions 0 2", "ConsumerGroupHeartbeat 0 1",
        "ConsumerGroupDescribe 0 1", "GetTelemetrySubscriptions 0 0", "PushTelemetry 0 0",
        "ListConfigResources 0 1", "DescribeTopicPartitions 0 0",
    };

    /** Messages that carry their version, with all of their versions. */
    private static final String[] DATA = {
        "ConsumerProtocolSubscription 0 3", "ConsumerProtocolAssignment 0 3", "LegacyOffsetCommitValue 0 0",
        "OffsetCommitValue 0 4", "GroupMetadataValue 0 4", "ConsumerGroupMetadataValue 0 0",
        "ConsumerGroupPartitionMetadataValue 0 0", "ConsumerGroupMemberMetadataValue 0 0",
        "ConsumerGroupTargetAssignmentMetadataValue 0 0", "ConsumerGroupTargetAssignmentMemberValue 0 0",
        "ConsumerGroupCurrentMemberAssignmentValue 0 0", "ConsumerGroupRegularExpressionValue 0 0",
    };

    private final short version;
    private final Shape shape;
    /** The last number given to a field; each field has one of its own. */
    private int counter = 0;

    private Generate(int version, Shape shape) {
        this.version = (short) version;
        this.shape = shape;
    }

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        for (String api : APIS) {
            String[] words = api.split(" ");
            writeApi(directory, words[0], Integer.parseInt(words[1]), Integer.parseInt(words[2]));
        }
        writeData(directory);
        writeHeaders(directory);
        writeErrors(directory);
        writeBatches(directory);
    }

    /**
     * Messages that carry their version, and the keys of the records that some of them are the values of: name,
     * version, shape, bytes with what they begin with, and the fields as JSON.
     */
    private static void writeData(Path directory) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (String data : DATA) {
            String[] words = data.split(" ");
            boolean record = words[0].endsWith("Value");
            String area = record ? "org.apache.kafka.coordinator.group.generated." : "org.apache.kafka.common.message.";
            for (short version = 0; version <= Short.parseShort(words[2]); version++) {
                for (Shape shape : Shape.values()) {
                    Message message = (Message) new Generate(version, shape).make(Class.forName(area + words[0]));
                    ByteBuffer bytes = MessageUtil.toVersionPrefixedByteBuffer(version, message);
                    writeDatum(lines, words[0], version, shape, bytes, message);
                }
            }
            if (record) {
                String key = words[0].replace("Value", "Key");
                ApiMessage message = (ApiMessage) new Generate(0, Shape.FULL).make(Class.forName(area + key));
                ByteBuffer bytes = MessageUtil.toCoordinatorTypePrefixedByteBuffer(message);
                writeDatum(lines, key, 0, Shape.FULL, bytes, message);
            }
        }
        Files.writeString(directory.resolve("data.txt"), lines.toString());
    }

    private static void writeDatum(StringBuilder lines, String name, int version, Shape shape, ByteBuffer bytes,
            Message message) throws Exception {
        lines.append(name).append(' ').append(version).append(' ').append(shape.name().toLowerCase()).append(' ')
            .append(hex(bytes)).append(' ').append(new Generate(version, shape).json(message)).append('\n');
    }

    /** The headers that go with each version: API, version, request header, response header. */
    private static void writeHeaders(Path directory) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (String api : APIS) {
            String[] words = api.split(" ");
            ApiKeys key = Arrays.stream(ApiKeys.values()).filter(it -> it.name.equals(words[0])).findFirst().get();
            for (short version = Short.parseShort(words[1]); version <= Short.parseShort(words[2]); version++) {
                RequestHeaderData request = new RequestHeaderData().setRequestApiKey(key.id)
                    .setRequestApiVersion(version).setCorrelationId(0x01020304).setClientId("client");
                ResponseHeaderData response = new ResponseHeaderData().setCorrelationId(0x01020304);
                lines.append(words[0]).append(' ').append(version).append(' ')
                    .append(hex(request, key.requestHeaderVersion(version))).append(' ')
                    .append(hex(response, key.responseHeaderVersion(version))).append('\n');
            }
        }
        Files.writeString(directory.resolve("headers.txt"), lines.toString());
    }

    /** Kafka's error codes: code, name, and whether a client tries again. */
    private static void writeErrors(Path directory) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (Errors error : Errors.values()) {
            lines.append(error.code()).append(' ').append(error.name()).append(' ')
                .append(error.exception() instanceof RetriableException).append('\n');
        }
        Files.writeString(directory.resolve("errors.txt"), lines.toString());
    }

    /** One batch per compression, each with the same records: codec and bytes. */
    private static void writeBatches(Path directory) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (CompressionType codec : CompressionType.values()) {
            SimpleRecord[] records = new SimpleRecord[100];
            for (int index = 0; index < records.length; index++) {
                byte[] key = index == 0 ? null : ("key-" + index).getBytes();
                byte[] value = index == 1 ? null : ("value-" + index).repeat(20).getBytes();
                Header[] headers = {new RecordHeader("header-" + index, new byte[] {(byte) index})};
                records[index] = new SimpleRecord(1_700_000_000_000L + index, key, value, headers);
            }
            Compression compression = Compression.of(codec).build();
            MemoryRecords batch =
                MemoryRecords.withIdempotentRecords(42L, compression, 7L, (short) 3, 11, 5, records);
            lines.append(codec.name).append(' ').append(hex(batch.buffer())).append('\n');
        }
        Files.writeString(directory.resolve("record_batches.txt"), lines.toString());
    }

    private static void writeApi(Path directory, String api, int min, int max) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (String direction : new String[] {"Request", "Response"}) {
            Class<?> type = Class.forName("org.apache.kafka.common.message." + api + direction + "Data");
            for (int version = min; version <= max; version++) {
                for (Shape shape : Shape.values()) {
                    Message message = (Message) new Generate(version, shape).make(type);
                    String bytes = hex(message, (short) version);
                    lines.append(direction.toLowerCase()).append(' ').append(version).append(' ')
                        .append(shape.name().toLowerCase()).append(' ')
                        .append(bytes.isEmpty() ? "-" : bytes).append(' ')
                        .append(new Generate(version, shape).json(message)).append('\n');
                }
            }
        }
        Files.writeString(directory.resolve(snake(api) + ".txt"), lines.toString());
    }

    /** An object of a generated class with its fields set as the shape asks. */
    private Object make(Class<?> type) throws Exception {
        Object object = type.getDeclaredConstructor().newInstance();
        for (Field field : fields(type)) {
            Object value = value(field, schemaField(type, field), field.get(object));
            field.set(object, value);
        }
        return object;
    }

    private Object value(Field field, org.apache.kafka.common.protocol.types.Field schema, Object initial)
            throws Exception {
        if (shape == Shape.DEFAULTS) {
            return initial;
        }
        if (shape == Shape.NULLS && schema.type.isNullable()) {
            return null;
        }
        Class<?> type = field.getType();
        if (Collection.class.isAssignableFrom(type)) {
            return collection(field);
        }
        if (Message.class.isAssignableFrom(type)) {
            return make(type);
        }
        if (shape == Shape.HOLLOW) {
            return initial;
        }
        Object value = schema.type == Type.UINT16 ? (Object) (1000 + ++counter) : scalar(type, initial);
        if (value.equals(initial)) {
            throw new IllegalStateException(field + " is left at its default");
        }
        return value;
    }

    private Object collection(Field field) throws Exception {
        Class<?> type = field.getType();
        int count = shape == Shape.HOLLOW ? 1 : 2;
        if (ImplicitLinkedHashCollection.class.isAssignableFrom(type)) {
            Class<?> element = elementOf(type.getGenericSuperclass());
            @SuppressWarnings("unchecked")
            Collection<Object> elements = (Collection<Object>) type.getDeclaredConstructor().newInstance();
            for (int index = 0; index < count; index++) {
                elements.add(make(element));
            }
            return elements;
        }
        Class<?> element = elementOf(field.getGenericType());
        List<Object> elements = new ArrayList<>();
        for (int index = 0; index < count; index++) {
            boolean generated = Message.class.isAssignableFrom(element);
            elements.add(generated ? make(element) : shape == Shape.HOLLOW ? zero(element) : scalar(element, null));
        }
        return elements;
    }

    private Object scalar(Class<?> type, Object initial) {
        int number = ++counter;
        if (type == String.class) return "text-" + number;
        if (type == boolean.class) return !(Boolean) initial;
        if (type == byte.class || type == Byte.class) return (byte) (number % 120 + 2);
        if (type == ByteBuffer.class) return ByteBuffer.wrap(("bytes-" + number).getBytes());
        if (type == byte[].class) return ("bytes-" + number).getBytes();
        if (type == short.class) return (short) (1000 + number);
        if (type == int.class || type == Integer.class) return 1_000_000 + number;
        if (type == double.class) return number + 0.5;
        if (type == long.class || type == Long.class) return 1_000_000_000_000L + number;
        if (type == Uuid.class) return new Uuid(0x0123_4567_89ab_cdefL, number);
        if (type == BaseRecords.class) {
            byte[] value = ("record-" + number).getBytes();
            return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(number, null, value));
        }
        throw new IllegalStateException("no value for " + type);
    }

    private static Object zero(Class<?> type) {
        if (type == String.class) return "";
        if (type == Integer.class) return 0;
        if (type == Byte.class) return (byte) 0;
        if (type == Long.class) return 0L;
        throw new IllegalStateException("no zero for " + type);
    }

    private static Class<?> elementOf(java.lang.reflect.Type type) {
        return (Class<?>) ((ParameterizedType) type).getActualTypeArguments()[0];
    }

    /** The fields of a generated class that the version has. */
    private List<Field> fields(Class<?> type) throws Exception {
        List<Field> fields = new ArrayList<>();
        for (Field field : type.getDeclaredFields()) {
            boolean own = field.getName().equals("next") || field.getName().equals("prev");
            if (Modifier.isStatic(field.getModifiers()) || field.getName().startsWith("_") || own) {
                continue;
            }
            field.setAccessible(true);
            if (schemaField(type, field) != null) {
                fields.add(field);
            }
        }
        return fields;
    }

    private org.apache.kafka.common.protocol.types.Field schemaField(Class<?> type, Field field) throws Exception {
        Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
        Map<String, org.apache.kafka.common.protocol.types.Field> known = new HashMap<>();
        for (var bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                tagged.fields().values().forEach(tag -> known.put(plain(tag.name), tag));
            } else {
                known.put(plain(bound.def.name), bound.def);
            }
        }
        return known.get(plain(field.getName()));
    }

    private static String plain(String name) {
        return name.replace("_", "").toLowerCase();
    }

    private String json(Object value) throws Exception {
        if (value == null) return "null";
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        if (value instanceof String || value instanceof Uuid) return '"' + value.toString() + '"';
        if (value instanceof MemoryRecords records) {
            return '"' + hex(records.buffer()) + '"';
        }
        if (value instanceof byte[] bytes) {
            return '"' + hex(ByteBuffer.wrap(bytes)) + '"';
        }
        if (value instanceof ByteBuffer bytes) {
            return '"' + hex(bytes) + '"';
        }
        StringJoiner parts;
        if (value instanceof Collection<?> elements) {
            parts = new StringJoiner(",", "[", "]");
            for (Object element : elements) {
                parts.add(json(element));
            }
            return parts.toString();
        }
        parts = new StringJoiner(",", "{", "}");
        for (Field field : fields(value.getClass())) {
            parts.add('"' + snake(field.getName()) + "\":" + json(field.get(value)));
        }
        return parts.toString();
    }

    private static String hex(Message message, short version) {
        return hex(MessageUtil.toByteBufferAccessor(message, version).buffer());
    }

    private static String hex(ByteBuffer bytes) {
        byte[] array = new byte[bytes.remaining()];
        bytes.duplicate().get(array);
        return HexFormat.of().formatHex(array);
    }

    private static String snake(String name) {
        return name.replaceAll("(?<=[a-z0-9])([A-Z])", "_$1").toLowerCase();
    }
}

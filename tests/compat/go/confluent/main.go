// The adapter of confluent-kafka-go, which is librdkafka.
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"millstream/compat/wire"
)

const answerTime = 20 * time.Second

type adapter struct {
	address string
	admin   *kafka.AdminClient
	members map[string]*kafka.Consumer
}

func main() {
	address := os.Args[1]
	admin, err := kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": address})
	if err != nil {
		panic(err)
	}
	it := &adapter{address, admin, map[string]*kafka.Consumer{}}
	wire.Serve(map[string]wire.Verb{
		"version":         wire.Version("github.com/confluentinc/confluent-kafka-go/v2"),
		"produce":         it.produce,
		"read":            it.read,
		"offset_at":       it.offsetAt,
		"join":            it.join,
		"poll":            it.poll,
		"commit":          it.commit,
		"leave":           it.leave,
		"create_topic":    it.createTopic,
		"list_topics":     it.listTopics,
		"partitions":      it.partitions,
		"add_partitions":  it.addPartitions,
		"delete_topic":    it.deleteTopic,
		"describe_config": it.describeConfig,
		"alter_config":    it.alterConfig,
		"list_groups":     it.listGroups,
		"describe_group":  it.describeGroup,
		"delete_group":    it.deleteGroup,
		"committed":       it.committed,
		"alter_committed": it.alterCommitted,
		"delete_records":  it.deleteRecords,
	})
}

func (it *adapter) produce(call wire.Call) (any, error) {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": it.address, "compression.type": call.Compression, "enable.idempotence": call.Idempotent,
		"batch.size": 16384,
	})
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	delivered := make(chan kafka.Event, len(call.Records))
	for _, told := range call.Records {
		if err := producer.Produce(message(call.Topic, told), delivered); err != nil {
			return nil, err
		}
	}
	for range call.Records {
		if err := (<-delivered).(*kafka.Message).TopicPartition.Error; err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (it *adapter) outsider() (*kafka.Consumer, error) {
	return kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": it.address, "group.id": "unused", "enable.auto.commit": false})
}

func (it *adapter) read(call wire.Call) (any, error) {
	consumer, err := it.outsider()
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	if err := consumer.Assign(place(call, kafka.Offset(call.Offset))); err != nil {
		return nil, err
	}
	found, late := []wire.Record{}, time.Now().Add(wire.ReadTime)
	for len(found) < call.Count && time.Now().Before(late) {
		came, err := take(consumer, 100)
		if err != nil {
			return nil, err
		}
		found = append(found, came...)
	}
	return found[:min(len(found), call.Count)], nil
}

// take gives what is there after the first message, or nothing after that many milliseconds.
func take(consumer *kafka.Consumer, ms int) ([]wire.Record, error) {
	found := []wire.Record{}
	for event := consumer.Poll(ms); event != nil; event = consumer.Poll(1) {
		switch came := event.(type) {
		case *kafka.Message:
			found = append(found, told(came))
		case kafka.Error:
			if came.IsFatal() {
				return nil, came
			}
		}
	}
	return found, nil
}

func (it *adapter) offsetAt(call wire.Call) (any, error) {
	consumer, err := it.outsider()
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	found, err := consumer.OffsetsForTimes(place(call, kafka.Offset(call.Timestamp)), ms())
	if err != nil || found[0].Offset < 0 {
		return nil, err
	}
	return found[0].Offset, found[0].Error
}

func (it *adapter) join(call wire.Call) (any, error) {
	config := kafka.ConfigMap{
		"bootstrap.servers": it.address, "group.id": call.Group, "auto.offset.reset": "earliest",
		"enable.auto.commit": call.Commit == "auto", "auto.commit.interval.ms": 200,
	}
	if call.Instance != "" {
		config["group.instance.id"] = call.Instance
	}
	for name, value := range protocol(call.Protocol) {
		config[name] = value
	}
	consumer, err := kafka.NewConsumer(&config)
	if err != nil {
		return nil, err
	}
	it.members[call.Member] = consumer
	return nil, consumer.Subscribe(call.Topic, nil)
}

func protocol(name string) kafka.ConfigMap {
	if name == "consumer" {
		return kafka.ConfigMap{"group.protocol": "consumer"}
	}
	assignor := "range"
	if name == "cooperative" {
		assignor = "cooperative-sticky"
	}
	return kafka.ConfigMap{
		"session.timeout.ms": 6000, "heartbeat.interval.ms": 300, "partition.assignment.strategy": assignor}
}

func (it *adapter) poll(call wire.Call) (any, error) {
	return take(it.members[call.Member], call.Ms)
}

func (it *adapter) commit(call wire.Call) (any, error) {
	_, err := it.members[call.Member].Commit()
	return nil, err
}

func (it *adapter) leave(call wire.Call) (any, error) {
	leaving := it.members[call.Member]
	delete(it.members, call.Member)
	return nil, leaving.Close()
}

func (it *adapter) createTopic(call wire.Call) (any, error) {
	wanted := kafka.TopicSpecification{
		Topic: call.Topic, NumPartitions: int(call.Partitions), ReplicationFactor: 1, Config: call.Config}
	return nil, topicResult(it.admin.CreateTopics(context.Background(), []kafka.TopicSpecification{wanted}))
}

func topicResult(results []kafka.TopicResult, err error) error {
	if err != nil {
		return err
	}
	return failure(results[0].Error)
}

// failure is an error, unless it says that there is none.
func failure(said kafka.Error) error {
	if said.Code() == kafka.ErrNoError {
		return nil
	}
	return said
}

func (it *adapter) listTopics(wire.Call) (any, error) {
	listed, err := it.admin.GetMetadata(nil, true, ms())
	if err != nil {
		return nil, err
	}
	names := []string{}
	for name := range listed.Topics {
		names = append(names, name)
	}
	return names, nil
}

func (it *adapter) partitions(call wire.Call) (any, error) {
	listed, err := it.admin.GetMetadata(&call.Topic, false, ms())
	if err != nil {
		return nil, err
	}
	return len(listed.Topics[call.Topic].Partitions), nil
}

func (it *adapter) addPartitions(call wire.Call) (any, error) {
	total := kafka.PartitionsSpecification{Topic: call.Topic, IncreaseTo: int(call.Total)}
	return nil, topicResult(it.admin.CreatePartitions(context.Background(), []kafka.PartitionsSpecification{total}))
}

func (it *adapter) deleteTopic(call wire.Call) (any, error) {
	return nil, topicResult(it.admin.DeleteTopics(context.Background(), []string{call.Topic}))
}

func (it *adapter) describeConfig(call wire.Call) (any, error) {
	asked := kafka.ConfigResource{Type: kafka.ResourceTopic, Name: call.Topic}
	described, err := it.admin.DescribeConfigs(context.Background(), []kafka.ConfigResource{asked})
	if err != nil {
		return nil, err
	}
	return described[0].Config[call.Name].Value, failure(described[0].Error)
}

func (it *adapter) alterConfig(call wire.Call) (any, error) {
	change := kafka.ConfigEntry{Name: call.Name, Value: call.Value, IncrementalOperation: kafka.AlterConfigOpTypeSet}
	changes := kafka.ConfigResource{Type: kafka.ResourceTopic, Name: call.Topic, Config: []kafka.ConfigEntry{change}}
	altered, err := it.admin.IncrementalAlterConfigs(context.Background(), []kafka.ConfigResource{changes})
	if err != nil {
		return nil, err
	}
	return nil, failure(altered[0].Error)
}

func (it *adapter) listGroups(wire.Call) (any, error) {
	listed, err := it.admin.ListConsumerGroups(context.Background())
	names := []string{}
	for _, group := range listed.Valid {
		names = append(names, group.GroupID)
	}
	return names, errors.Join(err, errors.Join(listed.Errors...))
}

func (it *adapter) describeGroup(call wire.Call) (any, error) {
	described, err := it.admin.DescribeConsumerGroups(context.Background(), []string{call.Group})
	if err != nil {
		return nil, err
	}
	group := described.ConsumerGroupDescriptions[0]
	state := wire.GroupState{State: strings.ToLower(group.State.String()), Members: len(group.Members)}
	return state, failure(group.Error)
}

func (it *adapter) deleteGroup(call wire.Call) (any, error) {
	deleted, err := it.admin.DeleteConsumerGroups(context.Background(), []string{call.Group})
	if err != nil {
		return nil, err
	}
	return nil, failure(deleted.ConsumerGroupResults[0].Error)
}

func (it *adapter) committed(call wire.Call) (any, error) {
	asked := kafka.ConsumerGroupTopicPartitions{Group: call.Group, Partitions: place(call, kafka.OffsetInvalid)}
	found, err := it.admin.ListConsumerGroupOffsets(
		context.Background(), []kafka.ConsumerGroupTopicPartitions{asked})
	if err != nil {
		return nil, err
	}
	partition := found.ConsumerGroupsTopicPartitions[0].Partitions[0]
	return partition.Offset, partition.Error
}

func (it *adapter) alterCommitted(call wire.Call) (any, error) {
	wanted := kafka.ConsumerGroupTopicPartitions{Group: call.Group, Partitions: place(call, kafka.Offset(call.Offset))}
	altered, err := it.admin.AlterConsumerGroupOffsets(
		context.Background(), []kafka.ConsumerGroupTopicPartitions{wanted})
	if err != nil {
		return nil, err
	}
	return nil, altered.ConsumerGroupsTopicPartitions[0].Partitions[0].Error
}

func (it *adapter) deleteRecords(call wire.Call) (any, error) {
	deleted, err := it.admin.DeleteRecords(context.Background(), place(call, kafka.Offset(call.Offset)))
	if err != nil {
		return nil, err
	}
	return nil, deleted.DeleteRecordsResults[0].TopicPartition.Error
}

func ms() int { return int(answerTime.Milliseconds()) }

func place(call wire.Call, offset kafka.Offset) []kafka.TopicPartition {
	return []kafka.TopicPartition{{Topic: &call.Topic, Partition: call.Partition, Offset: offset}}
}

func message(topic string, told wire.Record) *kafka.Message {
	made := &kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: told.Partition},
		Key:            wire.Bytes(told.Key), Value: wire.Bytes(told.Value),
	}
	if told.Timestamp != nil {
		made.Timestamp = time.UnixMilli(*told.Timestamp)
	}
	for _, header := range told.Headers {
		made.Headers = append(made.Headers, kafka.Header{Key: header[0], Value: []byte(header[1])})
	}
	return made
}

func told(message *kafka.Message) wire.Record {
	stamp := message.Timestamp.UnixMilli()
	it := wire.Record{Partition: message.TopicPartition.Partition, Offset: int64(message.TopicPartition.Offset),
		Key: wire.Text(message.Key), Value: wire.Text(message.Value), Headers: [][2]string{}, Timestamp: &stamp}
	for _, header := range message.Headers {
		it.Headers = append(it.Headers, [2]string{header.Key, string(header.Value)})
	}
	return it
}

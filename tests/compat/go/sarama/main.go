// The adapter of sarama.
package main

import (
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"millstream/compat/wire"
)

type adapter struct {
	addresses []string
	admin     sarama.ClusterAdmin
	members   map[string]*member
}

func main() {
	addresses := []string{os.Args[1]}
	admin, err := sarama.NewClusterAdmin(addresses, config())
	if err != nil {
		panic(err)
	}
	it := &adapter{addresses, admin, map[string]*member{}}
	wire.Serve(map[string]wire.Verb{
		"version":         wire.Version("github.com/IBM/sarama"),
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

// config has what every part of the library wants to be told.
func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = 100
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	return config
}

func (it *adapter) produce(call wire.Call) (any, error) {
	config := config()
	config.Producer.Compression = codecs[call.Compression]
	if len(call.Records) > 1 {
		config.Producer.Flush.MaxMessages = 200
	}
	if call.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(it.addresses, config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, len(call.Records))
	for n, told := range call.Records {
		messages[n] = message(call.Topic, told)
	}
	err = producer.SendMessages(messages)
	if refused, several := err.(sarama.ProducerErrors); several {
		return nil, refused[0].Err
	}
	return nil, err
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func (it *adapter) read(call wire.Call) (any, error) {
	consumer, err := sarama.NewConsumer(it.addresses, config())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(call.Topic, call.Partition, call.Offset)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	found, late := []wire.Record{}, time.After(wire.ReadTime)
	for len(found) < call.Count {
		select {
		case message := <-partition.Messages():
			found = append(found, told(message))
		case <-late:
			return found, nil
		}
	}
	return found, nil
}

func (it *adapter) offsetAt(call wire.Call) (any, error) {
	client, err := sarama.NewClient(it.addresses, config())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	offset, err := client.GetOffset(call.Topic, call.Partition, call.Timestamp)
	if offset < 0 {
		return nil, err
	}
	return offset, err
}

func (it *adapter) createTopic(call wire.Call) (any, error) {
	entries := map[string]*string{}
	for name, value := range call.Config {
		entries[name] = &value
	}
	detail := &sarama.TopicDetail{NumPartitions: call.Partitions, ReplicationFactor: 1, ConfigEntries: entries}
	return nil, it.admin.CreateTopic(call.Topic, detail, false)
}

func (it *adapter) listTopics(wire.Call) (any, error) {
	topics, err := it.admin.ListTopics()
	names := []string{}
	for name := range topics {
		names = append(names, name)
	}
	return names, err
}

func (it *adapter) partitions(call wire.Call) (any, error) {
	topics, err := it.admin.DescribeTopics([]string{call.Topic})
	if err != nil {
		return nil, err
	}
	return len(topics[0].Partitions), nil
}

func (it *adapter) addPartitions(call wire.Call) (any, error) {
	return nil, it.admin.CreatePartitions(call.Topic, call.Total, nil, false)
}

func (it *adapter) deleteTopic(call wire.Call) (any, error) {
	return nil, it.admin.DeleteTopic(call.Topic)
}

func (it *adapter) describeConfig(call wire.Call) (any, error) {
	entries, err := it.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: call.Topic})
	for _, entry := range entries {
		if entry.Name == call.Name {
			return entry.Value, err
		}
	}
	return nil, err
}

func (it *adapter) alterConfig(call wire.Call) (any, error) {
	change := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &call.Value}
	changes := map[string]sarama.IncrementalAlterConfigsEntry{call.Name: change}
	return nil, it.admin.IncrementalAlterConfig(sarama.TopicResource, call.Topic, changes, false)
}

func (it *adapter) listGroups(wire.Call) (any, error) {
	groups, err := it.admin.ListConsumerGroups()
	names := []string{}
	for name := range groups {
		names = append(names, name)
	}
	return names, err
}

func (it *adapter) describeGroup(call wire.Call) (any, error) {
	groups, err := it.admin.DescribeConsumerGroups([]string{call.Group})
	if err != nil {
		return nil, err
	}
	return wire.GroupState{State: strings.ToLower(groups[0].State), Members: len(groups[0].Members)}, nil
}

func (it *adapter) deleteGroup(call wire.Call) (any, error) {
	return nil, it.admin.DeleteConsumerGroup(call.Group)
}

func (it *adapter) committed(call wire.Call) (any, error) {
	places := map[string][]int32{call.Topic: {call.Partition}}
	fetched, err := it.admin.ListConsumerGroupOffsets(call.Group, places)
	if err != nil {
		return nil, err
	}
	return fetched.GetBlock(call.Topic, call.Partition).Offset, nil
}

func (it *adapter) alterCommitted(call wire.Call) (any, error) {
	offsets := map[string]map[int32]sarama.OffsetAndMetadata{call.Topic: {call.Partition: {Offset: call.Offset, LeaderEpoch: -1}}}
	_, err := it.admin.AlterConsumerGroupOffsets(call.Group, offsets, nil)
	return nil, err
}

func (it *adapter) deleteRecords(call wire.Call) (any, error) {
	return nil, it.admin.DeleteRecords(call.Topic, map[int32]int64{call.Partition: call.Offset})
}

func message(topic string, told wire.Record) *sarama.ProducerMessage {
	made := &sarama.ProducerMessage{Topic: topic, Partition: told.Partition}
	if told.Key != nil {
		made.Key = sarama.StringEncoder(*told.Key)
	}
	if told.Value != nil {
		made.Value = sarama.StringEncoder(*told.Value)
	}
	if told.Timestamp != nil {
		made.Timestamp = time.UnixMilli(*told.Timestamp)
	}
	for _, header := range told.Headers {
		made.Headers = append(made.Headers, sarama.RecordHeader{Key: []byte(header[0]), Value: []byte(header[1])})
	}
	return made
}

func told(message *sarama.ConsumerMessage) wire.Record {
	stamp := message.Timestamp.UnixMilli()
	it := wire.Record{Partition: message.Partition, Offset: message.Offset, Key: wire.Text(message.Key),
		Value: wire.Text(message.Value), Headers: [][2]string{}, Timestamp: &stamp}
	for _, header := range message.Headers {
		it.Headers = append(it.Headers, [2]string{string(header.Key), string(header.Value)})
	}
	return it
}

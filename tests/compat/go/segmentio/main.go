// The adapter of segmentio/kafka-go: its Writer, Reader and Client.
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"millstream/compat/wire"
)

type adapter struct {
	address string
	client  *kafka.Client
	members map[string]*member
}

// member is a Reader in a group, and the last messages that polls gave, by partition.
type member struct {
	reader *kafka.Reader
	isAuto bool
	polled map[int]kafka.Message
}

func main() {
	address := os.Args[1]
	// The transport's list of topics is of this age at most.
	client := &kafka.Client{Addr: kafka.TCP(address), Transport: &kafka.Transport{MetadataTTL: 50 * time.Millisecond}}
	it := &adapter{address, client, map[string]*member{}}
	wire.Serve(map[string]wire.Verb{
		"version":         wire.Version("github.com/segmentio/kafka-go"),
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
	})
}

func (it *adapter) produce(call wire.Call) (any, error) {
	if call.Idempotent {
		return nil, wire.Absent("the library has no idempotent producer")
	}
	// The library keeps what it knows of topics, and tries no more for one that came since.
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	writer := &kafka.Writer{
		Addr: kafka.TCP(it.address), Topic: call.Topic, Balancer: asTold{}, RequiredAcks: kafka.RequireAll,
		Compression: codecs[call.Compression], Transport: transport, MaxAttempts: 100, BatchTimeout: time.Millisecond,
	}
	defer writer.Close()
	messages := make([]kafka.Message, len(call.Records))
	for n, told := range call.Records {
		messages[n] = message(told)
	}
	err := writer.WriteMessages(context.Background(), messages...)
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		return nil, errors.Join(each...)
	}
	return nil, err
}

var codecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

// asTold is a balancer: every message goes where the call wanted it.
type asTold struct{}

func (asTold) Balance(message kafka.Message, _ ...int) int { return message.WriterData.(int) }

func (it *adapter) read(call wire.Call) (any, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{it.address}, Topic: call.Topic, Partition: int(call.Partition), MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	if err := reader.SetOffset(call.Offset); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wire.ReadTime)
	defer cancel()
	found := []wire.Record{}
	for len(found) < call.Count {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, record(message))
	}
	return found, nil
}

func (it *adapter) offsetAt(call wire.Call) (any, error) {
	asked := kafka.TimeOffsetOf(int(call.Partition), time.UnixMilli(call.Timestamp))
	listed, err := it.client.ListOffsets(context.Background(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{call.Topic: {asked}}})
	if err != nil {
		return nil, err
	}
	found := listed.Topics[call.Topic][0]
	for offset := range found.Offsets {
		if offset >= 0 {
			return offset, found.Error
		}
	}
	return nil, found.Error
}

func (it *adapter) join(call wire.Call) (any, error) {
	config := kafka.ReaderConfig{
		Brokers: []string{it.address}, GroupID: call.Group, Topic: call.Topic, StartOffset: kafka.FirstOffset,
		SessionTimeout: 6 * time.Second, HeartbeatInterval: 300 * time.Millisecond, MaxWait: 100 * time.Millisecond,
		JoinGroupBackoff: 200 * time.Millisecond,
	}
	switch call.Protocol {
	case "cooperative":
		return nil, wire.Absent("the library has no cooperative assignor")
	case "consumer":
		return nil, wire.Absent("the library speaks the classic protocol only")
	}
	if call.Instance != "" {
		return nil, wire.Absent("the library has no static members")
	}
	if call.Commit == "auto" {
		config.CommitInterval = 200 * time.Millisecond
	}
	it.members[call.Member] = &member{kafka.NewReader(config), call.Commit == "auto", map[int]kafka.Message{}}
	return nil, nil
}

// poll waits for the first message, and takes what the reader holds beside it.
func (it *adapter) poll(call wire.Call) (any, error) {
	member, found := it.members[call.Member], []wire.Record{}
	wait := time.Duration(call.Ms) * time.Millisecond
	for {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		message, err := member.next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		member.polled[message.Partition] = message
		found = append(found, record(message))
		wait = time.Millisecond
	}
}

func (it *member) next(ctx context.Context) (kafka.Message, error) {
	if it.isAuto {
		return it.reader.ReadMessage(ctx)
	}
	return it.reader.FetchMessage(ctx)
}

func (it *adapter) commit(call wire.Call) (any, error) {
	member := it.members[call.Member]
	last := []kafka.Message{}
	for _, message := range member.polled {
		last = append(last, message)
	}
	return nil, member.reader.CommitMessages(context.Background(), last...)
}

func (it *adapter) leave(call wire.Call) (any, error) {
	leaving := it.members[call.Member]
	delete(it.members, call.Member)
	return nil, leaving.reader.Close()
}

func (it *adapter) createTopic(call wire.Call) (any, error) {
	entries := []kafka.ConfigEntry{}
	for name, value := range call.Config {
		entries = append(entries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	config := kafka.TopicConfig{
		Topic: call.Topic, NumPartitions: int(call.Partitions), ReplicationFactor: 1, ConfigEntries: entries}
	created, err := it.client.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
	if err != nil {
		return nil, err
	}
	return nil, created.Errors[call.Topic]
}

func (it *adapter) listTopics(wire.Call) (any, error) {
	listed, err := it.client.Metadata(context.Background(), &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, topic := range listed.Topics {
		names = append(names, topic.Name)
	}
	return names, nil
}

func (it *adapter) partitions(call wire.Call) (any, error) {
	listed, err := it.client.Metadata(context.Background(), &kafka.MetadataRequest{Topics: []string{call.Topic}})
	if err != nil {
		return nil, err
	}
	return len(listed.Topics[0].Partitions), listed.Topics[0].Error
}

func (it *adapter) addPartitions(call wire.Call) (any, error) {
	total := kafka.TopicPartitionsConfig{Name: call.Topic, Count: call.Total}
	added, err := it.client.CreatePartitions(context.Background(),
		&kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{total}})
	if err != nil {
		return nil, err
	}
	return nil, added.Errors[call.Topic]
}

func (it *adapter) deleteTopic(call wire.Call) (any, error) {
	deleted, err := it.client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{call.Topic}})
	if err != nil {
		return nil, err
	}
	return nil, deleted.Errors[call.Topic]
}

func (it *adapter) describeConfig(call wire.Call) (any, error) {
	asked := kafka.DescribeConfigRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: call.Topic, ConfigNames: []string{call.Name}}
	described, err := it.client.DescribeConfigs(context.Background(),
		&kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{asked}})
	if err != nil {
		return nil, err
	}
	return described.Resources[0].ConfigEntries[0].ConfigValue, described.Resources[0].Error
}

func (it *adapter) alterConfig(call wire.Call) (any, error) {
	change := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: call.Topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: call.Name, Value: call.Value, ConfigOperation: kafka.ConfigOperationSet}}}
	altered, err := it.client.IncrementalAlterConfigs(context.Background(),
		&kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{change}})
	if err != nil {
		return nil, err
	}
	return nil, altered.Resources[0].Error
}

func (it *adapter) listGroups(wire.Call) (any, error) {
	listed, err := it.client.ListGroups(context.Background(), &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, group := range listed.Groups {
		names = append(names, group.GroupID)
	}
	return names, listed.Error
}

func (it *adapter) describeGroup(call wire.Call) (any, error) {
	described, err := it.client.DescribeGroups(context.Background(), &kafka.DescribeGroupsRequest{GroupIDs: []string{call.Group}})
	if err != nil {
		return nil, err
	}
	group := described.Groups[0]
	return wire.GroupState{State: strings.ToLower(group.GroupState), Members: len(group.Members)}, group.Error
}

func (it *adapter) deleteGroup(call wire.Call) (any, error) {
	deleted, err := it.client.DeleteGroups(context.Background(), &kafka.DeleteGroupsRequest{GroupIDs: []string{call.Group}})
	if err != nil {
		return nil, err
	}
	return nil, deleted.Errors[call.Group]
}

func (it *adapter) committed(call wire.Call) (any, error) {
	fetched, err := it.client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{
		GroupID: call.Group, Topics: map[string][]int{call.Topic: {int(call.Partition)}}})
	if err != nil {
		return nil, err
	}
	found := fetched.Topics[call.Topic][0]
	return found.CommittedOffset, found.Error
}

func (it *adapter) alterCommitted(call wire.Call) (any, error) {
	offset := kafka.OffsetCommit{Partition: int(call.Partition), Offset: call.Offset}
	committed, err := it.client.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{
		GroupID: call.Group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{call.Topic: {offset}}})
	if err != nil {
		return nil, err
	}
	return nil, committed.Topics[call.Topic][0].Error
}

func message(told wire.Record) kafka.Message {
	made := kafka.Message{Key: wire.Bytes(told.Key), Value: wire.Bytes(told.Value), WriterData: int(told.Partition)}
	if told.Timestamp != nil {
		made.Time = time.UnixMilli(*told.Timestamp)
	}
	for _, header := range told.Headers {
		made.Headers = append(made.Headers, kafka.Header{Key: header[0], Value: []byte(header[1])})
	}
	return made
}

func record(message kafka.Message) wire.Record {
	stamp := message.Time.UnixMilli()
	it := wire.Record{Partition: int32(message.Partition), Offset: message.Offset, Key: wire.Text(message.Key),
		Value: wire.Text(message.Value), Headers: [][2]string{}, Timestamp: &stamp}
	for _, header := range message.Headers {
		it.Headers = append(it.Headers, [2]string{header.Key, string(header.Value)})
	}
	return it
}

// The adapter of franz-go: its client kgo, and kadm for administration.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"millstream/compat/wire"
)

type adapter struct {
	address string
	admin   *kadm.Client
	members map[string]*kgo.Client
}

func main() {
	address := os.Args[1]
	// What kadm tells of topics is of this age at most.
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		panic(err)
	}
	it := &adapter{address, kadm.NewClient(client), map[string]*kgo.Client{}}
	wire.Serve(map[string]wire.Verb{
		"version":         wire.Version("github.com/twmb/franz-go"),
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
	options := []kgo.Opt{
		kgo.SeedBrokers(it.address), kgo.ProducerBatchCompression(codecs[call.Compression]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(batchBytes(call)),
	}
	if !call.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	records := make([]*kgo.Record, len(call.Records))
	for n, told := range call.Records {
		records[n] = record(call.Topic, told)
	}
	return nil, client.ProduceSync(context.Background(), records...).FirstErr()
}

// batchBytes lets many records be many batches, some of them underway together.
func batchBytes(call wire.Call) int32 {
	if len(call.Records) > 1 {
		return 16 << 10
	}
	return 1 << 20
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (it *adapter) read(call wire.Call) (any, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(it.address), kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{call.Topic: {call.Partition: kgo.NewOffset().At(call.Offset)}}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), wire.ReadTime)
	defer cancel()
	found := []wire.Record{}
	for len(found) < call.Count {
		fetched := client.PollRecords(ctx, call.Count-len(found))
		if err := fetched.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d records: %w", len(found), call.Count, err)
		}
		fetched.EachRecord(func(record *kgo.Record) { found = append(found, told(record)) })
	}
	return found, nil
}

func (it *adapter) offsetAt(call wire.Call) (any, error) {
	listed, err := it.admin.ListOffsetsAfterMilli(context.Background(), call.Timestamp, call.Topic)
	if err != nil {
		return nil, err
	}
	found, _ := listed.Lookup(call.Topic, call.Partition)
	// kadm gives the end of the partition when no record is that late.
	if found.Timestamp < 0 {
		return nil, found.Err
	}
	return found.Offset, found.Err
}

func (it *adapter) join(call wire.Call) (any, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(it.address), kgo.ConsumerGroup(call.Group), kgo.ConsumeTopics(call.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(300 * time.Millisecond),
	}
	if call.Instance != "" {
		options = append(options, kgo.InstanceID(call.Instance))
	}
	if call.Commit == "auto" {
		options = append(options, kgo.AutoCommitInterval(200*time.Millisecond))
	} else {
		options = append(options, kgo.DisableAutoCommit())
	}
	switch call.Protocol {
	case "classic":
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	case "cooperative":
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case "consumer":
		options = append(options, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	}
	client, err := kgo.NewClient(options...)
	it.members[call.Member] = client
	return nil, err
}

func (it *adapter) poll(call wire.Call) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(call.Ms)*time.Millisecond)
	defer cancel()
	fetched := it.members[call.Member].PollFetches(ctx)
	if err := fetched.Err0(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	found := []wire.Record{}
	fetched.EachRecord(func(record *kgo.Record) { found = append(found, told(record)) })
	return found, nil
}

func (it *adapter) commit(call wire.Call) (any, error) {
	return nil, it.members[call.Member].CommitUncommittedOffsets(context.Background())
}

func (it *adapter) leave(call wire.Call) (any, error) {
	it.members[call.Member].Close()
	delete(it.members, call.Member)
	return nil, nil
}

func (it *adapter) createTopic(call wire.Call) (any, error) {
	configs := map[string]*string{}
	for name, value := range call.Config {
		configs[name] = &value
	}
	created, err := it.admin.CreateTopic(context.Background(), call.Partitions, 1, configs, call.Topic)
	return nil, errors.Join(err, created.Err)
}

func (it *adapter) listTopics(wire.Call) (any, error) {
	topics, err := it.admin.ListTopics(context.Background())
	return topics.Names(), err
}

func (it *adapter) partitions(call wire.Call) (any, error) {
	topics, err := it.admin.ListTopics(context.Background(), call.Topic)
	return len(topics[call.Topic].Partitions), err
}

func (it *adapter) addPartitions(call wire.Call) (any, error) {
	updated, err := it.admin.UpdatePartitions(context.Background(), int(call.Total), call.Topic)
	if err != nil {
		return nil, err
	}
	return nil, updated.Error()
}

func (it *adapter) deleteTopic(call wire.Call) (any, error) {
	deleted, err := it.admin.DeleteTopics(context.Background(), call.Topic)
	if err != nil {
		return nil, err
	}
	return nil, deleted.Error()
}

func (it *adapter) describeConfig(call wire.Call) (any, error) {
	described, err := it.admin.DescribeTopicConfigs(context.Background(), call.Topic)
	if err != nil {
		return nil, err
	}
	topic, err := described.On(call.Topic, nil)
	for _, config := range topic.Configs {
		if config.Key == call.Name {
			return config.MaybeValue(), err
		}
	}
	return nil, err
}

func (it *adapter) alterConfig(call wire.Call) (any, error) {
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: call.Name, Value: &call.Value}}
	altered, err := it.admin.AlterTopicConfigs(context.Background(), change, call.Topic)
	if err != nil {
		return nil, err
	}
	return nil, altered[0].Err
}

func (it *adapter) listGroups(wire.Call) (any, error) {
	listed, err := it.admin.ListGroups(context.Background())
	return listed.Groups(), err
}

func (it *adapter) describeGroup(call wire.Call) (any, error) {
	described, err := it.admin.DescribeGroups(context.Background(), call.Group)
	if err != nil {
		return nil, err
	}
	group := described[call.Group]
	return wire.GroupState{State: strings.ToLower(group.State), Members: len(group.Members)}, group.Err
}

func (it *adapter) deleteGroup(call wire.Call) (any, error) {
	_, err := it.admin.DeleteGroup(context.Background(), call.Group)
	return nil, err
}

func (it *adapter) committed(call wire.Call) (any, error) {
	fetched, err := it.admin.FetchOffsets(context.Background(), call.Group)
	found, _ := fetched.Lookup(call.Topic, call.Partition)
	return found.At, err
}

func (it *adapter) alterCommitted(call wire.Call) (any, error) {
	var offsets kadm.Offsets
	offsets.AddOffset(call.Topic, call.Partition, call.Offset, -1)
	committed, err := it.admin.CommitOffsets(context.Background(), call.Group, offsets)
	return nil, errors.Join(err, committed.Error())
}

func (it *adapter) deleteRecords(call wire.Call) (any, error) {
	var offsets kadm.Offsets
	offsets.AddOffset(call.Topic, call.Partition, call.Offset, -1)
	deleted, err := it.admin.DeleteRecords(context.Background(), offsets)
	return nil, errors.Join(err, deleted.Error())
}

func record(topic string, told wire.Record) *kgo.Record {
	made := &kgo.Record{Topic: topic, Partition: told.Partition, Key: wire.Bytes(told.Key), Value: wire.Bytes(told.Value)}
	if told.Timestamp != nil {
		made.Timestamp = time.UnixMilli(*told.Timestamp)
	}
	for _, header := range told.Headers {
		made.Headers = append(made.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
	}
	return made
}

func told(record *kgo.Record) wire.Record {
	stamp := record.Timestamp.UnixMilli()
	it := wire.Record{Partition: record.Partition, Offset: record.Offset, Key: wire.Text(record.Key),
		Value: wire.Text(record.Value), Headers: [][2]string{}, Timestamp: &stamp}
	for _, header := range record.Headers {
		it.Headers = append(it.Headers, [2]string{header.Key, string(header.Value)})
	}
	return it
}

package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"
	"millstream/compat/wire"
)

// member is a consumer in a group: the library pushes, and the inbox holds it until a poll.
type member struct {
	group   sarama.ConsumerGroup
	stop    context.CancelFunc
	stopped chan struct{}
	inbox   wire.Inbox[delivery]
	isAuto  bool
	// What polls gave last, by partition.
	polled map[int32]delivery
}

type delivery struct {
	message *sarama.ConsumerMessage
	session sarama.ConsumerGroupSession
}

func (it *adapter) join(call wire.Call) (any, error) {
	config := config()
	switch call.Protocol {
	case "cooperative":
		config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	case "consumer":
		return nil, wire.Absent("the library speaks the classic protocol only")
	}
	config.Consumer.Group.InstanceId = call.Instance
	config.Consumer.Offsets.AutoCommit.Enable = call.Commit == "auto"
	config.Consumer.Offsets.AutoCommit.Interval = commitInterval
	group, err := sarama.NewConsumerGroup(it.addresses, call.Group, config)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	joined := &member{group, stop, make(chan struct{}), wire.NewInbox[delivery](), call.Commit == "auto", map[int32]delivery{}}
	go joined.run(ctx, call.Topic)
	it.members[call.Member] = joined
	return nil, nil
}

// run stays in the group: each session ends with a rebalance.
func (it *member) run(ctx context.Context, topic string) {
	defer close(it.stopped)
	for ctx.Err() == nil {
		_ = it.group.Consume(ctx, []string{topic}, it)
	}
}

func (it *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (it *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (it *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		if it.isAuto {
			session.MarkMessage(message, "")
		}
		it.inbox <- delivery{message, session}
	}
	return nil
}

func (it *adapter) poll(call wire.Call) (any, error) {
	member, found := it.members[call.Member], []wire.Record{}
	for _, delivered := range member.inbox.Take(call.Ms) {
		member.polled[delivered.message.Partition] = delivered
		found = append(found, told(delivered.message))
	}
	return found, nil
}

func (it *adapter) commit(call wire.Call) (any, error) {
	for _, last := range it.members[call.Member].polled {
		last.session.MarkMessage(last.message, "")
		last.session.Commit()
	}
	return nil, nil
}

func (it *adapter) leave(call wire.Call) (any, error) {
	leaving := it.members[call.Member]
	delete(it.members, call.Member)
	leaving.stop()
	<-leaving.stopped
	return nil, leaving.group.Close()
}

const commitInterval = 200 * time.Millisecond

// Package wire is an adapter's end of the pipe to tests/compat/clients: a verb a line comes in, its answer goes out.
package wire

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// Record is one record as the pipe tells it; absent texts are null.
type Record struct {
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	Key       *string     `json:"key"`
	Value     *string     `json:"value"`
	Headers   [][2]string `json:"headers"`
	Timestamp *int64      `json:"timestamp"`
}

// Call is a verb with whichever of the arguments it takes.
type Call struct {
	Verb        string
	Topic       string
	Group       string
	Member      string
	Protocol    string
	Instance    string
	Commit      string
	Compression string
	Name        string
	Value       string
	Config      map[string]string
	Idempotent  bool
	Partition   int32
	Partitions  int32
	Total       int32
	Offset      int64
	Timestamp   int64
	Count       int
	Ms          int
	Records     []Record
}

// GroupState is what describe_group answers.
type GroupState struct {
	State   string `json:"state"`
	Members int    `json:"members"`
}

// ReadTime is how long a read waits for its records.
const ReadTime = 20 * time.Second

// Absent is the error of what a library does not have.
type Absent string

func (why Absent) Error() string { return string(why) }

// Verb answers a call.
type Verb func(Call) (any, error)

// Serve answers calls until the pipe is closed.
func Serve(verbs map[string]Verb) {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := answers.Encode(reply(verbs, line)); err != nil {
			return
		}
	}
}

func reply(verbs map[string]Verb, line []byte) map[string]any {
	var call Call
	if err := json.Unmarshal(line, &call); err != nil {
		return map[string]any{"error": err.Error()}
	}
	verb, known := verbs[call.Verb]
	if !known {
		return map[string]any{"absent": "the library has no such call"}
	}
	answer, err := verb(call)
	if why, absent := err.(Absent); absent {
		return map[string]any{"absent": string(why)}
	}
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"answer": answer}
}

// Version is the version of a module that this program was built with.
func Version(module string) Verb {
	return func(Call) (any, error) {
		info, _ := debug.ReadBuildInfo()
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return strings.TrimPrefix(dependency.Version, "v"), nil
			}
		}
		return nil, fmt.Errorf("%s is not in this program", module)
	}
}

// Bytes are a text's, and nil is nil.
func Bytes(text *string) []byte {
	if text == nil {
		return nil
	}
	return append([]byte{}, *text...)
}

// Text is what a key or value says, and nil is nil.
func Text(data []byte) *string {
	if data == nil {
		return nil
	}
	text := string(data)
	return &text
}

// Inbox holds what a consumer was pushed until it is polled for.
type Inbox[T any] chan T

// NewInbox is an empty one; who pushes more than it holds waits.
func NewInbox[T any]() Inbox[T] { return make(Inbox[T], 10_000) }

// Take gives what is there, waiting at most so many milliseconds for the first.
func (inbox Inbox[T]) Take(ms int) []T {
	var taken []T
	select {
	case it := <-inbox:
		taken = append(taken, it)
	case <-time.After(time.Duration(ms) * time.Millisecond):
	}
	for {
		select {
		case it := <-inbox:
			taken = append(taken, it)
		default:
			return taken
		}
	}
}

package topology

import (
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// argumentsOf are those the queue of that name is declared with.
func argumentsOf(t Topology, name string) amqp.Table {
	i := slices.IndexFunc(t.Queues, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return nil
	}
	return t.Queues[i].arguments()
}

func TestWorkQueueArguments(t *testing.T) {
	for name, c := range map[string]struct {
		cfg      WorkConfig
		want     amqp.Table
		backstop bool
	}{
		"default": {WorkConfig{}, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(100),
			"x-dead-letter-exchange": "hareline.dlx", "x-dead-letter-routing-key": "orders",
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}, true},
		"classic": {WorkConfig{Type: Classic}, amqp.Table{"x-queue-type": "classic",
			"x-dead-letter-exchange": "hareline.dlx", "x-dead-letter-routing-key": "orders"}, false},
		"classic, bounded": {WorkConfig{Type: Classic, MaxLength: 5, MaxPriority: 3, Ladder: Ladder{Scope: "orders"}}, amqp.Table{"x-queue-type": "classic",
			"x-dead-letter-exchange": "hareline.dlx", "x-dead-letter-routing-key": "orders",
			"x-max-length": int64(5), "x-max-priority": int64(3), "x-overflow": "reject-publish"}, false},
		"loss wanted": {WorkConfig{MaxLength: 5, Overflow: DropHead}, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(100),
			"x-dead-letter-exchange": "hareline.dlx", "x-dead-letter-routing-key": "orders",
			"x-dead-letter-strategy": "at-most-once", "x-max-length": int64(5), "x-overflow": "drop-head"}, false},
		"everything": {WorkConfig{TTL: time.Second, MaxBytes: 7, DeliveryLimit: 10_000, SingleActive: true,
			DeadLetterExchange: "dlx", DeadLetterKey: "failed", DeadLetterQueue: "failed_messages", Ladder: Ladder{Scope: "orders", Levels: 8}},
			amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(10_000), "x-message-ttl": int64(1000),
				"x-max-length-bytes": int64(7), "x-single-active-consumer": true,
				"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "failed",
				"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := WorkQueue("orders", c.cfg)
			mustBeValid(t, w.Topology)
			if got := argumentsOf(w.Topology, "orders"); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
			dlq := amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": Unlimited}
			if got := argumentsOf(w.Topology, w.DeadLetterQueue); fmt.Sprint(got) != fmt.Sprint(dlq) {
				t.Errorf("dead-letter queue: %v, want %v", got, dlq)
			}
			if w.Backstop() != c.backstop {
				t.Errorf("Backstop is %v", w.Backstop())
			}
		})
	}
}

func TestBackstopOfForeignQueues(t *testing.T) {
	for name, w := range map[string]Work{
		"unknown":        {Queue: "q"},
		"external":       {Queue: "q", Topology: queues(Queue{Name: "q", External: true})},
		"no dead letter": {Queue: "q", Topology: queues(Queue{Name: "q"})},
	} {
		if w.Backstop() {
			t.Errorf("%s: Backstop is true", name)
		}
	}
}

type longest time.Duration

func (l longest) Longest() time.Duration { return time.Duration(l) }

func TestWorkQueueFaults(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  WorkConfig
		want string
	}{
		"limit":        {WorkConfig{DeliveryLimit: 10_001}, "at most 10000"},
		"limit -1":     {WorkConfig{DeliveryLimit: -1}, "set it to Unlimited"},
		"shared key":   {WorkConfig{DeadLetterKey: "failed"}, "name the one DeadLetterQueue"},
		"long retry":   {WorkConfig{Retry: longest(20 * 24 * time.Hour)}, "reaches 436h54m24s"},
		"short ladder": {WorkConfig{Retry: longest(2 * time.Second), Ladder: Ladder{Scope: "orders", Levels: 4}}, "reaches 1.5s"},
		"fraction":     {WorkConfig{TTL: time.Nanosecond}, "whole milliseconds"},
		"classic":      {WorkConfig{Type: Classic, DeliveryLimit: 5}, "for quorum"},
		"priority":     {WorkConfig{MaxPriority: 5}, "MaxPriority"},
		"stream":       {WorkConfig{Type: Stream}, "an ack removes nothing"},
		"default exchange": {WorkConfig{DeadLetterExchange: "amq.fanout", Bindings: []Binding{{Source: ""}}},
			"default exchange cannot be bound"},
	} {
		t.Run(name, func(t *testing.T) {
			w := WorkQueue("orders", c.cfg)
			wantOneFault(t, w.Topology, c.want)
			wantOneFault(t, Topology{}.Merge(w.Topology, w.Topology), c.want) // kept by Merge, once
		})
	}
	mustBeValid(t, WorkQueue("orders", WorkConfig{Retry: longest(18 * 24 * time.Hour)}).Topology)
}

func TestWorkQueuesTogether(t *testing.T) {
	seed := func(name string) Work {
		return WorkQueue(name, WorkConfig{DeadLetterExchange: "dlx", DeadLetterKey: "failed",
			DeadLetterQueue: "failed_messages", TTL: 300_000 * time.Millisecond})
	}
	all := seed("a").Merge(seed("b").Topology, WorkQueue("c", WorkConfig{}).Topology, WorkQueue("d", WorkConfig{}).Topology)
	mustBeValid(t, all)
	if len(all.Ladders) != 1 || len(all.Exchanges) != 2 || len(all.Queues) != 7 {
		t.Errorf("%d ladders, %d exchanges, %d queues; want 1, 2, 7", len(all.Ladders), len(all.Exchanges), len(all.Queues))
	}
}

func TestWorkQueueBindings(t *testing.T) {
	w := WorkQueue("orders", WorkConfig{Bindings: []Binding{{Source: "events", Key: "order.*", Destination: "ignored", ToExchange: true}}})
	var got []string
	for _, b := range w.Bindings {
		got = append(got, b.entity())
	}
	want := []string{
		`binding "hareline.dlx" to queue "orders.dlq" by key "orders"`,
		`binding "hareline.v1.100ms.24.default.due" to queue "orders" by key "#.orders"`,
		`binding "events" to queue "orders" by key "order.*"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

package topology_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

func ExampleWorkQueue() {
	orders := topology.WorkQueue("orders", topology.WorkConfig{
		Bindings: []topology.Binding{{Source: "events", Key: "order.*"}},
	})
	for _, q := range orders.Queues {
		fmt.Println("queue", q.Name)
	}
	for _, b := range orders.Bindings {
		fmt.Println("binding", b.Source, b.Key, "to", b.Destination)
	}
	fmt.Println("safe to reject:", orders.Backstop())
	// Output:
	// queue orders.dlq
	// queue orders
	// binding hareline.dlx orders to orders.dlq
	// binding hareline.v1.100ms.24.default.due #.orders to orders
	// binding events order.* to orders
	// safe to reject: true
}

// Several work queues may share one dead-letter queue, by one key.
func ExampleWorkQueue_sharedDeadLetterQueue() {
	failed := topology.WorkConfig{
		DeadLetterExchange: "dlx",
		DeadLetterKey:      "failed",
		DeadLetterQueue:    "failed_messages",
		TTL:                5 * time.Minute,
	}
	users := topology.WorkQueue("user_creation_queue", failed)
	videos := topology.WorkQueue("video_queue", failed)
	all := users.Merge(videos.Topology)
	fmt.Println(len(all.Queues), "queues,", len(all.Exchanges), "exchange:", all.Validate())
	// Output: 3 queues, 1 exchange: <nil>
}

func ExampleTopology_Validate() {
	t := topology.Topology{
		Queues: []topology.Queue{
			{Name: "work", DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "retry"},
			{Name: "retry", TTL: 5 * time.Second, DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "work"},
			{Name: "jobs", Arguments: amqp.Table{"x-max-lengths": 1000}},
		},
	}
	var faults *topology.ValidationError
	if errors.As(t.Validate(), &faults) {
		for _, f := range faults.Faults {
			fmt.Println(f.Entity+":", f.Problem)
		}
	}
	// Output:
	// queue "jobs": argument x-max-lengths: RabbitMQ knows no such argument, and would ignore it, did you mean "x-max-length"?
	// queue "work": dead letters go in a circle without a reject (work -> retry -> work): RabbitMQ drops the message, in silence, when it comes round (H 5.6)
}

func ExampleLadder_Park() {
	exchange, key, actual := topology.Ladder{Levels: 6}.Park("orders", 1700*time.Millisecond)
	fmt.Println(exchange)
	fmt.Println(key)
	fmt.Println(actual)
	// Output:
	// hareline.v1.100ms.6.default.level.04
	// 0.1.0.0.1.0.orders
	// 1.8s
}

func ExampleDeclare() {
	declare := func(ctx context.Context, l *link.Link) error {
		orders := topology.WorkQueue("orders", topology.WorkConfig{
			Bindings: []topology.Binding{{Source: "events", Key: "order.*"}},
		})
		t := orders.Merge(topology.Topology{
			Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic}},
		})
		err := topology.Declare(ctx, l, t)
		var mismatch *topology.MismatchError
		if errors.As(err, &mismatch) {
			return fmt.Errorf("%s is of an older release, %s was %s: %w",
				mismatch.Entity, mismatch.Argument, mismatch.Have, err)
		}
		return err
	}
	_ = declare
}

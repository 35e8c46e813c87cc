package amqptest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// What a publisher has to live with: a nack, a connection that is cut after
// the broker has the message, and a refusal.
func Example_faults() {
	b, err := amqptest.Start("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := link.Open(ctx, link.Config{URLs: []string{b.URL()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)
	queue := topology.Queue{Name: "orders"}
	if err := topology.Declare(ctx, l, topology.Topology{Queues: []topology.Queue{queue}}); err != nil {
		log.Fatal(err)
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer pub.Close(ctx)
	inject := func(f amqptest.Fault) *amqptest.Injected {
		injected, err := b.Inject(f)
		if err != nil {
			log.Fatal(err) // it names the field that is wrong, and the fix
		}
		return injected
	}
	publish := func(id string) error {
		return pub.Publish(ctx, "", "orders", amqp.Publishing{MessageId: id})
	}

	// The next publish to the queue is nacked, as by a queue that is full.
	inject(amqptest.Fault{Do: amqptest.Nack, Queue: "orders"})
	var nacked *confirm.NackedError
	fmt.Println("nacked:", errors.As(publish("a"), &nacked))

	// The next is stored, and the connection is cut instead of a confirm. The
	// publisher sends it again under the same message-id.
	cut := inject(amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish"})
	fmt.Println("cut:", publish("b"), cut.Hits())

	// Every publish is refused until the fault is removed.
	refused := inject(amqptest.Fault{Do: amqptest.CloseChannel, On: "basic.publish", Times: -1, Code: 403, Text: "ACCESS_REFUSED"})
	var refusal *confirm.RefusedError
	if errors.As(publish("c"), &refusal) {
		fmt.Println("refused:", refusal.Code)
	}
	refused.Remove()

	for _, m := range b.Messages("/", "orders") {
		fmt.Println("stored:", m.MessageID)
	}
	// Output:
	// nacked: true
	// cut: <nil> 1
	// refused: 403
	// stored: b
	// stored: b
}

package amqptest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
)

// A broker whose time moves only when it is told to: what takes a minute on a
// real one takes no time in a test.
func ExampleBroker_Advance() {
	b, err := amqptest.Config{Clock: amqptest.Stopped}.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ch := channel(b)
	declare(ch, "retry", amqp.Table{
		"x-message-ttl": 60000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work",
	})
	declare(ch, "work", nil)
	publish(ch, "retry", "hello")

	count := func() {
		retry, _ := b.Queue("/", "retry")
		work, _ := b.Queue("/", "work")
		fmt.Println(retry.Ready, work.Ready)
	}
	b.Advance(59 * time.Second)
	count()
	b.Advance(time.Second)
	count()
	// Output:
	// 1 0
	// 0 1
}

// The second publish is stored, but the connection ends before the broker can
// say so.
func ExampleBroker_Inject() {
	b, err := amqptest.Start("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ch := channel(b)
	declare(ch, "orders", nil)
	fault, err := b.Inject(amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Queue: "orders", Nth: 2})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("confirmed:", publish(ch, "orders", "one"))
	fmt.Println("confirmed:", publish(ch, "orders", "two"))
	fmt.Println("hits:", fault.Hits())
	for _, m := range b.Messages("/", "orders") {
		fmt.Printf("stored: %s\n", m.Body)
	}
	// Output:
	// confirmed: true
	// confirmed: false
	// hits: 1
	// stored: one
	// stored: two
}

// What happened, as text that a golden file can hold.
func ExampleBroker_TraceText() {
	b, err := amqptest.Config{Clock: amqptest.Stopped, Trace: 100}.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ch := channel(b)
	declare(ch, "orders", nil)
	publish(ch, "orders", "one")
	b.Advance(time.Minute)
	if _, err := ch.QueuePurge("orders", false); err != nil {
		log.Fatal(err)
	}
	fmt.Print(b.TraceText(amqptest.OnQueue("orders")))
	// Output:
	// +0s 1/1 queue declared queue=orders type=classic
	// +0s 1/1 published exchange="(AMQP default)" key=orders tag=1 queues=orders
	// +1m0s 1/1 queue purged queue=orders count=1
}

func channel(b *amqptest.Broker) *amqp.Channel {
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		log.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		log.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		log.Fatal(err)
	}
	return ch
}

func declare(ch *amqp.Channel, queue string, args amqp.Table) {
	if _, err := ch.QueueDeclare(queue, true, false, false, false, args); err != nil {
		log.Fatal(err)
	}
}

// publish tells whether the broker confirmed the message.
func publish(ch *amqp.Channel, queue, body string) bool {
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{Body: []byte(body)})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ok, err := confirm.WaitContext(ctx)
	return ok && err == nil
}

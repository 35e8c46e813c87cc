package amqptest

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestFaultClosesAConsumersChannelNow(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "c")
	ch, other := confirming(t, c, "q"), opened(t, c)
	if _, err := ch.Consume("q", "", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	n := inject(t, b, Fault{Do: CloseChannel, On: Now, Queue: "q", Code: 404})
	closedWith(t, closed, 404, "NOT_FOUND - injected fault")
	if _, err := other.QueueDeclare("q2", false, false, false, false, nil); err != nil {
		t.Error(err)
	}
	hits(t, n, 1)
}

func TestFaultDeletesAQueueUnderAConsumer(t *testing.T) {
	for _, on := range []string{Now, "basic.deliver", "basic.publish", "basic.ack"} {
		t.Run(on, func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "c")
			ch := confirming(t, c, "q")
			deliveries, err := ch.Consume("q", "me", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			cancelled := ch.NotifyCancel(make(chan string, 1))
			n := inject(t, b, Fault{Do: DeleteQueue, On: on, Queue: "q"})
			if on != Now {
				publish(t, ch, "q", "1")
			}
			if on == "basic.ack" {
				d := <-deliveries
				_ = d.Ack(false)
			}
			select {
			case tag := <-cancelled:
				if tag != "me" {
					t.Errorf("cancelled: %s", tag)
				}
			case <-inTime(t).Done():
				t.Fatal("not cancelled")
			}
			for range deliveries { // it ends
			}
			if _, there := b.Queue("/", "q"); there {
				t.Error("the queue is there")
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultCancelsConsumers(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "c"), "q")
	deliveries, err := ch.Consume("q", "me", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "1")
	d := <-deliveries
	n := inject(t, b, Fault{Do: CancelConsumers, Queue: "q"})
	for range deliveries { // it ends
	}
	publish(t, ch, "q", "2")
	if err := d.Ack(false); err != nil {
		t.Error(err)
	}
	await(t, b, OfKind(EventAcked))
	q, there := b.Queue("/", "q")
	if !there || q.Consumers != 0 || q.Ready != 1 || q.Unacked != 0 {
		t.Errorf("queue: %+v", q)
	}
	hits(t, n, 1)
}

// The consumers are gone from their queue and nobody is told: the channel goes on,
// acks what it has, keeps its tag and can be closed.
func TestFaultForgetsConsumers(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			b := New(t)
			conn := dialNamed(t, b, "c")
			ch := confirming(t, conn, "q")
			if _, err := ch.QueueDeclare("mine", true, false, false, false, amqp.Table{"x-queue-type": kind}); err != nil {
				t.Fatal(err)
			}
			deliveries, err := ch.Consume("mine", "me", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			cancelled := ch.NotifyCancel(make(chan string, 1))
			publish(t, ch, "mine", "1")
			publish(t, ch, "mine", "2")
			first, second := <-deliveries, <-deliveries
			n := inject(t, b, Fault{Do: ForgetConsumers, Queue: "mine"})
			publish(t, ch, "mine", "3")
			if err := first.Ack(false); err != nil {
				t.Error(err)
			}
			await(t, b, OfKind(EventAcked))
			q, there := b.Queue("/", "mine")
			if !there || q.Consumers != 0 || q.Ready != 1 || q.Unacked != 1 || len(b.Consumers("/")) != 0 {
				t.Errorf("queue: %+v", q)
			}
			other, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			again, err := other.Consume("mine", "other", true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := <-again; string(d.Body) != "3" {
				t.Errorf("another consumer got %s", d.Body)
			}
			select {
			case d, open := <-deliveries:
				t.Errorf("the forgotten consumer got %s (open: %v)", d.Body, open)
			case tag := <-cancelled:
				t.Errorf("%s was told", tag)
			default:
			}
			if err := ch.Close(); err != nil {
				t.Error(err)
			}
			if d := <-again; d.MessageId != second.MessageId || string(d.Body) != "2" || !d.Redelivered {
				t.Errorf("came back: %s", d.Body)
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultAtADelivery(t *testing.T) {
	for _, do := range []Effect{DropBefore, CloseConnection, CloseChannel} {
		t.Run(string(do), func(t *testing.T) {
			b := New(t)
			ch := confirming(t, dialNamed(t, b, "c"), "q")
			closed := ch.NotifyClose(make(chan *amqp.Error, 1))
			n := inject(t, b, Fault{Do: do, On: "basic.deliver", Nth: 2})
			if _, err := ch.Consume("q", "", false, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			publish(t, ch, "q", "1")
			publish(t, ch, "q", "2")
			select {
			case <-closed:
			case <-inTime(t).Done():
				t.Fatal("not closed")
			}
			hits(t, n, 1)
			await(t, b, OfKind(EventRequeued), func(e Event) bool { return e.MessageID == "2" })
			for _, m := range b.Messages("/", "q") {
				if !m.Redelivered {
					t.Errorf("%s is not redelivered", m.Body)
				}
			}
		})
	}
}

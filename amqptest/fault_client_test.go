package amqptest

import (
	"context"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inject fails the test where the fault is refused.
func inject(t *testing.T, b *Broker, f Fault) *Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dialNamed opens a connection of amqp091-go that has a name.
func dialNamed(t *testing.T, b *Broker, name string) *amqp.Connection {
	t.Helper()
	c, err := tryDial(t, b, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, b *Broker, name string) (*amqp.Connection, error) {
	t.Helper()
	c, err := amqp.DialConfig(b.URL(), amqp.Config{
		Heartbeat: 30 * time.Second, Locale: "en_US", Properties: amqp.Table{"connection_name": name},
	})
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// confirming opens a channel in confirm mode, with a queue.
func confirming(t *testing.T, c *amqp.Connection, queue string) *amqp.Channel {
	t.Helper()
	ch := opened(t, c)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(queue, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	return ch
}

func opened(t *testing.T, c *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// publish sends one message to a queue and does not wait for its confirm.
func publish(t *testing.T, ch *amqp.Channel, queue, body string) *amqp.DeferredConfirmation {
	t.Helper()
	d, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{Body: []byte(body), MessageId: body})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func inTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// await waits for an event.
func await(t *testing.T, b *Broker, where ...func(Event) bool) Event {
	t.Helper()
	e, err := b.WaitEvent(inTime(t), Both(where...))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.TraceText(nil))
	}
	return e
}

func hits(t *testing.T, n *Injected, want int) {
	t.Helper()
	if got := n.Hits(); got != want {
		t.Errorf("hits: %d, want %d", got, want)
	}
	events := n.broker.Trace(Both(OfKind(EventFault), func(e Event) bool { return e.Reason == string(n.fault.Do) }))
	if len(events) != want {
		t.Errorf("%d events of the fault, want %d", len(events), want)
	}
}

// bodies are those of a queue's ready messages.
func bodies(b *Broker, queue string) string {
	var all []string
	for _, m := range b.Messages("/", queue) {
		all = append(all, string(m.Body))
	}
	return strings.Join(all, " ")
}

func closedWith(t *testing.T, closed <-chan *amqp.Error, code int, text string) {
	t.Helper()
	select {
	case err := <-closed:
		if err == nil || err.Code != code || err.Reason != text {
			t.Errorf("closed with %v, want %d %s", err, code, text)
		}
	case <-inTime(t).Done():
		t.Error("not closed")
	}
}

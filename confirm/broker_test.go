package confirm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

var quiet = slog.New(slog.DiscardHandler)

// each runs a test on a broker of each version, in a bubble: time passes when
// all wait.
func each(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	eachWith(t, amqptest.Config{}, test)
}

func eachWith(t *testing.T, cfg amqptest.Config, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := cfg
				cfg.Version, cfg.Clock = v, amqptest.Running
				test(t, cfg.New(t))
			})
		})
	}
}

// on40 is each where the versions do not differ.
func on40(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, amqptest.Config{Clock: amqptest.Running}.New(t)) })
}

// soon ends what hangs. An hour of the bubble is next to nothing.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}

func after(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// pass lets d go by, and whatever falls due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func open(t *testing.T, b *amqptest.Broker, cfg link.Config) *link.Link {
	t.Helper()
	if cfg.URLs == nil {
		cfg.URLs = []string{b.PipeURL()}
	}
	cfg.Dial, cfg.Logger = b.Dial, quiet
	l, err := link.Open(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Errorf("Link.Close: %v", err)
		}
	})
	return l
}

func publisherOn(t *testing.T, l *link.Link, cfg confirm.Config) *confirm.Publisher {
	t.Helper()
	cfg.Logger = quiet
	p, err := confirm.Open(soon(t), l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

// publisher opens a publisher on a link of its own.
func publisher(t *testing.T, b *amqptest.Broker, cfg confirm.Config) *confirm.Publisher {
	t.Helper()
	return publisherOn(t, open(t, b, link.Config{}), cfg)
}

// operate does something over a connection of its own.
func operate(t *testing.T, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(ch); err != nil {
		t.Fatal(err)
	}
}

func declare(t *testing.T, b *amqptest.Broker, queue string, args amqp.Table) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, args)
		return err
	})
}

func inject(t *testing.T, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// send sends messages with the ids 000, 001 and so on.
func send(t *testing.T, p *confirm.Publisher, n int, exchange, key string) []*confirm.Receipt {
	t.Helper()
	var all []*confirm.Receipt
	for i := range n {
		all = append(all, p.Send(soon(t), exchange, key, message(i)))
	}
	return all
}

func message(i int) amqp.Publishing {
	return amqp.Publishing{MessageId: fmt.Sprintf("%03d", i), Body: []byte("body")}
}

func allConfirmed(t *testing.T, receipts []*confirm.Receipt) {
	t.Helper()
	for _, r := range receipts {
		if err := r.Wait(soon(t)); err != nil {
			t.Errorf("%s: %v", r.MessageID(), err)
		}
	}
}

// ids are the message-ids in a queue.
func ids(b *amqptest.Broker, queue string) []string {
	var all []string
	for _, m := range b.Messages("/", queue) {
		all = append(all, m.MessageID)
	}
	return all
}

// firsts are the ids without those that came before.
func firsts(all []string) []string {
	var once []string
	seen := map[string]bool{}
	for _, id := range all {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// arrivedInOrder checks that the queue has the n messages of send, each for the
// first time in its turn.
func arrivedInOrder(t *testing.T, b *amqptest.Broker, queue string, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, message(i).MessageId)
	}
	if got := firsts(ids(b, queue)); !slices.Equal(got, want) {
		t.Errorf("arrived in %s: %v", queue, got)
	}
}

// as is errors.As that fails the test.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("got %v, want a %T", err, want)
	}
	return want
}

// published counts the publishes that reached the broker.
func published(b *amqptest.Broker) int { return len(b.Trace(amqptest.OfKind(amqptest.EventPublished))) }

// connected counts the connections that were ever made.
func connected(b *amqptest.Broker) int {
	return len(b.Trace(amqptest.OfKind(amqptest.EventConnectionOpened)))
}

// confirming counts the open channels of publishers.
func confirming(b *amqptest.Broker) int {
	n := 0
	for _, ch := range b.Channels() {
		if ch.Confirms {
			n++
		}
	}
	return n
}

// ended checks that receipts have their outcome, without any time
// passing.
func ended(t *testing.T, receipts ...*confirm.Receipt) {
	t.Helper()
	synctest.Wait()
	for _, r := range receipts {
		if errors.Is(r.Outcome(), confirm.ErrPending) {
			t.Errorf("%s: no outcome yet", r.MessageID())
		}
	}
}

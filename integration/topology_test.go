package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// Many processes may declare the same at once; a process of another release that
// wants other arguments is told which.
func TestDeclareIsIdempotent(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		all := topology.WorkQueue("orders", topology.WorkConfig{Bindings: []topology.Binding{{Source: "events", Key: "order.*"}}}).
			Merge(topology.WorkQueue("mails", topology.WorkConfig{
				Type: topology.Classic, TTL: 300 * time.Second, MaxPriority: 5,
				DeadLetterExchange: "dlx", DeadLetterKey: "failed", DeadLetterQueue: "failed_messages",
			}).Topology, topology.Topology{Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic}}})
		var procs sync.WaitGroup
		for range 4 {
			l := open(t, link.Config{URLs: []string{b.URL}})
			procs.Go(func() {
				for range 2 {
					if err := topology.Declare(deadline(t), l, all); err != nil {
						t.Error(err)
					}
				}
			})
		}
		procs.Wait()

		l := open(t, link.Config{URLs: []string{b.URL}})
		for want, other := range map[string]topology.Topology{
			`queue "orders": x-message-ttl is none, not 1000`:    topology.WorkQueue("orders", topology.WorkConfig{TTL: time.Second}).Topology,
			`queue "orders": x-delivery-limit is 100, not 50`:    topology.WorkQueue("orders", topology.WorkConfig{DeliveryLimit: 50}).Topology,
			`exchange "events": type is topic, not direct`:       {Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeDirect}}},
			`exchange "events": durable is true, not false`:      {Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic, Transient: true}}},
			`queue "failed_messages": auto_delete is false, not`: {Queues: []topology.Queue{{Name: "failed_messages", Type: topology.Classic, AutoDelete: true}}},
		} {
			err := topology.Declare(deadline(t), l, other)
			var m *topology.MismatchError
			if !errors.As(err, &m) {
				t.Errorf("%v, want *MismatchError", err)
				continue
			}
			if got := fmt.Sprintf("%s: %s is %s, not %s", m.Entity, m.Argument, m.Have, m.Want); !strings.HasPrefix(got, want) &&
				m.Argument != "x-queue-type" && m.Argument != "x-delivery-limit" { // which one is named first is the broker's choice
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// Missing, refused: each is an error of its own that names the entity.
func TestDeclareErrors(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		work(t, l, "orders", topology.WorkConfig{})
		var missing *topology.MissingError
		for want, top := range map[string]topology.Topology{
			`queue "nope"`:    {Queues: []topology.Queue{{Name: "nope", External: true}}},
			`exchange "nope"`: {Bindings: []topology.Binding{{Source: "nope", Destination: "orders"}}},
		} {
			if err := topology.Declare(deadline(t), l, top); !errors.As(err, &missing) || missing.Missing != want {
				t.Errorf("%v, want no %s", err, want)
			}
		}
		there := topology.Topology{
			Exchanges: []topology.Exchange{{Name: "hareline.dlx", External: true}, {Name: "amq.topic", External: true}},
			Queues:    []topology.Queue{{Name: "orders", External: true}},
		}
		if err := topology.Declare(deadline(t), l, there); err != nil {
			t.Error(err)
		}
		if err := topology.Declare(deadline(t), l, topology.Topology{Exchanges: []topology.Exchange{{Name: "e", Kind: "x-nope"}}}); err == nil || !strings.Contains(err.Error(), `exchange "e"`) {
			t.Errorf("%v, want the exchange named", err)
		}

		stranger := open(t, link.Config{URLs: []string{stranger(t, b)}})
		err := topology.Declare(deadline(t), stranger, topology.Topology{Queues: []topology.Queue{{Name: "jobs"}}})
		var refused *topology.PermissionError
		if !errors.As(err, &refused) || refused.Entity != `queue "jobs"` || refused.Resource != `queue "jobs"` {
			t.Errorf("%v, want *PermissionError for the queue", err)
		}
	})
}

// stranger is a user who may do nothing, except with names that start with "ok".
func stranger(t *testing.T, b *brokertest.Broker) (url string) {
	t.Helper()
	name := "stranger-" + b.VHost
	ok := brokertest.Permissions{Configure: "^ok", Write: "^ok", Read: "^ok"}
	if err := b.API().CreateUser(deadline(t), name, "secret", ok); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.API().DeleteUser(context.Background(), name) })
	uri, err := amqp.ParseURI(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	uri.Username, uri.Password = name, "secret"
	return uri.String()
}

// What Validate lets through, the broker takes.
func TestBrokerAcceptsWhatValidateAccepts(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		for i, q := range []topology.Queue{
			{}, {Type: topology.Classic}, {TTL: 315_360_000_000 * time.Millisecond}, {Expires: time.Hour},
			{MaxLength: 5, Overflow: topology.RejectPublish}, {MaxBytes: 5, Overflow: topology.DropHead},
			{SingleActive: true}, {DeliveryLimit: topology.Unlimited},
			{Type: topology.Classic, MaxPriority: 255, SingleActive: true, MaxLength: 5, Overflow: topology.RejectPublish},
			{Type: topology.Classic, Exclusive: true}, {Type: topology.Classic, Exclusive: true, Transient: true}, {Type: topology.Classic, AutoDelete: true},
			{DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "box", DeliveryLimit: 3},
			{DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "box", Overflow: topology.DropHead},
			{DeadLetterExchange: "amq.direct", DeadLetterStrategy: topology.AtMostOnce},
			{Type: topology.Classic, DeadLetterExchange: "amq.fanout"},
			{InitialGroupSize: 1, LeaderLocator: topology.Balanced}, {Type: topology.Stream, MaxAge: 7 * 24 * time.Hour},
			{Type: topology.Classic, Arguments: amqp.Table{"x-queue-mode": "lazy", "x-queue-version": 2}},
			{Unchecked: amqp.Table{"x-foo": "bar"}},
		} {
			q.Name = fmt.Sprintf("q.%d", i)
			top := topology.Topology{Queues: []topology.Queue{{Name: "box"}, q}}
			for range 2 {
				if err := topology.Declare(deadline(t), l, top); err != nil {
					t.Errorf("%+v: %v", q, err)
				}
			}
		}
	})
}

// Declare goes on after a reconnect.
func TestDeclareSurvivesCuts(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, ReconnectMin: 5 * time.Millisecond})
		w := topology.WorkQueue("orders", topology.WorkConfig{})
		for _, n := range []int64{200, 1200} { // in the answers to the first declares, and to later ones
			proxy.CutAfterBytes(brokertest.ToClient, n)
			dials := proxy.Dials()
			if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
				t.Fatal(err)
			}
			if proxy.Dials() == dials {
				t.Errorf("nothing was cut within %d bytes", n)
			}
		}
		direct := open(t, link.Config{URLs: []string{b.URL}})
		in := arrivals(t, direct, "orders")
		park(t, publisher(t, direct, confirm.Config{}), w, "m", 300*time.Millisecond)
		wait(t, in, "the parked message")
	})
}

// Each work queue's dead letters go to its own dead-letter queue (R 15), and wait
// there for longer than anybody looks.
func TestDeadLettersStayApart(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		a, other := work(t, l, "a", topology.WorkConfig{}), work(t, l, "b", topology.WorkConfig{})
		if !a.Backstop() {
			t.Fatal("a quorum work queue has no backstop")
		}
		for range 5 {
			if err := p.Publish(deadline(t), "", "a", amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		do(t, l, func(ch *amqp.Channel) error {
			for range 5 {
				d, _, err := ch.Get("a", false)
				if err != nil {
					return err
				}
				if err := d.Reject(false); err != nil {
					return err
				}
			}
			return nil
		})
		b.AwaitDepth(t, a.DeadLetterQueue, 5, patience)
		if n := depth(t, l, other.DeadLetterQueue); n != 0 {
			t.Errorf("the other dead-letter queue has %d letters", n)
		}
		for range 30 { // looks: 4.x drops after 21 by default
			do(t, l, func(ch *amqp.Channel) error {
				d, ok, err := ch.Get(a.DeadLetterQueue, false)
				if err != nil || !ok {
					return errors.Join(err, errors.New("no letter"))
				}
				return d.Reject(true)
			})
		}
		b.AwaitDepth(t, a.DeadLetterQueue, 5, patience)
	})
}

// The rings that Validate refuses are real: without the check the message vanishes.
func TestRingsVanish(t *testing.T) {
	const ttl = 100 * time.Millisecond
	work := topology.Queue{Name: "work", DeliveryLimit: 1, DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "retry"}
	again := topology.Queue{Name: "retry", TTL: ttl, DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "work"}
	self := topology.Queue{Name: "self", TTL: ttl, DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "self"}
	for name, ring := range map[string][]topology.Queue{"delivery limit, TTL": {work, again}, "TTL into itself": {self}} {
		var refused *topology.ValidationError
		if err := (topology.Topology{Queues: ring}).Validate(); !errors.As(err, &refused) || !strings.Contains(err.Error(), "circle") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	dlx := func(to string, more amqp.Table) amqp.Table {
		args := amqp.Table{"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": to,
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
		for k, v := range more {
			args[k] = v
		}
		return args
	}
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "work", dlx("retry", amqp.Table{"x-delivery-limit": int64(1)}))
		declareQueue(t, l, "retry", dlx("work", amqp.Table{"x-message-ttl": ttl.Milliseconds()}))
		declareQueue(t, l, "self", dlx("self", amqp.Table{"x-message-ttl": ttl.Milliseconds()}))
		for _, q := range []string{"work", "self"} {
			if err := p.Publish(deadline(t), "", q, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		// A crash loop: a delivery counts when its channel closes, on every version.
		deliveries := 0
		var quiet time.Time
		brokertest.Eventually(t, patience, func() error {
			do(t, l, func(ch *amqp.Channel) error {
				_, ok, err := ch.Get("work", false)
				if ok {
					deliveries++
				}
				return err
			})
			if depth(t, l, "work")+depth(t, l, "retry")+depth(t, l, "self") > 0 || deliveries == 0 {
				quiet = time.Time{}
			} else if quiet.IsZero() {
				quiet = time.Now()
			}
			if quiet.IsZero() || time.Since(quiet) < 10*ttl {
				return errors.New("the messages are still on their way round")
			}
			return nil // nowhere, for longer than any way round
		})
		t.Logf("gone after %d deliveries", deliveries)
	})
}

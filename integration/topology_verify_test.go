package integration

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

func management(t *testing.T, b *brokertest.Broker) topology.Management {
	t.Helper()
	name, secret := b.API().Credentials()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return topology.Management{
		URL:    strings.TrimSuffix(strings.Replace(b.API().Base(), "://", "://"+name+":"+secret+"@", 1), "/api"),
		VHost:  b.VHost,
		Client: &http.Client{Transport: transport},
	}
}

// findings is a report without its fixes, sorted.
func findings(r topology.Report) []string {
	all := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		text, _, _ := strings.Cut(f.String(), "; fix: ")
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func wantFindings(t *testing.T, l *link.Link, top topology.Topology, m topology.Management, want ...string) {
	t.Helper()
	r, err := topology.Verify(deadline(t), l, top, m)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if got := findings(r); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// everything has each argument that has a field.
func everything() topology.Topology {
	box := topology.Queue{DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "dlq", TTL: time.Hour, Expires: 2 * time.Hour, MaxLength: 10, MaxBytes: 1000}
	quorum, classic := box, box
	quorum.Name, quorum.Overflow, quorum.DeadLetterStrategy = "quorum", topology.RejectPublish, topology.AtLeastOnce
	quorum.DeliveryLimit, quorum.SingleActive, quorum.InitialGroupSize, quorum.LeaderLocator = 7, true, 1, topology.Balanced
	quorum.ConsumerTimeout, quorum.DisconnectedTimeout = time.Hour, time.Minute
	quorum.DelayedRetry, quorum.DelayedRetryMin, quorum.DelayedRetryMax = topology.RetryFailed, time.Second, time.Minute
	quorum.Arguments = amqp.Table{"x-quorum-target-group-size": 3, "x-max-in-memory-length": 5}
	classic.Name, classic.Type, classic.Overflow, classic.MaxPriority, classic.SingleActive = "classic", topology.Classic, topology.DropHead, 3, true
	classic.Arguments = amqp.Table{"x-queue-mode": "lazy", "x-queue-version": 2}
	return topology.Topology{
		Exchanges: []topology.Exchange{{Name: "headers", Kind: amqp.ExchangeHeaders}},
		Queues: []topology.Queue{{Name: "dlq"}, quorum, classic, {
			Name: "stream", Type: topology.Stream, MaxBytes: 1 << 30, MaxAge: 90 * time.Minute, SegmentBytes: 1 << 20, FilterBytes: 32,
			LeaderLocator: topology.Balanced, InitialGroupSize: 1,
		}},
		Bindings: []topology.Binding{
			{Source: "headers", Destination: "stream", Arguments: amqp.Table{"x-match": "all-with-x", "x-a": "b", "n": 1}},
		},
	}
}

// Every release takes every argument that Validate lets through, twice, and shows it to
// Verify as it was declared.
func TestEveryTypedArgument(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		for range 2 {
			if err := topology.Declare(deadline(t), l, everything()); err != nil {
				t.Fatal(err)
			}
		}
		wantFindings(t, l, everything(), management(t, b))
	})
}

// What others bound, what an older release left, what a policy weakens: Verify tells, and
// what it says to do, helps.
func TestVerify(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		m := management(t, b)
		w := topology.WorkQueue("orders", topology.WorkConfig{
			Ladder:   topology.Ladder{Scope: "shop", Levels: 3},
			Bindings: []topology.Binding{{Source: "events", Key: "order.*"}},
		})
		all := w.Merge(topology.Topology{Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic}}})
		old := topology.Topology{
			Queues: []topology.Queue{{Name: "spy"}},
			Bindings: []topology.Binding{
				{Source: "events", Destination: "orders", Key: "#.old"},
				{Source: "events", Destination: "spy", Key: "#"},
				{Source: "hareline.dlx", Destination: "spy", Key: "orders"},
			},
		}
		for _, top := range []topology.Topology{all, old} {
			if err := topology.Declare(deadline(t), l, top); err != nil {
				t.Fatal(err)
			}
		}
		wantFindings(t, l, all, m,
			`binding "events" to queue "orders" by key "#.old" is leftover`,
			`binding "hareline.dlx" to queue "spy" by key "orders" is undeclared: it takes copies of dead letters (R 15)`)
		r, err := topology.Verify(deadline(t), l, all, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			_, path, _ := strings.Cut(f.Fix, "DELETE /api")
			if err := b.API().Do(deadline(t), http.MethodDelete, path, nil, nil); err != nil {
				t.Error(err)
			}
		}
		wantFindings(t, l, all, m)
	})
}

// A policy changes what was declared, without a word to who declared it.
func TestVerifyTellsOfPolicies(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		m := management(t, b)
		all := work(t, l, "orders", topology.WorkConfig{Ladder: topology.Ladder{Scope: "shop", Levels: 3}}).Topology
		if err := b.API().SetPolicy(deadline(t), "small", "^orders$", "queues", map[string]any{"max-length": 5, "delivery-limit": 3}); err != nil {
			t.Fatal(err)
		}
		weak := []string{
			`queue "orders": x-delivery-limit (by policy "small") is 3, the topology wants 100: a message is given up after 3 returns`,
			`queue "orders": x-max-length (by policy "small") is 5, the topology wants none: it is full earlier, and then refuses messages and holds up a shared ladder`,
		}
		slices.Sort(weak)
		eventually(t, func() bool {
			r, err := topology.Verify(deadline(t), l, all, m)
			return err == nil && slices.Equal(findings(r), weak)
		})
		wantFindings(t, l, all, m, weak...)
	})
}

// R 23: the release that wants less takes what the newer one declared; the other way
// round it is told why not.
func TestTwoReleasesSideBySide(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		release := func(limit int64) topology.Topology {
			return topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Levels: 3}, DeliveryLimit: limit}).Topology
		}
		cfg := topology.DeclareConfig{OnMismatch: topology.UseExisting, Management: management(t, b)}
		if err := topology.Declare(deadline(t), l, release(200)); err != nil {
			t.Fatal(err)
		}
		var differs *topology.MismatchError
		if err := topology.Declare(deadline(t), l, release(100)); !errors.As(err, &differs) {
			t.Errorf("%v, want *MismatchError", err)
		}
		r, err := topology.DeclareWith(deadline(t), l, release(100), cfg)
		if err != nil || len(r.Findings) != 1 {
			t.Errorf("%v, %v", r, err)
		}
		if _, err := topology.DeclareWith(deadline(t), l, release(300), cfg); !errors.As(err, &differs) || len(differs.Weaker) != 1 {
			t.Errorf("%v", err)
		}
	})
}

// R 30: a user with exactly the rights that Permissions tells declares and uses all of
// it. Without the right on any one name, something is refused, and the error names it.
func TestPermissionsAreExact(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		w := topology.WorkQueue("orders", topology.WorkConfig{
			Ladder:   topology.Ladder{Scope: "s.h(o)p", Levels: 2},
			Bindings: []topology.Binding{{Source: "events", Key: "order.*"}},
		})
		all := w.Merge(topology.Topology{
			Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic, Alternate: "unrouted"}, {Name: "unrouted", Kind: amqp.ExchangeFanout}},
			Queues:    []topology.Queue{{Name: "unrouted é"}},
			Bindings:  []topology.Binding{{Source: "unrouted", Destination: "unrouted é"}},
		})
		p := brokertest.Permissions(all.Permissions())
		user, url := restricted(t, b, p)
		l := open(t, link.Config{URLs: []string{url}})
		for range 2 {
			if err := topology.Declare(deadline(t), l, all); err != nil {
				t.Fatal(err)
			}
		}
		parked, key, _ := w.Park(time.Second)
		ch := dial(t, url)
		for _, queue := range []string{w.Queue, w.DeadLetterQueue} {
			if _, err := ch.Consume(queue, "", false, false, false, false, nil); err != nil {
				t.Error(err)
			}
		}
		for _, at := range [][2]string{{"events", "order.new"}, {parked, key}, {"", w.DeadLetterQueue}} {
			if err := ch.Publish(at[0], at[1], true, false, amqp.Publishing{}); err != nil {
				t.Error(err)
			}
		}
		if err := ch.Qos(1, 0, false); err != nil { // an answer: nothing before it closed the channel
			t.Error(err)
		}
		if err := ch.Close(); err != nil {
			t.Error(err)
		}

		for permission, less := range map[string]brokertest.Permissions{
			"configure": {Configure: "^$", Write: p.Write, Read: p.Read},
			"write":     {Configure: p.Configure, Write: "^$", Read: p.Read},
			"read":      {Configure: p.Configure, Write: p.Write, Read: "^$"},
		} {
			for _, q := range all.Queues { // RabbitMQ asks for some rights only of what is new
				_ = b.API().DeleteQueue(deadline(t), q.Name)
			}
			if err := b.API().SetPermissions(deadline(t), user, less); err != nil {
				t.Fatal(err)
			}
			l := open(t, link.Config{URLs: []string{url}})
			err := topology.Declare(deadline(t), l, all)
			var refused *topology.PermissionError
			if !errors.As(err, &refused) || refused.Permission != permission && refused.Permission != "configure or read" {
				t.Errorf("without %s: %v", permission, err)
			}
		}
	})
}

func restricted(t *testing.T, b *brokertest.Broker, p brokertest.Permissions) (name, url string) {
	t.Helper()
	name = "restricted-" + b.VHost
	if err := b.API().CreateUser(deadline(t), name, "secret", p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.API().DeleteUser(context.Background(), name) })
	uri, err := amqp.ParseURI(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	uri.Username, uri.Password = name, "secret"
	return name, uri.String()
}

func dial(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

package topology_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// shop is a topology with an alternate exchange, a work queue and its ladder.
func shop() (topology.Topology, topology.Work) {
	w := topology.WorkQueue("orders", topology.WorkConfig{
		Ladder:   topology.Ladder{Scope: "shop", Levels: 3},
		Bindings: []topology.Binding{{Source: "events", Key: "order.*"}},
	})
	return w.Merge(topology.Topology{
		Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic, Alternate: "unrouted"}, {Name: "unrouted", Kind: amqp.ExchangeFanout}},
		Queues:    []topology.Queue{{Name: "unrouted"}},
		Bindings:  []topology.Binding{{Source: "unrouted", Destination: "unrouted"}},
	}), w
}

func eachVersion(t *testing.T, test func(t *testing.T, v amqptest.Version)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		t.Run(string(v), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, v) }) })
	}
}

func withUser(t *testing.T, v amqptest.Version, p topology.Permissions) (*amqptest.Broker, *link.Link) {
	t.Helper()
	b := amqptest.Config{Version: v, Clock: amqptest.Running, Users: map[string]amqptest.User{
		"guest": {Password: "guest", Tags: []string{"administrator"}},
		"shop":  {Password: "shop", Permissions: map[string]amqptest.Permissions{"/": amqptest.Permissions(p)}},
	}}.New(t)
	return b, open(t, b, "shop:shop")
}

// A user with exactly the rights that Permissions tells can do all of it; a user who
// lacks a kind of them is told which.
func TestPermissionsAreEnough(t *testing.T) {
	top, w := shop()
	eachVersion(t, func(t *testing.T, v amqptest.Version) {
		b, l := withUser(t, v, top.Permissions())
		declare(t, l, top)
		declare(t, l, top)
		s, err := l.Session(soon(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		parked, key, _ := w.Park(time.Second)
		err = s.Do(soon(t), func(ch *amqp.Channel) error {
			if _, err := ch.Consume(w.Queue, "", false, false, false, false, nil); err != nil {
				return err
			}
			if _, err := ch.Consume(w.DeadLetterQueue, "", false, false, false, false, nil); err != nil {
				return err
			}
			for _, at := range [][2]string{{"events", "order.new"}, {parked, key}, {"", w.DeadLetterQueue}} {
				if err := ch.Publish(at[0], at[1], true, false, amqp.Publishing{}); err != nil {
					return err
				}
			}
			return ch.Qos(1, 0, false) // an answer: nothing before it closed the channel
		})
		if err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if q, _ := b.Queue("/", w.DeadLetterQueue); q.Unacked != 1 {
			t.Errorf("buried: %+v", q)
		}
	})
}

func TestWhatIsLackingIsNamed(t *testing.T) {
	top, _ := shop()
	all := top.Permissions()
	for permission, p := range map[string]topology.Permissions{
		"configure": {Configure: "^$", Write: all.Write, Read: all.Read},
		"write":     {Configure: all.Configure, Write: "^$", Read: all.Read},
		"read":      {Configure: all.Configure, Write: all.Write, Read: "^$"},
	} {
		eachVersion(t, func(t *testing.T, v amqptest.Version) {
			_, l := withUser(t, v, p)
			err := topology.Declare(soon(t), l, top)
			var refused *topology.PermissionError
			if !errors.As(err, &refused) || refused.Resource == "" {
				t.Fatalf("without %s: %v", permission, err)
			}
			if refused.Permission != permission && refused.Permission != "configure or read" {
				t.Errorf("without %s: %v", permission, err)
			}
		})
	}
}

// What is External is not declared: no configure, and looking is enough.
func TestExternalNeedsNoConfigure(t *testing.T) {
	own := topology.WorkQueue("orders", topology.WorkConfig{})
	external := topology.WorkQueue("orders", topology.WorkConfig{
		Ladder: topology.Ladder{External: true}, DeadLetterExchangeExternal: true, DeadLetterQueueExternal: true,
	}).Topology
	for i := range external.Queues {
		external.Queues[i].External = true
	}
	external.Bindings = nil
	eachVersion(t, func(t *testing.T, v amqptest.Version) {
		b, l := withUser(t, v, external.Permissions())
		var missing *topology.MissingError
		if err := topology.Declare(soon(t), l, external); !errors.As(err, &missing) {
			t.Errorf("%v, want *MissingError: nothing is there", err)
		}
		if qs := b.Queues("/"); len(qs) > 0 {
			t.Errorf("%d queues declared", len(qs))
		}
		declare(t, open(t, b, "guest:guest"), own.Topology)
		declare(t, l, external)
	})
}

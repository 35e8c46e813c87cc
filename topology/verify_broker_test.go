package topology_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// handled is a transport that asks a handler, without a socket.
type handled struct {
	http.Handler
	requests *int
}

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	*h.requests++
	asked := httptest.NewRequest(r.Method, r.URL.String(), http.NoBody)
	asked.Header = r.Header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, asked)
	return w.Result(), nil
}

func management(b *amqptest.Broker) topology.Management {
	return topology.Management{URL: "http://guest:guest@broker", Client: &http.Client{Transport: handled{b.ManagementHandler(), new(int)}}}
}

func verify(t *testing.T, l *link.Link, top topology.Topology, m topology.Management) topology.Report {
	t.Helper()
	r, err := topology.Verify(soon(t), l, top, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found is a report without its fixes, sorted.
func found(r topology.Report) []string {
	all := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		text, _, _ := strings.Cut(f.String(), "; fix: ")
		all = append(all, text)
		if f.Fix == "" || f.Entity == "" {
			all = append(all, fmt.Sprintf("incomplete: %+v", f))
		}
	}
	slices.Sort(all)
	return all
}

func wantFound(t *testing.T, r topology.Report, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := found(r); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What was declared is as it was declared, on each release; and Verify declares nothing.
func TestVerifyFindsNothing(t *testing.T) {
	top, _ := shop()
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		r := verify(t, l, top, management(b))
		entities := 3 + 3 + 3 + 2 + 5 // exchanges and queues of ours, exchanges of the ladder, its other queues
		if missing := len(r.Findings); missing <= entities || len(b.Queues("/")) > 0 {
			t.Errorf("%d missing, %d queues declared", missing, len(b.Queues("/")))
		}
		declare(t, l, top)
		for _, m := range []topology.Management{{}, management(b)} {
			r := verify(t, l, top, m)
			wantFound(t, r)
			if (len(r.Unchecked) == 0) != (m.URL != "") {
				t.Errorf("unchecked: %q", r.Unchecked)
			}
		}
	})
}

func TestVerifyFinds(t *testing.T) {
	top, w := shop()
	changed := w.Merge(topology.Topology{}) // another release's idea of it
	for i, q := range changed.Queues {
		if q.Name == "orders" {
			changed.Queues[i].TTL, changed.Queues[i].DeliveryLimit = time.Hour, 50
		}
	}
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		declare(t, l, top)
		ladder := "hareline.v1.100ms.3.shop."
		declare(t, l, topology.Topology{
			Queues: []topology.Queue{{Name: "spy"}},
			Bindings: []topology.Binding{
				{Source: "events", Destination: "orders", Key: "#"},              // an older subscription
				{Source: "amq.fanout", Destination: "orders"},                    // somebody else's
				{Source: "events", Destination: "spy", Key: "#"},                 // another service: none of ours
				{Source: "hareline.dlx", Destination: "spy", Key: "orders"},      // copies of letters
				{Source: "hareline.dlx", Destination: "spy", Key: "other"},       // of other queues
				{Source: ladder + "level.01", Destination: "spy", Key: "#"},      // doubles retries
				{Source: ladder + "due", Destination: "spy", Key: "#.spy"},       // as WorkQueue does
				{Source: ladder + "due", Destination: "orders", Key: "#.orders"}, // ours
			},
		})
		s, err := l.Session(soon(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Do(soon(t), func(ch *amqp.Channel) error { return ch.QueueUnbind("orders", "order.*", "events", nil) }); err != nil {
			t.Fatal(err)
		}
		all := changed.Merge(topology.Topology{
			Queues:    []topology.Queue{{Name: "absent"}, {Name: "elsewhere", External: true}},
			Exchanges: []topology.Exchange{{Name: "events", Kind: "topic"}},
		})
		r := verify(t, l, all, management(b))
		wantFound(t, r,
			`queue "absent" is missing`,
			`queue "elsewhere" is missing`,
			`queue "orders": x-delivery-limit is 100, the topology wants 50`,
			`queue "orders": x-message-ttl is none, the topology wants 3600000`,
			`exchange "events": alternate-exchange is unrouted, the topology wants none: what it can route nowhere goes elsewhere`,
			`binding "events" to queue "orders" by key "order.*" is missing`,
			`binding "events" to queue "orders" by key "#" is leftover`,
			`binding "amq.fanout" to queue "orders" by key "" is undeclared`,
			`binding "hareline.dlx" to queue "spy" by key "orders" is undeclared: it takes copies of dead letters (R 15)`,
			`binding "`+ladder+`level.01" to queue "spy" by key "#" is undeclared: messages on the ladder are doubled, or go astray (R 5)`,
		)
		follow(t, b, r, topology.Leftover)
		if again := verify(t, l, all, management(b)); slices.ContainsFunc(again.Findings, func(f topology.Finding) bool { return f.Kind == topology.Leftover }) {
			t.Errorf("still there:\n%s", again)
		}
		wantFound(t, verify(t, l, all, topology.Management{}), `queue "absent" is missing`, `queue "elsewhere" is missing`)
	})
}

// follow does what the findings of a kind say.
func follow(t *testing.T, b *amqptest.Broker, r topology.Report, kind topology.FindingKind) {
	t.Helper()
	for _, f := range r.Findings {
		_, path, ok := strings.Cut(f.Fix, "DELETE ")
		if f.Kind != kind || !ok {
			continue
		}
		ask := httptest.NewRequest(http.MethodDelete, path, http.NoBody)
		ask.SetBasicAuth("guest", "guest")
		w := httptest.NewRecorder()
		b.ManagementHandler().ServeHTTP(w, ask)
		if w.Code != http.StatusNoContent {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Of an external ladder the parts are known: AMQP shows no missing binding, the
// management API does.
func TestVerifyExternalLadder(t *testing.T) {
	top, _ := shop()
	external := topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Scope: "shop", Levels: 3, External: true}})
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		declare(t, l, top)
		s, err := l.Session(soon(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Do(soon(t), func(ch *amqp.Channel) error {
			return ch.ExchangeUnbind("hareline.v1.100ms.3.shop.level.00", "*.0.#", "hareline.v1.100ms.3.shop.level.01", false, nil)
		}); err != nil {
			t.Fatal(err)
		}
		r := verify(t, l, external.Topology, management(b))
		wantFound(t, r,
			`binding "hareline.v1.100ms.3.shop.level.01" to exchange "hareline.v1.100ms.3.shop.level.00" by key "*.0.#" is missing`,
			`binding "events" to queue "orders" by key "order.*" is undeclared`)
		wantFound(t, verify(t, l, external.Topology, topology.Management{}))
	})
}

func TestVerifyNamesWhatIsWrongWithTheManagementAPI(t *testing.T) {
	top, _ := shop()
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		declare(t, l, top)
		m := management(b)
		for want, change := range map[string]func(m *topology.Management){
			"names no user":                    func(m *topology.Management) { m.URL = "http://broker" },
			"no http or https host":            func(m *topology.Management) { m.URL = "amqp://guest:guest@broker" },
			"check user and password":          func(m *topology.Management) { m.URL = "http://guest:secret@broker" },
			"another broker or virtual host":   func(m *topology.Management) { m.VHost = "other" },
			"is the plugin rabbitmq_managemen": func(m *topology.Management) { m.Client = &http.Client{Transport: deaf{}} },
		} {
			m := m
			change(&m)
			_, err := topology.Verify(soon(t), l, top, m)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %s", err, want)
			}
		}
		var invalid *topology.ValidationError
		if _, err := topology.Verify(soon(t), l, topology.Topology{Queues: []topology.Queue{{}}}, m); !errors.As(err, &invalid) {
			t.Error(err)
		}
	})
}

type deaf struct{}

func (deaf) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nobody there") }

// R 23: two releases side by side. The one that wants less takes what is there, in
// whatever order they start; the one that wants more is told what of it is weaker.
func TestUseExisting(t *testing.T) {
	v1 := topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Scope: "shop", Levels: 3}})
	v2 := topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Scope: "shop", Levels: 3}, DeliveryLimit: 200, SingleActive: true})
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		m := management(b)
		requests := m.Client.Transport.(handled).requests
		cfg := topology.DeclareConfig{OnMismatch: topology.UseExisting, Management: m}
		declare(t, l, v2.Topology)
		var differs *topology.MismatchError
		if err := topology.Declare(soon(t), l, v1.Topology); !errors.As(err, &differs) || differs.Weaker != nil {
			t.Errorf("%v, want *MismatchError", err)
		}
		r, err := topology.DeclareWith(soon(t), l, v1.Topology, cfg)
		if err != nil {
			t.Fatal(err)
		}
		wantFound(t, r,
			`queue "orders": x-delivery-limit is 200, the topology wants 100`,
			`queue "orders": x-single-active-consumer is true, the topology wants none`)
		if *requests != 1 {
			t.Errorf("%d requests", *requests)
		}
		// What is behind the queue in the plan has been declared.
		wantFound(t, verify(t, l, topology.Topology{Bindings: v1.Bindings, Ladders: v1.Ladders}, m))

		v3 := topology.WorkQueue("orders", topology.WorkConfig{Ladder: v1.Ladder, DeliveryLimit: 300})
		_, err = topology.DeclareWith(soon(t), l, v3.Topology, cfg)
		if !errors.As(err, &differs) || len(differs.Weaker) != 1 || !strings.Contains(err.Error(), "x-delivery-limit: a message is given up after 200 returns") {
			t.Errorf("%v", err)
		}
	})
}

func TestUseExistingNeedsItsEyes(t *testing.T) {
	top, _ := shop()
	other, _ := shop()
	other.Queues[1].DeliveryLimit = 50
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		declare(t, l, top)
		_, err := topology.DeclareWith(soon(t), l, other, topology.DeclareConfig{OnMismatch: topology.UseExisting})
		if err == nil || !strings.Contains(err.Error(), "set Management.URL") {
			t.Error(err)
		}
		m := management(b)
		m.VHost = "other"
		var differs *topology.MismatchError
		_, err = topology.DeclareWith(soon(t), l, other, topology.DeclareConfig{OnMismatch: topology.UseExisting, Management: m})
		if !errors.As(err, &differs) || !strings.Contains(err.Error(), "does not show this difference") {
			t.Error(err)
		}
		m = management(b)
		m.URL = "http://guest:wrong@broker"
		var refused *topology.ManagementError
		_, err = topology.DeclareWith(soon(t), l, other, topology.DeclareConfig{OnMismatch: topology.UseExisting, Management: m})
		if !errors.As(err, &differs) || !errors.As(err, &refused) || refused.Status != 401 {
			t.Error(err)
		}
		if _, err := topology.DeclareWith(soon(t), l, top, topology.DeclareConfig{OnMismatch: 9}); err == nil {
			t.Error("OnMismatch 9 is taken")
		}
	})
}

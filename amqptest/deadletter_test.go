package amqptest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// deathRow drives queues without clients.
type deathRow struct {
	*testing.T
	b  *Broker
	vh *vhost
}

func newDeathRow(t *testing.T, v Version) *deathRow {
	t.Helper()
	cfg, err := Config{Version: v}.withDefaults(Stopped)
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{cfg: cfg}
	b.clock = newClock(b, false)
	return &deathRow{T: t, b: b, vh: newVHost(b, "/")}
}

func (r *deathRow) queue(name string, kind queueKind, set func(*queueOptions)) *queue {
	o := queueOptions{maxLength: -1, maxBytes: -1, deliveryLimit: -1, overflow: dropHead}
	if set != nil {
		set(&o)
	}
	q := newQueue(r.vh, name, kind, true, false, nil, nil, o)
	r.vh.queues[name] = q
	return q
}

// to is a queue's dead-letter route.
func to(exchange, key string) func(*queueOptions) {
	return func(o *queueOptions) { o.dlx, o.hasDLX, o.dlk, o.hasDLK = exchange, true, key, key != "" }
}

// surely is to, at least once.
func surely(exchange, key string) func(*queueOptions) {
	return func(o *queueOptions) {
		to(exchange, key)(o)
		o.atLeastOnce, o.overflow = true, rejectPublish
	}
}

func (r *deathRow) publish(q *queue, body string, change func(*message)) {
	r.Helper()
	m := &message{key: q.name, body: []byte(body)}
	if change != nil {
		change(m)
	}
	r.b.lock()
	defer r.b.unlock()
	if !q.enqueue(m) {
		r.Fatalf("%s refuses %s", q.name, body)
	}
}

// kill has the next entry of the queue die.
func (r *deathRow) kill(q *queue, reason string) {
	r.Helper()
	r.b.lock()
	defer r.b.unlock()
	e := q.ready.take()
	if e == nil {
		r.Fatalf("%s is empty", q.name)
	}
	q.deadLetter(e, reason)
}

func (r *deathRow) advance(d time.Duration) { r.b.Advance(d) }

// bodies are what is ready in the queue.
func (r *deathRow) bodies(q *queue) string {
	var all []string
	q.ready.each(func(e *entry) bool {
		all = append(all, string(e.msg.body))
		return true
	})
	return strings.Join(all, " ")
}

func (r *deathRow) held(q *queue) string {
	var all []string
	q.dead.each(func(e *entry) bool {
		all = append(all, string(e.msg.body))
		return true
	})
	return strings.Join(all, " ")
}

func (r *deathRow) front(q *queue) *message {
	r.Helper()
	e := q.ready.peek()
	if e == nil {
		r.Fatalf("%s is empty", q.name)
	}
	return e.msg
}

var versions = []Version{V310, V40, V43}

func TestDeadLetterRoutes(t *testing.T) {
	for _, v := range versions {
		for name, c := range map[string]struct {
			set  func(*queueOptions)
			want string // what is in dlq
			gone uint64
		}{
			"none":        {nil, "", 1},
			"key":         {to("", "dlq"), "m", 0},
			"unroutable":  {to("", "nowhere"), "", 1},
			"no exchange": {to("dlx", ""), "", 1},
			"fanout":      {to("amq.fanout", ""), "m", 0},
		} {
			r := newDeathRow(t, v)
			work, dlq := r.queue("work", classic, c.set), r.queue("dlq", classic, nil)
			r.vh.exchanges["amq.fanout"].bind(&binding{source: r.vh.exchanges["amq.fanout"], queue: dlq})
			r.publish(work, "m", nil)
			r.kill(work, reasonRejected)
			check(t, string(v)+" "+name, r.bodies(dlq), c.want)
			if work.stats.dropped != c.gone {
				t.Errorf("%s %s: %d dropped, want %d", v, name, work.stats.dropped, c.gone)
			}
		}
	}
}

func TestDeadLetterMessage(t *testing.T) {
	for _, v := range versions {
		r := newDeathRow(t, v)
		work, dlq := r.queue("work", classic, to("amq.fanout", "")), r.queue("dlq", classic, nil)
		other, dlk := r.queue("other", classic, to("amq.fanout", "dlk")), V310 != v
		r.vh.exchanges["amq.fanout"].bind(&binding{source: r.vh.exchanges["amq.fanout"], queue: dlq})
		published := func(m *message) {
			m.exchange, m.extra = "x", []string{"cc1", "cc2", "bcc"}
			m.props.SetHeaders(wire.Table{{Key: "h", Value: int64(1)}, {Key: "CC", Value: []any{"cc1", "cc2"}}})
			m.props.Expiration = "0600000"
			m.props.Set(wire.FlagExpiration)
		}
		r.publish(work, "m", published)
		r.kill(work, reasonRejected)
		m := r.front(dlq)
		check(t, "exchange and key", m.exchange+" "+m.key, "amq.fanout work")
		check(t, "further keys", strings.Join(m.extra, " "), "cc1 cc2 bcc")
		if m.props.Has(wire.FlagExpiration) {
			t.Errorf("%s: it may expire again", v)
		}
		for _, want := range []string{"CC=[cc1 cc2]", "routing-keys=[work cc1 cc2]", "exchange=x"} {
			if got := show(m.props.Headers); !strings.Contains(got, want) {
				t.Errorf("%s: %s lacks %s", v, got, want)
			}
		}
		expiration := map[bool]string{true: "original-expiration=600000", false: "original-expiration=0600000"}[v.atLeast40()]
		if got := show(m.props.Headers); !strings.Contains(got, expiration) {
			t.Errorf("%s: %s lacks %s", v, got, expiration)
		}

		r.kill(dlq, reasonRejected) // out of the way
		r.publish(other, "m", published)
		r.kill(other, reasonRejected)
		m = r.front(dlq)
		check(t, "key", m.key, "dlk")
		if _, has := m.props.Headers.Get("CC"); has != dlk {
			t.Errorf("%s: header CC: %v, want %v", v, has, dlk)
		}
		if len(m.extra) > 0 {
			t.Errorf("%s: further keys %q", v, m.extra)
		}
	}
}

func TestDeadLetterCycles(t *testing.T) {
	for _, v := range versions {
		for _, kind := range []queueKind{classic, quorum} {
			r := newDeathRow(t, v)
			a, b := r.queue("a", kind, to("", "b")), r.queue("b", kind, to("", "a"))
			r.publish(a, "m", nil)
			r.kill(a, reasonExpired)
			r.kill(b, reasonExpired)
			if a.len()+b.len() != 0 {
				t.Errorf("%s %s: a circle of expiry goes on", v, kind)
			}
			r.publish(a, "m", nil)
			for range 3 {
				r.kill(a, reasonRejected)
				r.kill(b, reasonExpired)
			}
			check(t, string(v)+" with a rejection", r.bodies(a), "m")
		}
	}
}

// A client that sends a letter with its x-death again: 3.10 takes that for the
// truth, 4.0 does not.
func TestDeadLetterWithForgedDeaths(t *testing.T) {
	for _, v := range versions {
		r := newDeathRow(t, v)
		work := r.queue("work", classic, to("", "dlq"))
		dlq := r.queue("dlq", classic, nil)
		r.publish(work, "m", func(m *message) {
			m.props.SetHeaders(wire.Table{{Key: "x-death", Value: []any{
				wire.Table{{Key: "queue", Value: "dlq"}, {Key: "reason", Value: "expired"}},
			}}})
		})
		r.kill(work, reasonExpired)
		want := "m"
		if v == V310 {
			want = "" // it has been in dlq before, by its own account
		}
		check(t, string(v), r.bodies(dlq), want)
	}
}

func TestDeadLettersCarryTheirDeliveries(t *testing.T) {
	for _, v := range versions {
		r := newDeathRow(t, v)
		work, dlq := r.queue("work", quorum, to("", "dlq")), r.queue("dlq", quorum, nil)
		r.publish(work, "m", nil)
		r.b.lock()
		e := work.ready.take()
		work.cameBack(e, true)
		work.deadLetter(e, reasonRejected)
		r.b.unlock()
		dead := dlq.ready.peek()
		if want := v.atLeast40(); dead.redelivered != want || (dead.deliveries == 1) != want {
			t.Errorf("%s: redelivered %v, %d deliveries", v, dead.redelivered, dead.deliveries)
		}
	}
}

func TestFullTargetLosesDeadLettersSentOnce(t *testing.T) {
	full := func(o *queueOptions) { o.maxLength, o.overflow = 1, rejectPublish }
	for _, v := range versions {
		for kind, want := range map[queueKind]string{classic: "1", quorum: "1 2 3"} {
			r := newDeathRow(t, v)
			work, dlq := r.queue("work", quorum, to("", "dlq")), r.queue("dlq", kind, full)
			for _, body := range []string{"1", "2", "3"} {
				r.publish(work, body, nil)
				r.kill(work, reasonRejected)
			}
			check(t, string(v)+" "+string(kind), r.bodies(dlq), want)
		}
	}
}

func TestAtLeastOnceHoldsWhatDoesNotArrive(t *testing.T) {
	for _, v := range versions {
		r := newDeathRow(t, v)
		work := r.queue("work", quorum, surely("dlx", ""))
		for _, body := range []string{"1", "2"} {
			r.publish(work, body, nil)
			r.kill(work, reasonRejected)
		}
		check(t, "held", r.held(work), "1 2")
		want := int64(2)
		if v == V43 {
			want = 6 // the properties, too
		}
		if n, bytes := work.dead.held(); n != 2 || bytes != want || work.len() != 0 {
			t.Errorf("%s: %d held, %d bytes, %d ready", v, n, bytes, work.len())
		}
		dlq := r.queue("dlq", classic, nil)
		x := &exchange{name: "dlx", kind: kindFanout}
		r.vh.addExchange(x)
		r.advance(179 * time.Second)
		check(t, "the exchange is there", r.bodies(dlq), "")
		x.bind(&binding{source: x, queue: dlq})
		r.advance(time.Second)
		check(t, "after the retry", r.bodies(dlq), "1 2")
		check(t, "held", r.held(work), "")
		if n, bytes := work.dead.held(); n != 0 || bytes != 0 || work.dead.timer != nil || work.stats.dropped != 0 {
			t.Errorf("%s: %d held, %d bytes, timer %v, %d dropped", v, n, bytes, work.dead.timer, work.stats.dropped)
		}
	}
}

// The worker has 32 slots: what cannot arrive holds up what could.
func TestAtLeastOnceIsBlockedByBadTargets(t *testing.T) {
	r := newDeathRow(t, V40)
	work := r.queue("work", quorum, surely("amq.direct", ""))
	good := r.queue("good", quorum, nil)
	x := r.vh.exchanges["amq.direct"]
	x.bind(&binding{source: x, queue: good, key: "good"})
	for i := range deadLetterSlots + 3 {
		key := "bad"
		if i == 5 || i > deadLetterSlots {
			key = "good"
		}
		r.publish(work, key, func(m *message) { m.key = key })
		r.kill(work, reasonExpired)
	}
	check(t, "while slots were free", r.bodies(good), "good")
	bad := r.queue("bad", quorum, nil)
	x.bind(&binding{source: x, queue: bad, key: "bad"})
	r.advance(180 * time.Second)
	check(t, "later", r.bodies(good), "good good good")
	if n := bad.len(); n != deadLetterSlots {
		t.Errorf("%d letters for the repaired target, want %d", n, deadLetterSlots)
	}
}

func TestAtLeastOnceRepeatsOnlyWhatIsMissing(t *testing.T) {
	r := newDeathRow(t, V43)
	work := r.queue("work", quorum, surely("amq.fanout", ""))
	x := r.vh.exchanges["amq.fanout"]
	one := r.queue("one", classic, nil)
	full := r.queue("full", classic, func(o *queueOptions) { o.maxLength, o.overflow = 0, rejectPublish })
	for _, q := range []*queue{one, full} {
		x.bind(&binding{source: x, queue: q})
	}
	r.publish(work, "m", nil)
	r.kill(work, reasonDeliveryLimit)
	check(t, "one", r.bodies(one), "m")
	check(t, "held", r.held(work), "m")
	r.advance(200 * time.Second)
	check(t, "one, after a retry", r.bodies(one), "m")
	full.opts.maxLength = 5
	r.advance(180 * time.Second)
	check(t, "full", r.bodies(full), "m")
	check(t, "one", r.bodies(one), "m")
	check(t, "held", r.held(work), "")
}

func TestAtLeastOnceAcrossARestart(t *testing.T) {
	r := newDeathRow(t, V40)
	work := r.queue("work", quorum, surely("", "dlq"))
	for _, body := range slices.Repeat([]string{"m"}, 40) {
		r.publish(work, body, nil)
		r.kill(work, reasonRejected)
	}
	dlq := r.queue("dlq", quorum, nil)
	r.b.lock()
	work.restart()
	r.b.unlock()
	if n := dlq.len(); n != 40 {
		t.Errorf("%d letters arrived after a restart, want 40", n)
	}
}

func TestAtLeastOncePurgedAndDeleted(t *testing.T) {
	for _, v := range versions {
		r := newDeathRow(t, v)
		work := r.queue("work", quorum, surely("", "dlq"))
		for range 40 {
			r.publish(work, "m", nil)
			r.kill(work, reasonRejected)
		}
		r.b.lock()
		purged := work.purge()
		r.b.unlock()
		want := 40
		if v == V43 {
			want = 0
		}
		if n, _ := work.dead.held(); n != want || n+purged != 40 {
			t.Errorf("%s: %d held after a purge of %d, want %d", v, n, purged, want)
		}
		r.b.lock()
		r.vh.deleteQueue(work)
		r.b.unlock()
		if n, _ := work.dead.held(); n != 0 || work.dead.timer != nil {
			t.Errorf("%s: %d held after the queue was deleted", v, n)
		}
		dlq := r.queue("dlq", quorum, nil)
		r.advance(time.Hour)
		check(t, string(v), r.bodies(dlq), "")
	}
}

package topology

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model plays a broker: topic and fanout exchanges, alternates, and queues that
// dead-letter after their TTL. It shares no code with the validator's routing.
type model struct {
	t Topology
	// died counts the queues a message waited in.
	died int
}

// deliver returns the queues, without TTL, in which a message ends up, with the
// time it took to get there.
func (m *model) deliver(exchange, key string) map[string]time.Duration {
	ends := make(map[string]time.Duration)
	for _, name := range m.queues(exchange, key) {
		q := m.queue(name)
		if q.TTL == 0 {
			ends[name] += 0
			continue
		}
		m.died++
		for end, wait := range m.deliver(q.DeadLetterExchange, key) {
			ends[end] += q.TTL + wait
		}
	}
	return ends
}

func (m *model) queues(exchange, key string) []string {
	var out []string
	matched := false
	for _, b := range m.t.Bindings {
		fanout := strings.HasSuffix(b.Source, ".unclaimed")
		if b.Source != exchange || !fanout && !slowMatch(strings.Split(b.Key, "."), strings.Split(key, ".")) {
			continue
		}
		matched = true
		if b.ToExchange {
			out = append(out, m.queues(b.Destination, key)...)
		} else {
			out = append(out, b.Destination) // a queue bound twice would get it twice: to be seen
		}
	}
	if matched {
		return out
	}
	for _, e := range m.t.Exchanges {
		if e.Name == exchange && e.Alternate != "" {
			return m.queues(e.Alternate, key)
		}
	}
	return nil
}

func (m *model) queue(name string) Queue {
	i := slices.IndexFunc(m.t.Queues, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return Queue{}
	}
	return m.t.Queues[i]
}

var queueNames = rapid.OneOf(
	rapid.StringMatching(`[a-z]{1,3}([.#*%~][a-z0-9.*#]{0,4}){0,3}`),
	rapid.StringN(1, 80, 255),
	rapid.StringMatching(`[é世.]{50,80}`),
)

// Every delay, every name: it arrives once, only at its target, after exactly the
// delay that Park told, by at most 4 hops.
func TestLadderDelivers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := Ladder{
			Scope:  rapid.SampledFrom([]string{"", "orders", "a.b"}).Draw(rt, "scope"),
			Levels: rapid.IntRange(0, ladderLevels).Draw(rt, "levels"),
		}
		names := rapid.SliceOfNDistinct(queueNames, 1, 4, rapid.ID).Draw(rt, "queues")
		top := l.Topology()
		for _, name := range names {
			top.Bindings = append(top.Bindings, l.Binding(name))
		}
		delay := time.Duration(rapid.Int64Range(-1, int64(l.Max()+l.Max()/4)).Draw(rt, "delay"))
		target := rapid.SampledFrom(names).Draw(rt, "target")

		exchange, key, actual := l.Park(target, delay)
		m := &model{t: top}
		ends := m.deliver(exchange, key)

		if wait, ok := ends[target]; len(ends) != 1 || !ok || wait != actual {
			rt.Fatalf("ended in %v, want only %q after %v (key %q)", ends, target, actual, key)
		}
		if m.died < 1 || m.died > significant {
			rt.Fatalf("%d hops", m.died)
		}
		if len(key) > longestName {
			rt.Fatalf("key of %d bytes", len(key))
		}
		checkActual(rt, l, delay, actual)
	})
}

func checkActual(t tester, l Ladder, delay, actual time.Duration) {
	t.Helper()
	switch {
	case actual > l.Max() || actual < ladderUnit:
		t.Fatalf("%v is out of range", actual)
	case delay <= ladderUnit && actual != ladderUnit:
		t.Fatalf("%v for %v, want one unit", actual, delay)
	case delay > l.Max() && actual != l.Max():
		t.Fatalf("%v for %v, want the maximum %v", actual, delay, l.Max())
	case delay <= l.Max() && actual < delay:
		t.Fatalf("%v is before %v", actual, delay)
	case delay > ladderUnit && actual > delay+delay/8+ladderUnit:
		t.Fatalf("%v is more than an eighth behind %v", actual, delay)
	}
}

func TestUnclaimed(t *testing.T) {
	for name, c := range map[string]struct{ exchange, key string }{
		"no queue is bound": {Ladder{}.level(0), Ladder{}.withDefaults().key(1, "gone")},
		"no key of ours":    {Ladder{}.level(23), "order.created"},
		"an empty key":      {Ladder{}.Due(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{t: Ladder{}.Topology()}
			ends := m.deliver(c.exchange, c.key)
			if _, ok := ends[(Ladder{}).Unclaimed()]; len(ends) != 1 || !ok {
				t.Fatalf("ended in %v, want the unclaimed queue", ends)
			}
		})
	}
}

func TestPark(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("0.", n) }
	for _, c := range []struct {
		l          Ladder
		delay      time.Duration
		level, key string
		actual     time.Duration
	}{
		{Ladder{}, 0, "level.00", zeros(23) + "1.q", 100 * time.Millisecond},
		{Ladder{}, -time.Hour, "level.00", zeros(23) + "1.q", 100 * time.Millisecond},
		{Ladder{}, 100 * time.Millisecond, "level.00", zeros(23) + "1.q", 100 * time.Millisecond},
		{Ladder{}, 101 * time.Millisecond, "level.01", zeros(22) + "1.0.q", 200 * time.Millisecond},
		{Ladder{}, 1500 * time.Millisecond, "level.03", zeros(20) + "1.1.1.1.q", 1500 * time.Millisecond},
		{Ladder{}, 1700 * time.Millisecond, "level.04", zeros(19) + "1.0.0.1.0.q", 1800 * time.Millisecond},
		{Ladder{}, 3100 * time.Millisecond, "level.05", zeros(18) + "1.0.0.0.0.0.q", 3200 * time.Millisecond},
		{Ladder{}, time.Hour * 24 * 365, "level.23", "1.1.1.1." + zeros(20) + "q", (15 << 20) * 100 * time.Millisecond},
		{Ladder{Levels: 2}, time.Hour, "level.01", "1.1.q", 300 * time.Millisecond},
		{Ladder{Levels: 1}, time.Hour, "level.00", "1.q", 100 * time.Millisecond},
	} {
		exchange, key, actual := c.l.Park("q", c.delay)
		if exchange != c.l.name(c.level) || key != c.key || actual != c.actual {
			t.Errorf("Park(%v) with %d levels: %q, %q, %v", c.delay, c.l.Levels, exchange, key, actual)
		}
	}
}

// What version 1 declares must never change: other releases declare and use it too,
// and a broker refuses any other arguments.
func TestLadderVersion1IsFrozen(t *testing.T) {
	l := Ladder{Scope: "s", Levels: 2}
	want := strings.TrimSpace(`
exchange "hareline.v1.100ms.2.s.unclaimed" fanout durable map[]
queue "hareline.v1.100ms.2.s.unclaimed" durable map[x-delivery-limit:1073741824 x-queue-type:quorum]
binding "hareline.v1.100ms.2.s.unclaimed" to queue "hareline.v1.100ms.2.s.unclaimed" by key ""
exchange "hareline.v1.100ms.2.s.due" topic durable map[alternate-exchange:hareline.v1.100ms.2.s.unclaimed]
exchange "hareline.v1.100ms.2.s.level.00" topic durable map[alternate-exchange:hareline.v1.100ms.2.s.unclaimed]
exchange "hareline.v1.100ms.2.s.level.01" topic durable map[alternate-exchange:hareline.v1.100ms.2.s.unclaimed]
queue "hareline.v1.100ms.2.s.level.00" durable map[x-dead-letter-exchange:hareline.v1.100ms.2.s.due x-dead-letter-strategy:at-least-once x-delivery-limit:1073741824 x-message-ttl:100 x-overflow:reject-publish x-queue-type:quorum]
binding "hareline.v1.100ms.2.s.level.00" to queue "hareline.v1.100ms.2.s.level.00" by key "*.1.#"
binding "hareline.v1.100ms.2.s.level.00" to exchange "hareline.v1.100ms.2.s.due" by key "*.0.#"
queue "hareline.v1.100ms.2.s.level.01" durable map[x-dead-letter-exchange:hareline.v1.100ms.2.s.level.00 x-dead-letter-strategy:at-least-once x-delivery-limit:1073741824 x-message-ttl:200 x-overflow:reject-publish x-queue-type:quorum]
binding "hareline.v1.100ms.2.s.level.01" to queue "hareline.v1.100ms.2.s.level.01" by key "1.#"
binding "hareline.v1.100ms.2.s.level.01" to exchange "hareline.v1.100ms.2.s.level.00" by key "0.#"
`)
	if got := strings.Join(spelled(plan(Topology{Ladders: []Ladder{l}}), l.Topology()), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := l.Binding("a.b").entity(), `binding "hareline.v1.100ms.2.s.due" to queue "a.b" by key "#.a%2Eb"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLadderMax(t *testing.T) {
	for levels, want := range map[int]time.Duration{
		0: (15 << 20) * 100 * time.Millisecond, 24: (15 << 20) * 100 * time.Millisecond,
		1: 100 * time.Millisecond, 3: 700 * time.Millisecond, 4: 1500 * time.Millisecond, 5: 3 * time.Second,
	} {
		if got := (Ladder{Levels: levels}).Max(); got != want {
			t.Errorf("%d levels reach %v, want %v", levels, got, want)
		}
	}
}

func TestIsLadderQueue(t *testing.T) {
	for name, want := range map[string]bool{
		Ladder{}.level(0):                                true,
		Ladder{Scope: "a.level.b"}.level(23):             true,
		Ladder{}.Unclaimed():                             true,
		"hareline.v7.1s.28.default.level.27":             true,
		Ladder{}.Due():                                   false,
		"orders":                                         false,
		"":                                               false,
		"orders.level.07":                                false,
		"hareline.v1.100ms.24.level.07":                  false,
		"hareline.vx.100ms.24.default.level.07":          false,
		"hareline.lock.orders":                           false,
		"hareline.v1.100ms.24.default.level.":            false,
		"my.hareline.v1.100ms.24.default.level.07":       false,
		"hareline.v1.100ms.24.default.level.07.orders":   false,
		"hareline.v1.100ms.24.default.unclaimed.archive": false,
	} {
		if got := IsLadderQueue(name); got != want {
			t.Errorf("IsLadderQueue(%q) is %v", name, got)
		}
	}
}

func TestLadderNamesReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := Ladder{Scope: queueNames.Draw(rt, "scope"), Levels: rapid.IntRange(1, ladderLevels).Draw(rt, "levels")}
		top := l.Topology()
		for _, e := range top.Exchanges {
			if got, ok := ladderOf(e.Name); !ok || got != l {
				rt.Fatalf("%q reads as %+v, %v", e.Name, got, ok)
			}
		}
		for _, q := range top.Queues {
			if !IsLadderQueue(q.Name) {
				rt.Fatalf("%q is not taken for a ladder's queue", q.Name)
			}
		}
	})
}

func TestWord(t *testing.T) {
	long := strings.Repeat("a", longestWord)
	for in, want := range map[string]string{
		"orders": "orders",
		"a.b":    "a%2Eb",
		"*#%~":   "%2A%23%25%7E",
		"é世":     "é世",
		long:     long,
	} {
		if got := word(in); got != want {
			t.Errorf("word(%q) is %q, want %q", in, got, want)
		}
	}
	if w := word(long + "a"); len(w) != 65 || w[0] != '~' {
		t.Errorf("a long name is %q, want ~ and a hash", w)
	}
}

func TestWordIsInjectiveAndOneWord(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := queueNames.Draw(rt, "a"), queueNames.Draw(rt, "b")
		if (word(a) == word(b)) != (a == b) {
			rt.Fatalf("%q and %q share the word %q", a, b, word(a))
		}
		if strings.ContainsAny(word(a), ".*#") || len(word(a)) > longestWord {
			rt.Fatalf("%q is no literal word", word(a))
		}
		_, key, _ := Ladder{}.Park(a, time.Second)
		if got, ok := TargetOf(key); ok && got != a || ok == (word(a)[0] == '~') {
			rt.Fatalf("TargetOf(%q) is %q, %v; want %q", key, got, ok, a)
		}
	})
}

func TestTargetOfForeignKeys(t *testing.T) {
	for _, key := range []string{"", "orders", "order.created", "0.1.", "0.1.~ab", "0.1.%2", "0.1.%zz", "0.2.a", ".a"} {
		if q, ok := TargetOf(key); ok {
			t.Errorf("TargetOf(%q) is %q", key, q)
		}
	}
}

func FuzzTargetOf(f *testing.F) {
	f.Add("0.1.a%2Eb")
	f.Fuzz(func(t *testing.T, key string) {
		if q, ok := TargetOf(key); ok && q == "" {
			t.Fatalf("TargetOf(%q) is true and empty", key)
		}
	})
}

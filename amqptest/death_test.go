package amqptest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// show writes a table as RabbitMQ's own tools would, in the order of the wire.
func show(v any) string {
	switch v := v.(type) {
	case wire.Table:
		parts := make([]string, len(v))
		for i, f := range v {
			parts[i] = f.Key + "=" + show(f.Value)
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = show(v[i])
		}
		return "[" + strings.Join(parts, " ") + "]"
	case time.Time:
		return fmt.Sprint(v.Unix())
	default:
		return fmt.Sprint(v)
	}
}

func TestRecordDeathKeepsTheNewestFirst(t *testing.T) {
	var deaths []death
	var got []string
	for i := range 6 {
		deaths = recordDeath(deaths, death{queue: string("ABCD"[i%4]), reason: reasonRejected, count: 1})
		var line string
		for _, d := range deaths {
			line += fmt.Sprint(d.queue, d.count)
		}
		got = append(got, line)
	}
	if want := "A1 B1A1 C1B1A1 D1C1B1A1 A2D1C1B1 B2A2D1C1"; strings.Join(got, " ") != want {
		t.Errorf("x-death is %q, want %q", got, want)
	}
}

// As recorded from 3.10.8: it turns the older deaths round whenever it looks
// for doubles among them.
func TestHeaderDeathTurnsTheOlderOnesRound(t *testing.T) {
	var headers wire.Table
	var got []string
	for i := range 8 {
		headers, _ = headerDeath(headers, death{queue: string("ABCD"[i%4]), reason: reasonRejected, count: 1})
		v, _ := headers.Get("x-death")
		var line string
		for _, d := range v.([]any) {
			q, _ := d.(wire.Table).Get("queue")
			n, _ := d.(wire.Table).Get("count")
			line += fmt.Sprint(q, n)
		}
		got = append(got, line)
	}
	if want := "A1 B1A1 C1A1B1 D1B1A1C1 A2C1B1D1 B2D1C1A2 C2A2D1B2 D2B2A2C2"; strings.Join(got, " ") != want {
		t.Errorf("x-death is %q, want %q", got, want)
	}
}

func TestDeathShapes(t *testing.T) {
	at := time.Unix(1000, 5)
	d := death{queue: "q", reason: "expired", exchange: "x", keys: []string{"k", "cc"}, count: 1, first: at, expiration: "50"}
	again := death{queue: "q", reason: "expired", exchange: "y", keys: []string{"other"}, count: 1, first: at.Add(time.Hour)}
	headers := wire.Table{{Key: "z", Value: 1}, {Key: "a", Value: 2}}

	old, _ := headerDeath(headers, d)
	check(t, "3.10, first", show(old), "{a=2 x-death=[{count=1 reason=expired queue=q time=1000 exchange=x routing-keys=[k cc] original-expiration=50}]"+
		" x-first-death-exchange=x x-first-death-queue=q x-first-death-reason=expired z=1}")
	old, _ = headerDeath(old, again)
	check(t, "3.10, again", show(old), "{a=2 x-death=[{count=2 exchange=x original-expiration=50 queue=q reason=expired routing-keys=[k cc] time=1000}]"+
		" x-first-death-exchange=x x-first-death-queue=q x-first-death-reason=expired z=1}")

	deaths := recordDeath(nil, d)
	now := deathHeaders(headers, deaths, d)
	check(t, "4.0, first", show(now), "{a=2 x-death=[{original-expiration=50 count=1 reason=expired queue=q time=1000 exchange=x routing-keys=[k cc]}]"+
		" x-first-death-exchange=x x-first-death-queue=q x-first-death-reason=expired"+
		" x-last-death-exchange=x x-last-death-queue=q x-last-death-reason=expired z=1}")
	now = deathHeaders(now, recordDeath(deaths, again), again)
	check(t, "4.0, again", show(now), "{a=2 x-death=[{original-expiration=50 count=2 reason=expired queue=q time=1000 exchange=x routing-keys=[k cc]}]"+
		" x-first-death-exchange=x x-first-death-queue=q x-first-death-reason=expired"+
		" x-last-death-exchange=y x-last-death-queue=q x-last-death-reason=expired z=1}")
}

// What 3.10.8 makes of an x-death that a client wrote.
func TestHeaderDeathOfAClient(t *testing.T) {
	table := func(fields ...any) wire.Table {
		var w wire.Table
		for i := 0; i < len(fields); i += 2 {
			w = append(w, wire.Field{Key: fields[i].(string), Value: fields[i+1]})
		}
		return w
	}
	const died = "count=1 exchange= queue=q reason=rejected routing-keys=[] time=0"
	for name, c := range map[string]struct {
		forged any
		want   string
	}{
		"another": {[]any{table("queue", "z", "reason", "expired", "count", 5)}, "{x-death=[{" + died + "} {queue=z reason=expired count=5}]}"},
		"counted": {[]any{table("queue", "q", "reason", "rejected", "count", int64(99))}, "{x-death=[{count=100 queue=q reason=rejected}]}"},
		"double":  {[]any{table("queue", "q", "reason", "rejected"), table("queue", "q", "reason", "rejected")}, "{x-death=[{count=3 queue=q reason=rejected}]}"},
		"string":  {"boo", "{x-death=[{count=1 reason=rejected queue=q time=0 exchange= routing-keys=[]}]}"},
		"empty":   {[]any{}, "{x-death=[{" + died + "}]}"},
	} {
		got, ok := headerDeath(table("x-death", c.forged), death{queue: "q", reason: reasonRejected, count: 1, first: time.Unix(0, 0)})
		if !ok {
			t.Errorf("%s: refused", name)
		}
		check(t, name, show(got), c.want)
	}
	if _, ok := headerDeath(table("x-death", []any{"junk"}), death{}); ok {
		t.Error("an x-death of anything but tables is taken")
	}
}

func TestDeathCycles(t *testing.T) {
	for _, c := range []struct {
		deaths string // newest first: queue and reason
		target string
		cycle  bool
	}{
		{"", "a", false},
		{"ae", "a", true},
		{"ae", "b", false},
		{"be ae", "a", true},
		{"br ae", "a", false},
		{"be ar", "a", false},
		{"be ae cr", "a", true},
		{"be ar ae", "a", false},
	} {
		var deaths []death
		var tables []any
		for _, s := range strings.Fields(c.deaths) {
			reason := map[byte]string{'e': reasonExpired, 'r': reasonRejected}[s[1]]
			deaths = append(deaths, death{queue: s[:1], reason: reason})
			tables = append(tables, wire.Table{{Key: "reason", Value: reason}, {Key: "queue", Value: s[:1]}})
		}
		if got := isDeathCycle(deaths, c.target); got != c.cycle {
			t.Errorf("4.0: %q to %s: cycle %v", c.deaths, c.target, got)
		}
		if got := isHeaderCycle(wire.Table{{Key: "x-death", Value: tables}}, c.target); got != c.cycle {
			t.Errorf("3.10: %q to %s: cycle %v", c.deaths, c.target, got)
		}
	}
	if isHeaderCycle(wire.Table{{Key: "x-death", Value: []any{"junk", wire.Table{{Key: "queue", Value: "a"}}}}}, "a") {
		t.Error("what a client wrote is taken for a cycle")
	}
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

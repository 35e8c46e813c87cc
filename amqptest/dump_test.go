package amqptest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// TestDumpSumsUpWhatIsIdle: the queues and exchanges of a delay ladder are a
// few lines, and nothing of what is in use is lost among them.
func TestDumpSumsUpWhatIsIdle(t *testing.T) {
	p := newTopology(t, Config{})
	p.must(declareQueue("work"))
	for i := range 24 {
		name := fmt.Sprintf("delay.%02d", i)
		p.must(declareQueue(name, "x-message-ttl", int32(1<<i)), declareExchange(name, "topic"),
			bindQueue(name, "#.1", name), bindQueue(name, "#.0", "work"))
	}
	p.must(declareExchange("orders", "fanout"), bindQueue("orders", "", "work"))
	p.b.lock()
	p.b.vhosts["/"].queues["work"].enqueue(&message{key: "work"})
	p.b.unlock()

	state, _, _ := strings.Cut(p.b.Dump(), "\nlast events")
	for _, want := range []string{
		"delay.00, delay.01, ", "delay.19 and 4 more", "24 classic", "24 topic", "48 bindings",
		"orders  fanout", "orders  -> queue work", "queue work, classic, durable: 1 ready",
	} {
		if !strings.Contains(state, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(state, "\n"); n > 20 {
		t.Errorf("%d lines", n)
	}
	if t.Failed() {
		t.Log(state)
	}
}

// TestDumpLooksAtNoMoreThanItShows: four times the queues take
// four times the memory, and the bodies of their messages are not copied.
func TestDumpLooksAtNoMoreThanItShows(t *testing.T) {
	octets := func(queues int) float64 {
		p := newTopology(t, Config{Trace: -1})
		body := make([]byte, 100_000)
		for i := range queues {
			name := fmt.Sprint("q", i)
			p.must(declareQueue(name))
			p.b.lock()
			for range 20 {
				p.b.vhosts["/"].queues[name].enqueue(&message{key: name, body: body, props: wire.Properties{}})
			}
			p.b.unlock()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.b.Dump()
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	few, many := octets(50), octets(200)
	if many > 6*few || few > 50*50_000 {
		t.Errorf("50 queues take %.0f octets, 200 %.0f", few, many)
	}
}

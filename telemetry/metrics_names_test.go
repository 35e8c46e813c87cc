package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
)

// Whatever names come, each kind of them has at most maxValues in the metrics, and
// all is counted.
func TestNamesAreBounded(t *testing.T) {
	in, measured := counting(t, sdk.WithCardinalityLimit(0))
	const many = 3 * maxValues
	for range 2 {
		for i := range many {
			name := fmt.Sprintf("name-%03d", i)
			s := sending{op: opSend, exchange: name}
			in.publishing(s)
			in.published(t.Context(), s, sent{outcome: outcomeConfirmed, waited: time.Second})
			for _, about := range []verdict.About{
				{Kind: verdict.Buried, Queue: name, Reason: name},
				{Kind: verdict.Parked, Queue: name},
				{Kind: verdict.Replayed, Queue: name, From: name},
			} {
				copied := sending{op: operation(about, "", nil), about: about}
				in.publishing(copied)
				in.published(t.Context(), copied, sent{outcome: outcomeConfirmed})
			}
			for _, queue := range []string{name, "work"} {
				a := attempt{queue: queue, number: 1, verdict: verdictHandled, failure: name}
				in.processing(a)
				in.processed(t.Context(), a)
				in.settled(t.Context(), a, settlement.Result{Method: "ack"})
			}
			in.consumers.state(name, name)
			in.consumers.finding(name, name, false)
		}
	}
	seen := map[string]map[string]bool{}
	counted := map[string]int{}
	for _, l := range measured() {
		name, rest, _ := strings.Cut(l, "{")
		as, value, _ := strings.Cut(rest, "} ")
		var n int
		if _, err := fmt.Sscan(value, &n); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		counted[name] += n
		for part := range strings.FieldsSeq(as) {
			key, v, _ := strings.Cut(part, "=")
			if seen[name+" "+key] == nil {
				seen[name+" "+key] = map[string]bool{}
			}
			seen[name+" "+key][v] = true
		}
	}
	other := 0
	for key, values := range seen {
		limit := maxValues + 1
		if key == "messaging.client.operation.duration destination.name" {
			limit += maxValues // exchanges and queues
		}
		if len(values) > limit {
			t.Errorf("%s has %d values", key, len(values))
		}
		if values["_OTHER"] {
			other++
		}
	}
	if other < 15 {
		t.Errorf("only %d kinds of names were too many: %v", other, seen)
	}
	for name, want := range map[string]int{
		"messaging.client.sent.messages": 8 * many, "messaging.client.consumed.messages": 6 * many, "messaging.process.duration": 4 * many,
		"hareline.buried.messages": 2 * many, "hareline.replayed.messages": 2 * many, "hareline.parked.delay": 2 * many,
		"hareline.publish.wait": 2 * many, "hareline.settle.latency": 4 * many, "hareline.consumer.changes": 2 * many, "hareline.watchdog.findings": 2 * many,
	} {
		if counted[name] != want {
			t.Errorf("%s counted %d, not %d", name, counted[name], want)
		}
	}
}

// A server makes a new name for each queue that has none.
func TestServerNamedQueuesAreOne(t *testing.T) {
	in, measured := counting(t)
	for _, queue := range []string{"amq.gen-a", "amq.gen-b"} {
		a := attempt{queue: queue, verdict: verdictHandled}
		in.processing(a)
		in.processed(t.Context(), a)
	}
	expect(t, containing(measured(), "consumed"), "messaging.client.consumed.messages{destination.name=amq.gen-* operation.name=process} 2")
}

// One name that is not UTF-8 fails a whole scrape.
func TestNamesAreUTF8(t *testing.T) {
	in, measured := counting(t)
	const bad = "\xff"
	in.publishing(sending{op: opSend, exchange: bad})
	in.published(t.Context(), sending{op: opBury, about: verdict.About{Kind: verdict.Buried, Queue: bad, Reason: bad}}, sent{outcome: outcomeConfirmed})
	a := attempt{queue: bad, verdict: verdictBuried, failure: bad}
	in.processing(a)
	in.processed(t.Context(), a)
	in.consumers.state(bad, bad)
	in.consumers.finding(bad, bad, false)
	for _, l := range measured() {
		if !utf8.ValidString(l) {
			t.Errorf("%q", l)
		}
	}
	if n := len(containing(measured(), "\uFFFD")); n < 8 {
		t.Errorf("%d series have the name", n)
	}
}

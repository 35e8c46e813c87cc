package telemetry

import (
	"testing"
	"time"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
)

// message is all that is counted of a message that is published, fails once, is
// parked, and settled.
func message(t testing.TB, in *instruments, now time.Time) {
	s := sending{op: opSend, began: now}
	in.publishing(s)
	in.published(t.Context(), s, sent{outcome: outcomeConfirmed, ended: now, waited: time.Millisecond})
	a := attempt{queue: "work", number: 1, verdict: verdictParked, failure: "*net.OpError", began: now, ended: now}
	in.processing(a)
	p := sending{op: opPark, exchange: "ladder", began: now, about: verdict.About{Kind: verdict.Parked, Queue: "work", Delay: time.Second}}
	in.publishing(p)
	in.published(t.Context(), p, sent{outcome: outcomeConfirmed, ended: now})
	in.processed(t.Context(), a)
	in.settled(t.Context(), a, settlement.Result{Method: "ack", Began: now, Ended: now})
}

// Attribute sets are made once: what a message costs after that is the SDK's alone,
// and that needs no memory either.
func TestCountingDoesNotAllocate(t *testing.T) {
	in, _ := counting(t)
	now := time.Now()
	message(t, in, now)
	if n := testing.AllocsPerRun(1000, func() { message(t, in, now) }); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func BenchmarkCounting(b *testing.B) {
	in, _ := counting(b)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		message(b, in, now)
	}
}

func BenchmarkCountingOff(b *testing.B) {
	var in *instruments
	now := time.Now()
	for b.Loop() {
		message(b, in, now)
	}
}

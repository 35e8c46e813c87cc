package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/internal/scenario"
)

var (
	randomTime    = flag.Duration("random.time", 8*time.Second, "how long random conversations are held with each version")
	randomAtOnce  = flag.Int("random.atonce", 3, "how many random conversations are held at once with each version")
	randomTwice   = flag.Bool("random.twice", false, "hold each random conversation twice with the real broker, to see whether it says the same")
	randomShrink  = flag.Duration("random.shrink", 2*time.Minute, "how long a conversation in which the brokers differ is shortened")
	randomUnclear = flag.String("random.unclear", "", "a file for the conversations in which the real broker contradicted itself")
)

// randomSeed is that of a run that names none: the same conversations each time, so that a change is judged by what it
// changed. To search for differences, name others and take longer:
//
//	go test -run TestRandomConversations -rapid.seed=$RANDOM -random.time=10m .
const randomSeed = "20261123"

// TestRandomConversations makes conversations up and holds them with a real broker and with amqptest, which must say the
// same. Where they do not, the failure shows a shortened conversation: a script that can be added to the scenarios.
//
// A real broker on a busy machine answers late now and then. So a conversation in which they differ is held again with
// the real broker, and counts if that says the same once more.
func TestRandomConversations(t *testing.T) {
	seed := flag.Lookup("rapid.seed")
	if seed.Value.String() == "0" {
		if err := seed.Value.Set(randomSeed); err != nil {
			t.Fatal(err)
		}
	}
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		t.Logf("-rapid.seed=%s", seed.Value)
		h := &holder{broker: b, version: versionOf(b), report: t}
		var talks sync.WaitGroup
		for i := range *randomAtOnce {
			talks.Go(func() { h.holdAll(i) })
		}
		talks.Wait()
		t.Logf("RabbitMQ %s: %d conversations, %d steps; in %d the broker contradicted itself; %d ended before a race",
			b.Version, h.held.Load(), h.steps.Load(), h.unclear.Load(), h.races.Load())
	})
}

// holder holds conversations with one real broker.
type holder struct {
	broker  *brokertest.Broker
	version string
	report  *testing.T

	held, steps, unclear, races atomic.Int64
}

// holdAll holds one conversation after the other until time is up.
func (h *holder) holdAll(number int) {
	until := time.Now().Add(*randomTime)
	rapid.Check(h.report, func(t *rapid.T) {
		if time.Now().After(until) {
			return
		}
		for range number { // so that those that are held at once differ
			rapid.Bool().Draw(t, "nothing")
		}
		h.hold(t)
	})
}

func (h *holder) hold(t *rapid.T) {
	m, err := startMemory(h.version, soonMemory)
	if err != nil {
		t.Fatalf("amqptest: %v", err)
	}
	k := newTalk(h.version, m)
	defer func() {
		k.conv.End()
		if err := m.broker.Close(); err != nil {
			t.Errorf("amqptest: close: %v", err)
		}
	}()
	k.begin(t)
	t.Repeat(map[string]func(*rapid.T){"step": k.step})
	k.end(t)
	text, memory := k.script(), ""
	if k.race != "" {
		h.races.Add(1)
	} else {
		memory = k.conv.Transcript()
	}
	h.held.Add(1)
	h.steps.Add(int64(k.safe))
	diff, err := h.differ(t.Context(), text, memory)
	if err != nil {
		h.report.Errorf("%v, in\n%s", err, text)
		return
	}
	if diff != "" {
		h.failed(text, diff)
	}
}

// failed reports a conversation, shortened.
func (h *holder) failed(text, diff string) {
	ctx, cancel := context.WithTimeout(h.report.Context(), *randomShrink)
	defer cancel()
	text = shrink(text, func(shorter string) bool {
		if ctx.Err() != nil {
			return false
		}
		d, err := h.differ(ctx, shorter, "")
		if err != nil || d == "" {
			return false
		}
		diff = d
		return true
	})
	h.report.Errorf("RabbitMQ %s (-) and amqptest (+) differ:\n%s\nin\n%s", h.broker.Version, diff, text)
}

// differ tells how the two brokers surely differ; "": they may not. memory is what amqptest said already, if it did.
func (h *holder) differ(ctx context.Context, text, memory string) (diff string, err error) {
	scripts, err := scenario.Parse("random", "--- random\n"+text)
	if err != nil {
		return "", err
	}
	s := scripts[0]
	soon, err := playReal(ctx, h.broker, s, soonReal)
	if err != nil || soon == memory && !*randomTwice {
		return "", err
	}
	if memory, err = playMemory(ctx, h.version, s); err != nil || soon == memory && !*randomTwice {
		return "", err
	}
	first, err := playReal(ctx, h.broker, s, surelyReal)
	for tries := 0; err == nil && tries < 3; tries++ {
		diff = scenario.Diff(first, memory)
		if diff == "" && !*randomTwice {
			break
		}
		var again string
		if again, err = playReal(ctx, h.broker, s, surelyReal); again == first {
			return diff, err
		}
		h.contradiction(text, scenario.Diff(first, again))
		first = again
	}
	return "", err
}

// contradiction notes that the real broker said two things.
func (h *holder) contradiction(text, diff string) {
	h.unclear.Add(1)
	if *randomUnclear == "" {
		return
	}
	f, err := os.OpenFile(*randomUnclear, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = fmt.Fprintf(f, "--- RabbitMQ %s contradicts itself:\n%s\nin\n%s\n", h.version, diff, text)
}

package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

var (
	orderedTime = flag.Duration("ordered.time", 2*time.Second, "how long processes of TestOrderOfKeys are killed and cut off on each broker")
	orderedSeed = flag.Int("ordered.seed", 0, "the seed of TestOrderOfKeys; 0 is another one each time")
)

// orderPlan is what a run of TestOrderOfKeys draws.
type orderPlan struct {
	Seed       int
	Partitions int
	Keys       int
	Workers    int
	Prefetch   int
	Delays     []time.Duration // of the retries
	Slow       time.Duration   // the longest handler
	Transient  int             // of 100 attempts, how many fail so
	Permanent  int
	Panics     int
	Deaf       int           // of 100 attempts, how many do not look at their ctx
	Pace       time.Duration // the longest wait between two publishes
	Calm       time.Duration // the longest wait between two mishaps
}

func drawOrderPlan(t *rapid.T) orderPlan {
	p := orderPlan{
		Seed:       rapid.IntRange(1, 1<<30).Draw(t, "seed"),
		Partitions: rapid.IntRange(1, 4).Draw(t, "partitions"),
		Keys:       rapid.IntRange(1, 12).Draw(t, "keys"),
		Workers:    rapid.IntRange(1, 4).Draw(t, "workers"),
		Slow:       time.Duration(rapid.SampledFrom([]int{1, 5, 40}).Draw(t, "slow")) * time.Millisecond,
		Transient:  rapid.SampledFrom([]int{0, 5, 20, 40}).Draw(t, "transient"),
		Permanent:  rapid.IntRange(0, 4).Draw(t, "permanent"),
		Panics:     rapid.IntRange(0, 2).Draw(t, "panics"),
		Deaf:       rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "deaf"),
		Calm:       time.Duration(rapid.SampledFrom([]int{200, 600, 1500}).Draw(t, "calm")) * time.Millisecond,
	}
	p.Prefetch = p.Workers + rapid.IntRange(1, 40).Draw(t, "spare prefetch")
	for range rapid.IntRange(0, 3).Draw(t, "retries") {
		p.Delays = append(p.Delays, time.Duration(rapid.SampledFrom([]int{1, 10, 100}).Draw(t, "delay"))*time.Millisecond)
	}
	p.Pace = p.pace()
	return p
}

// pace is such that the processes have some time left: how long a message holds its
// key, over how many can be at work at once.
func (p orderPlan) pace() time.Duration {
	share := float64(p.Transient) / 100
	hold, fails := float64(p.Slow)/2, share
	for _, d := range p.Delays {
		hold += fails * float64(d+p.Slow/2)
		fails *= share
	}
	const slack = 3 // keys are not spread evenly, and a process that starts takes its time
	return max(time.Millisecond, time.Duration(slack*hold/float64(min(p.Partitions*p.Workers, p.Keys))))
}

func (p orderPlan) topology() topology.Partitions {
	return topology.PartitionedQueue("ordered", topology.PartitionsConfig{Count: p.Partitions, DeliveryLimit: 10_000})
}

// Random handlers, keys and failures in three processes, which are killed, cut off,
// stalled and drained at random: of each key no message has its first effect before
// the first effect or burial of all before it, an effect is repeated only of a message
// that was delivered again, one process never handles two messages of a key at once, and
// nothing is lost.
func TestOrderOfKeys(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		seed := *orderedSeed
		if seed == 0 {
			seed = rand.IntN(1 << 30) //nolint:gosec // no secret
		}
		plan := rapid.Custom(drawOrderPlan).Example(seed)
		t.Logf("-ordered.seed=%d: %+v", seed, plan)
		l := open(t, link.Config{URLs: []string{b.URL}})
		parts := plan.topology()
		if err := topology.Declare(deadline(t), l, parts.Topology); err != nil {
			t.Fatal(err)
		}
		journal := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(journal, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f := &fleet{t: t, plan: plan, journal: journal, all: make([]*child, 3), done: map[string]int{},
			random: rand.New(rand.NewPCG(uint64(plan.Seed), 1))} //nolint:gosec // no secret
		t.Cleanup(func() {
			if t.Failed() {
				queues, err := b.API().Queues(context.Background())
				t.Logf("queues: %+v, %v", queues, err)
			}
			for i, c := range f.all {
				if c != nil {
					f.end(i, syscall.SIGKILL)
				}
			}
		})
		for i := range f.all {
			f.proxies = append(f.proxies, b.Proxy(t))
			f.start(i)
		}
		ctx, cancel := context.WithTimeout(t.Context(), *orderedTime)
		defer cancel()
		var sent map[string]int
		var failed error
		var publishing sync.WaitGroup
		pub := publisher(t, l, confirm.Config{})
		publishing.Go(func() { sent, failed = f.publishAll(ctx, pub) })
		for ctx.Err() == nil {
			f.wait(min(plan.Calm, *orderedTime/6))
			f.disturb()
		}
		publishing.Wait()
		if failed != nil {
			t.Fatal(failed)
		}
		empty := func() bool { // of what is ready
			for i := range parts.Count {
				if depth(t, l, parts.Queue(i)) > 0 {
					return false
				}
			}
			return true
		}
		brokertest.Eventually(t, patience+*orderedTime, func() error {
			if !empty() {
				return errors.New("messages are left")
			}
			return nil
		})
		for i := range f.all {
			f.end(i, syscall.SIGTERM)
		}
		for !empty() { // what was held comes back
			f.start(0)
			eventually(t, empty)
			f.end(0, syscall.SIGTERM)
		}
		letters := map[string]bool{}
		for _, d := range take(t, l, parts.DeadLetterQueue) {
			letters[d.MessageId] = true
			if s, err := story.Read(d.Headers); err != nil || s.DeadReason == "" {
				t.Errorf("a letter that nobody here wrote: %v", d.Headers)
			}
		}
		text, err := os.ReadFile(journal) //nolint:gosec // of this test
		if err != nil {
			t.Fatal(err)
		}
		books := &orderBooks{t: t, letters: letters, next: map[string]int{}, settled: map[string]bool{}, moved: map[string]bool{}, dead: map[string]bool{}, busy: map[string]string{}, last: map[string]int{}}
		for line := range strings.Lines(string(text)) {
			books.read(strings.Fields(line))
		}
		books.balance(sent)
		if t.Failed() {
			saved := filepath.Join(os.TempDir(), fmt.Sprintf("ordered-%s-%d.journal", b.Version, seed))
			t.Logf("the journal: %s, %v", saved, os.WriteFile(saved, text, 0o600))
		}
		t.Logf("%d messages, %d lines, %d letters, %d effects again, %v", books.total(sent), books.lines, len(letters), books.again, f.done)
	})
}

// What comes back to a quorum queue goes behind what came back before and still
// lies there: a consumer that asks for less than the one before it, and ends in
// its turn, puts messages out of order. With the same prefetch it does not. It is
// why consumer.Config has FixedPrefetch.
func TestASmallerPrefetchReorders(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		for _, prefetch := range []int{1, 5} {
			queue := fmt.Sprintf("prefetch-%d", prefetch)
			declareQueue(t, l, queue, amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true, "x-delivery-limit": int32(1000)})
			p := publisher(t, l, confirm.Config{})
			for i := range 5 {
				if err := p.Publish(deadline(t), "", queue, amqp.Publishing{MessageId: strconv.Itoa(i)}); err != nil {
					t.Fatal(err)
				}
			}
			consume := func(prefetch, n int) (got []string) {
				do(t, l, func(ch *amqp.Channel) error {
					if err := ch.Qos(prefetch, 0, false); err != nil {
						return err
					}
					deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
					if err != nil {
						return err
					}
					for range n {
						got = append(got, wait(t, deliveries, "a delivery").MessageId)
					}
					return nil
				})
				return got
			}
			consume(5, 5)
			consume(prefetch, prefetch)
			got := strings.Join(consume(5, 5), " ")
			want := map[int]string{1: "1 2 3 4 0", 5: "0 1 2 3 4"}[prefetch]
			if got != want {
				t.Errorf("after a consumer with prefetch %d: %s, want %s", prefetch, got, want)
			}
		}
	})
}

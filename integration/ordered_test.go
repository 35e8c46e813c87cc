package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
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
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
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

// orderProcess is what a child process is told.
type orderProcess struct {
	Name, URL, Journal string
	Plan               orderPlan
}

const orderProcessEnv = "HARELINE_ORDERED_PROCESS"

// TestOrderedProcess is a consumer process of TestOrderOfKeys, which starts this
// binary again; run as a test it has nothing to do.
func TestOrderedProcess(t *testing.T) {
	told := os.Getenv(orderProcessEnv)
	if told == "" {
		return
	}
	var p orderProcess
	if err := json.Unmarshal([]byte(told), &p); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // the parent holds the other end, however it dies
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	err := p.consume(ctx)
	for errors.Is(err, errNotReady) && ctx.Err() == nil { // cut off while it began
		err = p.consume(ctx)
	}
	if err != nil && !errors.Is(err, errNotReady) {
		t.Fatal(err)
	}
}

var errNotReady = errors.New("the process did not come to consume")

func (p orderProcess) consume(ctx context.Context) error {
	journal, err := os.OpenFile(p.Journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer journal.Close()
	l, err := link.Open(ctx, link.Config{URLs: []string{p.URL}, Logger: logger(), ReconnectMin: 10 * time.Millisecond, ReconnectMax: 200 * time.Millisecond})
	if err != nil {
		return errors.Join(errNotReady, err)
	}
	copies, err := confirm.Open(ctx, l, confirm.Config{Logger: logger()})
	if err != nil {
		return errors.Join(errNotReady, err, l.Close(context.Background()))
	}
	h := &orderHandler{orderProcess: p, out: journal, random: rand.New(rand.NewPCG(uint64(p.Plan.Seed), uint64(os.Getpid())))} //nolint:gosec // no secret
	policy := retry.Policy{MaxRetries: -1}
	if len(p.Plan.Delays) > 0 {
		policy = retry.Policy{BackOff: retry.Schedule(p.Plan.Delays...)}
	}
	c, err := ordered.New(ordered.Config{Partitions: p.Plan.topology(), Copies: copies, Retry: policy, Consumer: consumer.Config{
		Handler: h.handle, Workers: p.Plan.Workers, Prefetch: p.Plan.Prefetch, DrainTimeout: 5 * time.Second, Logger: logger(),
	}})
	if err != nil {
		return err
	}
	return consumer.Group{Consumers: c.Consumers(), Publishers: []consumer.Closer{copies}}.Run(ctx, l)
}

// orderHandler does something random, and writes a line of each beginning and each
// end. A line is one write to a file opened to append: whole, and in one order for
// all processes.
type orderHandler struct {
	orderProcess
	out    io.Writer
	mu     sync.Mutex
	random *rand.Rand
}

// The kinds of lines.
const (
	lineStart  = "start"
	lineEffect = "effect" // the handler returns nil
	lineFail   = "fail"   // it is to be tried again
	lineDead   = "dead"   // it is to be buried
)

func (h *orderHandler) write(kind string, d amqp.Delivery, attempt int) error {
	_, err := fmt.Fprintln(h.out, kind, h.Name, d.ConsumerTag, d.MessageId, attempt, d.Redelivered)
	return err
}

func (h *orderHandler) draw(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.random.IntN(n)
}

func (h *orderHandler) handle(ctx context.Context, d amqp.Delivery) error {
	past, err := story.Read(d.Headers)
	if err != nil {
		return err
	}
	attempt := past.RetryCount
	if err := h.write(lineStart, d, attempt); err != nil {
		return err
	}
	work := time.After(time.Duration(h.draw(int(h.Plan.Slow))))
	told := ctx.Done()
	if h.draw(100) < h.Plan.Deaf {
		told = nil
	}
	select {
	case <-work:
	case <-told:
		return errors.Join(context.Cause(ctx), h.write(lineFail, d, attempt))
	}
	chance := h.draw(100)
	switch {
	case chance < h.Plan.Permanent:
		return errors.Join(retry.Permanent(errors.New("never")), h.write(lineDead, d, attempt))
	case chance < h.Plan.Permanent+h.Plan.Panics:
		if err := h.write(lineDead, d, attempt); err != nil {
			return err
		}
		panic("a bug")
	case chance < h.Plan.Permanent+h.Plan.Panics+h.Plan.Transient:
		kind := lineFail
		if attempt == len(h.Plan.Delays) {
			kind = lineDead
		}
		return errors.Join(retry.Transient(errors.New("not now")), h.write(kind, d, attempt))
	}
	return h.write(lineEffect, d, attempt)
}

// child is a process of the fleet.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bytes.Buffer
}

// fleet is three processes that come and go, each with a proxy of its own.
type fleet struct {
	t       *testing.T
	plan    orderPlan
	journal string
	proxies []*brokertest.Proxy
	all     []*child
	started int
	random  *rand.Rand
	done    map[string]int
}

func (f *fleet) start(i int) {
	f.t.Helper()
	f.started++
	told, err := json.Marshal(orderProcess{Name: "p" + strconv.Itoa(f.started), URL: f.proxies[i].URL(), Journal: f.journal, Plan: f.plan})
	if err != nil {
		f.t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestOrderedProcess$"), out: &bytes.Buffer{}} //nolint:gosec // this binary
	c.cmd.Env = append(os.Environ(), orderProcessEnv+"="+string(told))
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.all[i] = c
}

// end ends process i by a signal: SIGKILL without a word, SIGTERM by a drain.
func (f *fleet) end(i int, how os.Signal) {
	f.t.Helper()
	c := f.all[i]
	f.all[i] = nil
	_ = c.cmd.Process.Signal(how)
	_ = c.stdin.Close()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	early := errors.As(err, &exit) && !exit.Exited() // before it listened to signals
	if how == syscall.SIGTERM && err != nil && !early {
		f.t.Errorf("drain: %v\n%s", err, c.out)
	}
	if f.t.Failed() {
		f.t.Logf("process in place %d:\n%s", i, c.out)
	}
}

// disturb makes one mishap.
func (f *fleet) disturb() {
	i := f.random.IntN(len(f.all))
	what := []string{"kill", "kill", "cut", "cut", "stall", "drain"}[f.random.IntN(6)]
	f.done[what]++
	switch what {
	case "kill":
		f.end(i, syscall.SIGKILL)
		f.start(i)
	case "cut":
		f.proxies[i].Cut()
	case "stall": // nothing comes through; handlers go on; then it is cut
		f.proxies[i].Stall()
		f.wait(300 * time.Millisecond)
		f.proxies[i].Cut()
		f.proxies[i].Resume()
	case "drain":
		f.end(i, syscall.SIGTERM)
		f.start(i)
	}
}

func (f *fleet) wait(longest time.Duration) {
	<-time.After(time.Duration(f.random.Int64N(int64(longest))))
}

// publishAll publishes until ctx ends, the messages of each key numbered from 1,
// and tells how many there are of each key.
func (f *fleet) publishAll(ctx context.Context, p *confirm.Publisher) (map[string]int, error) {
	random := rand.New(rand.NewPCG(uint64(f.plan.Seed), 2)) //nolint:gosec // no secret
	parts := f.plan.topology()
	sent := map[string]int{}
	var receipts []*confirm.Receipt
	for ctx.Err() == nil {
		key := fmt.Sprintf("k%d", random.IntN(f.plan.Keys))
		sent[key]++
		exchange, route := parts.Route(key)
		receipts = append(receipts, p.Send(context.WithoutCancel(ctx), exchange, route, amqp.Publishing{MessageId: fmt.Sprintf("%s/%d", key, sent[key])}))
		<-time.After(time.Duration(random.Int64N(int64(f.plan.Pace))))
	}
	for _, r := range receipts {
		if err := r.Wait(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	return sent, nil
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

// orderBooks reads the journal.
type orderBooks struct {
	t       *testing.T
	letters map[string]bool
	next    map[string]int    // key: all below have had an effect or a letter
	settled map[string]bool   // messages that have had an effect
	moved   map[string]bool   // messages that were redelivered
	dead    map[string]bool   // messages that a handler gave up
	busy    map[string]string // process and key: the message at work
	last    map[string]int    // process, session and key: the newest message begun
	lines   int
	again   int
	wrong   int
}

func (o *orderBooks) fault(format string, args ...any) {
	if o.wrong++; o.wrong <= 10 {
		o.t.Errorf("line %d: "+format, append([]any{o.lines}, args...)...)
	}
}

// read takes the next line: kind, process, session, message, attempt, redelivered.
func (o *orderBooks) read(f []string) {
	o.lines++
	if len(f) != 6 {
		o.fault("torn: %q", f)
		return
	}
	kind, process, session, message, redelivered := f[0], f[1], f[1]+f[2], f[3], f[5] == "true"
	key, number, _ := strings.Cut(message, "/")
	n, err := strconv.Atoi(number)
	if err != nil {
		o.fault("%v", err)
		return
	}
	if kind == lineStart {
		if at := o.busy[process+key]; at != "" {
			o.fault("%s begins %s while it is at work on %s", process, message, at)
		}
		if o.last[session+key] > n {
			o.fault("session %s begins %s after number %d", session, message, o.last[session+key])
		}
		o.busy[process+key], o.last[session+key] = message, n
		return
	}
	if at := o.busy[process+key]; at != message {
		o.fault("%s ends %s, at work is %q", process, message, at)
	}
	delete(o.busy, process+key)
	for o.done(key, o.next[key]+1) {
		o.next[key]++
	}
	switch kind {
	case lineDead:
		o.dead[message] = true
	case lineEffect:
		if o.settled[message] {
			o.again++
			if !redelivered && !o.moved[message] { // nor is it what a process does that does not know yet that it was cut off
				o.fault("%s has an effect again, and was delivered once", message)
			}
		}
		o.moved[message] = o.moved[message] || redelivered
		if n > o.next[key]+1 {
			o.fault("%s has an effect before %s/%d has an effect or a letter", message, key, o.next[key]+1)
		}
		o.settled[message] = true
	}
}

// done tells whether a message has had an effect, or was given up and has a letter.
func (o *orderBooks) done(key string, n int) bool {
	message := fmt.Sprintf("%s/%d", key, n)
	return o.settled[message] || o.dead[message] && o.letters[message]
}

// balance looks for what is lost.
func (o *orderBooks) balance(sent map[string]int) {
	for key, count := range sent {
		for n := range count {
			if message := fmt.Sprintf("%s/%d", key, n+1); !o.settled[message] && !o.letters[message] {
				o.fault("%s is lost", message)
			}
		}
	}
	if o.wrong > 0 {
		o.t.Errorf("%d faults in all", o.wrong)
	}
}

func (o *orderBooks) total(sent map[string]int) int {
	sum := 0
	for _, n := range sent {
		sum += n
	}
	return sum
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

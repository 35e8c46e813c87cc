package monitor_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// bubble is a broker with a link, in virtual time.
type bubble struct {
	*testing.T
	b *amqptest.Broker
	l *link.Link
}

var silent = slog.New(slog.DiscardHandler)

// eachBroker runs a test on a broker of each version, in a bubble.
func eachBroker(t *testing.T, test func(x bubble)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			inBubble(t, amqptest.Config{Version: v}, link.Config{}, test)
		})
	}
}

func inBubble(t *testing.T, broker amqptest.Config, cfg link.Config, test func(x bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		broker.Clock = amqptest.Running
		x := bubble{T: t, b: broker.New(t)}
		x.l = x.open(x.b.PipeURL(), cfg)
		test(x)
	})
}

func (x bubble) open(url string, cfg link.Config) *link.Link {
	x.Helper()
	cfg.URLs, cfg.Dial, cfg.Logger = []string{url}, x.b.Dial, silent
	l, err := link.Open(x.soon(), cfg)
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// soon ends what hangs.
func (x bubble) soon() context.Context {
	ctx, cancel := context.WithTimeout(x.Context(), 100*time.Hour)
	x.Cleanup(cancel)
	return ctx
}

func (x bubble) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// operate does something over a connection of its own.
func (x bubble) operate(do func(ch *amqp.Channel) error) {
	x.Helper()
	c, err := amqp.DialConfig(x.b.PipeURL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) { return x.b.Dial(context.Background(), network, addr) },
	})
	if err != nil {
		x.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		x.Fatal(err)
	}
	if err := do(ch); err != nil {
		x.Fatal(err)
	}
}

func (x bubble) inject(f amqptest.Fault) *amqptest.Injected {
	x.Helper()
	n, err := x.b.Inject(f)
	if err != nil {
		x.Fatal(err)
	}
	return n
}

// work declares a work queue with its ladder.
func (x bubble) work(name string, cfg topology.WorkConfig) topology.Work {
	x.Helper()
	w := topology.WorkQueue(name, cfg)
	if err := topology.Declare(x.soon(), x.l, w.Topology); err != nil {
		x.Fatal(err)
	}
	return w
}

// bounded has a ladder of its own, and room for one message: with more on their way to
// it the ladder stands.
func (x bubble) bounded() topology.Work {
	x.Helper()
	return x.work("bounded", topology.WorkConfig{
		MaxLength: 1, Overflow: topology.RejectPublish, Ladder: topology.Ladder{Scope: "bounded"},
	})
}

// park puts n messages on the way to a queue.
func (x bubble) park(w topology.Work, delay time.Duration, n int) {
	x.Helper()
	x.operate(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		exchange, key, _ := w.Park(delay)
		for range n {
			c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent})
			if err != nil {
				return err
			}
			if !c.Wait() {
				return errors.New("nacked")
			}
		}
		return nil
	})
}

// drain takes all that comes to a queue for a while.
func (x bubble) drain(queue string, d time.Duration) {
	x.Helper()
	x.operate(func(ch *amqp.Channel) error {
		_, err := ch.Consume(queue, "", true, false, false, false, nil)
		x.pass(d)
		return err
	})
}

// messages counts what lies in the queues for which which is true, held ones too.
func (x bubble) messages(which func(name string) bool) int {
	n := 0
	for _, q := range x.b.Queues("/") {
		if which(q.Name) {
			n += q.Ready + q.Unacked + q.Held
		}
	}
	return n
}

func everywhere(string) bool { return true }

func named(name string) func(string) bool { return func(n string) bool { return n == name } }

// probes are the queues that probes have at the broker, without the shared ones.
func (x bubble) probes() []string {
	var all []string
	for _, q := range x.b.Queues("/") {
		if strings.HasPrefix(q.Name, "hareline-probe.") && q.Exclusive {
			all = append(all, q.Name)
		}
	}
	return all
}

// probing is a probe that runs, and what it has told.
type probing struct {
	*monitor.Probe
	stop func() error

	mu   sync.Mutex
	told []monitor.LadderLag
}

func (p *probing) all() []monitor.LadderLag {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// heard tells whether it was ever told of that.
func (p *probing) heard(r monitor.ProbeReason) bool {
	return slices.ContainsFunc(p.all(), func(l monitor.LadderLag) bool { return reason(l) == r })
}

func (x bubble) probe(cfg monitor.ProbeConfig) *probing {
	x.Helper()
	p := &probing{}
	cfg.Logger = silent
	cfg.OnLag = func(l monitor.LadderLag) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, l)
	}
	var err error
	if p.Probe, err = monitor.OpenProbe(x.soon(), x.l, cfg); err != nil {
		x.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- p.Run(ctx) }()
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	x.Cleanup(func() { _ = p.stop() })
	return p
}

// reason is why a probe measures nothing, "" when it does.
func reason(l monitor.LadderLag) monitor.ProbeReason {
	var err *monitor.ProbeError
	if errors.As(l.Err, &err) {
		return err.Reason
	}
	return ""
}

// fine tells whether a probe was measured in the last round, hardly late.
func fine(l monitor.LadderLag) bool {
	return l.Known() && l.Err == nil && l.Lag < 100*time.Millisecond && time.Since(l.At) < 70*time.Second
}

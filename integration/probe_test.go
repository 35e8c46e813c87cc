package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// probing is a probe that runs, once a second.
type probing struct {
	*monitor.Probe
	t    *testing.T
	stop func()
	told chan monitor.LadderLag
}

func probe(t *testing.T, l *link.Link, cfg monitor.ProbeConfig) *probing {
	t.Helper()
	p := &probing{t: t, told: make(chan monitor.LadderLag, 1000)}
	cfg.Every, cfg.Logger = time.Second, logger()
	cfg.OnLag = func(l monitor.LadderLag) { p.told <- l }
	var err error
	if p.Probe, err = monitor.OpenProbe(deadline(t), l, cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, link.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// until waits until the probe has told of that; "" is a lag.
func (p *probing) until(reason monitor.ProbeReason) monitor.LadderLag {
	p.t.Helper()
	for {
		l := wait(p.t, p.told, fmt.Sprintf("a probe %q", reason))
		var failed *monitor.ProbeError
		if errors.As(l.Err, &failed) && failed.Reason == reason || l.Err == nil && reason == "" {
			return l
		}
	}
}

// ladderQueues counts what a vhost holds of a ladder and of its probes, by statistics.
func leftovers(t *testing.T, b *brokertest.Broker) (own int) {
	t.Helper()
	queues, err := b.API().Queues(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if strings.HasPrefix(q.Name, "hareline-probe.") && q.Name != monitor.ProbeTopology(topology.Ladder{}).Queues[0].Name {
			own++
		}
	}
	return own
}

// Probes come back, of two delays and by two processes with no more rights than they
// need; nothing of them is left.
func TestProbe(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "orders", topology.WorkConfig{})
		_, url := restricted(t, b, brokertest.Permissions(monitor.ProbePermissions(w.Ladder)))
		other := open(t, link.Config{URLs: []string{url}})
		probes := []*probing{
			probe(t, l, monitor.ProbeConfig{}),
			probe(t, l, monitor.ProbeConfig{Delay: 800 * time.Millisecond}),
			probe(t, other, monitor.ProbeConfig{}),
		}
		for _, p := range probes {
			for range 5 {
				got := wait(t, p.told, "a probe")
				if got.Err != nil || !got.Known() || got.Delay < 800*time.Millisecond {
					t.Fatalf("%+v", got)
				}
				t.Logf("delay %v: lag %v", got.Delay, got.Lag)
			}
			p.stop()
		}
		eventually(t, func() bool { return leftovers(t, b) == 0 })
		if n := b.Depth(t, w.Ladder.Unclaimed()); n != 0 {
			t.Errorf("%d unclaimed", n)
		}
		if n := b.Depth(t, monitor.ProbeTopology(w.Ladder).Queues[0].Name); n > 1 {
			t.Errorf("the shared queue has %d messages", n)
		}
	})
}

// H 6: a full target holds up the level that leads to it. A probe tells so while it
// lasts, and recovers with the ladder; a process that dies meanwhile leaves nothing among
// the unclaimed messages.
func TestProbeOfALadderThatStands(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "bounded", topology.WorkConfig{
			MaxLength: 1, Overflow: topology.RejectPublish, Ladder: topology.Ladder{Scope: "bounded"},
		})
		p := probe(t, l, monitor.ProbeConfig{Ladder: w.Ladder, Limit: 5 * time.Second})
		p.until("")
		pub := publisher(t, l, confirm.Config{})
		for i := range 60 {
			park(t, pub, w, fmt.Sprint(i), 100*time.Millisecond)
		}
		if got := p.until(monitor.ProbeOverdue); got.Lag < 5*time.Second || !got.Known() {
			t.Errorf("%+v", got)
		}
		proxy := b.Proxy(t)
		doomed := open(t, link.Config{URLs: []string{proxy.URL()}})
		q := probe(t, doomed, monitor.ProbeConfig{Ladder: w.Ladder, Limit: 5 * time.Second})
		q.until(monitor.ProbeOverdue)
		proxy.Refuse(true)
		proxy.Cut()
		_ = doomed.Close(deadline(t))
		q.stop()

		taken := arrivals(t, l, w.Queue)
		for range 60 {
			wait(t, taken, "a message of the queue that was full")
		}
		if got := p.until(""); got.Err != nil || !got.OverdueSince.IsZero() {
			t.Errorf("after the recovery: %+v", got)
		}
		p.until("") // one more round: what the dead process had there is out
		if n := b.Depth(t, w.Ladder.Unclaimed()); n != 0 {
			t.Errorf("%d unclaimed", n)
		}
	})
}

// A level that is deleted is told of at once, and nothing is sent that would be unclaimed;
// a binding of a level that is gone shows as a probe that does not come back.
func TestProbeOfABrokenLadder(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "orders", topology.WorkConfig{})
		p := probe(t, l, monitor.ProbeConfig{Limit: 5 * time.Second})
		p.until("")
		// Between two rounds: what is on its way to a level when that goes is unclaimed.
		level := strings.Replace(w.Ladder.Due(), "due", "level.03", 1)
		if err := b.API().DeleteQueue(deadline(t), level); err != nil {
			t.Fatal(err)
		}
		if got := p.until(monitor.ProbeMissing); !strings.Contains(got.Err.Error(), level) {
			t.Errorf("%v", got.Err)
		}
		again := func() {
			t.Helper()
			if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
				t.Fatal(err)
			}
		}
		again()
		p.until("")
		do(t, l, func(ch *amqp.Channel) error {
			for _, binding := range w.Ladder.Topology().Bindings {
				if binding.Destination == level && !binding.ToExchange {
					return ch.QueueUnbind(binding.Destination, binding.Key, binding.Source, nil)
				}
			}
			return errors.New("no such binding")
		})
		p.until(monitor.ProbeOverdue)
		again()
		p.until("")
	})
}

// A cut link and a restarted broker are no fault of the ladder.
func TestProbeAcrossReconnects(t *testing.T) {
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, ReconnectMax: time.Second})
		w := work(t, l, "orders", topology.WorkConfig{})
		p := probe(t, l, monitor.ProbeConfig{Limit: 30 * time.Second})
		for range 3 {
			p.until("")
			proxy.Cut()
			p.until(monitor.ProbeDisconnected)
		}
		p.until("")
		b.Restart(t)
		p.until(monitor.ProbeDisconnected)
		if got := p.until(""); !got.Known() {
			t.Errorf("%+v", got)
		}
		if n := b.Depth(t, w.Ladder.Unclaimed()); n != 0 {
			t.Errorf("%d unclaimed", n)
		}
	})
}

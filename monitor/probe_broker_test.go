package monitor_test

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

var shared topology.Ladder

// A ladder that works: a probe a minute, hardly late, and nothing of it stays anywhere.
func TestProbeMeasures(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p := x.probe(monitor.ProbeConfig{})
		if p.Lag().Known() {
			x.Error("a lag before the first probe is back")
		}
		x.pass(10*time.Minute + 30*time.Second)
		if l := p.Lag(); !fine(l) || l.Delay != 1500*time.Millisecond {
			x.Errorf("%+v", l)
		}
		if n := len(p.all()); n != 11 {
			x.Errorf("%d probes in ten minutes and a half", n)
		}
		if got := p.Levels(); len(got) != 4 || got[0] != 3 || got[3] != 0 {
			x.Errorf("levels %v", got)
		}
		if len(x.probes()) != 1 {
			x.Errorf("queues %v", x.probes())
		}
		if err := p.stop(); err != nil {
			x.Error(err)
		}
		x.pass(2 * time.Minute)
		if n := x.messages(everywhere); n != 0 || len(x.probes()) != 0 {
			x.Errorf("%d messages and %v are left", n, x.probes())
		}
		if l := p.Lag(); l.Known() || reason(l) != monitor.ProbeStopped {
			x.Errorf("after Run: %+v", l)
		}
	})
}

// A full target takes up the places of a level: the lag grows before anything comes
// back, few probes pile up, and the ladder's recovery is noticed.
func TestProbeSeesALadderThatStands(t *testing.T) {
	eachBroker(t, func(x bubble) {
		w := x.bounded()
		p := x.probe(monitor.ProbeConfig{Ladder: w.Ladder})
		x.pass(90 * time.Second)
		if !fine(p.Lag()) {
			x.Fatalf("before: %+v", p.Lag())
		}
		x.park(w, 100*time.Millisecond, 60)
		x.pass(time.Minute)
		l := p.Lag()
		if reason(l) != monitor.ProbeOverdue || !l.Known() || l.Lag < 15*time.Second || l.OverdueSince.IsZero() {
			x.Fatalf("a minute later: %+v", l)
		}
		since := l.OverdueSince
		x.pass(24 * time.Hour)
		if l := p.Lag(); l.Lag < 24*time.Hour || !l.OverdueSince.Equal(since) {
			x.Errorf("a day later: %+v", l)
		}
		if n := len(p.all()); n > 40 {
			x.Errorf("told %d times", n)
		}
		if n := x.messages(named(w.Ladder.Unclaimed())); n != 0 {
			x.Errorf("%d unclaimed", n)
		}
		if n := x.messages(topology.IsLadderQueue); n > 59+30 {
			x.Errorf("%d messages on the ladder, 59 of them others'", n)
		}
		x.drain(w.Queue, 2*time.Hour)
		if !fineNow(p.Lag(), 2*time.Hour) {
			x.Errorf("after the recovery: %+v", p.Lag())
		}
	})
}

// fineNow is fine where the last round may be longer ago.
func fineNow(l monitor.LadderLag, within time.Duration) bool {
	return l.Known() && l.Err == nil && l.Lag < 100*time.Millisecond && time.Since(l.At) < within
}

// A missing level is told at once, and no probe is sent that would lie among the
// unclaimed messages.
func TestProbeSeesAMissingLevel(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p := x.probe(monitor.ProbeConfig{})
		x.pass(10 * time.Second)
		level := strings.Replace(shared.Due(), "due", "level.02", 1)
		x.operate(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(level, false, false, false); return err })
		x.pass(5 * time.Minute)
		l := p.Lag()
		if reason(l) != monitor.ProbeMissing || l.Known() || !strings.Contains(l.Err.Error(), level) {
			x.Errorf("%+v", l)
		}
		if n := x.messages(named(shared.Unclaimed())); n != 0 {
			x.Errorf("%d unclaimed", n)
		}
		if err := topology.Declare(x.soon(), x.l, topology.Topology{Ladders: []topology.Ladder{shared}}); err != nil {
			x.Fatal(err)
		}
		x.pass(2 * time.Minute)
		if !fine(p.Lag()) {
			x.Errorf("declared again: %+v", p.Lag())
		}
	})
}

// A level that is bound to nothing lets probes fall among the unclaimed messages: few,
// however long it lasts.
func TestProbeSeesAMissingBinding(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p := x.probe(monitor.ProbeConfig{})
		x.pass(10 * time.Second)
		for _, b := range shared.Topology().Bindings {
			if strings.HasSuffix(b.Destination, "level.01") && !b.ToExchange {
				x.operate(func(ch *amqp.Channel) error { return ch.QueueUnbind(b.Destination, b.Key, b.Source, nil) })
			}
		}
		x.pass(12 * time.Hour)
		if l := p.Lag(); reason(l) != monitor.ProbeOverdue || l.Lag < 11*time.Hour {
			x.Errorf("%+v", l)
		}
		unclaimed := x.b.Messages("/", shared.Unclaimed())
		if len(unclaimed) == 0 || len(unclaimed) > 20 || unclaimed[0].Type != "hareline.probe" {
			x.Errorf("%d unclaimed in 12 h", len(unclaimed))
		}
	})
}

// Without an alternate exchange either, the broker returns a probe: it is on no ladder, and
// not waited for.
func TestProbeReturned(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p := x.probe(monitor.ProbeConfig{})
		x.pass(10 * time.Second)
		x.operate(func(ch *amqp.Channel) error { return ch.ExchangeDelete(shared.Unclaimed(), false, false) })
		for _, b := range shared.Topology().Bindings {
			if strings.HasSuffix(b.Destination, "level.03") && !b.ToExchange {
				x.operate(func(ch *amqp.Channel) error { return ch.QueueUnbind(b.Destination, b.Key, b.Source, nil) })
			}
		}
		x.pass(5 * time.Minute)
		if l := p.Lag(); reason(l) != monitor.ProbeRefused || p.heard(monitor.ProbeOverdue) {
			x.Errorf("%+v", l)
		}
		if err := topology.Declare(x.soon(), x.l, topology.Topology{Ladders: []topology.Ladder{shared}}); err != nil {
			x.Fatal(err)
		}
		x.pass(2 * time.Minute)
		if !fine(p.Lag()) {
			x.Errorf("declared again: %+v", p.Lag())
		}
	})
}

// Whatever happens to the probe's own queue is no fault of the ladder, and mended.
func TestProbeMendsItsQueue(t *testing.T) {
	for name, harm := range map[string]func(x bubble){
		"deleted": func(x bubble) { x.inject(amqptest.Fault{Do: amqptest.DeleteQueue, Queue: x.probes()[0]}) },
		"cancelled": func(x bubble) {
			x.inject(amqptest.Fault{Do: amqptest.CancelConsumers, Queue: x.probes()[0]})
		},
		"cut":       func(x bubble) { x.b.CutConnections() },
		"closed":    func(x bubble) { x.b.CloseConnections("bye") },
		"restarted": func(x bubble) { x.b.Restart() },
		"shared queue deleted": func(x bubble) {
			x.operate(func(ch *amqp.Channel) error {
				_, err := ch.QueueDelete(monitor.ProbeTopology(shared).Queues[0].Name, false, false, false)
				return err
			})
		},
	} {
		for at, wait := range map[string]time.Duration{"between": 30 * time.Second, "on its way": 60500 * time.Millisecond} {
			t.Run(name+" "+at, func(t *testing.T) {
				inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
					x.work("orders", topology.WorkConfig{})
					p := x.probe(monitor.ProbeConfig{})
					x.pass(wait)
					harm(x)
					x.pass(4 * time.Minute)
					if p.heard(monitor.ProbeOverdue) {
						x.Error("overdue")
					}
					if !fine(p.Lag()) {
						x.Errorf("%+v", p.Lag())
					}
					if n := x.messages(named(shared.Unclaimed())); n != 0 {
						x.Errorf("%d unclaimed", n)
					}
					if n := len(x.probes()); n != 1 {
						x.Errorf("queues: %v", x.probes())
					}
				})
			})
		}
	}
}

// A binding of the probe's own queue that somebody removes is there again at the next
// round; the probe that it cost, if any, is given up.
func TestProbeBindsAgain(t *testing.T) {
	for at, wait := range map[string]time.Duration{"between": 30 * time.Second, "on its way": 60500 * time.Millisecond} {
		t.Run(at, func(t *testing.T) {
			inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
				x.work("orders", topology.WorkConfig{})
				p := x.probe(monitor.ProbeConfig{})
				x.pass(wait)
				s, err := x.l.Session(x.soon(), link.Consuming) // an exclusive queue is its connection's
				if err != nil {
					x.Fatal(err)
				}
				for _, b := range x.b.Bindings("/") {
					if b.Destination == x.probes()[0] && b.Source == shared.Due() {
						if err := s.Channel().QueueUnbind(b.Destination, b.RoutingKey, b.Source, nil); err != nil {
							x.Fatal(err)
						}
					}
				}
				x.pass(5 * time.Minute)
				if !fine(p.Lag()) || p.heard(monitor.ProbeOverdue) != (at == "on its way") {
					x.Errorf("%+v", p.all())
				}
			})
		})
	}
}

// A process that dies while its probes are on a ladder that stands leaves nothing among
// the unclaimed messages.
func TestProbeOfADeadProcess(t *testing.T) {
	eachBroker(t, func(x bubble) {
		w := x.bounded()
		x.park(w, 100*time.Millisecond, 60)
		x.pass(time.Second)
		p := x.probe(monitor.ProbeConfig{Ladder: w.Ladder})
		x.pass(10 * time.Hour)
		if n := x.messages(topology.IsLadderQueue); n < 60 {
			x.Errorf("no probe is on the ladder: %d messages", n)
		}
		if err := p.stop(); err != nil {
			x.Error(err)
		}
		x.b.CutConnections()
		x.pass(10 * time.Hour)
		x.drain(w.Queue, time.Hour)
		if n := x.messages(everywhere); n != 0 {
			x.Errorf("%d messages are left:\n%s", n, x.b.Dump())
		}
	})
}

// Probes of one ladder do not see each other.
func TestManyProbes(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		var all []*probing
		for range 5 {
			all = append(all, x.probe(monitor.ProbeConfig{}))
		}
		long := x.probe(monitor.ProbeConfig{Delay: 24 * time.Second})
		x.pass(5*time.Minute - time.Second)
		for _, p := range append(all, long) {
			if n := len(p.all()); n != 5 || p.Lag().Err != nil {
				x.Errorf("%d probes, %+v", n, p.Lag())
			}
		}
		if got := long.Levels(); len(got) != 4 || got[0] != 7 {
			x.Errorf("levels of 24 s: %v", got)
		}
	})
}

package telemetry

import (
	"errors"
	"sync"

	"go.opentelemetry.io/otel/metric"
)

// OnHealth counts the changes of a consumer's state. It is for
// consumer.Config.OnHealth:
//
//	OnHealth: func(h consumer.Health) { tel.OnHealth(h.Queue, string(h.Status)) },
//
// Where a process has several consumers of one queue, hareline.consumer.state is what
// any of them told last: watch hareline.consumer.changes there.
func (t *Telemetry) OnHealth(queue, status string) {
	if t != nil && t.counts != nil {
		t.counts.processes.of(queueName(queue)) // whose counts begin at 0, before the first message
		t.counts.consumers.state(queue, status)
	}
}

// OnWatchdog counts what a consumer's watchdog finds. It is for
// consumer.WatchdogConfig.OnEvent:
//
//	OnEvent: func(e consumer.WatchdogEvent) { tel.OnWatchdog(e.Queue, string(e.Finding), e.Over) },
func (t *Telemetry) OnWatchdog(queue, finding string, over bool) {
	if t != nil && t.counts != nil {
		t.counts.consumers.finding(queue, finding, over)
	}
}

// consumers are what the consumers of each queue told of themselves.
type consumers struct {
	mu       sync.Mutex
	states   family[stateKey, state]
	findings family[stateKey, state]
	last     map[string]*state // by queue
}

type stateKey struct{ queue, state string }

// state is one state of a queue's consumers, or one thing that is found of them.
type state struct {
	as     metric.ObserveOption
	queue  string // bounded
	began  int64
	stands int64
}

func (in *instruments) newState(k stateKey) (stateKey, func() *state) {
	k = stateKey{in.queues.bound(k.queue), in.states.bound(k.state)}
	return k, func() *state {
		return &state{queue: k.queue, as: observed(system, keyDestination.String(k.queue), keyState.String(k.state))}
	}
}

func (in *instruments) newFinding(k stateKey) (stateKey, func() *state) {
	k = stateKey{in.queues.bound(k.queue), in.states.bound(k.state)}
	return k, func() *state {
		return &state{queue: k.queue, as: observed(system, keyDestination.String(k.queue), keyFinding.String(k.state))}
	}
}

// state enters that a state began, which ends the one before.
func (c *consumers) state(queue, status string) {
	s := c.states.of(stateKey{queueName(queue), status})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = make(map[string]*state)
	}
	if before := c.last[s.queue]; before != nil {
		before.stands = 0
	}
	s.began++
	s.stands = 1
	c.last[s.queue] = s
}

// findingForgotten is told again and again while it lasts (consumer.Forgotten).
const findingForgotten = "forgotten"

// finding enters that something was found, or is over.
func (c *consumers) finding(queue, what string, over bool) {
	s := c.findings.of(stateKey{queueName(queue), what})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case over:
		s.stands = max(0, s.stands-1)
	case what == findingForgotten:
		s.began++
		s.stands = 1
	default:
		s.began++
		s.stands++
	}
}

// read reports one number of each state.
func (c *consumers) read(f *family[stateKey, state], number func(*state) int64) func(put) {
	return func(p put) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range f.all() {
			p(number(s), s.as)
		}
	}
}

// ofConsumers makes what is observed of consumers.
func (in *instruments) ofConsumers(meter metric.Meter) error {
	c := &in.consumers
	began := func(s *state) int64 { return s.began }
	stands := func(s *state) int64 { return s.stands }
	return errors.Join(
		in.count(meter, "hareline.consumer.changes", "{change}", "Changes of the state of consumers, by the state that began.", c.read(&c.states, began)),
		in.level(meter, "hareline.consumer.state", "{consumer}", "1 for the state that a queue's consumer told last, 0 for those that it was in before.", c.read(&c.states, stands)),
		in.count(meter, "hareline.watchdog.findings", "{finding}", "What the watchdogs of consumers found: forgotten (by the broker), stuck (a handler), unsettled (deliveries).", c.read(&c.findings, began)),
		in.level(meter, "hareline.watchdog.active", "{finding}", "Findings of the watchdogs of consumers that last.", c.read(&c.findings, stands)),
	)
}

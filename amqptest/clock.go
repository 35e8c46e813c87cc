package amqptest

import (
	"container/heap"
	"time"
)

// clock is the broker's time. All of it runs under Broker.mu; a timer's
// function too.
type clock struct {
	broker *Broker
	// running time is the machine's plus offset; else it is stopped.
	running bool
	offset  time.Duration
	// stopped is the time of a clock that is stopped, and of a running one
	// while it is moved.
	stopped time.Time
	moving  bool
	timers  timerHeap
	seq     uint64
	// alarm wakes a running clock for the first timer, at alarmAt of the
	// machine's time.
	alarm   *time.Timer
	alarmAt time.Time
	closed  bool
}

type timer struct {
	at    time.Time
	seq   uint64
	index int // in the heap; -1: not in it
	do    func()
	clock *clock
}

func newClock(b *Broker, running bool) *clock {
	return &clock{broker: b, running: running, stopped: time.Now()}
}

// now is the broker's time.
func (c *clock) now() time.Time {
	if c.runs() {
		return time.Now().Add(c.offset)
	}
	return c.stopped
}

// runs: the time moves on its own now.
func (c *clock) runs() bool { return c.running && !c.moving }

// after has do run, under Broker.mu, when d has passed. Timers of one moment
// run in the order they were made.
func (c *clock) after(d time.Duration, do func()) *timer { return c.at(c.now().Add(d), do) }

func (c *clock) at(t time.Time, do func()) *timer {
	c.seq++
	n := &timer{at: t, seq: c.seq, do: do, clock: c}
	heap.Push(&c.timers, n)
	c.arm()
	return n
}

// stop takes the timer back. A nil timer, or one that has run, is fine.
func (t *timer) stop() {
	if t == nil || t.index < 0 {
		return
	}
	heap.Remove(&t.clock.timers, t.index)
	t.clock.arm()
}

// advance moves the time by d and runs what falls due, each timer at its own
// moment, so that what one sets off can fall due in the same call.
func (c *clock) advance(d time.Duration) {
	now := c.now()
	c.stopped, c.moving = now, true
	c.runDue(now.Add(d))
	c.stopped, c.moving = now.Add(d), false
	c.offset += d
	c.arm()
}

func (c *clock) runDue(until time.Time) {
	for len(c.timers) > 0 && !c.timers[0].at.After(until) {
		t := heap.Pop(&c.timers).(*timer)
		if !c.runs() && t.at.After(c.stopped) {
			c.stopped = t.at
		}
		t.do()
		c.broker.work()
	}
	c.arm()
}

// arm sets the machine's timer to the first of ours.
func (c *clock) arm() {
	if !c.runs() || c.closed || len(c.timers) == 0 {
		return
	}
	first := c.timers[0].at.Add(-c.offset)
	if c.alarm != nil && c.alarmAt.Equal(first) {
		return
	}
	c.alarmAt = first
	wait := max(0, time.Until(first))
	if c.alarm == nil {
		c.alarm = time.AfterFunc(wait, c.ring)
		return
	}
	c.alarm.Reset(wait)
}

func (c *clock) ring() {
	b := c.broker
	b.lock()
	defer b.unlock()
	if c.closed {
		return
	}
	c.alarmAt = time.Time{}
	c.runDue(c.now())
}

func (c *clock) close() {
	c.closed = true
	if c.alarm != nil {
		c.alarm.Stop()
	}
	for _, t := range c.timers {
		t.index = -1
	}
	c.timers = nil
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

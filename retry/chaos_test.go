package retry_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// What a handler does at one attempt.
const (
	succeed   = "succeed"
	fail      = "fail"       // transient
	failLater = "fail later" // with a delay of its own
	failSlow  = "fail slowly"
	give      = "give up" // permanent
	blowUp    = "panic"
	slow      = "succeed slowly"
)

// plan is one random run: what handlers do and what goes wrong.
type plan struct {
	version  amqptest.Version
	work     topology.WorkConfig
	consumer consumer.Config
	retries  int
	messages [][]string // what is done at each attempt; the last for all others
	faults   []mishap
}

// mishap is something that goes wrong some time after the start.
type mishap struct {
	after time.Duration
	fault amqptest.Fault
	other string // what no Fault is
}

// outcome is what becomes of a message if nothing goes wrong: in how many
// attempts, and whether the last of them succeeds.
func (p plan) outcome(message int) (attempts int, succeeds bool) {
	for n := 0; ; n++ {
		switch p.at(message, n) {
		case succeed, slow:
			return n + 1, true
		case give, blowUp:
			return n + 1, false
		}
		if n == p.retries {
			return n + 1, false
		}
	}
}

func (p plan) at(message, attempt int) string {
	does := p.messages[message]
	return does[min(attempt, len(does)-1)]
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		version: rapid.SampledFrom(versions).Draw(t, "version"),
		work:    topology.WorkConfig{Type: rapid.SampledFrom(kinds).Draw(t, "type"), Ladder: topology.Ladder{Levels: 5}},
		retries: rapid.IntRange(0, 4).Draw(t, "retries"),
	}
	p.consumer.Workers = rapid.IntRange(1, 4).Draw(t, "workers")
	p.consumer.Prefetch = p.consumer.Workers + rapid.IntRange(0, 8).Draw(t, "spare prefetch")
	p.consumer.DrainTimeout = 3 * time.Second
	does := rapid.SampledFrom([]string{succeed, fail, fail, fail, failLater, failSlow, give, blowUp, slow})
	p.messages = rapid.SliceOfN(rapid.SliceOfN(does, 1, 4), 1, 15).Draw(t, "messages")
	p.faults = rapid.SliceOfN(rapid.Custom(drawMishap), 0, 4).Draw(t, "faults")
	return p
}

func drawMishap(t *rapid.T) mishap {
	m := mishap{after: time.Duration(rapid.IntRange(0, 8000).Draw(t, "after")) * time.Millisecond}
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		m.other = rapid.SampledFrom([]string{"cut", "restart", "new consumer", "no level", "no DLQ"}).Draw(t, "what")
		return m
	}
	f := amqptest.Fault{
		Do: rapid.SampledFrom([]amqptest.Effect{
			amqptest.Nack, amqptest.DropBefore, amqptest.DropAfter, amqptest.CloseChannel, amqptest.CloseConnection, amqptest.DelayConfirm,
			amqptest.ReorderConfirms, amqptest.HoldConfirm, amqptest.Stall, amqptest.RaiseAlarm, amqptest.CancelConsumers, amqptest.RefuseConnection,
		}).Draw(t, "do"),
		Nth: rapid.IntRange(1, 6).Draw(t, "nth"), Every: rapid.IntRange(1, 3).Draw(t, "every"), Times: rapid.IntRange(1, 4).Draw(t, "times"),
		Connection: "hareline*",
	}
	at := rapid.SampledFrom([]string{"basic.publish", "basic.ack"})
	delay := rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 2 * time.Second, 10 * time.Second, 50 * time.Second})
	switch f.Do {
	case amqptest.DropBefore, amqptest.DropAfter:
		f.On = at.Draw(t, "on")
	case amqptest.CloseChannel, amqptest.CloseConnection:
		f.On, f.Code = at.Draw(t, "on"), rapid.SampledFrom([]uint16{320, 403, 404, 406, 541}).Draw(t, "code")
	case amqptest.DelayConfirm, amqptest.RaiseAlarm:
		f.Delay = delay.Draw(t, "delay")
	case amqptest.Stall:
		f.On, f.Delay = at.Draw(t, "on"), delay.Draw(t, "delay")
	case amqptest.CancelConsumers:
		f.Queue, f.Connection = "work", ""
	case amqptest.RefuseConnection:
		f.Connection = "" // it has no name yet
	}
	if f.Do == amqptest.RaiseAlarm || f.Do == amqptest.CancelConsumers {
		f.On, f.Nth, f.Every, f.Times = amqptest.Now, 1, 1, 1
	}
	m.fault = f
	return m
}

// Whatever handlers do and whatever goes wrong: each message is handled, or in
// the dead-letter queue with a reason that its handler gave, or unclaimed. No
// copy has more attempts than the policy allows. When nothing goes wrong, the
// attempts are exactly those that the handlers asked for.
func TestNothingIsEverLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			b := amqptest.Config{Version: p.version, Clock: amqptest.Running}.New(t)
			c := &chaos{plan: p, r: newRig(t, b, p.work), calls: make([]int, len(p.messages)), done: make([]bool, len(p.messages))}
			problems = c.play(t)
			if len(problems) > 0 {
				problems = append(problems, b.Dump())
			}
		})
		for _, problem := range problems {
			rt.Error(problem)
		}
	})
}

type chaos struct {
	plan
	r *rig

	mu       sync.Mutex
	calls    []int
	done     []bool
	problems []string
}

func (c *chaos) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *chaos) handle(ctx context.Context, d amqp.Delivery) error {
	var i int
	_, err := fmt.Sscan(d.MessageId, &i)
	s, told := story.Read(d.Headers)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || told != nil || s.RetryCount > c.retries {
		c.problem("message %q has the story %+v: %v", d.MessageId, s, errors.Join(err, told))
		return nil
	}
	c.calls[i]++
	does := c.at(i, s.RetryCount)
	if does == slow || does == failSlow {
		c.mu.Unlock()
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
	switch does {
	case succeed, slow:
		c.done[i] = true
		return nil
	case give:
		return retry.Permanent(errors.New("no"))
	case blowUp:
		panic("boom")
	case failLater:
		return retry.After(errors.New("later"), 1500*time.Millisecond)
	}
	return errNot
}

// play runs the plan, and tells what was wrong at the end.
func (c *chaos) play(t *testing.T) []string {
	run := c.start(t)
	publish(t, c.r.b, c.r.w.Queue, named(numbers(len(c.messages))...)...)
	began := time.Now()
	var injected []*amqptest.Injected
	for _, m := range slices.SortedStableFunc(slices.Values(c.faults), func(x, y mishap) int { return int(x.after - y.after) }) {
		<-time.After(time.Until(began.Add(m.after)))
		switch m.other {
		case "":
			injected = append(injected, inject(t, c.r.b, m.fault))
		case "new consumer":
			run.Stop()
			if err := <-run.Result; err != nil {
				c.problem("the consumer ended with %v", err)
			}
			run = c.start(t)
		default:
			c.happen(t, m.other)
		}
	}
	pass(time.Minute)
	for _, n := range injected {
		n.Remove()
	}
	_ = c.r.b.ClearAlarm("memory")
	for end := time.Now().Add(2 * time.Hour); ; pass(10 * time.Second) {
		c.redeclare(t)
		if synctest.Wait(); c.r.underWay() == 0 {
			break
		}
		if time.Now().After(end) {
			c.problem("not at rest after hours")
			break
		}
	}
	run.Stop()
	if err := <-run.Result; err != nil {
		c.problem("the consumer ended with %v", err)
	}
	synctest.Wait()
	c.judge()
	return c.problems
}

func (c *chaos) start(t *testing.T) *bubble.Consumer {
	most := c.retries
	if most == 0 {
		most = -1 // none: 0 is the default
	}
	return c.r.start(t, c.consumer, retry.Policy{BackOff: retry.Constant(300 * time.Millisecond), MaxRetries: most}, c.handle)
}

func (c *chaos) happen(t *testing.T, what string) {
	switch what {
	case "cut":
		c.r.b.CutConnections()
	case "restart":
		c.r.b.Restart()
	case "no level":
		deletion := func(ch *amqp.Channel) error { return ch.ExchangeDelete(c.r.top(300*time.Millisecond), false, false) }
		for tryTo(c.r.b, deletion) != nil { // new connections may be refused just now
		}
	case "no DLQ":
		if synctest.Wait(); len(c.r.letters()) == 0 { // else its letters would be lost with it
			inject(t, c.r.b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: c.r.w.DeadLetterQueue})
		}
	}
}

// redeclare makes what is missing again.
func (c *chaos) redeclare(t *testing.T) {
	_, level := c.r.b.Exchange("/", c.r.top(300*time.Millisecond))
	_, letters := c.r.b.Queue("/", c.r.w.DeadLetterQueue)
	if !level || !letters {
		c.r.declare(t)
	}
}

// judge compares what became of each message with what its handler asked for.
func (c *chaos) judge() {
	buried, unclaimed := map[int][]string{}, map[int]bool{}
	for _, l := range c.r.letters() {
		var i int
		_, _ = fmt.Sscan(l.Delivery.MessageId, &i)
		buried[i] = append(buried[i], l.Reason)
		if l.Attempts > c.retries+1 || len(l.Problems) > 0 {
			c.problem("letter of message %d: %d attempts, %v", i, l.Attempts, l.Problems)
		}
	}
	for _, id := range c.r.ids(c.r.w.Ladder.Unclaimed()) {
		var i int
		_, _ = fmt.Sscan(id, &i)
		unclaimed[i] = true
	}
	for i := range c.messages {
		attempts, succeeds := c.outcome(i)
		switch {
		case !c.done[i] && len(buried[i]) == 0 && !unclaimed[i]:
			c.problem("message %d is lost", i)
		case c.done[i] && !succeeds:
			c.problem("message %d was handled, which never happens", i)
		case succeeds && slices.ContainsFunc(buried[i], ours):
			c.problem("message %d was buried (%v), though its handler succeeds in the end", i, buried[i])
		case len(c.faults) == 0 && (c.calls[i] != attempts || len(buried[i]) > 1 || len(unclaimed) > 0):
			c.problem("message %d: %d calls of %d, %d letters, though nothing went wrong", i, c.calls[i], attempts, len(buried[i]))
		}
	}
	if n := len(slices.Collect(maps.Keys(buried))); n > len(c.messages) {
		c.problem("%d messages buried", n)
	}
}

// ours tells the reasons of our own burials from the broker's: a copy that is
// refused with 406 has its original rejected.
func ours(reason string) bool { return reason != "rejected" && reason != "delivery_limit" }

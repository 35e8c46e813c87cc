package confirm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// Whatever goes wrong, in whatever order: every publish has exactly one
// outcome, which agrees with what the broker has; nothing that was confirmed is
// lost; what one goroutine sends arrives for the first time in its order; and
// in the end nothing is left behind.
func TestOutcomesAgreeWithTheBroker(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := scenarios.Draw(rt, "scenario")
		var wrong []string
		var trace string
		synctest.Test(t, func(t *testing.T) { wrong, trace = s.run(t) })
		if len(wrong) > 0 {
			rt.Log(trace)
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

// scenario is what some goroutines publish and what goes wrong meanwhile.
type scenario struct {
	Version amqptest.Version
	Config  confirm.Config
	Faults  []amqptest.Fault
	Events  []event
	Callers [][]publish
	Close   time.Duration // when; 0: when all have their outcome
}

type publish struct {
	Target string // ok, full, missing or nowhere
	Limit  time.Duration
	Wait   bool // for the outcome
	Pause  time.Duration
}

// event is what happens to the whole broker at a moment.
type event struct {
	At   time.Duration
	What string
}

var (
	moments = rapid.SampledFrom([]time.Duration{0, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 7 * time.Second})

	publishes = rapid.Custom(func(t *rapid.T) publish {
		return publish{
			Target: rapid.SampledFrom([]string{"ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "full", "missing", "nowhere"}).Draw(t, "target"),
			Limit:  rapid.SampledFrom([]time.Duration{0, 0, 0, 0, 0, 0, -1, 1, time.Millisecond, time.Second}).Draw(t, "limit"),
			Wait:   rapid.Bool().Draw(t, "wait"),
			Pause:  rapid.SampledFrom([]time.Duration{0, 0, 0, 0, 0, time.Millisecond, 400 * time.Millisecond}).Draw(t, "pause"),
		}
	})

	faults = rapid.Custom(func(t *rapid.T) amqptest.Fault {
		f := amqptest.Fault{
			Nth: rapid.IntRange(1, 15).Draw(t, "nth"), Every: rapid.IntRange(1, 9).Draw(t, "every"),
			Times: rapid.IntRange(1, 4).Draw(t, "times"),
		}
		f.Do = rapid.SampledFrom([]amqptest.Effect{
			amqptest.Nack, amqptest.DropBefore, amqptest.DropAfter, amqptest.CloseChannel, amqptest.CloseConnection,
			amqptest.DelayConfirm, amqptest.ReorderConfirms, amqptest.HoldConfirm, amqptest.Stall, amqptest.RaiseAlarm,
			amqptest.RefuseConnection, amqptest.RefuseLogin,
		}).Draw(t, "do")
		switch f.Do {
		case amqptest.DropBefore, amqptest.DropAfter, amqptest.CloseConnection:
			f.On = rapid.SampledFrom([]string{"basic.publish", "basic.publish", "channel.open", "confirm.select", amqptest.OnAny}).Draw(t, "on")
			f.Code = 320
		case amqptest.CloseChannel:
			f.On, f.Code = "basic.publish", rapid.SampledFrom([]uint16{403, 404, 406}).Draw(t, "code")
		case amqptest.Stall, amqptest.RaiseAlarm:
			f.On, f.Delay = "basic.publish", moments.Draw(t, "for")+time.Millisecond
		case amqptest.DelayConfirm:
			f.Delay = moments.Draw(t, "by") + time.Millisecond
		case amqptest.ReorderConfirms:
			f.Count = rapid.IntRange(2, 5).Draw(t, "count")
		case amqptest.RefuseConnection, amqptest.RefuseLogin:
			f.Nth, f.Every = 1, 1
		}
		return f
	})

	events = rapid.Custom(func(t *rapid.T) event {
		return event{moments.Draw(t, "at"), rapid.SampledFrom([]string{"cut", "close", "restart", "close channel", "alarm", "stall"}).Draw(t, "what")}
	})

	scenarios = rapid.Custom(func(t *rapid.T) scenario {
		return scenario{
			Version: rapid.SampledFrom([]amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43}).Draw(t, "version"),
			Config: confirm.Config{
				Window:         rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(t, "window"),
				ConfirmTimeout: rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 3 * time.Second, 30 * time.Second}).Draw(t, "timeout"),
				NoRepublish:    rapid.IntRange(0, 3).Draw(t, "republish") == 0,
			},
			Faults:  rapid.SliceOfN(faults, 0, 5).Draw(t, "faults"),
			Events:  rapid.SliceOfN(events, 0, 3).Draw(t, "events"),
			Callers: rapid.SliceOfN(rapid.SliceOfN(publishes, 1, 15), 1, 3).Draw(t, "callers"),
			Close:   rapid.SampledFrom([]time.Duration{0, 0, 0, 100 * time.Millisecond, 3 * time.Second}).Draw(t, "close"),
		}
	})
)

// book is what the callers were told, by message-id.
type book struct {
	mu    sync.Mutex
	wrong []string
	told  map[string]error
	of    map[string]publish
	all   []*confirm.Receipt
}

func (k *book) fault(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
}

func (k *book) note(id string, p publish, err error) {
	if errors.Is(err, confirm.ErrPending) {
		k.fault("%s: done, and pending", id)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told[id], k.of[id] = err, p
}

// run tells what was wrong, and then what happened in the broker.
func (s scenario) run(t *testing.T) (wrong []string, trace string) {
	b, err := amqptest.Config{Version: s.Version, Clock: amqptest.Running, Trace: 100_000}.Start()
	if err != nil {
		return []string{err.Error()}, ""
	}
	defer b.Close()
	declare(t, b, "ok", nil)
	declare(t, b, "full", amqp.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	l, err := link.Open(ctx, link.Config{URLs: []string{b.PipeURL() + "?heartbeat=0"}, Dial: b.Dial, Logger: quiet, ReconnectMin: time.Millisecond, ReconnectMax: time.Second})
	if err != nil {
		return []string{err.Error()}, ""
	}
	cfg := s.Config
	cfg.Logger = quiet
	p, err := confirm.Open(ctx, l, cfg)
	if err != nil {
		return []string{err.Error()}, ""
	}

	k := &book{told: map[string]error{}, of: map[string]publish{}}
	for _, f := range s.Faults {
		if _, err := b.Inject(f); err != nil {
			k.fault("%v", err)
		}
	}
	var going sync.WaitGroup
	for _, e := range s.Events {
		going.Go(func() { e.happen(b) })
	}
	for g, list := range s.Callers {
		going.Go(func() { k.call(ctx, p, g, list) })
	}
	if s.Close > 0 {
		going.Go(func() {
			<-time.After(s.Close)
			limit, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			began := time.Now()
			_ = p.Close(limit)
			if took := time.Since(began); took > 1300*time.Millisecond {
				k.fault("Close took %s", took)
			}
		})
	}
	going.Wait()
	if ctx.Err() != nil {
		k.fault("some have no outcome after half an hour")
	}
	for _, f := range b.Faults() {
		f.Remove()
	}
	if s.Close == 0 && ctx.Err() == nil {
		s.windowIsWhole(ctx, b, p, k)
	}
	if err := p.Close(ctx); err != nil {
		k.fault("Close: %v", err)
	}
	pass(20 * time.Second) // past every stall and alarm
	if n := confirming(b); n != 0 {
		k.fault("%d channels of publishers open", n)
	}
	if err := l.Close(ctx); err != nil {
		k.fault("Link.Close: %v", err)
	}
	s.compare(b, k)
	if len(k.wrong) > 0 {
		trace = b.TraceText(nil)
	}
	return k.wrong, trace
}

func (e event) happen(b *amqptest.Broker) {
	<-time.After(e.At)
	switch e.What {
	case "cut":
		b.CutConnections()
	case "close":
		b.CloseConnections("for a test")
	case "restart":
		b.Restart()
	case "close channel":
		_, _ = b.Inject(amqptest.Fault{Do: amqptest.CloseChannel, On: amqptest.Now, Code: 406})
	case "stall":
		_, _ = b.Inject(amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now, Delay: 2 * time.Second})
	case "alarm":
		_ = b.Alarm("disk")
		<-time.After(time.Second)
		_ = b.ClearAlarm("disk")
	}
}

func (k *book) call(ctx context.Context, p *confirm.Publisher, g int, list []publish) {
	var under sync.WaitGroup
	defer under.Wait()
	for i, m := range list {
		<-time.After(m.Pause)
		id := fmt.Sprintf("%d.%02d", g, i)
		exchange, key := "", m.Target
		if m.Target == "nowhere" {
			exchange = "nowhere"
		}
		msg := amqp.Publishing{MessageId: id, Body: []byte(id)}
		mine, cancel := ctx, func() {}
		if m.Limit != 0 {
			mine, cancel = context.WithTimeout(ctx, m.Limit)
		}
		if m.Wait {
			k.note(id, m, p.Publish(mine, exchange, key, msg))
			cancel()
			continue
		}
		r := p.Send(mine, exchange, key, msg)
		k.mu.Lock()
		k.all = append(k.all, r)
		k.mu.Unlock()
		under.Go(func() {
			defer cancel()
			select {
			case <-r.Done():
				k.note(id, m, r.Outcome())
			case <-ctx.Done():
				k.fault("%s: no outcome", id)
			}
		})
	}
}

// windowIsWhole checks that every place in the window came back: as many
// messages as it has are under way at a time.
func (s scenario) windowIsWhole(ctx context.Context, b *amqptest.Broker, p *confirm.Publisher, k *book) {
	pass(10*time.Second + 2*s.Config.ConfirmTimeout) // past every stall and alarm
	n := min(s.Config.Window, 20)
	late, err := b.Inject(amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 50 * time.Millisecond, Times: -1})
	if err != nil {
		k.fault("%v", err)
		return
	}
	defer late.Remove()
	began := time.Now()
	var all []*confirm.Receipt
	for range n {
		all = append(all, p.Send(ctx, "", "ok", amqp.Publishing{}))
	}
	if took := time.Since(began); took != 0 {
		k.fault("the window of %d has fewer places: one came after %s", s.Config.Window, took)
	}
	for _, r := range all {
		if err := r.Wait(ctx); err != nil {
			k.fault("at the end: %v", err)
		}
	}
}

// compare holds what the callers were told against what the broker has.
func (s scenario) compare(b *amqptest.Broker, k *book) {
	stored, done := map[string]bool{}, map[string]bool{}
	for _, queue := range []string{"ok", "full"} {
		for _, id := range ids(b, queue) {
			stored[id] = true
		}
	}
	for _, e := range b.Trace(amqptest.OfKind(amqptest.EventPublished)) {
		done[e.MessageID] = true
	}
	total := 0
	for _, list := range s.Callers {
		total += len(list)
	}
	if len(k.told) != total {
		k.fault("%d of %d have an outcome", len(k.told), total)
	}
	for _, r := range k.all {
		if err, ok := k.told[r.MessageID()]; ok && r.Outcome() != err { //nolint:errorlint // the same, not one like it
			k.fault("%s: first %v, then %v", r.MessageID(), err, r.Outcome())
		}
	}
	for id, err := range k.told {
		if wrong := s.judge(k.of[id], err, stored[id], done[id]); wrong != "" {
			k.fault("%s to %s (stored %t): %s: %v", id, k.of[id].Target, stored[id], wrong, err)
		}
	}
	if s.has(amqptest.Nack) {
		return // one whose nack was lost with its channel is sent again, and taken
	}
	last := map[byte]string{}
	for _, id := range firsts(ids(b, "ok")) {
		if g := id[0]; id[1] == '.' {
			if id < last[g] {
				k.fault("%s arrived for the first time after %s", id, last[g])
			}
			last[g] = id
		}
	}
}

// judge says what is wrong with an outcome.
func (s scenario) judge(m publish, err error, stored, done bool) string {
	var returned *confirm.ReturnedError
	var nacked *confirm.NackedError
	var refused *confirm.RefusedError
	var unsent *confirm.UnsentError
	var unknown *confirm.UnknownError
	var may stores
	switch {
	case err == nil && !stored:
		return "lost"
	case err == nil:
	case !errors.As(err, &may):
		return "an error of no kind"
	case stored && !may.PossiblyStored():
		return "denied"
	case errors.As(err, &returned) && m.Target != "missing":
		return "returned for no reason"
	case errors.As(err, &nacked) && m.Target != "full" && !s.has(amqptest.Nack):
		return "nacked for no reason"
	case errors.As(err, &refused) && m.Target != "nowhere" && !s.has(amqptest.CloseChannel) && !s.closesChannels():
		return "refused for no reason"
	case errors.As(err, &unsent) && done:
		return "unsent, and done"
	case returned == nil && nacked == nil && refused == nil && unsent == nil && !errors.As(err, &unknown):
		return "no such outcome"
	}
	return ""
}

func (s scenario) has(do amqptest.Effect) bool {
	return slices.ContainsFunc(s.Faults, func(f amqptest.Fault) bool { return f.Do == do })
}

func (s scenario) closesChannels() bool {
	return slices.ContainsFunc(s.Events, func(e event) bool { return e.What == "close channel" })
}

package ordered_test

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
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
)

// plan is one random run: what handlers do and what goes wrong.
type plan struct {
	version    amqptest.Version
	partitions int
	processes  int
	workers    int
	spare      int      // prefetch beyond the workers
	messages   []string // "a1"
	does       map[string][]string
	mishaps    []mishap
}

type mishap struct {
	after time.Duration
	what  string
}

// What a handler does at one attempt; the last of a message's is repeated.
const (
	succeed  = "succeed"
	slowly   = "succeed slowly"
	fail     = "fail"
	giveUp   = "give up"
	blowUp   = "panic"
	failDeaf = "fail late, deaf to its ctx"
)

func drawPlan(t *rapid.T) plan {
	p := plan{
		version:    rapid.SampledFrom(versions).Draw(t, "version"),
		partitions: rapid.IntRange(1, 3).Draw(t, "partitions"),
		processes:  rapid.IntRange(1, 3).Draw(t, "processes"),
		workers:    rapid.IntRange(1, 3).Draw(t, "workers"),
		spare:      rapid.IntRange(1, 6).Draw(t, "spare prefetch"),
		does:       map[string][]string{},
	}
	count := map[string]int{}
	does := rapid.SliceOfN(rapid.SampledFrom([]string{succeed, succeed, succeed, slowly, fail, fail, giveUp, blowUp, failDeaf}), 1, 3)
	for range rapid.IntRange(1, 12).Draw(t, "messages") {
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key")
		count[key]++
		name := fmt.Sprintf("%s%d", key, count[key])
		p.messages = append(p.messages, name)
		p.does[name] = does.Draw(t, name)
	}
	for range rapid.IntRange(0, 3).Draw(t, "mishaps") {
		p.mishaps = append(p.mishaps, mishap{
			after: time.Duration(rapid.IntRange(0, 5000).Draw(t, "after")) * time.Millisecond,
			what:  rapid.SampledFrom([]string{"cut", "drain", "cancel", "restart", "no letters"}).Draw(t, "what"),
		})
	}
	return p
}

// The rule of the package, for random handlers, keys and mishaps: of a key, no
// message has its first effect before the first effect or burial of each before
// it; without a mishap each has just one; one process has one message of a key at
// work; and nothing is lost.
func TestRandomOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		synctest.Test(t, func(t *testing.T) { p.run(rt, t) })
	})
}

func (p plan) run(rt *rapid.T, t *testing.T) {
	b := amqptest.Config{Version: p.version, Clock: amqptest.Running}.New(t)
	parts := declare(t, b, p.partitions)
	books := &books{t: rt, b: b, effects: map[string]int{}, busy: map[string]string{}}
	var all []*process
	config := func(name string) ordered.Config {
		return ordered.Config{Partitions: parts, Retry: seconds(1, 1), Consumer: consumer.Config{
			Workers: p.workers, Prefetch: p.workers + p.spare, DrainTimeout: 3 * time.Second,
			Handler: func(ctx context.Context, d amqp.Delivery) error { return books.handle(ctx, p, name, d) },
		}}
	}
	for i := range p.processes {
		all = append(all, begin(t, b, config(fmt.Sprint("process ", i))))
	}
	publish(t, b, parts, p.messages...)
	for i, m := range p.mishaps {
		pass(m.after)
		switch m.what {
		case "cut":
			b.CutConnections()
		case "restart":
			b.Restart()
		case "cancel":
			_, _ = b.Inject(amqptest.Fault{Do: amqptest.CancelConsumers, On: amqptest.Now})
		case "no letters":
			_, _ = b.Inject(amqptest.Fault{Do: amqptest.Nack, Key: "orders.dlq", Nth: 1, Times: 3})
		case "drain":
			n := i % len(all)
			all[n].stop()
			<-all[n].ended
			all[n] = begin(t, b, config(fmt.Sprint("process ", n, " after ", i)))
		}
	}
	empty(t, b, parts)
	for _, one := range all {
		one.stop()
		<-one.ended
	}
	books.balance(p)
}

// books are what happened.
type books struct {
	t  *rapid.T
	b  *amqptest.Broker
	mu sync.Mutex

	effects map[string]int
	busy    map[string]string // process and key
	wrong   []string
}

func (o *books) handle(ctx context.Context, p plan, process string, d amqp.Delivery) error {
	name, key := d.MessageId, keyOf(d.MessageId)
	n := attempts(d)
	does := p.does[name][min(n, len(p.does[name]))-1]
	o.begin(process, name)
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.busy, process+key)
	}()
	switch does {
	case slowly:
		select {
		case <-time.After(700 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	case failDeaf:
		<-time.After(500 * time.Millisecond)
		return errMoment
	case fail:
		return errMoment
	case giveUp:
		return retry.Permanent(errors.New("never"))
	case blowUp:
		panic("a bug")
	}
	o.effect(p, d)
	return nil
}

func (o *books) begin(process, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at := o.busy[process+keyOf(name)]; at != "" {
		o.wrong = append(o.wrong, fmt.Sprintf("%s begins while %s is at work", name, at))
	}
	o.busy[process+keyOf(name)] = name
}

func (o *books) effect(p plan, d amqp.Delivery) {
	letters := ids(o.b.Messages("/", "orders.dlq"))
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, before := range p.messages {
		if before == d.MessageId {
			break
		}
		if keyOf(before) == keyOf(d.MessageId) && o.effects[before] == 0 && !slices.Contains(letters, before) {
			o.wrong = append(o.wrong, fmt.Sprintf("%s has an effect before %s", d.MessageId, before))
		}
	}
	o.effects[d.MessageId]++
	if o.effects[d.MessageId] > 1 && !d.Redelivered {
		o.wrong = append(o.wrong, d.MessageId+" has an effect again without a redelivery")
	}
}

func (o *books) balance(p plan) {
	letters := ids(o.b.Messages("/", "orders.dlq"))
	for _, name := range p.messages {
		if o.effects[name] == 0 && !slices.Contains(letters, name) {
			o.wrong = append(o.wrong, name+" is lost")
		}
		if len(p.mishaps) == 0 && o.effects[name] > 1 {
			o.wrong = append(o.wrong, name+" has an effect again without a mishap")
		}
	}
	if len(o.wrong) > 0 {
		o.t.Fatalf("%s", strings.Join(o.wrong, "\n"))
	}
}

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

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

package consumer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// BatchConfig bounds a batch. Whatever is reached first closes it. The zero
// value is useful.
type BatchConfig struct {
	// Size is the number of messages. Each keeps one worker waiting, so a batch
	// is never larger than Config.Workers, nor than the prefetch: set Workers to
	// Size, or to a multiple for batches side by side. Default 100.
	Size int
	// Bytes is the sum of the bodies as delivered; a larger message is a batch
	// alone. Default no bound.
	Bytes int
	// Wait is how long the first message waits for others, at most; the drain
	// ends it. Keep it well below any Timeout around the batch. Default 1 s.
	Wait time.Duration
}

func (c BatchConfig) withDefaults() BatchConfig {
	c.Size = cmp.Or(c.Size, 100)
	c.Wait = cmp.Or(c.Wait, time.Second)
	return c
}

func (c BatchConfig) validate() error {
	switch {
	case c.Size < 0:
		return &ConfigError{Field: "BatchConfig.Size", Problem: fmt.Sprintf("is %d", c.Size), Fix: "use at least 1, or 0 for the default"}
	case c.Bytes < 0:
		return &ConfigError{Field: "BatchConfig.Bytes", Problem: fmt.Sprintf("is %d", c.Bytes), Fix: "leave it 0 for no bound"}
	case c.Wait < 0:
		return &ConfigError{Field: "BatchConfig.Wait", Problem: fmt.Sprintf("is %v", c.Wait), Fix: "leave it 0 for the default"}
	}
	return nil
}

// Item is one message of a batch.
type Item[T any] struct {
	Value    T
	Delivery amqp.Delivery
}

// BatchErrors is what a batch's function returns when some messages failed: the
// error of each of these, by its index in the batch. The others succeeded.
type BatchErrors map[int]error

func (e BatchErrors) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "consumer: %d messages of a batch failed", len(e))
	for _, i := range slices.Sorted(maps.Keys(e)) {
		fmt.Fprintf(&text, "; %d: %v", i, e[i])
	}
	return text.String()
}

// Batch makes one call of f out of many deliveries. What it returns goes where a
// function for one message goes, as in
//
//	consumer.JSON(consumer.Batch(consumer.BatchConfig{Size: 200}, insert))
//	consumer.Decode(consumer.Raw{}, consumer.Batch(...)) // bodies as they are
//
// so that each message has its own decoding, and its own verdict from whatever
// middleware is around: f returns nil when all succeeded, [BatchErrors] when some
// failed, and any other error when all did, a join that has BatchErrors in it among
// them. It may be called by several goroutines at once. When it panics, each
// message of that batch is tried once more, in a batch of its own, so that one
// that cannot be handled fails alone. With a wrong cfg nothing is handled: the
// consumer pauses, and its log and Health say why.
//
// f's ctx ends at the earliest deadline of its messages, and as a handler's does
// at the drain's; it has the values of Run's ctx. When a batch gathers at that
// moment, f is not called.
func Batch[T any](cfg BatchConfig, f func(context.Context, []Item[T]) error) func(context.Context, T, amqp.Delivery) error {
	b := &batcher[T]{cfg: cfg.withDefaults(), f: f, gathering: map[*runInfo]*batch[T]{}}
	err := cfg.validate()
	if f == nil {
		err = &ConfigError{Field: "Batch", Problem: "has no function", Fix: "give one that handles a batch"}
	}
	if err != nil {
		return func(context.Context, T, amqp.Delivery) error { return verdict.Misconfigured(err) }
	}
	return b.handle
}

type batcher[T any] struct {
	cfg BatchConfig
	f   func(context.Context, []Item[T]) error

	mu sync.Mutex
	// gathering has one for each Run, for the shutdown of the one is none of the
	// other's.
	gathering map[*runInfo]*batch[T]
}

// batch is one batch. The worker that opened it leads: it waits until the batch
// is closed and calls f; the others wait for it.
type batch[T any] struct {
	run      *runInfo // nil outside of Run
	items    []Item[T]
	bytes    int
	deadline time.Time // the earliest of all
	full     chan struct{}
	done     chan struct{}
	errs     []error
}

func (c *batcher[T]) handle(ctx context.Context, v T, d amqp.Delivery) error {
	b, i := c.join(ctx, Item[T]{Value: v, Delivery: d})
	if i > 0 {
		<-b.done
		return b.errs[i]
	}
	defer close(b.done)
	wait := time.NewTimer(c.cfg.Wait)
	defer wait.Stop()
	select {
	case <-b.full:
	case <-wait.C:
	case <-stopping(ctx): // nobody else will come
	case <-ctx.Done():
	}
	c.close(b)
	c.run(ctx, b)
	return b.errs[0]
}

// join enters a message and gives its place in its batch.
func (c *batcher[T]) join(ctx context.Context, item Item[T]) (*batch[T], int) {
	size := c.cfg.Size
	run, ok := ctx.Value(runKey{}).(*runInfo)
	if ok {
		size = min(size, run.workers)
	}
	bytes := len(item.Delivery.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.gathering[run]
	if b != nil && c.cfg.Bytes > 0 && b.bytes+bytes > c.cfg.Bytes {
		delete(c.gathering, run)
		close(b.full)
		b = nil
	}
	if b == nil {
		b = &batch[T]{run: run, full: make(chan struct{}), done: make(chan struct{})}
		c.gathering[run] = b
	}
	b.items = append(b.items, item)
	b.bytes += bytes
	if at, ok := ctx.Deadline(); ok && (b.deadline.IsZero() || at.Before(b.deadline)) {
		b.deadline = at
	}
	if len(b.items) >= size || c.cfg.Bytes > 0 && b.bytes >= c.cfg.Bytes {
		delete(c.gathering, run)
		close(b.full)
	}
	return b, len(b.items) - 1
}

// close keeps others from joining.
func (c *batcher[T]) close(b *batch[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gathering[b.run] == b {
		delete(c.gathering, b.run)
	}
}

// run calls f for the batch, or for each message alone when that panicked.
func (c *batcher[T]) run(ctx context.Context, b *batch[T]) {
	b.errs = slices.Repeat([]error{errGoexit}, len(b.items)) // until we know better
	if b.run != nil {
		ctx = b.run.handling
	}
	if !b.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, b.deadline)
		defer cancel()
	}
	panicked := c.call(ctx, b.items, b.errs)
	if !panicked || len(b.items) == 1 {
		return
	}
	for i := range b.items {
		c.call(ctx, b.items[i:i+1], b.errs[i:i+1])
	}
}

// call calls f for these items, enters their errors, and tells whether it panicked.
func (c *batcher[T]) call(ctx context.Context, items []Item[T], errs []error) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			fill(errs, &PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	if ctx.Err() != nil {
		fill(errs, context.Cause(ctx))
		return false
	}
	err := probed(c.f(ctx, slices.Clone(items)))
	// Not of a join: what else is in it, such as a failed commit, is the others' too.
	some, ok := verdict.As[BatchErrors](err)
	if !ok {
		fill(errs, err)
		return false
	}
	fill(errs, nil)
	for i, err := range some {
		if i < 0 || i >= len(items) {
			fill(errs, fmt.Errorf("consumer: BatchErrors has index %d for a batch of %d messages: use the index in the batch that the function got: %w", i, len(items), some))
			return false
		}
		errs[i] = err
	}
	return false
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}

// runInfo is what a batch knows of the Run that calls it.
type runInfo struct {
	workers  int
	handling context.Context //nolint:containedctx // the handlers' ctx, without what one message adds
}

type runKey struct{}

func withRun(handling context.Context, cfg Config) context.Context {
	info := &runInfo{workers: cfg.Workers}
	info.handling = context.WithValue(handling, runKey{}, info)
	return info.handling
}

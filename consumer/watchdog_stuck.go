package consumer

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// worker is one goroutine that calls handlers, and the delivery it has.
type worker struct {
	goroutine atomic.Uint64
	current   atomic.Pointer[delivery]     // nil while it has none
	stuck     atomic.Pointer[stuckHandler] // of whose return the watchdog is to know

	// Of its goroutine alone: the ctx of the handlers of one session, with this in it.
	base, ctx context.Context //nolint:containedctx // one for many messages costs none an allocation
}

type workerKey struct{}

// contextFor is the handler's ctx, by which Timeout finds the delivery.
func (w *worker) contextFor(j *job) context.Context {
	ctx := j.s.contextFor(&j.d)
	if ctx != j.s.handling {
		return context.WithValue(ctx, workerKey{}, w)
	}
	if w.base != ctx {
		w.base, w.ctx = ctx, context.WithValue(ctx, workerKey{}, w)
	}
	return w.ctx
}

// handled is the delivery d while the worker of ctx is at it. Middleware may have
// taken the handler elsewhere, and the worker to another delivery.
func handled(ctx context.Context, d *amqp.Delivery) *delivery {
	w, ok := ctx.Value(workerKey{}).(*worker)
	if !ok {
		return nil
	}
	u := w.current.Load()
	if u == nil || u.d.DeliveryTag != d.DeliveryTag || u.d.ConsumerTag != d.ConsumerTag {
		return nil
	}
	return u
}

// noteBegun notes when the last delivery was handed to a worker. serve knows the time
// only a moment later.
func (s *session) noteBegun(now time.Time) {
	if s.begun != nil {
		s.begun.began.Store(now.UnixNano())
		s.begun = nil
	}
}

// stuckHandler is one handler that was found beyond its deadline.
type stuckHandler struct {
	w     *worker
	u     *delivery
	since time.Time    // it has the delivery
	ended atomic.Int64 // Unix nanoseconds
}

// stuckGrace is what a handler gets to notice that Timeout has ended its ctx.
const stuckGrace = 10 * time.Second

// isStuck tells whether a handler is beyond its deadline, and since when it is at work.
func (u *delivery) isStuck(now time.Time, after time.Duration) (since time.Time, is bool) {
	u.began.CompareAndSwap(0, now.UnixNano()) // its session ended before it noted that
	since = time.Unix(0, u.began.Load())
	if now.Sub(since) >= after {
		return since, true
	}
	deadline := u.deadline.Load()
	return since, deadline != 0 && now.Sub(time.Unix(0, deadline)) >= stuckGrace
}

// findStuck tells of the handlers that are stuck since the last look.
func (w *watchdog) findStuck() {
	now := time.Now()
	var found []*stuckHandler
	var goroutines []uint64
	for _, worker := range w.r.workers {
		u := worker.current.Load()
		if u == nil || slices.ContainsFunc(w.stuck, func(h *stuckHandler) bool { return h.u == u }) {
			continue
		}
		if since, is := u.isStuck(now, w.cfg.StuckAfter); is {
			found = append(found, &stuckHandler{w: worker, u: u, since: since})
			goroutines = append(goroutines, worker.goroutine.Load())
		}
	}
	if len(found) == 0 {
		return
	}
	stack := stacks(goroutines...)
	for i, h := range found {
		if w.follow(h) {
			w.tellStuck(h, stack[goroutines[i]])
		}
	}
}

// follow has the worker note the handler's return; false: it has returned.
func (w *watchdog) follow(h *stuckHandler) bool {
	h.w.stuck.Store(h)
	if h.w.current.Load() != h.u {
		h.w.stuck.CompareAndSwap(h, nil)
		return false
	}
	w.stuck = append(w.stuck, h)
	return true
}

func (w *watchdog) tellStuck(h *stuckHandler, stack string) {
	took := time.Since(h.since)
	w.r.cfg.Logger.Error("a handler is stuck beyond its deadline; its worker is lost until it returns",
		"message_id", h.u.d.MessageId, "for", took, "workers", w.r.cfg.Workers, "stuck", len(w.stuck), "stack", stack)
	w.tell(WatchdogEvent{Finding: Stuck, For: took, Since: h.since, MessageID: h.u.d.MessageId, Stack: stack})
}

// noteReturns tells of stuck handlers that have returned.
func (w *watchdog) noteReturns() {
	w.stuck = slices.DeleteFunc(w.stuck, func(h *stuckHandler) bool {
		at := h.ended.Load()
		if at == 0 {
			return false
		}
		took := time.Unix(0, at).Sub(h.since)
		w.r.cfg.Logger.Info("a handler that was stuck has returned", "message_id", h.u.d.MessageId, "after", took)
		w.tell(WatchdogEvent{Finding: Stuck, Over: true, For: took, Since: h.since, MessageID: h.u.d.MessageId})
		return true
	})
}

const (
	maxStacks = 64 << 20 // of all goroutines together
	maxStack  = 16 << 10 // of one
)

// stacks gives the stacks of these goroutines. It stops the program while it copies
// those of all, so it is for what is rare.
func stacks(of ...uint64) map[uint64]string {
	var dump []byte
	for size := 256 << 10; ; size *= 2 {
		dump = make([]byte, size)
		n := runtime.Stack(dump, true)
		if n < size || size >= maxStacks {
			dump = dump[:n]
			break
		}
	}
	found := make(map[uint64]string, len(of))
	for one := range bytes.SplitSeq(dump, []byte("\n\n")) {
		if id := goroutineOf(one); slices.Contains(of, id) {
			found[id] = string(bytes.TrimSpace(one[:min(len(one), maxStack)]))
		}
	}
	return found
}

// goroutineID is the number of the calling goroutine.
func goroutineID() uint64 {
	var head [32]byte
	return goroutineOf(head[:runtime.Stack(head[:], false)])
}

// goroutineOf reads "goroutine 7 [running]:"; 0 where it is something else.
func goroutineOf(stack []byte) uint64 {
	rest, ok := bytes.CutPrefix(stack, []byte("goroutine "))
	if !ok {
		return 0
	}
	number, _, _ := bytes.Cut(rest, []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

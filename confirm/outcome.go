package confirm

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Outcome is what became of one message, as Config.OnOutcome is told.
type Outcome struct {
	Exchange, Key string
	MessageID     string
	// Err is nil for a confirmed message, else one of the errors in the package
	// comment: what its caller got.
	Err error
	// Took is the time from the call that published it, with the wait for a
	// place in the window.
	Took time.Duration
	// Dropped is how many outcomes the hook was not told since its last call,
	// because it was too slow for its buffer. Their callers have them all the same.
	Dropped int
}

// outcomeBuffer is how many outcomes wait for the hook: so many confirmed ones,
// and as many of the others, which are not to be lost among them.
const outcomeBuffer = 8192

// told is an outcome with its place in the order.
type told struct {
	Outcome
	seq uint64
}

// observer hands outcomes to the hook from a goroutine of its own. Telling
// never waits for the hook, so a slow one delays neither a caller nor the
// reader of the connection (H 1.3).
type observer struct {
	hook func(Outcome)
	wake chan struct{}
	done chan struct{}

	mu        sync.Mutex
	seq       uint64
	confirmed []told
	failed    []told
	dropped   int
	closed    bool
	abandoned bool
}

// newObserver starts the hook's goroutine; a nil hook has no observer.
func newObserver(hook func(Outcome)) *observer {
	if hook == nil {
		return nil
	}
	o := &observer{hook: hook, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go o.run()
	return o
}

// tell queues one outcome, or counts it as dropped, and returns at once.
func (o *observer) tell(out Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	into := &o.confirmed
	if out.Err != nil {
		into = &o.failed
	}
	switch {
	case o.closed:
		return
	case len(*into) >= outcomeBuffer:
		o.dropped++
		return
	}
	o.seq++
	*into = append(*into, told{out, o.seq})
	o.signal()
}

func (o *observer) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// end takes no more and waits until the hook has been told all. After the end
// of ctx it waits a little; then the call that is under way is the last one.
func (o *observer) end(ctx context.Context) error {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	o.closed = true
	o.signal()
	o.mu.Unlock()
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-o.done:
		return nil
	case <-time.After(closeGrace):
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned = true
	return fmt.Errorf("confirm: Close left %d outcomes untold: Config.OnOutcome has not returned: %w",
		len(o.confirmed)+len(o.failed), context.Cause(ctx))
}

func (o *observer) run() {
	defer close(o.done)
	for range o.wake {
		for {
			next, ok, closed := o.next()
			if ok {
				o.hook(next)
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// next takes the oldest outcome of both kinds.
func (o *observer) next() (out Outcome, ok, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := &o.confirmed
	if len(*from) == 0 || len(o.failed) > 0 && o.failed[0].seq < (*from)[0].seq {
		from = &o.failed
	}
	if len(*from) == 0 || o.abandoned {
		return Outcome{}, false, o.closed
	}
	out = (*from)[0].Outcome
	(*from)[0] = told{}
	*from = (*from)[1:]
	out.Dropped, o.dropped = o.dropped, 0
	return out, true, o.closed
}

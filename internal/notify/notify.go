// Package notify calls a user's hook from a goroutine of its own, so that a
// slow hook delays nothing but its own later calls.
package notify

import "sync"

// Queue hands values to a hook, in order. With Tell it is unbounded: that is for
// rare changes of state, of which none may be dropped.
type Queue[T any] struct {
	hook func(T)
	done chan struct{}
	wake chan struct{}

	mu     sync.Mutex
	queue  []T
	closed bool
}

// New starts the hook's goroutine; a nil hook needs none. Close ends it.
func New[T any](hook func(T)) *Queue[T] {
	q := &Queue[T]{hook: hook, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	if hook == nil {
		close(q.done)
		return q
	}
	go q.run()
	return q
}

// Tell queues one value and returns at once. After Close it does nothing.
func (q *Queue[T]) Tell(v T) {
	if q.hook == nil {
		return
	}
	q.mu.Lock()
	if !q.closed {
		q.queue = append(q.queue, v)
	}
	q.mu.Unlock()
	q.signal()
}

// Replace is Tell for values of which only the latest matters: those that wait for the hook
// are dropped, so that a hook that hangs costs no memory.
func (q *Queue[T]) Replace(v T) {
	if q.hook == nil {
		return
	}
	q.mu.Lock()
	if !q.closed {
		clear(q.queue)
		q.queue = append(q.queue[:0], v)
	}
	q.mu.Unlock()
	q.signal()
}

// Close takes no more; Done is closed when the hook has returned from the last.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// Done is closed after Close, when the hook has seen everything.
func (q *Queue[T]) Done() <-chan struct{} { return q.done }

func (q *Queue[T]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue[T]) run() {
	defer close(q.done)
	for range q.wake {
		q.mu.Lock()
		batch, closed := q.queue, q.closed
		q.queue = nil
		q.mu.Unlock()
		for _, v := range batch {
			q.hook(v)
		}
		if closed {
			return
		}
	}
}

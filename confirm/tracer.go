package confirm

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Tracer follows messages from the call that publishes them to their outcome;
// package telemetry has one. Its methods are called by the goroutine that
// publishes, concurrently, and must not block.
type Tracer interface {
	// Publish is called once for each message, before it is checked. msg is the
	// publisher's own copy with a message-id: entries may be added to msg.Headers,
	// which is a map of its own, 8 KiB at most, and none where that takes the headers
	// over 112 KiB; nothing else may be changed. ended, unless nil, is
	// called once, before the caller has the outcome: nil, or an error of the
	// package comment. waited is how long the message waited for a place in the
	// window.
	Publish(ctx context.Context, exchange, key string, msg *amqp.Publishing) (ended func(outcome error, waited time.Duration))
	// Batch is called once for each PublishBatch, before its messages; the ctx it
	// returns is that of their Publish. ended, unless nil, is told of the batch's
	// result.
	Batch(ctx context.Context, messages int) (inner context.Context, ended func(result error))
}

// tracerRoom is what a tracer may add to the headers of a message: one that is within
// its limits must not be refused for being traced.
const tracerRoom = 8 << 10

// trace calls the tracer for one message.
func (p *Publisher) trace(ctx context.Context, r *Receipt, msg *amqp.Publishing) {
	if p.cfg.Tracer != nil {
		r.traced = p.cfg.Tracer.Publish(ctx, r.exchange, r.key, msg)
	}
}

// unlock releases the mutex, and then ends the receipts that ended under it: a
// tracer must not hold up other messages.
func (p *Publisher) unlock() {
	first := p.over
	p.over = nil
	p.mu.Unlock()
	for r := first; r != nil; {
		next := r.next
		r.next = nil
		r.end()
		r = next
	}
}

// tell ends a receipt for its caller: at once, or where it is traced with unlock.
func (p *Publisher) tell(r *Receipt) {
	if r.traced == nil {
		close(r.done)
		return
	}
	r.next, p.over = p.over, r
}

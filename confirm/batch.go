package confirm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Message is one message of a batch and where it goes.
type Message struct {
	Exchange, Key string
	// Delay, when positive, is as in [Publisher.PublishLater].
	Delay time.Duration
	amqp.Publishing
}

// PublishBatch sends messages in their order, pipelined, and waits until each
// has its outcome. It returns nil when all are confirmed and routed, else a
// *[BatchError] with the outcome of each; one that fails does not stop those
// behind it, and nothing is undone. The batch may be larger than the window: it
// waits for places. The end of ctx ends the wait: what was not written is
// unsent, what was not answered unknown. Nothing is written into messages; on
// bodies and headers see Publish.
func (p *Publisher) PublishBatch(ctx context.Context, messages []Message) error {
	if p.cfg.Tracer == nil {
		return p.publishBatch(ctx, messages)
	}
	ctx, ended := p.cfg.Tracer.Batch(ctx, len(messages))
	err := p.publishBatch(ctx, messages)
	if ended != nil {
		ended(err)
	}
	return err
}

func (p *Publisher) publishBatch(ctx context.Context, messages []Message) error {
	receipts := make([]*Receipt, len(messages))
	for i := range messages {
		m := &messages[i]
		if m.Delay > 0 {
			receipts[i] = p.enqueueLater(ctx, *m)
		} else {
			receipts[i] = p.enqueue(ctx, m.Exchange, m.Key, m.Publishing, p.limits())
		}
	}
	failed := 0
	for _, r := range receipts {
		if p.await(ctx, r) != nil {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return newBatchError(messages, receipts, failed)
}

// BatchError tells what became of each message of a batch of which at least one
// was not confirmed. errors.As finds the outcomes that are errors.
type BatchError struct {
	// Outcomes has one for each message, in the order of the batch: nil where it
	// is confirmed, else one of the errors in the package comment.
	Outcomes []error

	failed int
	repeat []Message
}

func newBatchError(messages []Message, receipts []*Receipt, failed int) *BatchError {
	e := &BatchError{Outcomes: make([]error, len(receipts)), failed: failed}
	for i, r := range receipts {
		e.Outcomes[i] = r.err
		var passing interface{ Temporary() bool }
		if errors.As(r.err, &passing) && passing.Temporary() {
			m := messages[i]
			m.MessageId = r.msg.MessageId
			e.repeat = append(e.repeat, m)
		}
	}
	return e
}

func (e *BatchError) Error() string {
	first, firstErr := 0, error(nil)
	var names []string
	count := map[string]int{}
	for i, err := range e.Outcomes {
		if err == nil {
			continue
		}
		if firstErr == nil {
			first, firstErr = i, err
		}
		name := outcomeOf(err)
		if count[name]++; count[name] == 1 {
			names = append(names, name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", count[name], name)
	}
	return fmt.Sprintf("confirm: %d of %d messages of the batch were not confirmed (%s); the first is message %d: %v",
		e.failed, len(e.Outcomes), strings.Join(names, ", "), first, firstErr)
}

// Unwrap returns the outcomes that are errors, in the order of the batch.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, 0, e.failed)
	for _, err := range e.Outcomes {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Repeat gives the messages that a repetition may bring to their queues
// (nacked, unsent, unknown), in their order, under the message-ids that they
// were published with: back off, then pass them to PublishBatch again, which
// counts a Delay anew from then. What was returned or refused is not among them: mend the cause first.
func (e *BatchError) Repeat() []Message { return e.repeat }

// PossiblyStored tells whether any message of the batch is or may be in a
// queue, so that repeating the whole batch would double it.
func (e *BatchError) PossiblyStored() bool {
	for _, err := range e.Outcomes {
		var s interface{ PossiblyStored() bool }
		if err == nil || errors.As(err, &s) && s.PossiblyStored() {
			return true
		}
	}
	return false
}

// outcomeOf is the name of an outcome in the package comment.
func outcomeOf(err error) string {
	var named interface{ Outcome() string }
	switch {
	case err == nil:
		return "confirmed"
	case errors.As(err, &named):
		return named.Outcome()
	default:
		return "unknown"
	}
}

package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/topology"
)

// The headers of requests and replies, for programs in other languages.
const (
	// HeaderReplyBy, in a request, is when its caller stops waiting: RFC 3339 in UTC
	// with milliseconds. A later reply is dropped.
	HeaderReplyBy = "bus-reply-by"
	// HeaderReplyStatus, in a reply, is "ok", or "error" when the responder failed;
	// none counts as ok.
	HeaderReplyStatus = "bus-reply-status"
)

const (
	statusOK    = "ok"
	statusError = "error"
)

const replyByLayout = "2006-01-02T15:04:05.000Z"

// NoReplyError is a request to which no reply came: in time, or before the bus was
// closed or its reply queue lost. Whether it was handled is not known, unless Err
// holds a *confirm.UnsentError, which says that it was never sent.
type NoReplyError struct {
	Type      string
	MessageID string // as given in the event
	// Confirmed: the responders' queue has the request.
	Confirmed bool
	Err       error // the end of ctx, ErrClosed, or what became of the reply queue
}

func (e *NoReplyError) Error() string {
	stored := "it is not known to be stored"
	if e.Confirmed {
		stored = "it was stored, and perhaps handled"
	}
	return fmt.Sprintf("bus: no reply to request %q; %s: %v", e.Type, stored, e.Err)
}

// Unwrap returns the cause.
func (e *NoReplyError) Unwrap() error { return e.Err }

// Temporary is true: the request may be repeated, with the same MessageID.
func (e *NoReplyError) Temporary() bool { return true }

// ResponderError is a responder's failure, as its reply tells it.
type ResponderError struct {
	Type string // of the request
	// Text is the responder's error, after its Redact. Class is its story.Class.
	Text, Class string
	// Reason is one of story's Reason constants, such as story.ReasonExhausted.
	Reason string
	// Attempts is how many there were.
	Attempts  int
	transient bool
}

func (e *ResponderError) Error() string {
	return fmt.Sprintf("bus: the responder to %q failed (%s): %s", e.Type, e.Reason, e.Text)
}

// Temporary is true when the responder's error was transient, and its attempts or
// the request's time were over: another request may do better.
func (e *ResponderError) Temporary() bool { return e.transient }

// failure is the payload of a reply that tells of a failure.
type failure struct {
	Error     string `json:"error"`
	Reason    string `json:"reason"`
	Class     string `json:"class,omitempty"`
	Attempts  int    `json:"attempts,omitempty"`
	Temporary bool   `json:"temporary,omitempty"`
}

// Request publishes a request and waits for its reply until ctx ends, or for
// Config.RequestTimeout if ctx has no deadline. The request goes to one process of
// each group that responds to its key (see [Bus.Respond]); the first reply counts.
// Groups of Subscribe do not see it.
//
// Decode the reply with its Decode; its Type is the request's and ".reply". A handler
// that waits for a request holds its worker: give it a ctx with a deadline well
// below the broker's consumer timeout.
//
// The request dies with its deadline, wherever it is: in the queue, or between two
// attempts. Until then it survives lost links, of this process and of the
// responder's. It is delivered at least once: a responder may handle it twice, and a
// caller that repeats it after a *NoReplyError should give both the same MessageID.
//
// Errors: *EventError; *ResponderError; *NoReplyError, in which the end of ctx is
// found by errors.Is; *confirm.ReturnedError when no group responds to the key, and
// the other outcomes of confirm; ErrClosed; those of topology.Declare.
func (b *Bus) Request(ctx context.Context, e Event) (Received, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.cfg.RequestTimeout)
		defer cancel()
	}
	key, msg, err := b.cfg.message(e, time.Now())
	if err != nil {
		return Received{}, err
	}
	if err := b.openRequests(ctx); err != nil {
		return Received{}, b.requestError(ctx, e, err)
	}
	id := uuid.NewString()
	queue, reply := b.inbox.expect(id)
	defer b.inbox.forget(id)
	address(ctx, &msg, queue, id)
	return b.await(ctx, e, b.events.Send(ctx, b.requests(), key, msg), reply)
}

// await waits for a reply, which may come before the request's own confirm.
func (b *Bus) await(ctx context.Context, e Event, receipt *confirm.Receipt, reply <-chan result) (Received, error) {
	sent, confirmed := receipt.Done(), false
	for {
		select {
		case r := <-reply:
			if r.err != nil {
				return Received{}, &NoReplyError{Type: e.Type, MessageID: e.MessageID, Confirmed: confirmed, Err: r.err}
			}
			return b.readReply(e, r.d)
		case <-sent:
			sent = nil
			err := receipt.Outcome()
			var unknown *confirm.UnknownError
			switch {
			case err == nil:
				confirmed = true
			case ctx.Err() == nil && errors.As(err, &unknown): // it may be there, and answered
			default:
				return Received{}, b.requestError(ctx, e, err)
			}
		case <-ctx.Done():
			select {
			case r := <-reply: // just in time
				if r.err == nil {
					return b.readReply(e, r.d)
				}
			default:
			}
			<-receipt.Done() // ctx has ended it, too
			return Received{}, b.noReply(ctx, e, receipt.Outcome())
		}
	}
}

// noReply is the end of ctx; outcome is that of the publish.
func (b *Bus) noReply(ctx context.Context, e Event, outcome error) error {
	return &NoReplyError{Type: e.Type, MessageID: e.MessageID, Confirmed: outcome == nil, Err: errors.Join(context.Cause(ctx), outcome)}
}

// requestError tells the end of ctx, which is no reply, from what is wrong with the
// request.
func (b *Bus) requestError(ctx context.Context, e Event, err error) error {
	var returned *confirm.ReturnedError
	switch {
	case ctx.Err() != nil:
		return b.noReply(ctx, e, err)
	case errors.As(err, &returned):
		return fmt.Errorf("bus: request %q: no group responds to it, see Bus.Respond: %w", e.Type, err)
	}
	return fmt.Errorf("bus: request %q: %w", e.Type, err)
}

// address writes where the reply goes, and until when.
func address(ctx context.Context, msg *amqp.Publishing, queue, id string) {
	deadline, _ := ctx.Deadline()
	left := max(time.Until(deadline), time.Millisecond)
	// Both rounded up: nothing must end while somebody waits. The broker takes ten years.
	ceiled := deadline.Add(time.Millisecond - 1)
	left = min(left, 365*24*time.Hour)
	headers := amqp.Table{HeaderReplyBy: ceiled.UTC().Format(replyByLayout)}
	for name, value := range msg.Headers {
		headers[name] = value
	}
	msg.Headers, msg.ReplyTo, msg.CorrelationId = headers, queue, id
	msg.Expiration = strconv.FormatInt(int64((left+time.Millisecond-1)/time.Millisecond), 10)
}

// requests is the exchange of the requests: one of its own, for a request's
// expiration would bury it in the queues of mere listeners.
func (b *Bus) requests() string { return b.cfg.Exchange + ".requests" }

func (b *Bus) requestExchange() topology.Topology {
	return topology.Topology{Exchanges: []topology.Exchange{{Name: b.requests(), Kind: amqp.ExchangeTopic}}}
}

// openRequests sees to it that there are the exchange and the reply queue.
func (b *Bus) openRequests(ctx context.Context) error {
	b.mu.Lock()
	declared := b.asked
	b.mu.Unlock()
	if !declared {
		if err := topology.Declare(ctx, b.link, b.requestExchange()); err != nil {
			return fmt.Errorf("declare the exchange of the requests: %w", err)
		}
		b.mu.Lock()
		b.asked = true
		b.mu.Unlock()
	}
	return b.inbox.open(ctx)
}

func (b *Bus) readReply(e Event, d amqp.Delivery) (Received, error) {
	r, err := b.receive(d, d.RoutingKey)
	if err != nil {
		return r, fmt.Errorf("bus: the reply to request %q: %w", e.Type, err)
	}
	if status, _ := d.Headers[HeaderReplyStatus].(string); status != statusError {
		return r, nil
	}
	var f failure
	if err := json.Unmarshal(r.Payload, &f); err != nil {
		f.Error = fmt.Sprintf("and its reply does not tell why: %v", err)
	}
	return Received{}, &ResponderError{Type: e.Type, Text: f.Error, Class: f.Class, Reason: f.Reason, Attempts: f.Attempts, transient: f.Temporary}
}

// LateReplies counts the replies that came when nobody waited any more, second ones
// among them. Each is in the log.
func (b *Bus) LateReplies() uint64 { return b.inbox.late.Load() }

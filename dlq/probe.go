package dlq

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// enoughLooks is the least delivery limit under which looking is no danger.
const enoughLooks = 1_000_000

// hugeLimit is the limit that topology gives a dead-letter queue.
const hugeLimit = 1 << 30

// probe finds out whether letters survive being looked at. AMQP has no way to
// read a queue's arguments, but the refusal of a wrong declaration names the
// first one that differs, and its value: so declare what would be safe, and put
// right one argument after the other. A limit set by a policy does not show.
//
// The queue exists, so nothing is created or changed. Needs the right to
// configure it.
func (q *Queue) probe(ctx context.Context) error {
	args := amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(hugeLimit)}
	const tries = 20 // there are fewer arguments
	for range tries {
		err := q.declare(ctx, args)
		var refused *amqp.Error
		if err == nil {
			return nil
		}
		if !errors.As(err, &refused) || refused.Code != amqp.PreconditionFailed && refused.Code != amqp.AccessRefused {
			return &QueueError{Queue: q.cfg.Queue, Doing: "look at its arguments", Err: err}
		}
		arg, has, ok := mismatch(refused.Reason)
		if !ok {
			return &UnsafeLookError{Queue: q.cfg.Queue, Reason: "its x-delivery-limit could not be found out: " + refused.Reason, Err: err}
		}
		safe, reason := judgeArgument(arg, has)
		switch {
		case safe:
			return nil
		case reason != "":
			return &UnsafeLookError{Queue: q.cfg.Queue, Reason: reason}
		}
		if has == nil {
			delete(args, arg)
		} else {
			args[arg] = has
		}
	}
	return &UnsafeLookError{Queue: q.cfg.Queue, Reason: "its x-delivery-limit could not be found out"}
}

func (q *Queue) declare(ctx context.Context, args amqp.Table) error {
	s, err := q.link.Session(ctx, link.Consuming)
	if err != nil {
		return err
	}
	defer q.release(ctx, s)
	return s.Do(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(q.cfg.Queue, true, false, false, false, args)
		return err
	})
}

// judgeArgument says what an argument that is not as declared means: safe, not
// safe (with the reason), or neither: look on.
func judgeArgument(arg string, has any) (safe bool, reason string) {
	switch arg {
	case "durable", "auto_delete", "exclusive":
		return true, "" // a quorum queue has these as declared: it is a classic one, which has no limit
	case "x-queue-type":
		if has == "stream" {
			return false, "it is a stream: letters in it cannot be taken or given back"
		}
		return true, ""
	case "x-delivery-limit":
		limit, ok := has.(int64)
		switch {
		case has == nil:
			return false, "it is a quorum queue without x-delivery-limit: RabbitMQ 4 drops a letter after 21 looks"
		case !ok || limit < enoughLooks:
			return false, fmt.Sprintf("its x-delivery-limit is %v", has)
		}
		return true, ""
	}
	return false, ""
}

// A broker's words for an argument that differs (3.10 to 4.3): the value is in
// quotes, with its type when the other side has none.
var mismatchText = regexp.MustCompile(`inequivalent arg '([^']*)' for queue '.*' in vhost '.*': received .* but current is (?:none|(?:the value )?'(.*?)'(?: of type '([^']*)')?)$`)

// mismatch reads argument and present value out of a 406. Nil: it has none.
func mismatch(text string) (arg string, has any, ok bool) {
	m := mismatchText.FindStringSubmatchIndex(text)
	if m == nil {
		return "", nil, false
	}
	part := func(i int) (string, bool) {
		if m[2*i] < 0 {
			return "", false
		}
		return text[m[2*i]:m[2*i+1]], true
	}
	arg, _ = part(1)
	value, some := part(2)
	if !some {
		return arg, nil, true
	}
	if kind, typed := part(3); typed && kind == "longstr" {
		return arg, value, true
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return arg, n, true
	}
	if b, err := strconv.ParseBool(value); err == nil {
		return arg, b, true
	}
	return arg, value, true
}

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	amqp "github.com/rabbitmq/amqp091-go"
)

// demo is one exchange, the queues bound to it, and messages with the queues
// that have to get them.
type demo struct {
	exchange, kind, says string
	queues               []bound
	messages             []message
}

// bound is a queue and the key of its binding.
type bound struct{ queue, key string }

// message is what is published. No queue to want: it has to be returned.
type message struct {
	key, body string
	want      []string
}

// outcome is where a message went.
type outcome struct {
	queues   []string
	returned string // the broker's words
}

func demos() []demo {
	return []demo{{
		exchange: "direct_logs", kind: amqp.ExchangeDirect, says: "to the queues bound by exactly this key",
		queues: []bound{{"errors", "error"}, {"warnings", "warning"}},
		messages: []message{
			{"error", "Error occurred!", []string{"errors"}},
			{"warning", "Warning message", []string{"warnings"}},
			{"debug", "Nobody wants to know", nil},
		},
	}, {
		exchange: "topic_logs", kind: amqp.ExchangeTopic, says: "to the queues whose pattern fits: * is one word, # any number",
		queues: []bound{{"videos", "video.*"}, {"users", "user.*"}, {"payments", "payment.*.*"}, {"audit", "payment.#"}},
		messages: []message{
			{"video.watch_started", "Message for video.watch_started", []string{"videos"}},
			{"user.profile_updated", "Message for user.profile_updated", []string{"users"}},
			{"payment.transaction.completed", "Message for payment.transaction.completed", []string{"audit", "payments"}},
			{"payment.refunded", "One word short for payment.*.*", []string{"audit"}},
			{"video.ad.skipped", "One word long for video.*", nil},
		},
	}, {
		exchange: "notifications", kind: amqp.ExchangeFanout, says: "to every queue, whatever the key",
		queues: []bound{{"email", ""}, {"push", ""}, {"sms", "ignored"}},
		messages: []message{
			{"", "Broadcast message to all services", []string{"email", "push", "sms"}},
			{"any.key", "Broadcast with a key", []string{"email", "push", "sms"}},
		},
	}}
}

// show writes where each message went.
func (d demo) show(out io.Writer, got []outcome) {
	fmt.Fprintf(out, "%s exchange %q: %s\n", d.kind, d.exchange, d.says)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, q := range d.queues {
		fmt.Fprintf(w, "  queue %s\tbound by %q\n", q.queue, q.key)
	}
	for i, m := range d.messages {
		fmt.Fprintf(w, "  key %q\t%q\t-> %s\n", m.key, m.body, got[i])
	}
	_ = w.Flush() // what could not be written is missed by nobody but the reader
	fmt.Fprintln(out)
}

func (o outcome) String() string {
	if o.returned != "" {
		return "returned: " + o.returned
	}
	return strings.Join(o.queues, ", ")
}

// check compares with what had to happen.
func (d demo) check(got []outcome) error {
	var errs []error
	for i, m := range d.messages {
		if !slices.Equal(m.want, got[i].queues) || (len(m.want) == 0) != (got[i].returned != "") {
			errs = append(errs, fmt.Errorf("%s: the message with key %q went to [%s], it had to go to %v (none: returned)", d.exchange, m.key, got[i], m.want))
		}
	}
	return errors.Join(errs...)
}

// sorted are the names of the queues, in order.
func sorted(queues []bound) []string {
	var names []string
	for _, q := range queues {
		names = append(names, q.queue)
	}
	slices.Sort(names)
	return names
}

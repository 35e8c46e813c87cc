package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// play declares the demo's exchange and queues under names that end with suffix,
// publishes its messages, sees where they went, and removes it all.
func play(ctx context.Context, l *link.Link, pub *confirm.Publisher, d demo, suffix string) (got []outcome, err error) {
	defer func() { err = errors.Join(err, remove(ctx, l, d, suffix)) }()
	if err := topology.Declare(ctx, l, d.topology(suffix)); err != nil {
		return nil, err
	}
	got = make([]outcome, len(d.messages))
	for i, m := range d.messages {
		err := pub.Publish(ctx, d.exchange+suffix, m.key, amqp.Publishing{ContentType: "text/plain", Body: []byte(m.body)})
		var returned *confirm.ReturnedError
		switch {
		case errors.As(err, &returned):
			got[i].returned = fmt.Sprintf("%d %s", returned.Code, returned.Text)
		case err != nil:
			return nil, err
		}
	}
	return got, collect(ctx, l, d, suffix, got)
}

// topology is the demo's exchange and queues: temporary ones, which belong to
// the link's consuming connection.
func (d demo) topology(suffix string) topology.Topology {
	t := topology.Topology{Exchanges: []topology.Exchange{{Name: d.exchange + suffix, Kind: d.kind, Transient: true, AutoDelete: true}}}
	for _, q := range d.queues {
		name := q.queue + suffix
		t.Queues = append(t.Queues, topology.Queue{Name: name, Type: topology.Classic, Transient: true, Exclusive: true})
		t.Bindings = append(t.Bindings, topology.Binding{Source: d.exchange + suffix, Destination: name, Key: q.key})
	}
	return t
}

// collect empties the queues and notes which message was in which. All were
// confirmed before, so what is not there now will not come.
func collect(ctx context.Context, l *link.Link, d demo, suffix string, got []outcome) error {
	index := make(map[string]int)
	for i, m := range d.messages {
		index[m.body] = i
	}
	s, err := l.Session(ctx, link.Consuming)
	if err != nil {
		return err
	}
	for _, q := range sorted(d.queues) {
		for {
			var msg amqp.Delivery
			var some bool
			err := s.Do(ctx, func(ch *amqp.Channel) (err error) {
				msg, some, err = ch.Get(q+suffix, true)
				return err
			})
			if err != nil {
				return errors.Join(fmt.Errorf("read queue %q: %w", q+suffix, err), s.Close(ctx))
			}
			if !some {
				break
			}
			i, known := index[string(msg.Body)]
			if !known {
				return errors.Join(fmt.Errorf("queue %q has a message that was not published: %q", q+suffix, msg.Body), s.Close(ctx))
			}
			got[i].queues = append(got[i].queues, q)
		}
	}
	return s.Close(ctx)
}

// remove deletes the demo's queues and exchange, also when ctx has ended.
// Deleting what is not there is no error (RabbitMQ: queue.delete).
func remove(ctx context.Context, l *link.Link, d demo, suffix string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	s, err := l.Session(ctx, link.Consuming)
	if err != nil {
		return err
	}
	err = s.Do(ctx, func(ch *amqp.Channel) error {
		for _, q := range d.queues {
			if _, err := ch.QueueDelete(q.queue+suffix, false, false, false); err != nil {
				return err
			}
		}
		return ch.ExchangeDelete(d.exchange+suffix, false, false)
	})
	return errors.Join(err, s.Close(ctx))
}

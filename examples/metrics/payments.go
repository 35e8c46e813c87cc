package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

// round is how many payments are made before their letters are replayed.
const round = 30

// payments is one run: its queue, and what it hears of its messages.
type payments struct {
	link   *link.Link
	pub    *confirm.Publisher
	queue  topology.Work
	id     string        // of this run: the broker may be yours, and not empty
	closed chan struct{} // one for each payment that was made, or buried
}

// pay makes payments and has them handled; 0 is without an end.
func pay(ctx context.Context, url string, provider metric.MeterProvider, count int) error {
	tel, err := telemetry.New(telemetry.Config{MeterProvider: provider})
	if err != nil {
		return err
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}, OnState: tel.OnState})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	p := payments{
		link: l, queue: topology.WorkQueue("metrics.payments", topology.WorkConfig{}),
		id: time.Now().Format("150405.000000"), closed: make(chan struct{}, 3*round),
	}
	if err := topology.Declare(ctx, l, p.queue.Topology); err != nil {
		return err
	}
	if p.pub, err = confirm.Open(ctx, l, confirm.Config{Tracer: tel}); err != nil {
		return err
	}
	copies, err := confirm.Open(ctx, l, confirm.Config{Tracer: tel, OnOutcome: p.buried})
	if err != nil {
		return err
	}
	handler := consumer.Chain(p.handle,
		tel.Middleware(), // the outermost: it sees what the others make of an error
		dlq.Middleware(copies, p.queue, dlq.Config{}),
		retry.Middleware(copies, p.queue, retry.Policy{BackOff: retry.Constant(200 * time.Millisecond)}),
		consumer.Recover(),
	)
	running, stop := context.WithCancel(ctx)
	defer stop()
	made := make(chan error, 1)
	go func() {
		defer stop() // Run drains, then closes publishers and link
		made <- p.make(ctx, count)
	}()
	err = consumer.Group{
		Consumers: []consumer.Config{{
			Queue: p.queue.Queue, Handler: handler, Workers: 4,
			OnHealth: func(h consumer.Health) { tel.OnHealth(h.Queue, string(h.Status)) },
			Watchdog: consumer.WatchdogConfig{
				OnEvent: func(e consumer.WatchdogEvent) { tel.OnWatchdog(e.Queue, string(e.Finding), e.Over) },
			},
		}},
		Publishers: []consumer.Closer{p.pub, copies},
	}.Run(running, l)
	if e := <-made; ctx.Err() == nil { // else Ctrl-C ended it
		err = errors.Join(err, e)
	}
	return err
}

// handle is the bank: every tenth payment is to an account that it does not find the
// first time, and every fifth one finds it busy.
func (p *payments) handle(_ context.Context, d amqp.Delivery) error {
	of, number, _ := strings.Cut(d.MessageId, "/")
	if of != p.id {
		return nil
	}
	first := d.Headers[story.HeaderRetryCount] == nil && d.Headers[story.HeaderReplayCount] == nil
	switch {
	case first && strings.HasSuffix(number, "0"):
		return retry.Permanent(errors.New("no such account"))
	case first && strings.HasSuffix(number, "5"):
		return retry.Transient(errors.New("the bank does not answer"))
	}
	p.closed <- struct{}{}
	return nil
}

// buried hears of letters.
func (p *payments) buried(o confirm.Outcome) {
	if o.Key == p.queue.DeadLetterQueue && o.Err == nil {
		p.closed <- struct{}{}
	}
}

// make makes the payments, and replays the letters of each round.
func (p *payments) make(ctx context.Context, count int) error {
	for n := 0; count == 0 || n < count; {
		for range round {
			n++
			if err := p.pub.Publish(ctx, "", p.queue.Queue, amqp.Publishing{MessageId: fmt.Sprintf("%s/%d", p.id, n)}); err != nil {
				return err
			}
			if count == 0 {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		if err := p.wait(ctx, round); err != nil {
			return err
		}
		letters := dlq.Open(p.link, dlq.QueueConfig{Queue: p.queue.DeadLetterQueue})
		report, err := letters.Replay(ctx, p.pub, dlq.ReplayConfig{Select: func(l dlq.Letter) bool {
			return strings.HasPrefix(l.Delivery.MessageId, p.id+"/")
		}})
		if err == nil {
			err = p.wait(ctx, report.Replayed)
		}
		if err != nil {
			return err
		}
	}
	// Nobody takes this one: there is no such queue.
	if err := p.pub.Publish(ctx, "", "metrics.nobody", amqp.Publishing{}); err == nil {
		return errors.New("a message without a queue was confirmed")
	}
	return nil
}

// wait waits until n payments were made or buried.
func (p *payments) wait(ctx context.Context, n int) error {
	for range n {
		select {
		case <-p.closed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

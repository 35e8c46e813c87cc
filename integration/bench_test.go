package integration

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// The benchmarks run each arm once a round, in turn, and report the median of
// the ratios within one round: times on a shared machine are noise, ratios of
// one interleaved run are not. Run them with -benchtime 1x.
const (
	rounds   = 7
	messages = 10_000
)

var body = make([]byte, 256)

// arm is one way to do the same work; it returns how long that took.
type arm struct {
	name string
	run  func() time.Duration
}

// compare reports each arm's rate in ratio to the first one's.
func compare(b *testing.B, arms []arm) {
	b.Helper()
	ratios := map[string][]float64{}
	for round := range rounds {
		took := map[string]time.Duration{}
		for i := range arms {
			a := arms[(i+round)%len(arms)]
			took[a.name] = a.run()
		}
		for _, a := range arms {
			ratios[a.name] = append(ratios[a.name], took[arms[0].name].Seconds()/took[a.name].Seconds())
		}
	}
	for _, a := range arms[1:] {
		r := ratios[a.name]
		slices.Sort(r)
		b.Logf("%s: %.2f of %s (%.2f to %.2f)", a.name, r[len(r)/2], arms[0].name, r[0], r[len(r)-1])
		b.ReportMetric(r[len(r)/2], a.name+"/"+arms[0].name)
	}
}

func eachQueue(b *testing.B, f func(b *testing.B, url, queue string, l *link.Link)) {
	for _, version := range brokertest.Versions(b) {
		for kind, args := range map[string]amqp.Table{"classic": nil, "quorum": quorum} {
			b.Run(version+"/"+kind, func(b *testing.B) {
				broker := brokertest.Shared(b, version)
				l, err := link.Open(b.Context(), link.Config{URLs: []string{broker.URL}, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = l.Close(context.Background()) })
				s, err := l.Session(b.Context(), link.Consuming)
				if err == nil {
					err = s.Do(b.Context(), func(ch *amqp.Channel) error {
						_, err := ch.QueueDeclare("bench", true, false, false, false, args)
						return err
					})
				}
				if err != nil {
					b.Fatal(err)
				}
				f(b, broker.URL, "bench", l)
			})
		}
	}
}

func rawChannel(b *testing.B, url string) *amqp.Channel {
	b.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		b.Fatal(err)
	}
	return ch
}

func purge(b *testing.B, url, queue string) {
	b.Helper()
	if _, err := rawChannel(b, url).QueuePurge(queue, false); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPublish compares Send with a window of 1000, PublishBatch without and
// with a hook, and Publish from 256 goroutines, with the bare client pipelining
// 1000 mandatory publishes on one channel and drained of its returns.
func BenchmarkPublish(b *testing.B) {
	eachQueue(b, func(b *testing.B, url, queue string, l *link.Link) {
		p, err := confirm.Open(b.Context(), l, confirm.Config{Window: 1000})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close(context.Background())
		observed, err := confirm.Open(b.Context(), l, confirm.Config{Window: 1000, OnOutcome: func(confirm.Outcome) {}})
		if err != nil {
			b.Fatal(err)
		}
		defer observed.Close(context.Background())
		batch := make([]confirm.Message, messages)
		for i := range batch {
			batch[i] = confirm.Message{Key: queue, Publishing: amqp.Publishing{Body: body}}
		}
		raw := rawChannel(b, url)
		timed := func(work func()) func() time.Duration {
			return func() time.Duration {
				purge(b, url, queue)
				began := time.Now()
				work()
				return time.Since(began)
			}
		}
		compare(b, []arm{
			{"raw", timed(func() { rawPipelined(b, raw, queue) })},
			{"send", timed(func() {
				receipts := make([]*confirm.Receipt, 0, messages)
				for range messages {
					receipts = append(receipts, p.Send(b.Context(), "", queue, amqp.Publishing{Body: body}))
				}
				for _, r := range receipts {
					if err := r.Wait(b.Context()); err != nil {
						b.Error(err)
					}
				}
			})},
			{"batch", timed(func() {
				if err := p.PublishBatch(b.Context(), batch); err != nil {
					b.Error(err)
				}
			})},
			{"observed", timed(func() {
				if err := observed.PublishBatch(b.Context(), batch); err != nil {
					b.Error(err)
				}
			})},
			{"publish-256", timed(func() {
				var all sync.WaitGroup
				for range 256 {
					all.Go(func() {
						for range messages / 256 {
							if err := p.Publish(b.Context(), "", queue, amqp.Publishing{Body: body}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			})},
		})
	})
}

func rawPipelined(b *testing.B, ch *amqp.Channel, queue string) {
	window := make(chan *amqp.DeferredConfirmation, 1000)
	var done sync.WaitGroup
	done.Go(func() {
		for dc := range window {
			if !dc.Wait() {
				b.Error("nacked")
			}
		}
	})
	for range messages {
		dc, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
		if err != nil {
			b.Error(err)
			break
		}
		window <- dc
	}
	close(window)
	done.Wait()
}

// BenchmarkConsume compares Run with one worker and a prefetch of 1000 with
// the bare client acking each delivery.
func BenchmarkConsume(b *testing.B) {
	eachQueue(b, func(b *testing.B, url, queue string, l *link.Link) {
		fill := rawChannel(b, url)
		timed := func(work func()) func() time.Duration {
			return func() time.Duration {
				purge(b, url, queue)
				rawPipelined(b, fill, queue)
				began := time.Now()
				work()
				return time.Since(began)
			}
		}
		compare(b, []arm{
			{"raw", timed(func() {
				ch := rawChannel(b, url)
				if err := ch.Qos(1000, 0, false); err != nil {
					b.Fatal(err)
				}
				deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
				if err != nil {
					b.Fatal(err)
				}
				for range messages {
					if err := (<-deliveries).Ack(false); err != nil {
						b.Fatal(err)
					}
				}
				_ = ch.Close()
			})},
			{"run", timed(func() {
				ctx, cancel := context.WithCancel(b.Context())
				var n atomic.Int32
				err := consumer.Run(ctx, l, consumer.Config{
					Queue: queue, Prefetch: 1000, Logger: slog.New(slog.DiscardHandler),
					Handler: func(context.Context, amqp.Delivery) error {
						if n.Add(1) == messages {
							cancel()
						}
						return nil
					},
				})
				if err != nil {
					b.Fatal(fmt.Errorf("after %d: %w", n.Load(), err))
				}
			})},
		})
	})
}

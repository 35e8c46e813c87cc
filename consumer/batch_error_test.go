package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Errors that are no verdict on single messages: each message gets them.
func TestBatchErrorsForAll(t *testing.T) {
	for name, f := range map[string]func(context.Context, []item) error{
		"plain":   func(context.Context, []item) error { return errWhy },
		"index":   func(context.Context, []item) error { return consumer.BatchErrors{3: errWhy} },
		"goexit":  func(context.Context, []item) error { runtime.Goexit(); return nil },
		"timeout": func(ctx context.Context, _ []item) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, _ *amqptest.Broker) {
				h := consumer.Chain(raw(consumer.BatchConfig{Size: 3}, f), consumer.Timeout(time.Minute))
				errs := make(chan error, 3)
				for range 3 {
					go func() {
						err := errors.New("its goroutine ended")
						defer func() { errs <- err }()
						err = h(context.Background(), amqp.Delivery{})
					}()
				}
				for range 3 {
					err := wait(t, errs, "an error")
					switch {
					case err == nil:
						t.Error("no error")
					case name == "index" && !strings.Contains(err.Error(), "index 3 for a batch of 3"):
						t.Error(err)
					case name == "timeout" && !errors.Is(err, context.DeadlineExceeded):
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestBatchConfig(t *testing.T) {
	f := func(context.Context, []item) error { return nil }
	for _, h := range []consumer.Handler{
		raw(consumer.BatchConfig{Size: -1}, f), raw(consumer.BatchConfig{Bytes: -1}, f), raw(consumer.BatchConfig{Wait: -1}, f), raw(consumer.BatchConfig{}, nil),
	} {
		var wrong *consumer.ConfigError
		if err := h(t.Context(), amqp.Delivery{}); !errors.As(err, &wrong) {
			t.Errorf("error %v", err)
		}
	}
}

// A mistake in the program stops the consumer, which says why; it buries nothing.
func TestMistakesInTheProgramBuryNothing(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		good := func(context.Context, []item) error { t.Error("handled"); return nil }
		for name, h := range map[string]consumer.Handler{
			"batch":  chain(copies, w, retry.Policy{}, raw(consumer.BatchConfig{Size: -1}, good)),
			"policy": chain(copies, w, retry.Policy{Immediate: 1000}, raw(consumer.BatchConfig{}, good)),
			"burial": chain(copies, topology.Work{}, retry.Policy{}, raw(consumer.BatchConfig{}, good)),
		} {
			fill(t, b, w.Queue, 3)
			r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h})
			pass(2 * time.Minute)
			r.Stopped(t)
			close(r.Health)
			said := ""
			for health := range r.Health {
				if health.Status == consumer.Paused {
					said = health.Err.Error()
				}
			}
			if !strings.Contains(said, "Config") && !strings.Contains(said, "pass both") && !strings.Contains(said, "Immediate") {
				t.Errorf("%s: health says %q", name, said)
			}
			left(t, b, w.DeadLetterQueue)
			operate(t, b, func(ch *amqp.Channel) error { _, err := ch.QueuePurge(w.Queue, false); return err })
		}
	})
}

// Some failures joined with another one, such as that of the commit: nobody
// succeeded.
func TestBatchErrorsJoinedWithAnother(t *testing.T) {
	errCommit := errors.New("the commit failed")
	for name, wrap := range map[string]func(error) error{
		"join":  func(err error) error { return errors.Join(err, errCommit) },
		"verbs": func(err error) error { return fmt.Errorf("%w; %w", err, errCommit) },
	} {
		f := consumer.Batch(consumer.BatchConfig{Size: 2}, func(context.Context, []item) error {
			return wrap(consumer.BatchErrors{0: errWhy})
		})
		got := make(chan error, 2)
		for range 2 {
			go func() { got <- f(context.Background(), nil, amqp.Delivery{}) }()
		}
		for range 2 {
			if err := <-got; !errors.Is(err, errCommit) {
				t.Errorf("%s: a message of the batch gets %v", name, err)
			}
		}
	}
	wrapped := consumer.Batch(consumer.BatchConfig{Size: 1}, func(context.Context, []item) error {
		return fmt.Errorf("insert: %w", consumer.BatchErrors{})
	})
	if err := wrapped(context.Background(), nil, amqp.Delivery{}); err != nil {
		t.Errorf("wrapped once: %v", err)
	}
}

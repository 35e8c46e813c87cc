package bus_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// A group whose queue exists with other arguments is refused, by name, and can
// be subscribed once that is mended.
func TestSubscribeMismatch(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		operate(t, br, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("old", true, false, false, false, nil)
			return err
		})
		_, h := collector()
		err := b.Subscribe(soon(t), "a", "old", h)
		if mismatch := as[*topology.MismatchError](t, err); mismatch.Entity != `queue "old"` {
			t.Errorf("%+v", mismatch)
		}
		inject(t, br, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: "old"})
		subscribe(t, b, "a", "old", h)
		var twice *bus.ConfigError
		if err := b.Subscribe(soon(t), "b", "old", h); !errors.As(err, &twice) || twice.Field != "group" {
			t.Errorf("twice: %v", err)
		}
	})
}

// The exchange exists as another kind.
func TestOpenMismatch(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		operate(t, br, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("events", "fanout", true, false, false, false, nil)
		})
		l := bubble.Open(t, br, link.Config{})
		_, err := bus.Open(soon(t), l, bus.Config{Logger: quiet})
		if mismatch := as[*topology.MismatchError](t, err); mismatch.Entity != `exchange "events"` {
			t.Errorf("%+v", mismatch)
		}
	})
}

// A group's queue is deleted while Run runs: Run ends with an error that names
// it, after two minutes; the events of the other groups are handled until then.
func TestQueueOfAGroupDeleted(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		_, h := collector()
		subscribe(t, b, "#", "gone", h)
		got, h := collector()
		subscribe(t, b, "#", "there", h)
		ended := runBus(b)
		synctest.Wait()
		inject(t, br, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: "gone"})
		pass(time.Minute)
		publish(t, b, event(1))
		wait(t, got, "an event of the other group")
		if refused := as[*consumer.SubscribeError](t, wait(t, ended, "the end of Run")); refused.Queue != "gone" {
			t.Errorf("%v", refused)
		}
	})
}

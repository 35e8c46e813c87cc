package confirm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
)

// No more messages are under way than the window has places; who comes later
// waits in turn, and may leave.
func TestFullWindow(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  confirm.Config
		body int
		fit  int
	}{
		"by count":             {confirm.Config{Window: 3}, 10, 3},
		"by bytes":             {confirm.Config{WindowBytes: 5000}, 1500, 3},
		"too large for it all": {confirm.Config{WindowBytes: 1000}, 1500, 1},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				p := publisher(t, b, tt.cfg)
				n := inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: -1})
				sent := make(chan *confirm.Receipt, 10)
				go func() {
					defer close(sent)
					for i := range 8 {
						msg := message(i)
						msg.Body = make([]byte, tt.body)
						sent <- p.Send(soon(t), "", "q", msg)
					}
				}()
				pass(time.Second)
				if under, stored := len(sent), len(ids(b, "q")); under != tt.fit || stored != tt.fit {
					t.Errorf("%d under way, %d stored, want %d", under, stored, tt.fit)
				}
				began := time.Now()
				err := p.Publish(after(t, time.Second), "", "q", amqp.Publishing{Body: make([]byte, tt.body)})
				if as[*confirm.UnsentError](t, err); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
				n.Remove()
				for r := range sent {
					if err := r.Wait(soon(t)); err != nil {
						t.Error(err)
					}
				}
				arrivedInOrder(t, b, "q", 8)
			})
		})
	}
}

// A caller that leaves takes no place with it: its message is under way until
// the broker answers.
func TestPlaceOfOneWhoLeft(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Window: 1, ConfirmTimeout: time.Hour})
		n := inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm})
		as[*confirm.UnknownError](t, p.Publish(after(t, time.Second), "", "q", message(0)))
		as[*confirm.UnsentError](t, p.Publish(after(t, time.Second), "", "q", message(1)))
		n.Remove()
		if err := p.Publish(soon(t), "", "q", message(2)); err != nil {
			t.Error(err)
		}
	})
}

// A refused, nacked or returned message gives its place back, and so does one
// that a lost link or an exception sent again.
func TestPlacesComeBack(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Window: 4, WindowBytes: 1000})
		for _, f := range []amqptest.Fault{
			{Do: amqptest.Nack, Nth: 2, Every: 7, Times: -1},
			{Do: amqptest.DropAfter, On: "basic.publish", Nth: 5, Every: 31, Times: -1},
			{Do: amqptest.CloseChannel, On: "basic.publish", Nth: 9, Every: 32, Times: -1, Code: 406},
			{Do: amqptest.HoldConfirm, Nth: 15, Every: 33, Times: 2},
		} {
			inject(t, b, f)
		}
		for range 100 {
			_ = p.Publish(after(t, time.Minute), "", "q", amqp.Publishing{Body: make([]byte, 200)})
			_ = p.Publish(after(t, time.Minute), "", "missing", amqp.Publishing{})
		}
		for _, f := range b.Faults() {
			if f.Hits() == 0 {
				t.Errorf("%s never happened", f.Fault().Name)
			}
			f.Remove()
		}
		// All four places are there: four messages are under way at a time.
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: time.Second, Times: 4})
		began := time.Now()
		allConfirmed(t, send(t, p, 4, "", "q"))
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("four messages one after the other: %s", took)
		}
	})
}

package confirm_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// Close waits for what is under way, however it ends, and takes no more.
func TestCloseWaitsForOutcomes(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 5 * time.Second, Times: 10})
		inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 8})
		receipts := send(t, p, 20, "", "q")
		began := time.Now()
		if err := p.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("closed after %s", took)
		}
		ended(t, receipts...)
		allConfirmed(t, receipts)
		arrivedInOrder(t, b, "q", 20)
		err := p.Publish(soon(t), "", "q", amqp.Publishing{})
		if as[*confirm.UnsentError](t, err); !errors.Is(err, confirm.ErrClosed) {
			t.Error(err)
		}
		if err := p.Close(soon(t)); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		if n := confirming(b); n != 0 {
			t.Errorf("%d channels open", n)
		}
	})
}

// In each state Close ends by its ctx and leaves every message with an outcome
// that is true: what is unsent, no queue has.
func TestCloseInEveryState(t *testing.T) {
	type state struct {
		cfg    confirm.Config
		urls   string
		faults []amqptest.Fault
		bodies int
		then   func(t *testing.T, b *amqptest.Broker) // when the messages are sent
		clear  func(b *amqptest.Broker)               // before the link is closed
	}
	for name, s := range map[string]state{
		"idle":         {bodies: -1},
		"unanswered":   {faults: []amqptest.Fault{{Do: amqptest.HoldConfirm, Times: -1}}},
		"full window":  {cfg: confirm.Config{Window: 4}, faults: []amqptest.Fault{{Do: amqptest.HoldConfirm, Times: -1}}},
		"under alarm":  {faults: []amqptest.Fault{{Do: amqptest.RaiseAlarm}}, clear: func(b *amqptest.Broker) { _ = b.ClearAlarm("memory") }},
		"a while late": {faults: []amqptest.Fault{{Do: amqptest.RaiseAlarm, On: "basic.publish", Nth: 2, Delay: 3 * time.Second}}},
		"without a link": {
			faults: []amqptest.Fault{{Do: amqptest.HoldConfirm, Times: 5}},
			then: func(t *testing.T, b *amqptest.Broker) {
				inject(t, b, amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
				b.CutConnections()
			},
		},
		"refused at the door": {
			then: func(t *testing.T, b *amqptest.Broker) {
				inject(t, b, amqptest.Fault{Do: amqptest.RefuseLogin, Times: -1})
				b.CutConnections()
			},
		},
		"without a channel": {
			faults: []amqptest.Fault{{Do: amqptest.DropAfter, On: "basic.publish", Nth: 3}, {Do: amqptest.CloseConnection, On: "confirm.select", Times: -1}},
		},
		"in quarantine": {faults: []amqptest.Fault{
			{Do: amqptest.CloseChannel, On: "basic.publish", Nth: 4, Code: 404}, {Do: amqptest.HoldConfirm, Times: -1},
		}},
		"stalled": {faults: []amqptest.Fault{{Do: amqptest.Stall, On: "basic.publish", Nth: 2}}},
		"stalled in a write": {
			urls: "?heartbeat=0", bodies: 100 << 10, faults: []amqptest.Fault{{Do: amqptest.Stall, On: "basic.publish", Nth: 2}},
		},
		"in a write in quarantine": {
			urls: "?heartbeat=0", bodies: 400 << 10, faults: []amqptest.Fault{
				{Do: amqptest.CloseChannel, On: "basic.publish", Nth: 4, Code: 404},
				{Do: amqptest.Stall, On: "confirm.select"}, {Do: amqptest.HoldConfirm, Times: -1},
			},
		},
		"silent": {cfg: confirm.Config{ConfirmTimeout: time.Second}, faults: []amqptest.Fault{{Do: amqptest.HoldConfirm, Times: -1}}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				l := open(t, b, link.Config{URLs: []string{b.PipeURL() + s.urls}})
				p := publisherOn(t, l, s.cfg)
				for _, f := range s.faults {
					inject(t, b, f)
				}
				outcomes := make(chan *confirm.Receipt, 10)
				n := 0
				if s.bodies >= 0 {
					n = 10
				}
				for i := range n {
					go func() {
						msg := message(i)
						msg.Body = make([]byte, max(1, s.bodies))
						outcomes <- p.Send(soon(t), "", "q", msg)
					}()
				}
				pass(100 * time.Millisecond)
				if s.then != nil {
					s.then(t, b)
				}
				pass(1500 * time.Millisecond)
				began := time.Now()
				ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Second, errStop)
				defer cancel()
				if err := p.Close(ctx); err != nil && !errors.Is(err, errStop) {
					t.Errorf("Close: %v", err)
				}
				if took := time.Since(began); took > 2300*time.Millisecond || n == 0 && took != 0 {
					t.Errorf("Close took %s", took)
				}
				synctest.Wait()
				if len(outcomes) != n {
					t.Fatalf("%d of %d calls of Send have returned", len(outcomes), n)
				}
				check := func(r *confirm.Receipt) {
					stored := len(ids(b, "q")) > 0 && containsID(b, "q", r.MessageID())
					var unsent *confirm.UnsentError
					var unknown *confirm.UnknownError
					switch err := r.Outcome(); {
					case err == nil && !stored:
						t.Errorf("%s: confirmed and not stored", r.MessageID())
					case errors.As(err, &unsent) && (stored || !errors.Is(err, confirm.ErrClosed)):
						t.Errorf("%s: stored %t, and %v", r.MessageID(), stored, err)
					case err != nil && !errors.As(err, &unsent) && !errors.As(err, &unknown):
						t.Errorf("%s: %v", r.MessageID(), err)
					}
				}
				var all []*confirm.Receipt
				for range n {
					r := <-outcomes
					all = append(all, r)
					check(r)
				}
				if s.clear != nil {
					s.clear(b)
				}
				for _, f := range b.Faults() {
					f.Remove()
				}
				pass(15 * time.Second)
				for _, r := range all { // an unsent one does not come later
					check(r)
				}
				if n := confirming(b); n != 0 {
					t.Errorf("%d channels open", n)
				}
			})
		})
	}
}

var errStop = errors.New("stop now")

func containsID(b *amqptest.Broker, queue, id string) bool {
	for _, other := range ids(b, queue) {
		if other == id {
			return true
		}
	}
	return false
}

// A link that is closed under a publisher ends it: every message has its
// outcome at once, and so has every later one.
func TestLinkClosedUnderAPublisher(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		l := open(t, b, link.Config{})
		p := publisherOn(t, l, confirm.Config{Window: 4})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: -1})
		receipts := send(t, p, 4, "", "q")
		waiting := make(chan error, 1)
		go func() { waiting <- p.Publish(soon(t), "", "q", amqp.Publishing{}) }()
		pass(time.Second)
		began := time.Now()
		if err := l.Close(soon(t)); err != nil {
			t.Error(err)
		}
		for _, r := range receipts {
			if err := r.Wait(soon(t)); !errors.Is(err, link.ErrClosed) {
				t.Errorf("%v", err)
			}
			as[*confirm.UnknownError](t, r.Outcome())
		}
		for _, err := range []error{<-waiting, p.Publish(soon(t), "", "q", amqp.Publishing{})} {
			if as[*confirm.UnsentError](t, err); !errors.Is(err, link.ErrClosed) {
				t.Error(err)
			}
		}
		if err := p.Close(soon(t)); err != nil || time.Since(began) > time.Second {
			t.Errorf("Close after %s: %v", time.Since(began), err)
		}
		if _, err := confirm.Open(soon(t), l, confirm.Config{}); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Open: %v", err)
		}
	})
}

// Open waits for the link until its ctx ends, and says what is wrong with its
// Config.
func TestOpen(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		if _, err := confirm.Open(soon(t), l, confirm.Config{Window: -1}); err == nil {
			t.Error("a negative window was taken")
		}
		n := inject(t, b, amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
		b.CutConnections()
		pass(time.Second)
		began := time.Now()
		_, err := confirm.Open(after(t, time.Minute), l, confirm.Config{Logger: quiet})
		if as[*link.UnavailableError](t, err); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		declared := time.AfterFunc(time.Minute, n.Remove)
		defer declared.Stop()
		p := publisherOn(t, l, confirm.Config{}) // waits
		declare(t, b, "q", nil)
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
	})
}

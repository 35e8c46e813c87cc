package confirm_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// The hook is told of every message once, what its caller is told, in the order
// of the outcomes.
func TestHookIsTold(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		var told []confirm.Outcome
		p := publisher(t, b, confirm.Config{ConfirmTimeout: time.Second, OnOutcome: func(o confirm.Outcome) { told = append(told, o) }})
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: "q", Nth: 2})
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Queue: "q", Nth: 2, Delay: 400 * time.Millisecond})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Queue: "q", Nth: 3})
		var want []error
		for i, to := range [][2]string{{"", "q"}, {"", "q"}, {"", "q"}, {"", "q"}, {"", "missing"}, {"nowhere", "q"}} {
			want = append(want, p.Publish(soon(t), to[0], to[1], message(i)))
		}
		want = append(want, p.Publish(soon(t), "", "q", amqp.Publishing{MessageId: "006", Expiration: "5s"}))
		want = append(want, p.Publish(after(t, -1), "", "q", message(7)))
		if err := p.Close(soon(t)); err != nil { // and waits for the hook
			t.Fatal(err)
		}
		if len(told) != len(want) {
			t.Fatalf("told %d of %d: %v", len(told), len(want), told)
		}
		for i, o := range told {
			if !errors.Is(o.Err, want[i]) || o.MessageID != message(i).MessageId || o.Dropped != 0 || o.Key == "" {
				t.Errorf("%d: told %+v, want %v", i, o, want[i])
			}
		}
		if told[5].Exchange != "nowhere" || told[2].Took != 400*time.Millisecond || told[0].Took > 10*time.Millisecond {
			t.Errorf("%+v", told)
		}
	})
}

// Scenario 2 (H 1.3, H 13.2): a hook that sleeps 7 s over each return loses none,
// and no caller, nor another channel of the same connection, waits for it.
func TestSlowHook(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		const n = 50
		var told []string
		l := open(t, b, link.Config{})
		p := publisherOn(t, l, confirm.Config{OnOutcome: func(o confirm.Outcome) {
			var returned *confirm.ReturnedError
			if errors.As(o.Err, &returned) {
				told = append(told, o.MessageID)
			}
			pass7(t)
		}})
		began := time.Now()
		for i := range n {
			as[*confirm.ReturnedError](t, p.Publish(soon(t), "", "missing", message(i)))
		}
		s, err := l.Session(soon(t), link.Publishing)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Do(soon(t), func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive("amq.topic", "topic", true, false, false, false, nil)
		}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took >= time.Second {
			t.Errorf("%d publishes and a passive declare took %s", n, took)
		}
		if err := p.Close(soon(t)); err != nil {
			t.Error(err)
		}
		want := make([]string, n)
		for i := range want {
			want[i] = message(i).MessageId
		}
		if !slices.Equal(told, want) {
			t.Errorf("told of %v", told)
		}
		if took := time.Since(began); took < n*7*time.Second {
			t.Errorf("the hook slept for %s only", took)
		}
	})
}

func pass7(t *testing.T) {
	select {
	case <-time.After(7 * time.Second):
	case <-t.Context().Done():
	}
}

// The bare client does lose returns to such a hook, and stalls the connection:
// this is what the test above would not notice if it were no danger.
func TestSlowReaderOfTheBareClient(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
			Dial: func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ch, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		returns := ch.NotifyReturn(make(chan amqp.Return))
		told := make(chan int)
		go func() {
			n := 0
			defer func() { told <- n }()
			for range returns {
				n++
				pass7(t)
			}
		}()
		other, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := ch.Publish("", "missing", true, false, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		if err := other.ExchangeDeclarePassive("amq.topic", "topic", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("the sibling took %s only", took)
		}
		_ = ch.Close()
		if n := <-told; n == 3 {
			t.Error("no return was lost")
		}
	})
}

// A hook that never returns keeps nothing: callers have their outcomes, and
// Close ends with its ctx and says why.
func TestStuckHook(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		release := make(chan struct{})
		calls := 0
		p := publisher(t, b, confirm.Config{OnOutcome: func(confirm.Outcome) { calls++; <-release }})
		allConfirmed(t, send(t, p, 20, "", "q"))
		began := time.Now()
		err := p.Close(after(t, time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 1300*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		close(release)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

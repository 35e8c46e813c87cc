package amqptest

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inBubble runs do on a channel of amqp091-go, in testing/synctest.
func inBubble(t *testing.T, clock Clock, do func(t *testing.T, b *Broker, ch *amqp.Channel)) {
	synctest.Test(t, func(t *testing.T) {
		b := Config{Clock: clock}.New(t)
		conn, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
			Heartbeat: 10 * time.Second,
			Dial:      func(n, a string) (net.Conn, error) { return b.Dial(t.Context(), n, a) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		do(t, b, opened(t, conn))
	})
}

func TestRunningTimeGoesOnAfterAdvance(t *testing.T) {
	inBubble(t, Running, func(t *testing.T, b *Broker, ch *amqp.Channel) {
		if _, err := ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-message-ttl": 60000}); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, "q", "one")
		synctest.Wait()
		b.Advance(50 * time.Second)
		<-time.After(9 * time.Second)
		if n := len(b.Messages("/", "q")); n != 1 {
			t.Errorf("after 59 s %d messages that live for 60 s are there", n)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if n := len(b.Messages("/", "q")); n != 0 {
			t.Errorf("after 60 s %d messages that live for 60 s are there", n)
		}
	})
}

func TestRunningTimeGoesOnAfterAdvanceForFaults(t *testing.T) {
	inBubble(t, Running, func(t *testing.T, b *Broker, ch *amqp.Channel) {
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		inject(t, b, Fault{Do: DelayConfirm, Delay: time.Minute})
		start := time.Now()
		confirm := publish(t, ch, "nowhere", "x")
		synctest.Wait()
		b.Advance(59 * time.Second)
		if _, err := confirm.WaitContext(inTime(t)); err != nil || time.Since(start) != time.Second {
			t.Errorf("confirmed after 59 s and %s: %v", time.Since(start), err)
		}
	})
}

// TestAdvanceGoesMomentByMoment: what one timer sets off falls due in the same
// Advance, and each thing happens at its own time, also when time runs.
func TestAdvanceGoesMomentByMoment(t *testing.T) {
	for _, clock := range []Clock{Stopped, Running} {
		inBubble(t, clock, func(t *testing.T, b *Broker, ch *amqp.Channel) {
			for _, q := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "end"}, {"end", ""}} {
				args := amqp.Table{"x-message-ttl": 1000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": q[1]}
				if q[1] == "" {
					args = nil
				}
				if _, err := ch.QueueDeclare(q[0], true, false, false, false, args); err != nil {
					t.Fatal(err)
				}
			}
			publish(t, ch, "a", "x")
			synctest.Wait()
			start := b.Now()
			b.Advance(10 * time.Second)
			if got := b.Now().Sub(start); got != 10*time.Second {
				t.Errorf("clock %d: the time moved by %s", clock, got)
			}
			if n := len(b.Messages("/", "end")); n != 1 {
				t.Errorf("clock %d: %d messages went through three queues of 1 s in 10 s\n%s", clock, n, b.Dump())
			}
			for i, e := range b.Trace(OfKind(EventDeadLettered)) {
				if at := e.At.Sub(start); at != time.Duration(i+1)*time.Second {
					t.Errorf("clock %d: dead-lettered from %s at +%s", clock, e.Queue, at)
				}
			}
		})
	}
}

func TestTimeDoesNotGoBack(t *testing.T) {
	for _, clock := range []Clock{Stopped, Running} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			r := &watchedTest{}
			b := Config{Clock: clock, Logger: slog.New(slog.NewTextHandler(&log, nil))}.New(r)
			before := b.Now()
			b.Advance(0)
			if r.failed {
				t.Errorf("Advance(0): %s", r.log.String())
			}
			b.Advance(-time.Hour)
			if got := b.Now(); !got.Equal(before) {
				t.Errorf("the time moved by %s", got.Sub(before))
			}
			const want = "Advance(-1h0m0s): time does not go back"
			if !r.failed || !strings.Contains(r.log.String(), want) || !strings.Contains(log.String(), want) {
				t.Errorf("failed: %t: %s, log: %s", r.failed, r.log.String(), log.String())
			}
			r.end()
		})
	}
}

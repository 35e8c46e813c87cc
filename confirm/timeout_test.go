package confirm_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// A publish is over when its confirm is there: not before, and not much later.
func TestLateConfirms(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 5 * time.Second})
		began := time.Now()
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 5100*time.Millisecond {
			t.Errorf("over after %s", took)
		}
	})
}

// Confirms that overtake one another: nobody waits for another's.
func TestConfirmsInAnyOrder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		n := inject(t, b, amqptest.Fault{Do: amqptest.ReorderConfirms, Count: 10, Times: 50})
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 20 * time.Second, Key: "q", Nth: 5, Every: 10, Times: 3})
		began := time.Now()
		for i, r := range send(t, p, 100, "", "q") {
			if err := r.Wait(soon(t)); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if took := time.Since(began); n.Hits() != 50 || took > 21*time.Second {
			t.Errorf("%d out of order, %s", n.Hits(), took)
		}
	})
}

// One message that the broker does not answer holds back neither the outcomes
// of those that were confirmed behind it nor its own timeout, however busy the
// publisher is.
func TestTrafficDoesNotPutOffTheSweep(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		declare(t, b, "stuck", nil)
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Key: "stuck", Times: -1})
		p := publisher(t, b, confirm.Config{ConfirmTimeout: time.Second})
		began := time.Now()
		stuck := p.Send(soon(t), "", "stuck", amqp.Publishing{})
		var mu sync.Mutex
		var latest time.Duration
		for range 500 { // 25 a second, for 20 s
			sent := time.Now()
			r := p.Send(soon(t), "", "q", amqp.Publishing{})
			go func() {
				<-r.Done()
				mu.Lock()
				latest = max(latest, time.Since(sent))
				mu.Unlock()
			}()
			<-time.After(40 * time.Millisecond)
		}
		if errors.Is(stuck.Outcome(), confirm.ErrPending) {
			t.Errorf("no outcome %s after ConfirmTimeout", time.Since(began)-time.Second)
		}
		pass(time.Second)
		if latest > 100*time.Millisecond {
			t.Errorf("a message confirmed at once had its outcome after %s", latest)
		}
	})
}

// A message that is never answered is unknown after ConfirmTimeout. While
// others are answered it keeps the channel and its place in the window, until
// its answer comes.
func TestConfirmTimeoutOfOne(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		declare(t, b, "stuck", nil)
		n := inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Key: "stuck", Times: -1})
		p := publisher(t, b, confirm.Config{Window: 2, ConfirmTimeout: 10 * time.Second})
		began := time.Now()
		stuck := p.Send(soon(t), "", "stuck", amqp.Publishing{})
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-time.After(time.Second):
					if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
						t.Errorf("beside it: %v", err)
					}
				case <-stop:
					return
				}
			}
		}()
		as[*confirm.UnknownError](t, stuck.Wait(soon(t)))
		if took := time.Since(began); took < 10*time.Second || took > 10200*time.Millisecond {
			t.Errorf("unknown after %s", took)
		}
		pass(time.Minute)
		close(stop)
		pass(2 * time.Second)
		if n := channelsOpened(b); n != 1 {
			t.Errorf("the channel was replaced: %d in all", n)
		}

		// Two places, of which the silent one has one.
		again := p.Send(soon(t), "", "stuck", amqp.Publishing{})
		as[*confirm.UnsentError](t, p.Publish(after(t, time.Second), "", "q", amqp.Publishing{}))
		n.Remove()
		allConfirmed(t, []*confirm.Receipt{again})
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
	})
}

// channelsOpened counts the channels that publishers ever opened; each test has
// one connection for it, with the lowest number of all the link's.
func channelsOpened(b *amqptest.Broker) int {
	all := map[uint64]int{}
	for _, e := range b.Trace(amqptest.OfKind(amqptest.EventChannelOpened)) {
		all[e.Connection]++
	}
	n := 0
	for _, c := range b.Connections() {
		if c.ClientName == "hareline publishing" {
			n += all[c.ID]
		}
	}
	return n
}

// When nothing at all is answered for so long, the channel is replaced, and
// what was not answered on it becomes unknown; the connection stays.
func TestConfirmTimeoutOfAll(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Window: 5, ConfirmTimeout: 10 * time.Second})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 5})
		before := connected(b)
		began := time.Now()
		silent := send(t, p, 5, "", "q")
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("the channel was replaced after %s", took)
		}
		for _, r := range silent {
			as[*confirm.UnknownError](t, r.Outcome())
		}
		if n := channelsOpened(b); n != 2 || connected(b) != before {
			t.Errorf("%d channels, %d connections more", n, connected(b)-before)
		}
	})
}

// A silent channel is noticed after ConfirmTimeout also where the connection
// had been blocked for long before the channel was opened.
func TestSilenceAfterAnAlarm(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{ConfirmTimeout: time.Second, Window: 2})
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm, Delay: 10 * time.Minute})
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		as[*confirm.RefusedError](t, p.Publish(soon(t), "nowhere", "", amqp.Publishing{})) // a new channel
		pass(time.Second)
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 2})
		began := time.Now()
		silent := send(t, p, 2, "", "q")
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the channel was replaced after %s, ConfirmTimeout is 1 s", took)
		}
		for _, r := range silent {
			as[*confirm.UnknownError](t, r.Outcome())
		}
	})
}

// Nothing is published on a channel behind its channel.close, however late the
// broker reads it: the broker would answer with 504 and close the connection.
func TestNothingBehindChannelClose(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{ConfirmTimeout: 200 * time.Millisecond})
		before := connected(b)
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.publish", Delay: time.Second})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: -1})
		var all []*confirm.Receipt
		for i := range 20 {
			all = append(all, p.Send(soon(t), "", "q", message(i)))
			<-time.After(60 * time.Millisecond)
		}
		pass(time.Minute)
		for _, r := range all {
			as[*confirm.UnknownError](t, r.Outcome())
		}
		if n := channelsOpened(b); n < 2 || connected(b) != before {
			t.Errorf("%d channels; %d connections more", n, connected(b)-before)
		}
	})
}

// The end of a caller's ctx is nobody else's: the message keeps its place, the
// channel stays, and nothing goes again (R 10).
func TestOneCallersDeadlineSparesTheOthers(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 5 * time.Second, Times: 100})
		var hasty, patient []*confirm.Receipt
		for i := range 100 {
			if i%2 == 0 {
				hasty = append(hasty, p.Send(after(t, time.Duration(i)*10*time.Millisecond+time.Second), "", "q", message(i)))
			} else {
				patient = append(patient, p.Send(soon(t), "", "q", message(i)))
			}
		}
		allConfirmed(t, patient)
		for _, r := range hasty {
			if err := r.Outcome(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", r.MessageID(), err)
			}
			as[*confirm.UnknownError](t, r.Outcome())
		}
		arrivedInOrder(t, b, "q", 100)
		if got := ids(b, "q"); len(got) != 100 || channelsOpened(b) != 1 {
			t.Errorf("%d stored over %d channels", len(got), channelsOpened(b))
		}
	})
}

// A broker that reads nothing more: callers are free at the end of their ctx,
// and once the write deadline has ended the link, the rest goes on (H 9.3).
func TestStalledReads(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		// Heartbeats would wait for the client's lock, not for the time, in a bubble.
		l := open(t, b, link.Config{URLs: []string{b.PipeURL() + "?heartbeat=0"}, WriteTimeout: 4 * time.Second})
		p := publisherOn(t, l, confirm.Config{ConfirmTimeout: time.Minute})
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.publish"})
		if err := p.Publish(soon(t), "", "q", message(0)); err != nil { // done before the stall, and answered
			t.Error(err)
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				err := p.Publish(after(t, time.Second), "", "q", amqp.Publishing{Body: make([]byte, 1<<20)})
				var unknown *confirm.UnknownError
				var unsent *confirm.UnsentError
				if !errors.As(err, &unknown) && !errors.As(err, &unsent) || time.Since(began) != time.Second {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		}
		patient := p.Send(soon(t), "", "q", message(1))
		all.Wait()
		allConfirmed(t, []*confirm.Receipt{patient})
		if took := time.Since(began); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("the link was made anew after %s", took)
		}
	})
}

// A stall that is shorter than the write deadline costs time and nothing else.
func TestShortStall(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{ConfirmTimeout: time.Minute})
		before := connected(b)
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.publish", Nth: 5, Delay: 3 * time.Second})
		began := time.Now()
		allConfirmed(t, send(t, p, 20, "", "q"))
		if took := time.Since(began); took < 3*time.Second || took > 3100*time.Millisecond || connected(b) != before || len(ids(b, "q")) != 20 {
			t.Errorf("after %s, %d connections more, %d stored", took, connected(b)-before, len(ids(b, "q")))
		}
	})
}

package confirm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// One message among fifty closes the channel under them all, each time that it
// is sent: it alone is refused, with the broker's words (H 2.1, R 3, R 11).
func TestBadNeighbor(t *testing.T) {
	tests := []struct {
		name          string
		exchange, key string
		msg           amqp.Publishing
		fault         amqptest.Fault
		code          int
		says          string
	}{
		{name: "no such exchange", exchange: "nowhere", code: 404, says: "no exchange 'nowhere' in vhost '/'"},
		{name: "no right", exchange: "secret", code: 403, says: "to exchange 'secret' in vhost '/' refused for user 'app'"},
		{name: "internal exchange", exchange: "inside", code: 403, says: "cannot publish to internal exchange 'inside'"},
		{name: "another user", key: "q", msg: amqp.Publishing{UserId: "somebody"}, code: 406, says: "user_id property set to 'somebody'"},
		{name: "too large", key: "q", msg: amqp.Publishing{Body: make([]byte, 5000)}, code: 406, says: "message size 5000 is larger than configured max size 4000"},
		{name: "for reasons of the broker's", key: "bad", code: 405, says: "RESOURCE_LOCKED - injected fault",
			fault: amqptest.Fault{Do: amqptest.CloseChannel, On: "basic.publish", Key: "bad", Times: -1, Code: 405}},
	}
	cfg := amqptest.Config{MaxMessageSize: 4000, Users: map[string]amqptest.User{
		"guest": {Password: "guest"},
		"app":   {Password: "app", Permissions: map[string]amqptest.Permissions{"/": {Write: `^(amq\.default|nowhere|inside)$`}}},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachWith(t, cfg, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				operate(t, b, func(ch *amqp.Channel) error {
					return errors.Join(ch.ExchangeDeclare("secret", "direct", true, false, false, false, nil),
						ch.ExchangeDeclare("inside", "direct", true, false, true, false, nil))
				})
				if tt.fault.Do != "" {
					inject(t, b, tt.fault)
				}
				l := open(t, b, link.Config{URLs: []string{"amqp://app:app@broker/"}})
				p := publisherOn(t, l, confirm.Config{})
				before := connected(b)
				var good []*confirm.Receipt
				var bad *confirm.Receipt
				for i := range 50 {
					good = append(good, p.Send(soon(t), "", "q", message(i)))
					if i == 24 {
						bad = p.Send(soon(t), tt.exchange, tt.key, tt.msg)
					}
				}
				e := as[*confirm.RefusedError](t, bad.Wait(soon(t)))
				if e.Code != tt.code || !strings.Contains(e.Reason, tt.says) || !e.MaybeStored {
					t.Errorf("%+v", e)
				}
				allConfirmed(t, good)
				arrivedInOrder(t, b, "q", 50)
				if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				if connected(b) != before {
					t.Error("it cost a connection")
				}
			})
		})
	}
}

// Each of several bad ones is found.
func TestSeveralBadNeighbors(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Window: 25})
		var receipts []*confirm.Receipt
		for i := range 60 {
			exchange := ""
			if i%9 == 4 {
				exchange = "nowhere"
			}
			receipts = append(receipts, p.Send(soon(t), exchange, "q", message(i)))
		}
		for i, r := range receipts {
			err := r.Wait(soon(t))
			if i%9 == 4 {
				as[*confirm.RefusedError](t, err)
			} else if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if n := len(firsts(ids(b, "q"))); n != 60-7 {
			t.Errorf("%d arrived", n)
		}
	})
}

// An exception that does not come again refuses nobody.
func TestPassingException(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.CloseChannel, On: "basic.publish", Nth: 12, Code: 406})
		inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish", Nth: 14})
		allConfirmed(t, send(t, p, 40, "", "q"))
		arrivedInOrder(t, b, "q", 40)
	})
}

// The channel closed by the broker of itself, with nothing on it or something.
func TestChannelClosedOutOfTheBlue(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		blue := amqptest.Fault{Do: amqptest.CloseChannel, On: amqptest.Now, Code: 406}
		inject(t, b, blue)
		if err := p.Publish(soon(t), "", "q", message(0)); err != nil {
			t.Error(err)
		}
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 10})
		receipts := send(t, p, 10, "", "q")
		pass(time.Second)
		inject(t, b, blue)
		allConfirmed(t, receipts)
	})
}

// In quarantine a message that nobody answers holds up the others, and new
// ones, for a while each, and theirs does not run.
func TestQuarantineBehindAStuckQueue(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "stuck", nil)
		declare(t, b, "ok", nil)
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Key: "stuck", Times: -1})
		p := publisher(t, b, confirm.Config{ConfirmTimeout: 10 * time.Second})
		stuck := send(t, p, 50, "", "stuck")
		bad := p.Send(soon(t), "nowhere", "x", amqp.Publishing{})
		began := time.Now()
		<-time.After(time.Second)
		if err := p.Publish(soon(t), "", "ok", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("a message to a healthy queue waited %s", took)
		}
		for _, r := range stuck {
			as[*confirm.UnknownError](t, r.Wait(soon(t)))
		}
		<-bad.Done()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("the last of 50 written messages had its outcome after %s, ConfirmTimeout is 10 s", took)
		}
	})
}

// The connection is shared: an exception that ends it while an innocent
// message of another publisher is alone on its quarantine channel must not make
// that one refused.
func TestConnectionExceptionOfANeighbourPublisher(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		inject(t, b, amqptest.Fault{
			Do: amqptest.CloseConnection, On: "basic.publish", Key: "poison", Times: -1,
			Code: 501, Text: "FRAME_ERROR - type 2, all octets = <<>>: {frame_too_large,20000,16376}",
		})
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: time.Second, Times: -1}) // a queue that takes its time
		l := open(t, b, link.Config{})
		users, copies := publisherOn(t, l, confirm.Config{}), publisherOn(t, l, confirm.Config{})
		innocent := copies.Send(soon(t), "", "q", amqp.Publishing{})
		poison := users.Send(soon(t), "", "poison", amqp.Publishing{})
		var refused *confirm.RefusedError
		if err := innocent.Wait(soon(t)); errors.As(err, &refused) { // confirmed, or at worst unknown
			t.Errorf("innocent: %v", err)
		}
		as[*confirm.UnknownError](t, poison.Wait(soon(t)))
	})
}

// A message that was stored when its neighbor ended the channel, and is
// refused when it comes again alone, may be stored, and says so.
func TestRefusedMayBeStored(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		operate(t, b, func(ch *amqp.Channel) error {
			return errors.Join(ch.ExchangeDeclare("x", "fanout", true, false, false, false, nil), ch.QueueBind("q", "", "x", false, nil))
		})
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: -1})
		first := p.Send(soon(t), "x", "first", amqp.Publishing{})
		pass(time.Second)
		operate(t, b, func(ch *amqp.Channel) error { return ch.ExchangeDelete("x", false, false) })
		p.Send(soon(t), "x", "last", amqp.Publishing{})
		if e := as[*confirm.RefusedError](t, first.Wait(soon(t))); e.Code != 404 || !e.PossiblyStored() {
			t.Errorf("%+v", e)
		}
		if n := len(ids(b, "q")); n != 1 {
			t.Errorf("%d stored", n)
		}
	})
}

// What is alone in quarantine and loses its link as often as it takes becomes
// unknown; the culprit of the exception behind it is refused all the same.
func TestQuarantineOverLostLinks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 20})
		inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 21, Every: 2, Times: 5})
		receipts := send(t, p, 20, "", "q")
		pass(time.Second)
		bad := p.Send(soon(t), "nowhere", "", amqp.Publishing{})
		as[*confirm.RefusedError](t, bad.Wait(soon(t)))
		allConfirmed(t, receipts)
		arrivedInOrder(t, b, "q", 20)
	})
}

// A caller that leaves while its message waits in quarantine has its end at
// once, and the message is not sent again.
func TestLeavingAQuarantine(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 5}) // four, and the first of them alone
		var all []*confirm.Receipt
		leave := make([]context.CancelFunc, 4)
		for i := range 4 {
			ctx, cancel := context.WithCancel(soon(t))
			leave[i] = cancel
			defer cancel()
			all = append(all, p.Send(ctx, "", "q", message(i)))
		}
		pass(time.Second)
		bad := p.Send(soon(t), "nowhere", "", amqp.Publishing{})
		pass(time.Second) // the first one is alone and unanswered
		leave[0]()
		leave[2]()
		ended(t, all[0], all[2])
		for _, i := range []int{0, 2} {
			as[*confirm.UnknownError](t, all[i].Outcome())
		}
		allConfirmed(t, []*confirm.Receipt{all[1], all[3]})
		as[*confirm.RefusedError](t, bad.Wait(soon(t)))
		count := map[string]int{}
		for _, id := range ids(b, "q") {
			count[id]++
		}
		if count["002"] != 1 || count["003"] != 2 {
			t.Errorf("copies: %v", count)
		}
	})
}

// A publisher that is closed while its quarantine waits for the end of an alarm
// closes its channel, and gives every message its end.
func TestCloseInABlockedQuarantine(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		l := open(t, b, link.Config{})
		p, other := publisherOn(t, l, confirm.Config{}), publisherOn(t, l, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 2})
		waiting := send(t, p, 2, "", "q")
		pass(time.Second)
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 3 * time.Second}) // of the first one, alone
		bad := p.Send(soon(t), "nowhere", "", amqp.Publishing{})
		pass(time.Second)
		if err := b.Alarm("memory"); err != nil {
			t.Fatal(err)
		}
		blocked := other.Send(soon(t), "", "q", amqp.Publishing{}) // tells the broker to block
		pass(3 * time.Second)                                      // the first one was confirmed; the second waits at the gate
		allConfirmed(t, waiting[:1])
		began := time.Now()
		if err := p.Close(after(t, 10*time.Second)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 11*time.Second {
			t.Errorf("Close after %s: %v", time.Since(began), err)
		}
		ended(t, waiting[1], bad)
		if err := b.ClearAlarm("memory"); err != nil {
			t.Fatal(err)
		}
		allConfirmed(t, []*confirm.Receipt{blocked})
		pass(time.Second)
		if n := confirming(b); n != 1 { // the other's
			t.Errorf("%d channels open after the publisher's Close", n)
		}
	})
}

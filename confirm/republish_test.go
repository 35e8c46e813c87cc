package confirm_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// A link lost in the middle of forty messages: every one is confirmed, and
// arrives for the first time in its turn (H 2.2, R 32).
func TestLostLinks(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, b *amqptest.Broker){
		"cut before the publish": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish", Nth: 17})
		},
		"cut after the publish": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 17})
		},
		"closed with 320": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: "basic.publish", Nth: 17, Code: 320, Text: "CONNECTION_FORCED - bye"})
		},
		"cut as soon as it is made again": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 17})
			inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "confirm.select", Times: 3})
			inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "channel.open", Nth: 2, Times: 2})
		},
		"nobody at the door": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 17})
			inject(t, b, amqptest.Fault{Do: amqptest.RefuseConnection, Times: 10})
		},
		"credentials refused for a while": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish", Nth: 17})
			inject(t, b, amqptest.Fault{Do: amqptest.RefuseLogin, Times: 6})
		},
		"unanswered, then cut": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 30})
			time.AfterFunc(time.Second, func() { b.CutConnections() })
		},
		"restarted": func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 30})
			time.AfterFunc(time.Second, b.Restart)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				p := publisher(t, b, confirm.Config{ConfirmTimeout: 10 * time.Minute})
				before := connected(b)
				lose(t, b)
				allConfirmed(t, send(t, p, 40, "", "q"))
				arrivedInOrder(t, b, "q", 40)
				if connected(b) == before {
					t.Error("no link was lost")
				}
			})
		})
	}
}

// What was not done is done once; what was done without an answer is done
// twice, with one message-id.
func TestRefusedAndDoneAreNotTheSame(t *testing.T) {
	for effect, want := range map[amqptest.Effect]int{amqptest.DropBefore: 1, amqptest.DropAfter: 2} {
		t.Run(string(effect), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				p := publisher(t, b, confirm.Config{})
				inject(t, b, amqptest.Fault{Do: effect, On: "basic.publish"})
				if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
					t.Error(err)
				}
				got := ids(b, "q")
				if len(got) != want || len(firsts(got)) != 1 || got[0] == "" {
					t.Errorf("stored: %v", got)
				}
			})
		})
	}
}

// The last copy's answer says nothing of the first, and the error admits it.
func TestMaybeStored(t *testing.T) {
	for name, second := range map[string]amqptest.Fault{
		"returned": {Do: amqptest.DeleteQueue, On: "basic.publish", Queue: "q"},
		"nacked":   {Do: amqptest.Nack, Nth: 2},
		"refused":  {Do: amqptest.CloseChannel, On: "basic.publish", Nth: 2, Times: 2, Code: 406},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				p := publisher(t, b, confirm.Config{})
				inject(t, b, second)
				inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish"})
				err := p.Publish(soon(t), "", "q", message(0))
				maybe := false
				var returned *confirm.ReturnedError
				var nacked *confirm.NackedError
				var refused *confirm.RefusedError
				switch {
				case errors.As(err, &returned):
					maybe = name == "returned" && returned.MaybeStored && returned.PossiblyStored()
				case errors.As(err, &nacked):
					maybe = name == "nacked" && nacked.MaybeStored && nacked.PossiblyStored()
				case errors.As(err, &refused):
					maybe = name == "refused" && refused.MaybeStored && refused.Code == 406
				}
				if !maybe {
					t.Errorf("%v", err)
				}
				if q, ok := b.Queue("/", "q"); ok && q.Ready != 1 {
					t.Errorf("%d stored", q.Ready)
				}
				err = p.Publish(soon(t), "", "missing", message(1))
				if returned := as[*confirm.ReturnedError](t, err); returned.MaybeStored {
					t.Errorf("a later one: %v", err)
				}
			})
		})
	}
}

// With NoRepublish a lost link makes the unanswered unknown, and them alone.
func TestNoRepublish(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{NoRepublish: true, Window: 8})
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: 5})
		time.AfterFunc(time.Second, func() { b.CutConnections() })
		for i, r := range send(t, p, 20, "", "q") {
			err := r.Wait(soon(t))
			var unknown *confirm.UnknownError
			if i < 5 && (!errors.As(err, &unknown) || !unknown.PossiblyStored()) || i >= 8 && err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if got := ids(b, "q"); len(got) != len(firsts(got)) || len(got) != 20 {
			t.Errorf("stored: %v", got)
		}
	})
}

// What was not written when the link was lost is not unknown: it is sent.
func TestNoRepublishOfTheUnwritten(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		l := open(t, b, link.Config{URLs: []string{b.PipeURL() + "?heartbeat=0"}})
		p := publisherOn(t, l, confirm.Config{NoRepublish: true, ConfirmTimeout: time.Hour})
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.publish"})
		receipts := send(t, p, 1, "", "q")
		allConfirmed(t, receipts)
		for i := range 12 { // the broker reads none of them, and there is room for five
			msg := message(i)
			msg.Body = make([]byte, 50<<10)
			receipts = append(receipts, p.Send(soon(t), "", "q", msg))
		}
		for i, r := range receipts[1:] {
			err := r.Wait(soon(t))
			var unknown *confirm.UnknownError
			if i < 5 && !errors.As(err, &unknown) || i > 6 && err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

// Many goroutines over links that are lost again and again, each time with
// something done that nobody was told of.
func TestOrderOverManyLosses(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisherOn(t, open(t, b, link.Config{ReconnectMin: 10 * time.Millisecond}), confirm.Config{Window: 60})
		after := inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 50, Every: 301, Times: 4})
		before := inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish", Nth: 200, Every: 302, Times: 4})
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				var receipts []*confirm.Receipt
				for i := range 250 {
					receipts = append(receipts, p.Send(soon(t), "", "q", amqp.Publishing{MessageId: fmt.Sprintf("%d.%03d", g, i)}))
				}
				allConfirmed(t, receipts)
			})
		}
		all.Wait()
		if after.Hits() < 3 || before.Hits() < 3 {
			t.Errorf("%d and %d links lost", after.Hits(), before.Hits())
		}
		got := firsts(ids(b, "q"))
		slices.SortStableFunc(got, func(a, b string) int { return int(a[0]) - int(b[0]) })
		if len(got) != 1000 || !slices.IsSorted(got) {
			t.Errorf("%d arrived, in order: %t", len(got), slices.IsSorted(got))
		}
	})
}

// A message that ends every link on which it is sent is given up; those beside
// it are confirmed, and the link is made again ever more slowly.
func TestMessageThatKillsLinks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		n := inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: "basic.publish", Key: "poison", Times: -1, Code: 501})
		var good []*confirm.Receipt
		var poison *confirm.Receipt
		for i := range 30 {
			if i == 15 {
				poison = p.Send(soon(t), "", "poison", amqp.Publishing{})
			}
			good = append(good, p.Send(soon(t), "", "q", message(i)))
		}
		if e := as[*confirm.UnknownError](t, poison.Wait(soon(t))); !strings.Contains(e.Error(), "alone too") {
			t.Error(e)
		}
		allConfirmed(t, good)
		if got := firsts(ids(b, "q")); len(got) != 30 || n.Hits() != 6 {
			t.Errorf("%d arrived after %d links lost", len(got), n.Hits())
		}
	})
}

// A connection that dies as soon as it is used is not made anew without a pause.
func TestReconnectsArePaced(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		before := connected(b)
		inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: "basic.publish", Times: -1})
		r := p.Send(after(t, 10*time.Second), "", "q", amqp.Publishing{})
		<-r.Done()
		if n := connected(b) - before; n == 0 || n > 30 {
			t.Errorf("%d reconnects in 10 s", n)
		}
	})
}

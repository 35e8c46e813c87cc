package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// Scenario 1 (H 13.1, H 1.2): a return is never mistaken for a delivery, and
// each goes to the call that caused it.
func TestReturnsReachTheirOwnCaller(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		p := publisher(t, open(t, link.Config{URLs: []string{b.URL}}), confirm.Config{})
		ctx := deadline(t)
		const goroutines, each = 8, 375
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				var receipts []*confirm.Receipt
				for i := range each {
					receipts = append(receipts, p.Send(ctx, "", fmt.Sprintf("missing.%d.%d", g, i), amqp.Publishing{}))
				}
				for i, r := range receipts {
					var returned *confirm.ReturnedError
					if err := r.Wait(ctx); !errors.As(err, &returned) || returned.Code != amqp.NoRoute || returned.MaybeStored ||
						returned.Key != fmt.Sprintf("missing.%d.%d", g, i) {
						t.Errorf("publish %d.%d to nowhere: %v", g, i, err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

// Returned and confirmed ones mixed on one channel keep apart (H 1.1).
func TestEveryThirdIsReturned(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{Window: 200})
		declareQueue(t, l, "mixed", quorum)
		ctx := deadline(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range 125 {
					key := "mixed"
					if i%3 == 0 {
						key = "missing"
					}
					err := p.Publish(ctx, "", key, amqp.Publishing{})
					var returned *confirm.ReturnedError
					if errors.As(err, &returned) != (i%3 == 0) || i%3 != 0 && err != nil {
						t.Errorf("publish to %s: %v", key, err)
					}
				}
			})
		}
		all.Wait()
		if n := depth(t, l, "mixed"); n != 8*83 {
			t.Errorf("%d messages in the queue, want %d", n, 8*83)
		}
	})
}

// Scenario 3 (H 2.1, H 13.3): one publish to a missing exchange closes the
// channel; its neighbours are confirmed all the same, and it alone is refused.
func TestBadNeighbour(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "neighbours", quorum)
		ctx := deadline(t)
		var receipts []*confirm.Receipt
		for i := range 300 {
			exchange := ""
			if i == 150 {
				exchange = "nowhere"
			}
			receipts = append(receipts, p.Send(ctx, exchange, "neighbours", amqp.Publishing{MessageId: fmt.Sprint(i)}))
		}
		refused := 0
		for i, r := range receipts {
			err := r.Wait(ctx)
			var bad *confirm.RefusedError
			switch {
			case errors.As(err, &bad) && i == 150 && bad.Code == amqp.NotFound && strings.Contains(bad.Reason, "nowhere"):
				refused++
			case err != nil || i == 150:
				t.Errorf("publish %d: %v", i, err)
			}
		}
		distinct := map[string]bool{}
		for _, d := range take(t, l, "neighbours") {
			distinct[d.MessageId] = true
		}
		if refused != 1 || len(distinct) != 299 {
			t.Errorf("%d refused, %d distinct messages stored; want 1 and 299", refused, len(distinct))
		}
	})
}

// Finding 3 of the second round (R 3): one message with another user's user_id
// among 50 kills every channel it is sent on; the 49 others are confirmed.
func TestForeignUserIDAmongFifty(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "users", quorum)
		ctx := deadline(t)
		var receipts []*confirm.Receipt
		for i := range 50 {
			msg := amqp.Publishing{MessageId: fmt.Sprint(i)}
			if i == 25 {
				msg.UserId = "somebody-else"
			}
			receipts = append(receipts, p.Send(ctx, "", "users", msg))
		}
		for i, r := range receipts {
			err := r.Wait(ctx)
			var bad *confirm.RefusedError
			if i == 25 && (!errors.As(err, &bad) || bad.Code != amqp.PreconditionFailed) || i != 25 && err != nil {
				t.Errorf("publish %d: %v", i, err)
			}
		}
		if err := p.Publish(ctx, "", "users", amqp.Publishing{MessageId: "after"}); err != nil {
			t.Errorf("publish after it: %v", err)
		}
		distinct := map[string]bool{}
		for _, d := range take(t, l, "users") {
			distinct[d.MessageId] = true
		}
		if len(distinct) != 50 {
			t.Errorf("%d distinct messages stored, want 49 and the one after", len(distinct))
		}
	})
}

// Bad input is refused before it is sent, and the same channel goes on (H 10).
func TestPreflightLeavesTheChannelAlone(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "strict", quorum)
		ctx := deadline(t)
		long := strings.Repeat("x", 256)
		for name, bad := range map[string]amqp.Publishing{
			"long type":       {Type: long},
			"header name":     {Headers: amqp.Table{long: "v"}},
			"header type":     {Headers: amqp.Table{"n": uint64(1)}},
			"header too long": {Headers: amqp.Table{"h": strings.Repeat("x", 130<<10)}},
			"expiration":      {Expiration: "5s"},
			"CC":              {Headers: amqp.Table{"CC": "a"}},
			"body":            {Body: make([]byte, 17<<20)},
		} {
			var refused *confirm.RefusedError
			if err := p.Publish(ctx, "", "strict", bad); !errors.As(err, &refused) || refused.Code != 0 {
				t.Errorf("%s: %v", name, err)
			}
			if err := p.Publish(ctx, "", "strict", amqp.Publishing{Headers: amqp.Table{"n": 5_000_000_000}}); err != nil {
				t.Errorf("publish after %s: %v", name, err)
			}
		}
		for _, d := range take(t, l, "strict") {
			if d.Headers["n"] != int64(5_000_000_000) || d.DeliveryMode != amqp.Persistent || d.MessageId == "" {
				t.Fatalf("arrived as %v, mode %d, id %q", d.Headers, d.DeliveryMode, d.MessageId)
			}
		}
	})
}

// The largest expiration that passes the pre-flight check passes the broker.
func TestLongestExpiration(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "late", quorum)
		if err := p.Publish(deadline(t), "", "late", amqp.Publishing{Expiration: "315360000000"}); err != nil {
			t.Error(err)
		}
	})
}

// A full queue nacks; nothing that was confirmed is missing (H 3.1).
func TestFullQueueNacks(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "full", amqp.Table{"x-max-length": int32(3), "x-overflow": "reject-publish"})
		confirmed, nacked := 0, 0
		for range 20 {
			err := p.Publish(deadline(t), "", "full", amqp.Publishing{})
			var full *confirm.NackedError
			switch {
			case err == nil:
				confirmed++
			case errors.As(err, &full) && full.Temporary():
				nacked++
			default:
				t.Fatal(err)
			}
		}
		if n := depth(t, l, "full"); n != confirmed || nacked == 0 {
			t.Errorf("%d confirmed, %d nacked, %d stored", confirmed, nacked, n)
		}
	})
}

// A link that is cut again and again: every publish is confirmed in the end,
// every message is there, and each goroutine's messages arrive for the first
// time in their order (H 2.2, R 32).
func TestPublishOverCutLinks(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, ReconnectMin: 10 * time.Millisecond})
		p := publisher(t, l, confirm.Config{Window: 100})
		direct := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, direct, "cut", quorum)
		ctx := deadline(t)
		const goroutines, each = 4, 1500
		var all sync.WaitGroup
		sent := newTally()
		for g := range goroutines {
			all.Go(func() {
				var receipts []*confirm.Receipt
				for i := range each {
					receipts = append(receipts, p.Send(ctx, "", "cut", amqp.Publishing{MessageId: fmt.Sprintf("%d.%04d", g, i)}))
					sent.add("sent")
				}
				for i, r := range receipts {
					if err := r.Wait(ctx); err != nil {
						t.Errorf("publish %d.%d: %v", g, i, err)
						return
					}
				}
			})
		}
		for cut := 1; cut <= 5; cut++ {
			sent.until(t, "more publishes", func() bool { return sent.of("sent") >= cut*goroutines*each/6 })
			proxy.Cut()
		}
		all.Wait()
		firsts, last := 0, map[string]string{}
		seen := map[string]bool{}
		for _, d := range take(t, direct, "cut") {
			if seen[d.MessageId] {
				continue
			}
			seen[d.MessageId] = true
			firsts++
			g := d.MessageId[:1]
			if d.MessageId < last[g] {
				t.Errorf("%s arrived for the first time after %s", d.MessageId, last[g])
			}
			last[g] = d.MessageId
		}
		if firsts != goroutines*each {
			t.Errorf("%d distinct messages arrived, want %d", firsts, goroutines*each)
		}
	})
}

// A peer that stops reading holds neither Publish beyond its ctx nor Close, and
// leaves the caller with the truth (H 9.3, H 13.4).
func TestStalledPeer(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, Heartbeat: 2 * time.Second, WriteTimeout: 4 * time.Second})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, open(t, link.Config{URLs: []string{b.URL}}), "stalled", quorum)
		proxy.Stall()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := p.Publish(ctx, "", "stalled", amqp.Publishing{Body: make([]byte, 8<<20)})
				var unknown *confirm.UnknownError
				var unsent *confirm.UnsentError
				if !errors.As(err, &unknown) && !errors.As(err, &unsent) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			})
		}
		all.Wait() // the callers are free though the peer still stalls
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_ = p.Close(ctx)
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
		if ctx.Err() != nil {
			t.Error("Close took until its ctx ended")
		}
	})
}

// A broker that answers nothing makes a message unknown after ConfirmTimeout;
// once it answers again the publisher goes on (R 10).
func TestSilentBroker(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, Heartbeat: time.Minute})
		p := publisher(t, l, confirm.Config{ConfirmTimeout: 300 * time.Millisecond})
		declareQueue(t, open(t, link.Config{URLs: []string{b.URL}}), "silent", quorum)
		proxy.Stall()
		var unknown *confirm.UnknownError
		if err := p.Publish(deadline(t), "", "silent", amqp.Publishing{}); !errors.As(err, &unknown) {
			t.Fatalf("error %v", err)
		}
		proxy.Resume()
		ctx := deadline(t)
		for { // a publish may meet the channel that is being replaced
			err := p.Publish(ctx, "", "silent", amqp.Publishing{})
			if err == nil {
				return
			}
			if !errors.As(err, &unknown) {
				t.Fatal(err)
			}
		}
	})
}

// One caller's deadline ends its own wait and nobody else's: the channel stays
// (R 10).
func TestOneCallersDeadlineSparesTheOthers(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "deadlines", quorum)
		ctx := deadline(t)
		var receipts []*confirm.Receipt
		for i := range 2000 {
			if i%10 == 0 {
				hasty, cancel := context.WithCancel(ctx)
				r := p.Send(hasty, "", "deadlines", amqp.Publishing{})
				cancel()
				<-r.Done()
			}
			receipts = append(receipts, p.Send(ctx, "", "deadlines", amqp.Publishing{MessageId: fmt.Sprint(i)}))
		}
		for _, r := range receipts {
			if err := r.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]int{}
		for _, d := range take(t, l, "deadlines") {
			seen[d.MessageId]++
		}
		for i := range 2000 {
			if n := seen[fmt.Sprint(i)]; n != 1 {
				t.Fatalf("message %d arrived %d times: a neighbour's deadline made it go again", i, n)
			}
		}
	})
}

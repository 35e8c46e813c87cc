package confirm

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A peer that acks late and out of order, in part with multiple, returns,
// nacks, cuts, closes channels and alarms at random. What each caller is told
// must agree with what the peer did.
func TestOutcomesAgreeWithTheBroker(t *testing.T) {
	seeds := 8
	if s := os.Getenv("SEEDS"); s != "" {
		seeds, _ = strconv.Atoi(s)
	}
	base := time.Now().UnixNano()
	if s := os.Getenv("SEED"); s != "" {
		base, _ = strconv.ParseInt(s, 10, 64)
	}
	for i := range seeds {
		t.Run(fmt.Sprint(base+int64(i)), func(t *testing.T) { chaos(t, base+int64(i)) })
	}
}

type ledger struct {
	mu     sync.Mutex
	rnd    *rand.Rand
	seen   map[string]bool
	stored map[string]int
	order  []string
}

func chaos(t *testing.T, seed int64) {
	lg := &ledger{rnd: rand.New(rand.NewSource(seed)), seen: map[string]bool{}, stored: map[string]int{}}
	b := &peer{}
	b.onReset = func(c *peerConn, ch uint16) { lg.mu.Lock(); c.dead[ch] = false; lg.mu.Unlock() }
	b.onPublish = func(m *published) {
		id := string(m.body)
		lg.mu.Lock()
		defer lg.mu.Unlock()
		if m.c.dead[m.ch] {
			return
		}
		lg.seen[id] = true
		store := func() {
			if lg.stored[id]++; lg.stored[id] == 1 {
				lg.order = append(lg.order, id)
			}
		}
		late := func(f func()) {
			if lg.rnd.Intn(3) == 0 {
				f()
				return
			}
			time.AfterFunc(time.Duration(lg.rnd.Intn(4000))*time.Microsecond, func() {
				lg.mu.Lock()
				defer lg.mu.Unlock()
				if !m.c.dead[m.ch] {
					f()
				}
			})
		}
		switch {
		case m.exchange == "nowhere":
			m.c.dead[m.ch] = true
			m.c.closeChannel(m.ch, 404, "NOT_FOUND")
		case m.key == "missing":
			m.returned()
			late(m.ack)
		case m.key == "full":
			late(m.nack)
		default:
			store()
			late(m.ack)
		}
		switch n := lg.rnd.Intn(600); {
		case n < 2:
			m.c.cut()
		case n < 3:
			m.c.closeConnection(320, "CONNECTION_FORCED")
		case n < 5:
			m.c.blocked(true)
			time.AfterFunc(2*time.Millisecond, func() {
				lg.mu.Lock()
				defer lg.mu.Unlock()
				m.c.blocked(false)
			})
		}
	}
	l := openPeer(t, b)
	p := openPublisher(t, l, Config{Window: 40, NoRepublish: seed%3 == 0, ConfirmTimeout: time.Duration(20+seed%500) * time.Millisecond})
	var all sync.WaitGroup
	check := func(id, exchange, key string, err error) {
		lg.mu.Lock()
		defer lg.mu.Unlock()
		var unsent *UnsentError
		var refused *RefusedError
		var ret *ReturnedError
		var nack *NackedError
		var unknown *UnknownError
		switch {
		case err == nil:
			if lg.stored[id] == 0 {
				t.Errorf("%s: nil, not stored", id)
			}
		case errors.As(err, &unsent):
			if lg.seen[id] {
				t.Errorf("%s: unsent, and the broker saw it", id)
			}
		case errors.As(err, &refused):
			if exchange != "nowhere" {
				t.Errorf("%s: %v", id, err)
			}
		case errors.As(err, &ret):
			if key != "missing" {
				t.Errorf("%s: %v", id, err)
			}
		case errors.As(err, &nack):
			if key != "full" {
				t.Errorf("%s: %v", id, err)
			}
		case errors.As(err, &unknown):
		default:
			t.Errorf("%s: %v", id, err)
		}
	}
	for g := range 6 {
		rnd := rand.New(rand.NewSource(seed + int64(g)))
		all.Go(func() {
			var receipts sync.WaitGroup
			for i := range 150 {
				id := fmt.Sprintf("%d.%04d", g, i)
				exchange, key := "", "q"
				switch n := rnd.Intn(200); {
				case n < 2:
					exchange = "nowhere"
				case n < 15:
					key = "missing"
				case n < 30:
					key = "full"
				}
				ctx, cancel := context.WithCancel(context.Background())
				if rnd.Intn(8) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.Intn(5000))*time.Microsecond)
				}
				msg := amqp.Publishing{Body: []byte(id)}
				if g%2 == 0 {
					check(id, exchange, key, p.Publish(ctx, exchange, key, msg))
					cancel()
					continue
				}
				r := p.Send(ctx, exchange, key, msg)
				receipts.Go(func() {
					defer cancel()
					select {
					case <-r.Done():
						check(id, exchange, key, r.Outcome())
					case <-time.After(20 * time.Second):
						t.Errorf("%s: no outcome", id)
					}
				})
			}
			receipts.Wait()
		})
	}
	if seed%4 == 0 {
		time.AfterFunc(30*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			_ = p.Close(ctx)
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	p.mu.Lock()
	if p.win.count != 0 || p.win.bytes != 0 || p.open != 0 || len(p.queue) != 0 {
		t.Errorf("left: window %d, %d bytes, open %d, queue %d", p.win.count, p.win.bytes, p.open, len(p.queue))
	}
	p.mu.Unlock()
	if err := l.Close(ctx); err != nil {
		t.Errorf("link.Close: %v", err)
	}
	last := map[byte]string{}
	for _, id := range lg.order {
		if id < last[id[0]] {
			t.Errorf("%s stored for the first time after %s", id, last[id[0]])
		}
		last[id[0]] = id
	}
}

package confirm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

func openPublisher(t *testing.T, l *link.Link, cfg Config) *Publisher {
	t.Helper()
	cfg.Logger = quiet
	p, err := Open(context.Background(), l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shut(p *Publisher, l *link.Link) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.Close(ctx)
	_ = l.Close(ctx)
}

// one message that the broker does not answer holds back the outcomes of all
// that were confirmed behind it, and its own ConfirmTimeout, while others are
// written more often than once in sweepMax: each write restarts the sweep's timer.
func TestTrafficDoesNotPutOffTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &peer{onPublish: func(m *published) {
			if m.key != "stuck" {
				m.ack()
			}
		}}
		l := openPeer(t, b)
		p := openPublisher(t, l, Config{ConfirmTimeout: time.Second})
		defer shut(p, l)
		ctx := context.Background()
		began := time.Now()
		stuck := p.Send(ctx, "", "stuck", amqp.Publishing{})
		var mu sync.Mutex
		var latest time.Duration
		for i := 0; i < 500; i++ { // 25 a second, for 20 s
			sent := time.Now()
			r := p.Send(ctx, "", "ok", amqp.Publishing{})
			go func() {
				<-r.Done()
				mu.Lock()
				latest = max(latest, time.Since(sent))
				mu.Unlock()
			}()
			time.Sleep(40 * time.Millisecond)
		}
		select {
		case <-stuck.Done():
		default:
			t.Errorf("no outcome %s after ConfirmTimeout", time.Since(began)-time.Second)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if latest > 100*time.Millisecond {
			t.Errorf("a message confirmed at once had its outcome after %s", latest)
		}
	})
}

// a channel that answers nothing, not even channel.close, is replaced. (Not
// in a synctest bubble: the client waits for a mutex, which stops its clock.)
func TestSilentChannelIsReplaced(t *testing.T) {
	var silent, closes atomic.Uint32 // the channel that says nothing more
	b := &peer{}
	b.onPublish = func(m *published) {
		if silent.CompareAndSwap(0, uint32(m.ch)) || silent.Load() == uint32(m.ch) {
			return
		}
		m.ack()
	}
	b.onClose = func(_ *peerConn, ch uint16) bool { closes.Add(1); return silent.Load() != uint32(ch) }
	l := openPeer(t, b)
	p := openPublisher(t, l, Config{ConfirmTimeout: 200 * time.Millisecond, Window: 10})
	defer shut(p, l)
	var last *Receipt
	for range 10 {
		last = p.Send(context.Background(), "", "q", amqp.Publishing{})
	}
	<-last.Done() // unknown
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if err := p.Publish(ctx, "", "q", amqp.Publishing{}); err != nil {
		t.Errorf("5 s later, ConfirmTimeout being 0.2 s: %v", err)
		if n := runtime.NumGoroutine() - before; n > 5 {
			t.Errorf("%d goroutines more after 4 s", n)
		}
	}
}

// in quarantine a message that nobody answers holds up the others, and
// new ones, for one ConfirmTimeout each, and theirs does not run.
func TestQuarantineBehindAStuckQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &peer{onPublish: func(m *published) {
			switch {
			case m.exchange == "nowhere":
				m.c.closeChannel(m.ch, 404, "NOT_FOUND - no exchange 'nowhere'")
			case m.key != "stuck":
				m.ack()
			}
		}}
		l := openPeer(t, b)
		p := openPublisher(t, l, Config{ConfirmTimeout: 10 * time.Second})
		defer shut(p, l)
		ctx := context.Background()
		var stuck []*Receipt
		for range 50 {
			stuck = append(stuck, p.Send(ctx, "", "stuck", amqp.Publishing{}))
		}
		bad := p.Send(ctx, "nowhere", "x", amqp.Publishing{})
		began := time.Now()
		time.Sleep(time.Second)
		good := p.Send(ctx, "", "ok", amqp.Publishing{})
		<-good.Done()
		t.Logf("a good one published meanwhile took %s (%v)", time.Since(began)-time.Second, good.Outcome())
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("a message to a healthy queue waited %s", took)
		}
		for _, r := range stuck {
			<-r.Done()
		}
		<-bad.Done()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("the last of 50 written messages had its outcome after %s, ConfirmTimeout is 10 s", took)
		}
		t.Log(bad.Outcome())
	})
}

// the connection is shared: an exception that ends it while an innocent
// message of another publisher is alone on its quarantine channel must not make
// that one refused.
func TestConnectionExceptionOfANeighbourPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &peer{}
		b.onPublish = func(m *published) {
			if m.key == "poison" {
				m.c.closeConnection(501, "FRAME_ERROR - type 2, all octets = <<>>: {frame_too_large,20000,16376}")
				return
			}
			// a queue that takes its time to confirm
			time.AfterFunc(time.Second, m.ack)
		}
		l := openPeer(t, b)
		users := openPublisher(t, l, Config{})
		copies := openPublisher(t, l, Config{})
		defer func() { shut(users, l); shut(copies, l) }()
		ctx := context.Background()
		innocent := copies.Send(ctx, "", "innocent", amqp.Publishing{})
		poison := users.Send(ctx, "", "poison", amqp.Publishing{})
		<-innocent.Done()
		<-poison.Done()
		t.Log("poison: ", poison.Outcome())
		var refused *RefusedError
		if err := innocent.Outcome(); errors.As(err, &refused) { // confirmed, or at worst unknown
			t.Errorf("innocent: %v", err)
		}
	})
}

// Refused without MaybeStored, though the first copy was stored.
func TestRefusedMayBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := atomic.Bool{}
		stored := 0
		b := &peer{}
		b.onPublish = func(m *published) {
			switch {
			case m.key == "last":
				gone.Store(true) // the exchange is deleted between the two
				m.c.closeChannel(m.ch, 404, "NOT_FOUND - no exchange 'x' in vhost '/'")
			case gone.Load():
				m.c.closeChannel(m.ch, 404, "NOT_FOUND - no exchange 'x' in vhost '/'")
			default:
				stored++ // its confirm is still to come
			}
		}
		l := openPeer(t, b)
		p := openPublisher(t, l, Config{})
		defer shut(p, l)
		first := p.Send(context.Background(), "x", "first", amqp.Publishing{})
		p.Send(context.Background(), "x", "last", amqp.Publishing{})
		<-first.Done()
		var stores interface{ PossiblyStored() bool }
		if err := first.Outcome(); !errors.As(err, &stores) || !stores.PossiblyStored() {
			t.Errorf("stored %d time(s), and the outcome says it was not: %v", stored, err)
		}
	})
}

// a link closed while channel.open is under way ends Session.
func TestSessionEndsWhenTheLinkCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hold atomic.Bool
		opening := make(chan func(), 1)
		b := &peer{}
		b.onOpen = func(c *peerConn, ch uint16) bool {
			if hold.Load() {
				opening <- func() { c.send(ch, method(20, 11, []byte{})) }
				return false
			}
			return true
		}
		l := openPeer(t, b)
		hold.Store(true)
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() { _, err := l.Session(ctx, link.Publishing); ended <- err }()
		answer := <-opening
		closed := make(chan error, 1)
		answerOnClose(b, answer)
		go func() { closed <- l.Close(context.Background()) }()
		t.Log("Close:", <-closed)
		select {
		case err := <-ended:
			t.Log(err)
		case <-time.After(time.Hour):
			t.Error("Session still waits an hour after the link was closed")
		}
	})
}

func answerOnClose(b *peer, f func()) { b.mu.Lock(); defer b.mu.Unlock(); b.onConnClose = f }

// Do closes the session when ctx has ended, as it says; openLane, whose ctx
// may end between Session and Do, relies on it.
func TestDoWithAnEndedContextClosesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &peer{}
		l := openPeer(t, b)
		defer l.Close(context.Background())
		s, err := l.Session(context.Background(), link.Publishing)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Do(ctx, func(ch *amqp.Channel) error { return ch.Confirm(false) }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := b.channels(); n != 0 {
			t.Errorf("%d channels open", n)
		}
	})
}

// a publisher closed while its quarantine waits at the blocked gate closes
// its channel.
func TestCloseInABlockedQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &peer{}
		b.onPublish = func(m *published) {
			m.c.blocked(true)
			time.Sleep(time.Millisecond)
			m.c.closeChannel(m.ch, 404, "NOT_FOUND")
		}
		l := openPeer(t, b)
		p := openPublisher(t, l, Config{})
		r := p.Send(context.Background(), "nowhere", "", amqp.Publishing{})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
		t.Log(r.Outcome())
		time.Sleep(time.Minute)
		if n := b.channels(); n > 0 {
			t.Errorf("%d channels open after the publisher's Close", n)
		}
		_ = l.Close(context.Background())
	})
}

// a silent channel is noticed after ConfirmTimeout also where the connection
// had been blocked for long before the channel was opened.
func TestSilenceAfterAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		b := &peer{}
		b.onPublish = func(m *published) {
			switch {
			case m.exchange == "nowhere":
				m.c.closeChannel(m.ch, 404, "NOT_FOUND")
			case !silent.Load():
				m.ack()
			}
		}
		l := openPeer(t, b)
		p := openPublisher(t, l, Config{ConfirmTimeout: time.Second, Window: 2})
		defer shut(p, l)
		b.conns[0].blocked(true)
		time.Sleep(10 * time.Minute)
		b.conns[0].blocked(false)
		time.Sleep(time.Second)
		t.Log(p.Publish(context.Background(), "nowhere", "", amqp.Publishing{})) // a new channel
		time.Sleep(time.Second)
		silent.Store(true)
		p.Send(context.Background(), "", "q", amqp.Publishing{})
		p.Send(context.Background(), "", "q", amqp.Publishing{})
		time.Sleep(500 * time.Millisecond)
		silent.Store(false)
		began := time.Now()
		if err := p.Publish(context.Background(), "", "q", amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the channel was replaced after %s, ConfirmTimeout is 1 s", took)
		}
	})
}

// nothing is published on a channel behind its channel.close: RabbitMQ
// answers that with 504 or 505 and closes the connection.
func TestNothingBehindChannelClose(t *testing.T) {
	var behind, closed atomic.Int32
	var quietCh atomic.Uint32
	b := &peer{}
	b.onPublish = func(m *published) {
		quietCh.CompareAndSwap(0, uint32(m.ch))
		if quietCh.Load() == uint32(m.ch) {
			if closed.Load() > 0 {
				behind.Add(1)
			}
			return
		}
		m.ack()
	}
	b.onClose = func(c *peerConn, ch uint16) bool {
		if quietCh.Load() == uint32(ch) {
			closed.Add(1)
			time.AfterFunc(100*time.Millisecond, func() { c.send(ch, method(20, 41)) })
			return false
		}
		return true
	}
	l := openPeer(t, b)
	p := openPublisher(t, l, Config{ConfirmTimeout: 200 * time.Millisecond})
	defer shut(p, l)
	for range 20 {
		p.Send(context.Background(), "", "q", amqp.Publishing{})
		time.Sleep(60 * time.Millisecond)
	}
	if n := behind.Load(); n > 0 {
		t.Errorf("%d messages published behind channel.close", n)
	}
}

// a connection that dies as soon as it is used is not made anew without a pause.
func TestReconnectsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &peer{}
		b.onPublish = func(m *published) {
			m.c.closeConnection(541, "INTERNAL_ERROR")
		}
		stop := make(chan struct{}) // virtual time stands still in a busy loop
		b.onConnect = func(c *peerConn) {
			if c.n == 1000 {
				close(stop)
			}
		}
		l := openPeer(t, b)
		p := openPublisher(t, l, Config{})
		defer shut(p, l)
		before := b.dialled()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		r := p.Send(ctx, "", "q", amqp.Publishing{})
		select {
		case <-r.Done():
		case <-stop:
		}
		t.Logf("%d dials in %s", b.dialled()-before, time.Since(began))
		if n := b.dialled() - before; n > 30 {
			t.Errorf("%d reconnects in %s", n, time.Since(began))
		}
	})
}

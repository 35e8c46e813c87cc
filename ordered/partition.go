package ordered

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/topology"
)

// partition is one queue. The consumer hands it the deliveries one by one, in
// their order (accept), and waits for their outcomes. What happens to a message
// then happens in a goroutine of its own (attempt), which calls back under mu.
type partition struct {
	cfg     Config
	work    topology.Work
	handler consumer.Handler
	bury    consumer.Middleware

	mu      sync.Mutex
	sub     *consumer.Subscription // whose messages the lines hold, but for heads of lost ones still at work
	lines   map[string]*line
	again   []*line // failed, and due: these always may
	fresh   []*line
	running map[*item]context.CancelCauseFunc // handlers
	held    int
	waiting bool // told
	cause   error
}

func newPartition(cfg Config, w topology.Work) *partition {
	cfg.Consumer.Logger = cfg.Consumer.Logger.With("queue", w.Queue)
	return &partition{
		cfg:     cfg,
		work:    w,
		handler: consumer.Recover()(cfg.Consumer.Handler),
		bury:    dlq.Middleware(cfg.Copies, w, cfg.DeadLetters),
		lines:   make(map[string]*line),
		running: make(map[*item]context.CancelCauseFunc),
	}
}

var errNoSubscription = errors.New("ordered: the delivery is of no subscription: run it with package consumer")

// accept is the consumer's handler: it takes a delivery into the line of its key.
func (p *partition) accept(ctx context.Context, d amqp.Delivery) error {
	sub, ok := consumer.SubscriptionOf(ctx)
	if !ok {
		return errNoSubscription
	}
	it := &item{ctx: ctx, d: d, sub: sub, at: time.Now(), done: make(chan struct{})}
	key := p.cfg.Key(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if it.stopping() {
		return errLeft
	}
	p.follow(sub)
	l := p.lines[key]
	if l == nil {
		l = &line{key: key}
		p.lines[key] = l
	}
	l.items = append(l.items, it)
	if l.failing {
		p.hold(1)
	}
	p.ready(l)
	p.dispatch()
	return it
}

// follow takes note of a new subscription.
func (p *partition) follow(sub *consumer.Subscription) {
	if p.sub == sub {
		return
	}
	p.leave()
	p.sub = sub
	go p.watch(sub)
}

// watch ends with its subscription.
func (p *partition) watch(sub *consumer.Subscription) {
	tick := time.NewTicker(p.cfg.tick())
	defer tick.Stop()
	for stopping := false; !stopping; {
		select {
		case <-sub.Stopping():
			stopping = true
		case <-tick.C:
			p.checkAge(sub)
		}
	}
	p.mu.Lock()
	if p.sub == sub {
		p.leave()
	}
	p.mu.Unlock()
	<-sub.Ended()
	p.mu.Lock()
	defer p.mu.Unlock()
	for it, cancel := range p.running {
		if it.sub == sub {
			cancel(errLost{})
		}
	}
}

// leave lets go of all messages but those at work, which are to come to an end.
// Nothing is given back singly, for that would reorder: the end of the channel
// does it (R 8).
func (p *partition) leave() {
	for key, l := range p.lines {
		rest := l.items
		if l.active {
			rest = l.items[1:]
			l.items = l.items[:1:1]
		} else {
			delete(p.lines, key)
		}
		for _, it := range rest {
			it.finish(errLeft)
		}
		if l.resting != nil {
			l.resting.Stop()
			l.resting = nil
		}
		l.failing, l.queued = false, false
	}
	p.again, p.fresh = nil, nil
	p.hold(-p.held)
}

// checkAge gives everything back, in order, when something has waited for half
// of the broker's consumer timeout, which counts from the delivery (R 19). What
// waits for a copy counts. What a handler is at work on has longer, but not until
// that timeout: RabbitMQ 4.3 would take it back alone, and reorder.
func (p *partition) checkAge(sub *consumer.Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sub != sub {
		return
	}
	// A handler of a lost session holds up nothing here but what lies behind it.
	oldest := p.age(func(it *item) bool { return it.sub == sub && p.running[it] == nil })
	if late := p.age(func(it *item) bool { return it.sub == sub }); oldest <= p.cfg.limit() && late > p.cfg.latest() {
		oldest = late
	}
	if oldest <= p.cfg.limit() {
		return
	}
	p.cfg.Consumer.Logger.Warn("ordered: messages were held too long; giving them back before the broker's consumer timeout, in order",
		"age", oldest, "held", p.held)
	sub.Replace()
}

// age is how long the oldest of some deliveries is here, 0 without any.
func (p *partition) age(of func(*item) bool) time.Duration {
	if at := p.oldest(of); !at.IsZero() {
		return time.Since(at)
	}
	return 0
}

// oldest is when the oldest of some deliveries came; zero without any.
func (p *partition) oldest(of func(*item) bool) time.Time {
	var oldest time.Time
	for _, l := range p.lines {
		if i := slices.IndexFunc(l.items, of); i >= 0 && (oldest.IsZero() || l.items[i].at.Before(oldest)) {
			oldest = l.items[i].at
		}
	}
	return oldest
}

// ready lists a line whose first message may begin.
func (p *partition) ready(l *line) {
	if !l.mayBegin() {
		return
	}
	l.queued = true
	if l.failing {
		p.again = append(p.again, l)
	} else {
		p.fresh = append(p.fresh, l)
	}
}

// dispatch starts what may begin.
func (p *partition) dispatch() {
	for len(p.running) < p.cfg.Consumer.Workers {
		l := p.next()
		if l == nil {
			return
		}
		l.queued = false
		it := l.items[0]
		ended, ok := it.sub.Begin()
		if !ok { // watch lets go of all in a moment
			return
		}
		l.active = true
		ctx, cancel := context.WithCancelCause(it.ctx)
		p.running[it] = cancel
		go p.attempt(ctx, l, it, ended)
	}
}

// next takes the line whose turn it is, those that failed before first: others
// may be waiting for them.
func (p *partition) next() *line {
	from := &p.again
	if len(p.again) == 0 {
		from = &p.fresh
		if p.held >= p.cfg.MaxHeld {
			return nil
		}
	}
	if len(*from) == 0 {
		return nil
	}
	l := (*from)[0]
	*from = (*from)[1:]
	return l
}

// hold counts held messages, and tells when they are too many.
func (p *partition) hold(n int) {
	p.held += n
	waiting := p.held >= p.cfg.MaxHeld
	if waiting == p.waiting {
		return
	}
	p.waiting = waiting
	if !waiting {
		p.cfg.Consumer.Logger.Info("ordered: further keys are handled again", "held", p.held)
		p.sub.Report(consumer.Consuming, nil)
		return
	}
	p.cfg.Consumer.Logger.Error("ordered: too many messages are held; no further key begins", "held", p.held, "error", p.cfg.text(p.cause))
	p.sub.Report(Waiting, p.cause)
}

func (p *partition) stat() Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stat{Queue: p.work.Queue, Keys: len(p.lines), Running: len(p.running), Held: p.held, Waiting: p.waiting, Oldest: p.oldest(func(*item) bool { return true })}
	for _, l := range p.lines {
		if l.failing {
			s.Failing++
		}
	}
	return s
}

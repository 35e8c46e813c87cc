package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// inboxLife is how long a reply queue outlives its process, or a lost link.
const inboxLife = 5 * time.Minute

// inboxPause is the wait after a reply queue was refused or lost.
const inboxPause = time.Second

// inbox is the reply queue of one bus, and who waits for replies. It opens with the
// first request. The queue is neither exclusive nor auto-delete, for those are gone
// with the connection, and the replies on their way with them: it is found again
// after a lost link, and expires when nobody comes back for it.
type inbox struct {
	link   *link.Link
	prefix string
	log    *slog.Logger
	late   atomic.Uint64

	mu       sync.Mutex
	queue    string
	ready    chan struct{} // closed while the queue is consumed; nil before the first request
	waiting  map[string]chan<- result
	declared bool  // of the goroutine of run
	problem  error // why it takes none for now
	stop     context.CancelFunc
	ended    chan struct{}
	closed   bool
}

// result is a reply, or why none can come.
type result struct {
	d   amqp.Delivery
	err error
}

// open starts the inbox when it does not run, and waits until it takes replies.
func (i *inbox) open(ctx context.Context) error {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return ErrClosed
	}
	if i.ready == nil {
		i.start()
	}
	ready, ended := i.ready, i.ended
	i.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ended:
		return ErrClosed
	case <-ctx.Done():
		i.mu.Lock()
		defer i.mu.Unlock()
		return errors.Join(context.Cause(ctx), i.problem)
	}
}

func (i *inbox) start() {
	ctx, stop := context.WithCancel(context.Background())
	i.queue = i.prefix + uuid.NewString()
	i.ready, i.ended, i.stop = make(chan struct{}), make(chan struct{}), stop
	i.waiting = make(map[string]chan<- result)
	go func() {
		defer close(i.ended)
		i.run(ctx)
	}()
}

// expect registers a request; its reply goes to the queue that is returned.
func (i *inbox) expect(id string) (queue string, reply <-chan result) {
	c := make(chan result, 1) // nobody who delivers waits
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		c <- result{err: ErrClosed}
		return i.queue, c
	}
	i.waiting[id] = c
	return i.queue, c
}

func (i *inbox) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.waiting, id)
}

// run consumes the queue until ctx ends, over every reconnect.
func (i *inbox) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := i.consume(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, link.ErrClosed):
			i.fail(err, false)
			return
		default:
			i.mu.Lock()
			i.problem = err
			i.mu.Unlock()
			i.log.Warn("bus: not taking replies; trying again", "queue", i.queue, "error", err)
			select {
			case <-time.After(inboxPause):
			case <-ctx.Done():
			}
		}
	}
	i.fail(ErrClosed, false)
}

// consume takes replies on one session, until that is lost.
func (i *inbox) consume(ctx context.Context) error {
	sess, err := i.link.Session(ctx, link.Consuming)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = sess.Close(closing) // what it leaves unacked comes again
	}()
	deliveries, err := i.declare(ctx, sess)
	if err != nil {
		var refused *amqp.Error
		if errors.As(err, &refused) && refused.Server && refused.Recover {
			i.fail(fmt.Errorf("bus: reply queue %q is lost: it was deleted, has expired, or its node is down: %w", i.queue, err), true)
			i.declared = false
		}
		return err
	}
	i.mu.Lock()
	close(i.ready)
	i.problem, i.declared = nil, true
	i.mu.Unlock()
	defer func() {
		i.mu.Lock()
		i.ready = make(chan struct{})
		i.mu.Unlock()
	}()
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return errors.Join(errors.New("bus: the consumer of the reply queue, or its channel, is gone"), sess.Err())
			}
			i.deliver(d)
			if err := d.Ack(false); err != nil {
				return err
			}
		case <-ctx.Done():
			i.remove(sess)
			return context.Cause(ctx)
		}
	}
}

// inboxPrefetch bounds what the client takes into memory; a reply is handed over at
// once.
const inboxPrefetch = 200

// declare consumes the queue, new or found again. One that was there and is not any
// more took its replies along: it is not made anew under those who wait for them.
func (i *inbox) declare(ctx context.Context, sess *link.Session) (deliveries <-chan amqp.Delivery, err error) {
	err = sess.Do(ctx, func(ch *amqp.Channel) error {
		if i.declared {
			if _, err := ch.QueueDeclarePassive(i.queue, true, false, false, false, nil); err != nil {
				return err
			}
		}
		args := amqp.Table{"x-queue-type": "classic", "x-expires": inboxLife.Milliseconds()}
		if _, err := ch.QueueDeclare(i.queue, true, false, false, false, args); err != nil {
			return err
		}
		if err := ch.Qos(inboxPrefetch, 0, false); err != nil {
			return err
		}
		deliveries, err = ch.Consume(i.queue, fmt.Sprintf("hareline-replies-%d", sess.Generation()), false, false, false, false, nil)
		return err
	})
	return deliveries, err
}

// remove deletes the queue, as nobody waits any more. A failure is mended by its
// expiry.
func (i *inbox) remove(sess *link.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := sess.Do(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(i.queue, false, false, false)
		return err
	})
	if err != nil {
		i.log.Info("bus: the reply queue was not deleted; it expires by itself", "queue", i.queue, "after", inboxLife, "error", err)
	}
}

// deliver hands a reply to its request.
func (i *inbox) deliver(d amqp.Delivery) {
	d.Acknowledger = nil
	i.mu.Lock()
	c, ok := i.waiting[d.CorrelationId]
	delete(i.waiting, d.CorrelationId)
	i.mu.Unlock()
	if !ok {
		i.late.Add(1)
		i.log.Info("bus: a reply that nobody waits for was dropped: it is late, or a second one", "message_id", d.MessageId, "correlation_id", d.CorrelationId)
		return
	}
	c <- result{d: d}
}

// fail ends all waits. With another queue, the next requests get a new one: this one
// cannot be had, for its node is down or somebody else declared it.
func (i *inbox) fail(err error, another bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, c := range i.waiting {
		c <- result{err: err}
		delete(i.waiting, id)
	}
	if another {
		i.queue = i.prefix + uuid.NewString()
	}
}

// close ends the inbox and all waits, or leaves it to end by itself when ctx ends.
func (i *inbox) close(ctx context.Context) {
	i.mu.Lock()
	i.closed = true
	stop, ended := i.stop, i.ended
	i.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

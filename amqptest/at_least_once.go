package amqptest

import (
	"container/list"
	"slices"
	"time"
)

// deadLetterSlots is how many dead letters a worker sends before it waits for
// one of them to arrive: RabbitMQ's dead_letter_worker_consumer_prefetch.
const deadLetterSlots = 32

// deadLetterWorker is at-least-once dead-lettering of one quorum queue. It holds
// each dead letter until every queue it was routed to has taken it. What holds a
// slot stays there, in front of those that wait, until it has arrived, and a
// new attempt is made only when Config.DeadLetterRetry is over: repairing the
// topology does not hasten it.
//
// All methods work on a nil worker.
type deadLetterWorker struct {
	queue   *queue
	waiting list.List     // of *heldLetter that have no slot yet
	slots   []*heldLetter // in the order they were taken
	// messages and bytes are what max-length and max-length-bytes count beside
	// what is ready.
	messages int
	bytes    int64
	timer    *timer // running while slots are taken
	pumping  bool   // pump is deferred already
	stopped  bool
}

// heldLetter is one dead letter on its way.
type heldLetter struct {
	entry  *entry
	reason string
	// msg is made when the letter gets its slot: that is its time of death.
	msg *message
	// sent is when it was last sent to any queue; zero: never.
	sent time.Time
	// taken are the names of the queues that have it.
	taken []string
	// purged: the queue counts it no more, but the worker goes on with it.
	purged bool
}

// take holds an entry that died.
func (w *deadLetterWorker) take(e *entry, reason string) {
	w.waiting.PushBack(&heldLetter{entry: e, reason: reason})
	w.messages++
	w.bytes += e.size()
	w.pumpLater()
}

func (w *deadLetterWorker) pumpLater() {
	if w.pumping || w.stopped {
		return
	}
	w.pumping = true
	w.queue.broker().later(w.pump)
}

// pump sends what waits, as far as there are slots.
func (w *deadLetterWorker) pump() {
	w.pumping = false
	for !w.stopped && len(w.slots) < deadLetterSlots && w.waiting.Len() > 0 {
		h := w.next()
		m, ok := w.queue.deadMessage(h.entry, h.reason)
		if !ok {
			w.forget(h)
			w.queue.drop(h.entry.msg, h.reason)
			continue
		}
		h.msg = m
		w.slots = append(w.slots, h)
		w.send(h)
	}
	w.setTimer()
}

// next takes out the letter that waits longest.
func (w *deadLetterWorker) next() *heldLetter {
	h, _ := w.waiting.Remove(w.waiting.Front()).(*heldLetter)
	return h
}

// send sends a letter to the queues that do not have it yet. When all have it,
// its slot is free.
func (w *deadLetterWorker) send(h *heldLetter) {
	q := w.queue
	x := q.vhost.exchanges[q.opts.dlx]
	if x == nil {
		return
	}
	targets, cycle := q.deadLetterTargets(x, h.msg, h.reason)
	if len(targets) == 0 && !cycle && len(h.taken) > 0 {
		// It was bound elsewhere, has been taken there, and is for nobody now.
		w.settle(h)
		return
	}
	open := slices.DeleteFunc(targets, func(t *queue) bool { return slices.Contains(h.taken, t.name) })
	if len(open) == 0 {
		return
	}
	h.sent = q.now()
	var took []string
	for _, t := range open {
		if t.enqueue(h.msg) {
			took = append(took, t.name)
		}
	}
	h.taken = append(h.taken, took...)
	if len(took) > 0 {
		q.traceDeadLetter(h.msg, h.reason, took)
	}
	if len(took) == len(open) {
		w.settle(h)
	}
}

func (w *deadLetterWorker) settle(h *heldLetter) {
	if i := slices.Index(w.slots, h); i >= 0 {
		w.slots = slices.Delete(w.slots, i, i+1)
	}
	w.forget(h)
}

// forget stops counting a letter.
func (w *deadLetterWorker) forget(h *heldLetter) {
	if h.purged {
		return
	}
	w.messages--
	w.bytes -= h.entry.size()
}

// setTimer has the next attempt come, or none when nothing is under way. A
// timer that runs is left alone: the letters share it.
func (w *deadLetterWorker) setTimer() {
	if len(w.slots) == 0 || w.stopped {
		w.timer.stop()
		w.timer = nil
		return
	}
	if w.timer == nil {
		b := w.queue.broker()
		w.timer = b.clock.after(b.cfg.DeadLetterRetry, w.retry)
	}
}

// retry sends again what was never sent, or so long ago that it is given up.
func (w *deadLetterWorker) retry() {
	w.timer = nil
	b := w.queue.broker()
	now := b.clock.now()
	for _, h := range slices.Clone(w.slots) {
		if h.sent.IsZero() || !h.sent.Add(b.cfg.DeadLetterRetry).After(now) {
			w.send(h)
		}
	}
	w.setTimer()
	w.pumpLater()
}

// held is what counts for the queue's maximum length beside what is ready.
func (w *deadLetterWorker) held() (messages int, bytes int64) {
	if w == nil {
		return 0, 0
	}
	return w.messages, w.bytes
}

// purge drops what has no slot yet; what has one is still sent. Neither counts
// any more. It tells how many those were.
func (w *deadLetterWorker) purge() int {
	if w == nil {
		return 0
	}
	n := w.messages
	w.waiting.Init()
	for _, h := range w.slots {
		h.purged = true
	}
	w.messages, w.bytes = 0, 0
	return n
}

// stop is for a queue that is deleted: what is held goes with it.
func (w *deadLetterWorker) stop() {
	if w == nil {
		return
	}
	w.stopped = true
	w.waiting.Init()
	w.slots, w.messages, w.bytes = nil, 0, 0
	w.timer.stop()
	w.timer = nil
}

// restart is for a broker that starts again: what had a slot waits for one
// again, in its old place, and is sent anew to all of its queues.
func (w *deadLetterWorker) restart() {
	if w == nil {
		return
	}
	for _, h := range slices.Backward(w.slots) {
		if !h.purged {
			w.waiting.PushFront(&heldLetter{entry: h.entry, reason: h.reason})
		}
	}
	w.slots = nil
	w.timer.stop()
	w.timer = nil
	w.pumpLater()
}

// each yields the entries that are held, first those that have a slot.
func (w *deadLetterWorker) each(yield func(*entry) bool) {
	if w == nil {
		return
	}
	for _, h := range w.slots {
		if !yield(h.entry) {
			return
		}
	}
	for at := w.waiting.Front(); at != nil; at = at.Next() {
		if h, ok := at.Value.(*heldLetter); ok && !yield(h.entry) {
			return
		}
	}
}

package consumer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hareline/hareline/internal/settlement"
)

// watched are the deliveries of one session whose settlement somebody wants to know.
// Where nobody does, a settle costs one atomic load.
type watched struct {
	any   atomic.Bool
	mu    sync.Mutex
	by    map[uint64]func(settlement.Result)
	ended bool
	acked []uint64 // acks not written yet; serve's alone
}

// Queue is the queue that is consumed.
func (s *Subscription) Queue() string { return s.run.cfg.Queue }

// settlements is what package settlement sees of a subscription.
type settlements struct{ *Subscription }

func (s settlements) OnSettled(tag uint64, f func(settlement.Result)) bool {
	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	if w.by == nil {
		w.by = make(map[uint64]func(settlement.Result))
	}
	if before := w.by[tag]; before != nil { // two middlewares
		w.by[tag] = func(r settlement.Result) { before(r); f(r) }
	} else {
		w.by[tag] = f
	}
	w.any.Store(true)
	return true
}

// noteAck has the delivery's settlement told when its ack is written.
func (w *watched) noteAck(tag uint64) {
	if w.any.Load() {
		w.acked = append(w.acked, tag)
	}
}

// tellAcks tells of the acks written since began.
func (w *watched) tellAcks(began time.Time, err error) {
	if len(w.acked) == 0 {
		return
	}
	r := settlement.Result{Method: "ack", Began: began, Ended: time.Now(), Err: err}
	for _, tag := range w.acked {
		w.tell(tag, r)
	}
	w.acked = w.acked[:0]
}

func (w *watched) tell(tag uint64, r settlement.Result) {
	if !w.any.Load() {
		return
	}
	w.mu.Lock()
	f := w.by[tag]
	delete(w.by, tag)
	w.mu.Unlock()
	if f != nil {
		f(r)
	}
}

// end tells of all that is left: the broker delivers it again.
func (w *watched) end() {
	w.mu.Lock()
	w.ended = true
	left := w.by
	w.by = nil
	w.mu.Unlock()
	now := time.Now()
	for _, f := range left {
		f(settlement.Result{Began: now, Ended: now})
	}
}

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
	acked []uint64                  // acks not written yet; serve's alone
	told  []func(settlement.Result) // scratch
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
	w.mu.Lock()
	all := w.told[:0]
	for _, tag := range w.acked {
		if f := w.by[tag]; f != nil {
			delete(w.by, tag)
			all = append(all, f)
		}
	}
	w.mu.Unlock()
	w.acked = w.acked[:0]
	r := settlement.Result{Method: "ack", Began: began, Ended: time.Now(), Err: err, Of: len(all)}
	if len(all) > 1 {
		r.Shared = new(any)
	}
	for i, f := range all {
		r.Index = i
		f(r)
	}
	clear(all)
	w.told = all[:0]
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
		r.Of = 1
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
		f(settlement.Result{Began: now, Ended: now, Of: 1})
	}
}

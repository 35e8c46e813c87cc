package confirm

// window counts unanswered messages and their bytes. It is guarded by the
// publisher's mutex. Waiters are served in order.
type window struct {
	maxCount, maxBytes int
	count, bytes       int
	waiting            []*waiter
}

type waiter struct {
	size    int
	granted chan struct{} // closed with the place taken, or when closing
	closed  bool
}

func (w *window) fits(size int) bool {
	if w.count == 0 { // one too large for the window goes alone
		return true
	}
	return w.count < w.maxCount && w.bytes+size <= w.maxBytes
}

// take takes a place, or returns a waiter to wait on.
func (w *window) take(size int) *waiter {
	if len(w.waiting) == 0 && w.fits(size) {
		w.count++
		w.bytes += size
		return nil
	}
	wt := &waiter{size: size, granted: make(chan struct{})}
	w.waiting = append(w.waiting, wt)
	return wt
}

// release gives a place back and serves those who wait.
func (w *window) release(size int) {
	w.count--
	w.bytes -= size
	w.serve()
}

func (w *window) serve() {
	for len(w.waiting) > 0 && w.fits(w.waiting[0].size) {
		wt := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.count++
		w.bytes += wt.size
		close(wt.granted)
	}
}

// leave takes a waiter out again. False: it had been served meanwhile.
func (w *window) leave(wt *waiter) bool {
	for i, other := range w.waiting {
		if other == wt {
			w.waiting = append(w.waiting[:i:i], w.waiting[i+1:]...)
			w.serve() // a smaller one behind it may fit now
			return true
		}
	}
	return false
}

// close ends every wait without a place.
func (w *window) close() {
	for _, wt := range w.waiting {
		wt.closed = true
		close(wt.granted)
	}
	w.waiting = nil
}

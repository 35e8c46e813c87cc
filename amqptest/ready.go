package amqptest

import "math/bits"

// readyList holds what a classic or quorum queue has to deliver, in the order
// in which its type and version deliver it:
//
//   - classic: the highest priority first, in each priority by age; what is
//     given back takes its old place;
//   - quorum: what was given back first, in the order in which it came back;
//     then 3.10 goes by age alone, 4.0 takes up to two of priority above 4
//     before it takes one of the others, 4.3 has 32 strict priorities.
//
// Every operation is O(1), or O(log n) in the number of entries given back to
// a classic queue. Make it with newReadyList.
type readyList struct {
	order   readyOrder
	lanes   []lane // highest priority first
	filled  [4]uint64
	returns fifo // of a quorum queue
	turn    int  // of twoLanes: how many were taken since the last round
	n       int
	bytes   int64
}

// readyOrder is how a readyList chooses among its lanes.
type readyOrder uint8

const (
	// byPlace: strict lanes; what is given back takes its old place.
	byPlace readyOrder = iota
	// byReturn: what is given back goes first; strict lanes.
	byReturn
	// twoLanes: as byReturn, with a high and a normal lane, two to one.
	twoLanes
)

// lane holds the entries of one priority.
type lane struct {
	returned entryHeap // byPlace: given back; each is older than all in fresh
	fresh    fifo
}

// Priorities of quorum queues.
const (
	quorumDefaultPriority = 4  // of a message without one
	quorumMaxPriority     = 31 // since 4.3
	quorumHighPriority    = 5  // and above: the high lane of 4.0
	twoLanesWeight        = 2
)

func newReadyList(v Version, kind queueKind, maxPriority int) readyList {
	lanes := func(order readyOrder, n int) readyList { return readyList{order: order, lanes: make([]lane, n)} }
	switch {
	case kind == classic:
		return lanes(byPlace, maxPriority+1)
	case v.atLeast43():
		return lanes(byReturn, quorumMaxPriority+1)
	case v.atLeast40():
		return lanes(twoLanes, 2)
	default:
		return lanes(byReturn, 1)
	}
}

func (r *readyList) len() int { return r.n }

// push adds a new entry behind the others of its priority.
func (r *readyList) push(e *entry) {
	i := r.laneOf(e)
	r.lanes[i].fresh.push(e)
	r.mark(i)
	r.count(e, 1)
}

// giveBack adds an entry that was out.
func (r *readyList) giveBack(e *entry) {
	r.count(e, 1)
	if r.order != byPlace {
		r.returns.push(e)
		return
	}
	i := r.laneOf(e)
	l := &r.lanes[i]
	l.returned.less = bySeq
	l.returned.add(e)
	r.mark(i)
}

// laneOf is the index of the lane of the entry's priority.
func (r *readyList) laneOf(e *entry) int {
	switch {
	case r.order == twoLanes && e.priority >= quorumHighPriority:
		return 0
	case r.order == twoLanes:
		return 1
	default:
		last := len(r.lanes) - 1
		return last - min(int(e.priority), last)
	}
}

// peek is the entry that take would return; nil: none.
func (r *readyList) peek() *entry {
	if e := r.returns.peek(); e != nil {
		return e
	}
	if i := r.next(); i >= 0 {
		return r.lanes[i].peek()
	}
	return nil
}

// take takes out the entry whose turn it is; nil: there is none.
func (r *readyList) take() *entry {
	if e := r.returns.pop(); e != nil {
		r.count(e, -1)
		return e
	}
	i := r.next()
	if i < 0 {
		return nil
	}
	if r.turn++; r.turn > twoLanesWeight {
		r.turn = 0
	}
	return r.takeFrom(i)
}

// takeExpired takes out what expired says so of, at the head of what was given
// back and at the head of each priority.
func (r *readyList) takeExpired(expired func(*entry) bool) []*entry {
	var out []*entry
	for e := r.returns.peek(); e != nil && expired(e); e = r.returns.peek() {
		r.count(e, -1)
		out = append(out, r.returns.pop())
	}
	for i := range r.lanes {
		for e := r.lanes[i].peek(); e != nil && expired(e); e = r.lanes[i].peek() {
			out = append(out, r.takeFrom(i))
		}
	}
	return out
}

// heads yields the first entry of what was given back, and of each priority.
func (r *readyList) heads(yield func(*entry)) {
	if e := r.returns.peek(); e != nil {
		yield(e)
	}
	for i := range r.lanes {
		if e := r.lanes[i].peek(); e != nil {
			yield(e)
		}
	}
}

func (r *readyList) takeFrom(i int) *entry {
	e := r.lanes[i].pop()
	r.count(e, -1)
	if r.lanes[i].empty() {
		r.filled[i>>6] &^= 1 << (i & 63)
	}
	return e
}

// next is the index of the lane whose turn it is; -1: all are empty.
func (r *readyList) next() int {
	first := r.firstFilled()
	if r.order != twoLanes || first != 0 || r.turn != twoLanesWeight {
		return first
	}
	high, normal := r.lanes[0].peek(), r.lanes[1].peek()
	if normal == nil || high.seq < normal.seq {
		return 0
	}
	return 1
}

func (r *readyList) firstFilled() int {
	for i, word := range r.filled {
		if word != 0 {
			return i<<6 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

func (r *readyList) mark(i int) { r.filled[i>>6] |= 1 << (i & 63) }

func (r *readyList) count(e *entry, by int) {
	r.n += by
	r.bytes += int64(by) * e.size()
}

// each yields the entries in the order in which they would be delivered, if
// nothing came in between, until yield returns false.
func (r *readyList) each(yield func(*entry) bool) {
	if !r.returns.each(yield) {
		return
	}
	if r.order == twoLanes {
		r.eachOfTwo(yield)
		return
	}
	for i := range r.lanes {
		if !r.lanes[i].each(yield) {
			return
		}
	}
}

// eachOfTwo plays the turns of the two lanes.
func (r *readyList) eachOfTwo(yield func(*entry) bool) {
	var lanes [2][]*entry
	for i := range lanes {
		r.lanes[i].each(func(e *entry) bool { lanes[i] = append(lanes[i], e); return true })
	}
	for turn := r.turn; len(lanes[0])+len(lanes[1]) > 0; turn = (turn + 1) % (twoLanesWeight + 1) {
		i := 0
		if len(lanes[0]) == 0 || turn == twoLanesWeight && len(lanes[1]) > 0 && lanes[1][0].seq < lanes[0][0].seq {
			i = 1
		}
		e := lanes[i][0]
		lanes[i] = lanes[i][1:]
		if !yield(e) {
			return
		}
	}
}

// clear takes everything out and tells how much that was.
func (r *readyList) clear() int {
	n := r.n
	clear(r.lanes)
	*r = readyList{order: r.order, lanes: r.lanes}
	return n
}

func (l *lane) empty() bool { return l.fresh.n == 0 && len(l.returned.entries) == 0 }

func (l *lane) peek() *entry {
	if e := l.returned.peek(); e != nil {
		return e
	}
	return l.fresh.peek()
}

func (l *lane) pop() *entry {
	if e := l.returned.pop(); e != nil {
		return e
	}
	return l.fresh.pop()
}

func (l *lane) each(yield func(*entry) bool) bool {
	for _, e := range l.returned.sorted() {
		if !yield(e) {
			return false
		}
	}
	return l.fresh.each(yield)
}

package amqptest

// fifo is a queue of entries. Its memory is in chunks that go as they are
// emptied, so that a drained backlog leaves nothing behind. The zero value is
// empty.
type fifo struct {
	head, tail *fifoChunk
	first      int // index of the first entry in head
	end        int // index after the last entry in tail
	n          int
}

type fifoChunk struct {
	entries [fifoChunkLen]*entry
	next    *fifoChunk
}

const fifoChunkLen = 64

func (f *fifo) push(e *entry) {
	if f.tail == nil {
		f.head = &fifoChunk{}
		f.tail, f.first, f.end = f.head, 0, 0
	}
	if f.end == fifoChunkLen {
		f.tail.next = &fifoChunk{}
		f.tail, f.end = f.tail.next, 0
	}
	f.tail.entries[f.end] = e
	f.end++
	f.n++
}

// peek is the first entry; nil: none.
func (f *fifo) peek() *entry {
	if f.n == 0 {
		return nil
	}
	return f.head.entries[f.first]
}

// pop takes the first entry out; nil: none.
func (f *fifo) pop() *entry {
	if f.n == 0 {
		return nil
	}
	e := f.head.entries[f.first]
	f.head.entries[f.first] = nil
	f.first++
	f.n--
	switch {
	case f.n == 0 && f.head == f.tail:
		// Keep one chunk: a queue that is always nearly empty would make
		// garbage of one a message otherwise.
		f.first, f.end = 0, 0
	case f.first == fifoChunkLen:
		f.head, f.first = f.head.next, 0
	}
	return e
}

// each yields the entries, first to last, until yield returns false. It tells
// whether it got to the end.
func (f *fifo) each(yield func(*entry) bool) bool {
	i := f.first
	for c, left := f.head, f.n; left > 0; left-- {
		if i == fifoChunkLen {
			c, i = c.next, 0
		}
		if !yield(c.entries[i]) {
			return false
		}
		i++
	}
	return true
}

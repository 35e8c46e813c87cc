package amqptest

import (
	"container/heap"
	"slices"
)

// entryHeap is a set of entries of which the smallest by less is at hand.
type entryHeap struct {
	entries []*entry
	less    func(a, b *entry) bool
}

func (h *entryHeap) Len() int           { return len(h.entries) }
func (h *entryHeap) Less(i, j int) bool { return h.less(h.entries[i], h.entries[j]) }
func (h *entryHeap) Swap(i, j int)      { h.entries[i], h.entries[j] = h.entries[j], h.entries[i] }
func (h *entryHeap) Push(x any)         { h.entries = append(h.entries, x.(*entry)) }

func (h *entryHeap) Pop() any {
	last := len(h.entries) - 1
	e := h.entries[last]
	h.entries[last] = nil
	h.entries = h.entries[:last]
	if last == 0 {
		h.entries = nil
	}
	return e
}

func (h *entryHeap) add(e *entry) { heap.Push(h, e) }

// peek is the smallest entry; nil: none.
func (h *entryHeap) peek() *entry {
	if len(h.entries) == 0 {
		return nil
	}
	return h.entries[0]
}

// pop takes the smallest entry out; nil: none.
func (h *entryHeap) pop() *entry {
	if len(h.entries) == 0 {
		return nil
	}
	return heap.Pop(h).(*entry)
}

// sorted copies the entries, smallest first.
func (h *entryHeap) sorted() []*entry {
	c := slices.Clone(h.entries)
	slices.SortFunc(c, func(a, b *entry) int {
		switch {
		case h.less(a, b):
			return -1
		case h.less(b, a):
			return 1
		}
		return 0
	})
	return c
}

// bySeq is the order of arrival.
func bySeq(a, b *entry) bool { return a.seq < b.seq }

package amqptest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// readyModel is what readyList does, done plainly.
type readyModel struct {
	order   readyOrder
	lanes   int
	fresh   []*entry // in the order in which they were pushed
	returns []*entry
	turn    int
}

// next is the entry whose turn it is, by looking at all of them.
func (m *readyModel) next() *entry {
	if len(m.returns) > 0 {
		return m.returns[0]
	}
	if len(m.fresh) == 0 {
		return nil
	}
	lane := func(e *entry) int { return min(int(e.priority), m.lanes-1) }
	first := func(want func(*entry) bool) *entry {
		if i := slices.IndexFunc(m.fresh, want); i >= 0 {
			return m.fresh[i]
		}
		return nil
	}
	if m.order == twoLanes {
		high := first(func(e *entry) bool { return e.priority >= quorumHighPriority })
		normal := first(func(e *entry) bool { return e.priority < quorumHighPriority })
		switch {
		case high == nil:
			return normal
		case normal == nil || m.turn < twoLanesWeight || high.seq < normal.seq:
			return high
		default:
			return normal
		}
	}
	return slices.MinFunc(m.fresh, func(a, b *entry) int {
		if lane(a) != lane(b) {
			return lane(b) - lane(a)
		}
		return slices.Index(m.fresh, a) - slices.Index(m.fresh, b)
	})
}

func (m *readyModel) take() *entry {
	e := m.next()
	if e == nil {
		return nil
	}
	if len(m.returns) > 0 {
		m.returns = m.returns[1:]
		return e
	}
	i := slices.Index(m.fresh, e)
	m.fresh = slices.Delete(m.fresh, i, i+1)
	m.turn = (m.turn + 1) % (twoLanesWeight + 1)
	return e
}

func (m *readyModel) giveBack(e *entry) {
	if m.order != byPlace {
		m.returns = append(m.returns, e)
		return
	}
	m.fresh = append(m.fresh, e)
	slices.SortFunc(m.fresh, func(a, b *entry) int { return int(a.seq) - int(b.seq) })
}

func (m *readyModel) all() []*entry {
	c := *m
	c.fresh, c.returns = slices.Clone(m.fresh), slices.Clone(m.returns)
	var out []*entry
	for e := c.take(); e != nil; e = c.take() {
		out = append(out, e)
	}
	return out
}

func TestReadyListDeliversInTheOrderOfTheTypeAndVersion(t *testing.T) {
	for _, k := range []struct {
		name        string
		version     Version
		kind        queueKind
		maxPriority int
	}{
		{"classic", V40, classic, 0},
		{"classic with priorities", V310, classic, 9},
		{"classic with 255 priorities", V43, classic, 255},
		{"quorum 3.10", V310, quorum, 0},
		{"quorum 4.0", V40, quorum, 0},
		{"quorum 4.3", V43, quorum, 0},
	} {
		t.Run(k.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := newReadyList(k.version, k.kind, k.maxPriority)
				m := &readyModel{order: r.order, lanes: len(r.lanes)}
				var out []*entry
				seq := uint64(0)
				t.Repeat(map[string]func(*rapid.T){
					"push": func(t *rapid.T) {
						seq++
						e := &entry{seq: seq, priority: rapid.Uint8().Draw(t, "priority") >> rapid.IntRange(0, 7).Draw(t, "shift"), bytes: int64(seq % 7)}
						r.push(e)
						m.fresh = append(m.fresh, e)
					},
					"take": func(t *rapid.T) {
						want := m.take()
						if got := r.peek(); got != want {
							t.Fatalf("peek: %v, want %v", got, want)
						}
						if got := r.take(); got != want {
							t.Fatalf("take: %v, want %v", got, want)
						}
						if want != nil {
							out = append(out, want)
						}
					},
					"give back": func(t *rapid.T) {
						if len(out) == 0 {
							return
						}
						i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
						e := out[i]
						out = slices.Delete(out, i, i+1)
						r.giveBack(e)
						m.giveBack(e)
					},
					"clear": func(t *rapid.T) {
						if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
							return
						}
						if got, want := r.clear(), len(m.fresh)+len(m.returns); got != want {
							t.Fatalf("cleared %d of %d", got, want)
						}
						m.fresh, m.returns, m.turn = nil, nil, 0
					},
					"": func(t *rapid.T) {
						want := m.all()
						var got []*entry
						r.each(func(e *entry) bool { got = append(got, e); return true })
						if !slices.Equal(got, want) {
							t.Fatalf("each: %v, want %v", got, want)
						}
						var bytes int64
						for _, e := range want {
							bytes += e.size()
						}
						if r.len() != len(want) || r.bytes != bytes {
							t.Fatalf("%d entries of %d bytes, want %d of %d", r.len(), r.bytes, len(want), bytes)
						}
					},
				})
			})
		})
	}
}

func TestTakeExpiredLooksAtEachPriority(t *testing.T) {
	r := newReadyList(V43, quorum, 0)
	old := map[*entry]bool{}
	push := func(priority uint8, expired bool) *entry {
		e := &entry{priority: priority}
		old[e] = expired
		r.push(e)
		return e
	}
	low1, low2, low3 := push(1, true), push(1, false), push(1, true)
	high1, high2 := push(9, false), push(9, true)
	back := &entry{}
	old[back] = true
	r.giveBack(back)
	got := r.takeExpired(func(e *entry) bool { return old[e] })
	if want := []*entry{back, low1}; !slices.Equal(got, want) {
		t.Errorf("expired: %v, want %v", got, want)
	}
	var left []*entry
	r.each(func(e *entry) bool { left = append(left, e); return true })
	if want := []*entry{high1, high2, low2, low3}; !slices.Equal(left, want) {
		t.Errorf("left: %v, want %v", left, want)
	}
}

func TestFifoFreesItsMemory(t *testing.T) {
	var f fifo
	e := &entry{}
	for range 100_000 {
		f.push(e)
	}
	for f.pop() != nil {
	}
	if f.head != f.tail || f.head.next != nil {
		t.Error("a drained fifo holds more than one chunk")
	}
	for i := range fifoChunkLen {
		if f.head.entries[i] != nil {
			t.Fatalf("slot %d holds on to an entry", i)
		}
	}
}

func BenchmarkReadyList(b *testing.B) {
	for _, v := range []Version{V310, V40, V43} {
		b.Run("quorum "+string(v), func(b *testing.B) {
			r := newReadyList(v, quorum, 0)
			e := &entry{priority: 4}
			for b.Loop() {
				r.push(e)
				r.take()
			}
		})
	}
}

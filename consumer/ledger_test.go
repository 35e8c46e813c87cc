package consumer

import (
	"testing"

	"pgregory.net/rapid"
)

// brokerChannel is RabbitMQ's side of the acks of one channel: what is unacked,
// and the channel exception on a tag it does not know (R 7).
type brokerChannel struct {
	unacked map[uint64]bool
	next    uint64
}

func (b *brokerChannel) ack(t *rapid.T, a ack) (removed []uint64) {
	if !b.unacked[a.tag] {
		t.Fatalf("ack of tag %d (multiple %v): 406 unknown delivery tag, the channel is closed", a.tag, a.multiple)
	}
	for tag := range b.unacked {
		if tag == a.tag || a.multiple && tag < a.tag {
			removed = append(removed, tag)
		}
	}
	for _, tag := range removed {
		delete(b.unacked, tag)
	}
	return removed
}

// In any order of deliveries, finishes and give-backs: the broker knows every
// tag that is acked, nothing unfinished is acked, and nothing finished is
// left unacked after a flush.
func TestLedgerNeverAcksWhatIsNotFinished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l ledger
		b := brokerChannel{unacked: map[uint64]bool{}}
		done := map[uint64]bool{} // finished, not yet acked
		open := []uint64{}        // neither
		pick := func(t *rapid.T) (tag uint64, ok bool) {
			if len(open) == 0 {
				return 0, false
			}
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			tag = open[i]
			open = append(open[:i:i], open[i+1:]...)
			return tag, true
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				b.next++
				b.unacked[b.next] = true
				l.deliver(b.next)
				open = append(open, b.next)
			},
			"finish": func(t *rapid.T) {
				if tag, ok := pick(t); ok {
					l.finish(tag)
					done[tag] = true
				}
			},
			"give back": func(t *rapid.T) {
				if tag, ok := pick(t); ok {
					l.settle(tag)
					b.ack(t, ack{tag: tag}) // a nack finds its tag by the same rule
				}
			},
			"flush": func(t *rapid.T) {
				for _, a := range l.acks(nil) {
					for _, tag := range b.ack(t, a) {
						if !done[tag] {
							t.Fatalf("tag %d was acked, its handler had not finished", tag)
						}
						delete(done, tag)
					}
				}
				if len(done) > 0 {
					t.Fatalf("finished and not acked: %v", done)
				}
			},
		})
	})
}

func TestLedgerAcks(t *testing.T) {
	tests := []struct {
		name     string
		finished []uint64
		settled  []uint64
		want     []ack
	}{
		{"nothing", nil, nil, nil},
		{"one alone is single", []uint64{1}, nil, []ack{{1, false}}},
		{"a run is one multiple", []uint64{1, 2, 3}, nil, []ack{{3, true}}},
		{"a gap splits", []uint64{1, 2, 4, 5}, nil, []ack{{2, true}, {4, false}, {5, false}}},
		{"the highest below the mark was given back", []uint64{1, 2, 3}, []uint64{4}, []ack{{3, true}}},
		{"given back in the middle", []uint64{1, 3}, []uint64{2}, []ack{{3, true}}},
		{"only given back", nil, []uint64{1, 2}, nil},
		{"first is open", []uint64{2, 3}, nil, []ack{{2, false}, {3, false}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger
			l.deliver(5)
			for _, tag := range tt.finished {
				l.finish(tag)
			}
			for _, tag := range tt.settled {
				l.settle(tag)
			}
			got := l.acks(nil)
			if len(got) != len(tt.want) {
				t.Fatalf("acks %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("acks %v, want %v", got, tt.want)
				}
			}
			if again := l.acks(nil); len(again) != 0 {
				t.Fatalf("acked twice: %v", again)
			}
		})
	}
}

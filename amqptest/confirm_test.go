package amqptest

import (
	"slices"
	"testing"

	"github.com/hareline/hareline/internal/wire"
	"pgregory.net/rapid"
)

func TestConfirms(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "full", Arguments: wire.Table{
		{Key: "x-max-length", Value: int32(3)}, {Key: "x-overflow", Value: "reject-publish"},
	}})
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	for range 5 {
		r.publish("", "full", "x")
	}
	acked, nacked := collectVerdicts(r, 5)
	if !slices.Equal(acked, []uint64{1, 2, 3}) || !slices.Equal(nacked, []uint64{4, 5}) {
		t.Errorf("acked %v, nacked %v", acked, nacked)
	}
	// Selecting again changes nothing; the numbers go on.
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	r.publish("", "nobody", "x")
	if m := expect[*wire.BasicAck](r, 1); m.DeliveryTag != 6 || m.Multiple {
		t.Errorf("got %+v", m)
	}
}

// collectVerdicts receives confirms until n publishes have one.
func collectVerdicts(r *raw, n int) (acked, nacked []uint64) {
	r.t.Helper()
	seen := make(map[uint64]bool)
	note := func(tag uint64, multiple bool) (all []uint64) {
		first := tag
		if multiple {
			first = 1
		}
		for seq := first; seq <= tag; seq++ {
			if !seen[seq] {
				seen[seq] = true
				all = append(all, seq)
			} else if !multiple {
				r.t.Fatalf("publish %d confirmed twice", seq)
			}
		}
		return all
	}
	for len(seen) < n {
		switch m := r.receive().method.(type) {
		case *wire.BasicAck:
			acked = append(acked, note(m.DeliveryTag, m.Multiple)...)
		case *wire.BasicNack:
			nacked = append(nacked, note(m.DeliveryTag, m.Multiple)...)
		default:
			r.t.Fatalf("got %T", m)
		}
	}
	return acked, nacked
}

func TestConfirmsAreGathered(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	var f []byte
	const n = 40
	for range n {
		f = appendPublish(f, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{}, "x")
	}
	r.write(f) // one write: the broker finds them all in its buffer
	if m := expect[*wire.BasicAck](r, 1); m.DeliveryTag != n || !m.Multiple {
		t.Errorf("got %+v", m)
	}
}

// TestVerdicts holds what is sent against what it means to a client.
func TestVerdicts(t *testing.T) {
	b := New(t)
	rapid.Check(t, func(t *rapid.T) {
		b.lock()
		defer b.unlock()
		c := &conn{broker: b, vhost: b.vhosts["/"], out: outbox{wake: make(chan struct{}, 1)}}
		ch := &channel{conn: c, id: 1, confirming: true}
		c.channels = map[uint16]*channel{1: ch}
		n := rapid.IntRange(1, 60).Draw(t, "publishes")
		want := make(map[uint64]bool)
		open := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "open")
		accept := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "accept")
		flush := rapid.SliceOfN(rapid.IntRange(0, 3), n, n).Draw(t, "flush")
		ch.confirms.open = make(map[uint64]struct{})
		for i := range n {
			seq := uint64(i + 1)
			if open[i] {
				ch.confirms.open[seq] = struct{}{}
				continue
			}
			want[seq] = accept[i]
			ch.verdict(seq, accept[i])
			if flush[i] == 0 {
				ch.flushConfirms()
			}
		}
		ch.flushConfirms()
		got := readVerdicts(t, c.out.frames, n)
		for seq, accepted := range want {
			if v, ok := got[seq]; !ok || v != accepted {
				t.Fatalf("publish %d: got %v %v, want %v", seq, v, ok, accepted)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %d verdicts, want %d", len(got), len(want))
		}
	})
}

// readVerdicts reads confirms as a client does: multiple is for all before that
// have none yet.
func readVerdicts(t *rapid.T, frames []byte, n int) map[uint64]bool {
	got := make(map[uint64]bool)
	take := func(tag uint64, multiple, accepted bool) {
		for seq := uint64(1); multiple && seq < tag && seq <= uint64(n); seq++ {
			if _, ok := got[seq]; !ok {
				got[seq] = accepted
			}
		}
		if _, ok := got[tag]; ok {
			t.Fatalf("publish %d confirmed twice", tag)
		}
		got[tag] = accepted
	}
	for len(frames) > 0 {
		size := int(frames[5])<<8 | int(frames[6])
		m, err := wire.DecodeMethod(frames[7 : 7+size])
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.BasicAck:
			take(m.DeliveryTag, m.Multiple, true)
		case *wire.BasicNack:
			take(m.DeliveryTag, m.Multiple, false)
		}
		frames = frames[8+size:]
	}
	return got
}

package amqptest

import (
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func (r *deathRow) stream(name string, set func(*queueOptions)) *queue {
	r.Helper()
	return r.queue(name, stream, set)
}

// offsets are the message bodies from an offset on.
func (r *deathRow) from(q *queue, offset any) string {
	r.Helper()
	var args wire.Table
	if offset != nil {
		args = wire.Table{{Key: argStreamOffset, Value: offset}}
	}
	next, err := q.streamStart(args)
	if err != nil {
		return err.text
	}
	var all []string
	for ; ; next++ {
		one, ok := q.log.at(next)
		if !ok {
			return strings.Join(all, " ")
		}
		all = append(all, string(one.message.body))
	}
}

func TestStreamOffsets(t *testing.T) {
	r := newDeathRow(t, V40)
	q := r.stream("s", nil)
	start := r.b.Now()
	for _, body := range []string{"a", "b", "c", "d"} {
		r.publish(q, body, nil)
		r.advance(time.Minute)
	}
	for _, c := range []struct {
		offset any
		want   string
	}{
		{nil, ""},
		{"first", "a b c d"},
		{"last", "d"},
		{"next", ""},
		{[]byte("first"), "a b c d"},
		{int64(0), "a b c d"},
		{int32(2), "c d"},
		{uint8(3), "d"},
		{int64(-1), "a b c d"},
		{int64(4), ""},
		{start.Add(-time.Hour), "a b c d"},
		{start.Add(time.Second), "b c d"},
		{start.Add(2 * time.Minute), "c d"},
		{start.Add(time.Hour), ""},
		{"1m", "d"},
		{"100s", "d"},
		{"120s", "c d"},
		{"5Y", "a b c d"},
		{"999999999999999999999Y", "a b c d"},
	} {
		check(t, show(c.offset), r.from(q, c.offset), c.want)
	}
	if n := q.len(); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

func TestStreamOffsetsRefused(t *testing.T) {
	const text = "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 's' in vhost '/': {invalid_stream_offset_arg,{longstr,<<"
	for _, c := range []struct {
		offset any
		v      Version
		want   string
	}{
		{"5", V310, text + `"5">>}}`},
		{"0s", V40, text + `"0s">>}}`},
		{"5x", V43, text + `"5x">>}}`},
		{"bogus", V310, "INTERNAL_ERROR"},
		{"bogus", V40, "INTERNAL_ERROR"},
		{"bogus", V43, text + `"bogus">>}}`},
		{"", V40, "INTERNAL_ERROR"},
		{"", V43, text + `>>}}`},
		{true, V43, "INTERNAL_ERROR"},
		{1.5, V43, "INTERNAL_ERROR"},
		{nil, V43, ""},
		{[]any{"first"}, V40, "INTERNAL_ERROR"},
		{[]byte("bogus"), V43, "INTERNAL_ERROR"},
	} {
		r := newDeathRow(t, c.v)
		check(t, string(c.v)+" "+show(c.offset), r.from(r.stream("s", nil), c.offset), c.want)
	}
}

func TestStreamRetention(t *testing.T) {
	r := newDeathRow(t, V40)
	big := r.stream("big", func(o *queueOptions) { o.maxBytes, o.segmentBytes = 1000, 300 })
	body := strings.Repeat("x", 100)
	for range 50 {
		r.publish(big, body, nil)
	}
	if first, n := big.log.first(), big.len(); first == 0 || n < 5 || n > 9 || big.log.next != 50 || first+uint64(n) != 50 {
		t.Errorf("%d of 50 messages are left, from offset %d", n, first)
	}
	if big.log.bytes > 1000+300 {
		t.Errorf("%d octets are kept", big.log.bytes)
	}
	if at, _ := big.streamStart(wire.Table{{Key: argStreamOffset, Value: int64(3)}}); at != big.log.first() {
		t.Errorf("an offset that is gone leads to %d, not to the first", at)
	}

	old := r.stream("old", func(o *queueOptions) { o.maxAge, o.segmentBytes = time.Hour, 300 })
	for range 10 {
		r.publish(old, body, nil)
	}
	r.advance(2 * time.Hour)
	if n := old.len(); n != 10 {
		t.Errorf("%d of 10 messages are left before a new segment", n)
	}
	r.publish(old, "1", nil)
	r.publish(old, "2", nil)
	if n := old.len(); n > 4 {
		t.Errorf("%d messages are left, though all but two are too old", n)
	}
	check(t, "the newest", r.from(old, "last"), "2")
}

// As recorded from the real brokers.
func TestStreamMessages(t *testing.T) {
	at := time.Unix(1234567, 0).UTC()
	all := wire.Properties{
		ContentType: "ct", ContentEncoding: "ce", Headers: wire.Table{{Key: "k", Value: int64(1)}}, DeliveryMode: 2, Priority: 9,
		CorrelationID: "co", ReplyTo: "rt", Expiration: "060000", MessageID: "mi", Timestamp: at, Type: "ty", UserID: "app", AppID: "ai", ClusterID: "ci",
	}
	all.Set(0xFFFC)
	header := func(key string, v any) wire.Properties {
		var p wire.Properties
		p.SetHeaders(wire.Table{{Key: key, Value: v}})
		return p
	}
	array, table := []any{int64(1), "y"}, wire.Table{{Key: "b", Value: int64(1)}}
	for _, c := range []struct {
		name        string
		in          wire.Properties
		old, modern string // 3.10; 4.0 and later
	}{
		{"none", wire.Properties{}, "", "delivery-mode=1"},
		{
			"all", all,
			"headers={k=1} delivery-mode=2 expiration=060000 type=ty app-id=ai",
			"headers={k=1} delivery-mode=2 expiration=60000 type=ty app-id=ai",
		},
		{"array", header("h", array), "", "delivery-mode=1"},
		{"x- array", header("x-h", array), "", "headers={x-h=[1 y]} delivery-mode=1"},
		{"CC", header("CC", array), "", "headers={CC=[1 y]} delivery-mode=1"},
		{"table", header("h", table), "", "delivery-mode=1"},
		{"x- table", header("x-h", table), "", "headers={x-h={b=1}} delivery-mode=1"},
		{"octets", header("h", []byte("o")), "headers={h=[111]}", "headers={h=o} delivery-mode=1"},
		{"type", header("x-basic-type", "ty"), "type=ty", "delivery-mode=1 type=ty"},
		{"forged", header("x-death", array), "", "delivery-mode=1"},
	} {
		for _, v := range versions {
			m, ok := streamMessage(v, &message{props: c.in})
			if !ok {
				t.Errorf("%s: %s: refused", v, c.name)
				continue
			}
			want := c.old
			if v.atLeast40() {
				want = c.modern
			}
			check(t, string(v)+" "+c.name, showProperties(&m.props), want)
			if got, err := wire.DecodeProperties(m.header); err != nil || got.Flags != m.props.Flags {
				t.Errorf("%s %s: the header does not fit: %v", v, c.name, err)
			}
		}
	}
	if _, ok := streamMessage(V40, &message{props: header("d", wire.Decimal{Scale: 1, Value: 2})}); ok {
		t.Error("a decimal is taken")
	}
	m, _ := streamMessage(V40, &message{props: header("z", int64(1))})
	check(t, "with its offset", showProperties(&withOffset(V40, m, 7).props), "headers={x-stream-offset=7 z=1} delivery-mode=1")
}

func showProperties(p *wire.Properties) string {
	var all []string
	for _, f := range []struct {
		flag  uint16
		name  string
		value any
	}{
		{wire.FlagHeaders, "headers", p.Headers},
		{wire.FlagDeliveryMode, "delivery-mode", p.DeliveryMode},
		{wire.FlagExpiration, "expiration", p.Expiration},
		{wire.FlagType, "type", p.Type},
		{wire.FlagAppID, "app-id", p.AppID},
		{wire.FlagClusterID, "cluster-id", p.ClusterID},
	} {
		if p.Has(f.flag) {
			all = append(all, f.name+"="+show(f.value))
		}
	}
	return strings.Join(all, " ")
}

// A stream as the target of dead letters: 3.10 drops what it sends at most once.
func TestStreamTakesDeadLetters(t *testing.T) {
	for _, v := range versions {
		r := newDeathRow(t, v)
		once, more := r.queue("once", quorum, to("", "s")), r.queue("more", quorum, surely("", "s"))
		s := r.stream("s", nil)
		for _, q := range []*queue{once, more} {
			r.publish(q, q.name, func(m *message) {
				m.props.Expiration = "100000"
				m.props.Set(wire.FlagExpiration)
			})
			r.kill(q, reasonRejected)
		}
		want := "once more"
		if v == V310 {
			want = "more"
		}
		check(t, string(v), r.from(s, "first"), want)
		one, _ := s.log.at(0)
		_, died := one.message.props.Headers.Get("x-death")
		if died != v.atLeast40() || one.message.props.Has(wire.FlagExpiration) != v.atLeast40() {
			t.Errorf("%s: %s", v, showProperties(&one.message.props))
		}
	}
}

func TestStreamFilter(t *testing.T) {
	message := func(value any) *message {
		m := &message{}
		if value != nil {
			m.props.SetHeaders(wire.Table{{Key: headerFilterValue, Value: value}})
		}
		return m
	}
	for _, c := range []struct {
		name       string
		filter     any
		unfiltered bool
		want       string // of messages with a, with b, and without
	}{
		{"one", "a", false, "a"},
		{"several", []any{"a", "b"}, false, "ab"},
		{"unfiltered", "b", true, "b-"},
		{"no filter", nil, true, "ab-"},
	} {
		f := newStreamFilter(wire.Table{{Key: argStreamFilter, Value: c.filter}, {Key: argStreamUnfilter, Value: c.unfiltered}})
		var got string
		for name, v := range map[string]any{"a": "a", "b": "b", "-": nil} {
			if f.wants(message(v)) {
				got += name
			}
		}
		if len(got) != len(c.want) || strings.Trim(got, c.want) != "" {
			t.Errorf("%s: wants %q, want %q", c.name, got, c.want)
		}
	}
}

package dlq

import (
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func deathEntry(queue, reason, exchange, key string) amqp.Table {
	return amqp.Table{
		"count": int64(1), "queue": queue, "reason": reason, "exchange": exchange,
		"routing-keys": []any{key}, "time": noon,
	}
}

func TestParse(t *testing.T) {
	ladder := topology.Ladder{}
	_, onLadder, _ := ladder.Park("orders.v2", time.Second)
	level := strings.Replace(ladder.Unclaimed(), "unclaimed", "level.03", 1)
	buried := story.Story{RetryCount: 3, OriginQueue: "orders", LastError: "e", ErrorClass: "c", DeadReason: story.ReasonExhausted, DeadAt: noon}
	parked := story.Story{RetryCount: 2, OriginQueue: "orders", LastError: "e"}
	with := func(s story.Story, more amqp.Table) amqp.Table {
		h := s.Table()
		for name, v := range more {
			h[name] = v
		}
		return h
	}
	for _, tc := range []struct {
		name     string
		d        amqp.Delivery
		queue    string
		reason   string
		attempts int
		problems int
	}{
		{"nothing known", amqp.Delivery{RoutingKey: "orders.dlq"}, "", "", 0, 0},
		{"buried", amqp.Delivery{Headers: buried.Table()}, "orders", story.ReasonExhausted, 4, 0},
		{"buried, moved by the broker since", amqp.Delivery{Headers: with(buried, amqp.Table{"x-death": []any{deathEntry("orders.dlq", "expired", "", "orders.dlq")}})}, "orders", story.ReasonExhausted, 4, 0},
		{"the broker's, foreign", amqp.Delivery{Headers: amqp.Table{"x-death": []any{deathEntry("orders", "rejected", "events", "a.b")}}}, "orders", "rejected", 0, 0},
		{"the broker's, after two retries", amqp.Delivery{Headers: with(parked, amqp.Table{
			"x-death": []any{deathEntry("orders", "delivery_limit", "due", "0.1.orders"), deathEntry(level, "expired", "x", "k")},
		})}, "orders", "delivery_limit", 2, 0},
		{"ladder entries are skipped", amqp.Delivery{Headers: amqp.Table{
			"x-first-death-queue": level,
			"x-death":             []any{deathEntry(level, "expired", "x", "k"), deathEntry("orders", "expired", "", "orders")},
		}}, "orders", "expired", 0, 0},
		{"forwarded to another queue, died there", amqp.Delivery{Headers: with(parked, amqp.Table{
			"x-death": []any{deathEntry("invoices", "expired", "", "invoices")},
		})}, "invoices", "expired", 2, 0},
		{"unclaimed", amqp.Delivery{RoutingKey: onLadder, Headers: with(parked, amqp.Table{
			"x-death": []any{deathEntry(level, "expired", "x", "k")},
		})}, "orders", ReasonUnclaimed, 2, 0},
		{"unclaimed, foreign", amqp.Delivery{RoutingKey: onLadder}, "orders.v2", ReasonUnclaimed, 0, 0},
		{"x-death is nonsense", amqp.Delivery{Headers: amqp.Table{"x-death": "nonsense"}}, "", "", 0, 1},
		{"entries are nonsense", amqp.Delivery{Headers: amqp.Table{
			"x-death": []any{"nonsense", amqp.Table{"queue": 5, "routing-keys": "x", "time": "x"}, deathEntry("orders", "maxlen", "", "")},
		}}, "orders", "maxlen", 0, 2},
		{"the story is nonsense", amqp.Delivery{Headers: with(buried, amqp.Table{story.HeaderRetryCount: -1})}, "orders", story.ReasonExhausted, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := Parse(tc.d)
			if l.Queue != tc.queue || l.Reason != tc.reason || l.Attempts != tc.attempts || len(l.Problems) != tc.problems {
				t.Errorf("queue %q, reason %q, attempts %d, problems %q", l.Queue, l.Reason, l.Attempts, l.Problems)
			}
			if (tc.reason != "" && tc.reason != ReasonUnclaimed) == l.DeadAt.IsZero() {
				t.Errorf("dead at %v", l.DeadAt)
			}
		})
	}
}

// What a look changes (the broker's counters, tags, redelivered) does not change
// the ID; another death does.
func TestID(t *testing.T) {
	s := story.Story{OriginQueue: "orders", DeadReason: story.ReasonPermanent, DeadAt: noon}
	d := amqp.Delivery{MessageId: "m", Headers: s.Table(), RoutingKey: "orders.dlq", Body: []byte("b")}
	id := Parse(d).ID

	looked := d
	looked.DeliveryTag, looked.Redelivered, looked.ConsumerTag = 7, true, "c"
	looked.Headers = s.Table()
	looked.Headers["x-delivery-count"], looked.Headers["x-acquired-count"] = int64(3), int64(4)
	if Parse(looked).ID != id {
		t.Error("another look, another ID")
	}
	for name, other := range map[string]func(*amqp.Delivery, *story.Story){
		"message":  func(d *amqp.Delivery, _ *story.Story) { d.MessageId = "n" },
		"time":     func(_ *amqp.Delivery, s *story.Story) { s.DeadAt = noon.Add(time.Millisecond) },
		"replayed": func(_ *amqp.Delivery, s *story.Story) { s.ReplayCount = 1 },
		"queue":    func(_ *amqp.Delivery, s *story.Story) { s.OriginQueue = "invoices" },
	} {
		d, s := d, s
		other(&d, &s)
		d.Headers = s.Table()
		if Parse(d).ID == id {
			t.Errorf("another %s, the same ID", name)
		}
	}
	a, b := amqp.Delivery{Body: []byte("a")}, amqp.Delivery{Body: []byte("b")}
	if first := Parse(a).ID; first == Parse(b).ID || first != Parse(a).ID {
		t.Error("without a message-id, the content tells letters apart")
	}
}

func TestDigestKeepsFieldsApart(t *testing.T) {
	if digest("ab", "c") == digest("a", "bc") || digest("a") == digest("a", "") {
		t.Error("fields run together")
	}
}

func TestRebirth(t *testing.T) {
	s := story.Story{
		RetryCount: 3, RetryMax: 3, OriginQueue: "orders", OriginExchange: "events", OriginKey: "a.b", OriginPriority: 4,
		DeadReason: story.ReasonExhausted, DeadAt: noon, ExpiresAt: noon, LastError: "e", ReplayCount: 1,
	}
	letter := Parse(amqp.Delivery{MessageId: "m", Headers: s.Table()})
	got := rebirth(letter, "orders.dlq", "orders")
	want := story.Story{OriginQueue: "orders", OriginExchange: "events", OriginKey: "a.b", OriginPriority: 4, ReplayCount: 2, ReplayID: got.ReplayID}
	if !reflect.DeepEqual(got, want) || got.ReplayID == "" {
		t.Errorf("%+v, want %+v", got, want)
	}
	if again := rebirth(letter, "orders.dlq", "orders"); again.ReplayID != got.ReplayID {
		t.Error("the same replay, another replay-id")
	}
	s.ReplayCount = 2
	if next := rebirth(Parse(amqp.Delivery{MessageId: "m", Headers: s.Table()}), "orders.dlq", "orders"); next.ReplayID == got.ReplayID {
		t.Error("the next replay, the same replay-id")
	}
	if elsewhere := rebirth(letter, "orders.dlq", "orders.v2"); elsewhere.OriginQueue != "orders.v2" || elsewhere.OriginKey != "a.b" {
		t.Errorf("to another queue: %+v", elsewhere)
	}

	foreign := Parse(amqp.Delivery{Priority: 2, Headers: amqp.Table{"x-death": []any{deathEntry("orders", "rejected", "events", "a.b")}}})
	got = rebirth(foreign, "orders.dlq", "orders")
	if want := (story.Story{OriginQueue: "orders", OriginExchange: "events", OriginKey: "a.b", OriginPriority: 2, ReplayCount: 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("foreign: %+v, want %+v", got, want)
	}
	if got := rebirth(Parse(amqp.Delivery{}), "q", "orders"); got.OriginKey != "orders" || got.OriginQueue != "orders" {
		t.Errorf("nothing known: %+v", got)
	}
}

// Whatever is in the headers, a letter is shown, the story never outlives a
// rebirth, and what rebirth writes can be read.
func TestParseTakesAnything(t *testing.T) {
	value := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.SliceOf(rapid.Map(rapid.String(), func(s string) any { return s })), func(l []any) any { return l }),
		rapid.Just[any]([]any{amqp.Table{"queue": "q"}, 5, nil}), rapid.Just[any](amqp.Table{"a": 1}),
	)
	name := rapid.SampledFrom([]string{
		"x-death", story.HeaderVersion, story.HeaderRetryCount, story.HeaderOriginQueue, story.HeaderDeadReason,
		story.HeaderDeadAt, story.HeaderReplayCount, story.HeaderDroppedHeaders, "x-delivery-count",
	})
	rapid.Check(t, func(t *rapid.T) {
		d := amqp.Delivery{Headers: rapid.MapOf(name, value).Draw(t, "headers"), RoutingKey: rapid.String().Draw(t, "key")}
		l := Parse(d)
		if l.ID == "" || l.ID != Parse(d).ID {
			t.Fatalf("ID %q", l.ID)
		}
		s := rebirth(l, "dlq", "orders")
		if read, err := story.Read(s.Table()); err != nil || read.OriginQueue != "orders" || read.DeadReason != "" || read.RetryCount != 0 {
			t.Fatalf("%+v, %v", read, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("x-death", "orders", "rejected", int64(3), uint8(0))
	f.Add(story.HeaderDeadAt, "2026-01-01T00:00:00Z", "0.1.orders", int64(-3), uint8(2))
	f.Fuzz(func(t *testing.T, header, text, key string, n int64, kind uint8) {
		values := []any{
			[]any{amqp.Table{"queue": text, "reason": key, "time": time.Unix(n, 0), "routing-keys": []any{key}}},
			[]any{text, n}, text, n, nil, amqp.Table{text: n},
		}
		d := amqp.Delivery{RoutingKey: key, MessageId: text, Headers: amqp.Table{header: values[int(kind)%len(values)]}}
		l := Parse(d)
		if l.ID == "" || l.Delivery.MessageId != text || l.Attempts < 0 {
			t.Fatalf("%+v", l)
		}
		if topology.IsLadderQueue(l.Queue) && l.Queue != l.Story.OriginQueue {
			t.Fatalf("a ladder's queue %q as the origin", l.Queue)
		}
	})
}

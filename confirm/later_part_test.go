package confirm

import (
	"maps"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/topology"
)

// The parts of a wait are together never less than it, and at most
// a second and a rounding of the ladder more; few more than the ladder needs for it.
func TestPartsOfAWait(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ladder := topology.WorkQueue("q", topology.WorkConfig{Ladder: topology.Ladder{Levels: rapid.IntRange(20, 24).Draw(t, "levels")}})
		delay := time.Duration(rapid.Int64Range(1, int64(365*24*time.Hour)).Draw(t, "delay"))
		var waited time.Duration
		parts := 0
		for rest := delay; rest > 0; parts++ {
			exchange, key, left := part(ladder, rest)
			if exchange == "" || key == "" || left >= rest {
				t.Fatalf("%s of %s is left", left, rest)
			}
			// The ladder tells how long only by Park: ask it as part did.
			_, _, actual := ladder.Park(rest)
			if actual-rest > time.Second {
				_, _, actual = ladder.Park(rest - rest/9)
			}
			waited += actual
			rest = left
		}
		if waited < delay || waited > delay+time.Second+100*time.Millisecond || parts > int(delay/ladder.Ladder.Max())+10 {
			t.Fatalf("%s became %s in %d parts", delay, waited, parts)
		}
	})
}

// What a waiting message carries is read as it was written; whatever else is in
// the header is an error, never a panic.
func FuzzReadLater(f *testing.F) {
	f.Add("events", "order.created", int64(1e12), int64(5000), int64(7), "60000", "guest", "headers", byte(0))
	f.Add("", "", int64(-1), int64(-1), int64(256), "", "", "version", byte(1))
	f.Add("", "", int64(0), int64(1<<62), int64(0), "", "", "at", byte(2))
	f.Add("", "", int64(0), int64(0), int64(0), "", "", "rest", byte(3))
	f.Fuzz(func(t *testing.T, exchange, key string, at, rest, priority int64, expiration, user, name string, kind byte) {
		in := amqp.Table{
			"version": int64(laterVersion), "exchange": exchange, "key": key, "at": at, "rest": rest, "priority": priority,
			"expiration": expiration, "user-id": user, "headers": amqp.Table{name: key},
		}
		if kind > 0 { // one field is something else
			in[name] = []any{nil, nil, key, rest, amqp.Table{}, []any{key}, 1.5, true}[kind%8]
		}
		whole := maps.Clone(in)
		l, err := readLater(amqp.Table{HeaderLater: in})
		if err != nil {
			if kind == 0 && rest >= 0 && rest <= maxRest && priority >= 0 && priority <= 255 {
				t.Fatal(err)
			}
			return
		}
		out, ok := l.wait(amqp.Publishing{Priority: 9, Expiration: "1"}, l.rest).Headers[HeaderLater].(amqp.Table)
		if !ok || out["exchange"] != whole["exchange"] || out["key"] != whole["key"] || out["at"] != whole["at"] || out["rest"] != whole["rest"] ||
			out["priority"] != whole["priority"] || out["expiration"] != whole["expiration"] || out["user-id"] != whole["user-id"] {
			t.Fatalf("%v became %v", whole, out)
		}
	})
}

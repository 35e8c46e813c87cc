package amqptest

import (
	"slices"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// This is 3.10's history of deaths: it lies in the header x-death alone, which
// a client may have written.

// headerDeath returns the headers with one death more. ok is false if x-death
// holds anything but tables: RabbitMQ's queue process crashes on that and the
// message is gone.
func headerDeath(headers wire.Table, d death) (_ wire.Table, ok bool) {
	info := wire.Table{
		{Key: "count", Value: int64(1)},
		{Key: "reason", Value: d.reason},
		{Key: "queue", Value: d.queue},
		{Key: "time", Value: d.first.UTC().Truncate(time.Second)},
		{Key: "exchange", Value: d.exchange},
		{Key: "routing-keys", Value: stringArray(d.keys)},
	}
	if d.expiration != "" {
		info = append(info, wire.Field{Key: "original-expiration", Value: d.expiration})
	}
	value, there := headers.Get("x-death")
	if !there {
		return headers.Set("x-first-death-reason", d.reason).Set("x-first-death-queue", d.queue).
			Set("x-first-death-exchange", d.exchange).Set("x-death", []any{info}).Sorted(), true
	}
	array, isArray := value.([]any)
	if !isArray {
		return headers.Set("x-death", []any{info}).Sorted(), true
	}
	deaths := make([]wire.Table, len(array))
	for i := range array {
		if deaths[i], ok = array[i].(wire.Table); !ok {
			return headers, false
		}
	}
	array = []any{info.Sorted()}
	for _, old := range groupDeaths(deaths) {
		if sameDeath(old, info) {
			array[0] = countUp(old).Sorted()
			continue
		}
		array = append(array, old)
	}
	return headers.Set("x-death", array).Sorted(), true
}

// groupDeaths makes one of the deaths of the same queue and reason, which has
// their number as its count unless it has a count of its own. RabbitMQ turns
// their order round while it does this, when there are several.
func groupDeaths(deaths []wire.Table) []wire.Table {
	if len(deaths) < 2 {
		return deaths
	}
	var grouped []wire.Table
	for _, d := range deaths {
		same := func(o wire.Table) bool { return sameDeath(o, d) }
		if slices.ContainsFunc(grouped, same) {
			continue
		}
		if _, counted := d.Get("count"); !counted {
			n := int64(0)
			for _, o := range deaths {
				if same(o) {
					n++
				}
			}
			d = prepend(d, "count", n)
		}
		grouped = append(grouped, d)
	}
	slices.Reverse(grouped)
	return grouped
}

func countUp(d wire.Table) wire.Table {
	old, counted := d.Get("count")
	if !counted {
		return prepend(d, "count", 1)
	}
	n, _ := wire.Int(old)
	return d.Set("count", n+1)
}

func prepend(t wire.Table, key string, n int64) wire.Table {
	return append(wire.Table{{Key: key, Value: n}}, t...)
}

func sameDeath(a, b wire.Table) bool {
	return equalField(a, b, "queue") && equalField(a, b, "reason")
}

// equalField compares values whose types a client may have chosen. What is no
// string equals nothing.
func equalField(a, b wire.Table, key string) bool {
	v, inA := a.Get(key)
	w, inB := b.Get(key)
	if !inA || !inB {
		return inA == inB
	}
	s, isString := v.(string)
	t, both := w.(string)
	return isString && both && s == t
}

// isHeaderCycle is 3.10's isDeathCycle, by the header.
func isHeaderCycle(headers wire.Table, queue string) bool {
	value, _ := headers.Get("x-death")
	deaths, _ := value.([]any)
	for _, v := range deaths {
		d, ok := v.(wire.Table)
		if !ok {
			return false // a client's: no automatic cycle
		}
		if reason, _ := d.Get("reason"); reason == reasonRejected {
			return false
		}
		if name, _ := d.Get("queue"); name == queue {
			return true
		}
	}
	return false
}

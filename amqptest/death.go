package amqptest

import (
	"slices"
	"strconv"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// death is one line of x-death: that a message died in a queue for a reason,
// and how often. 4.0 and later keep it beside the message, so that x-death
// headers of clients count for nothing; 3.10 has only the header.
type death struct {
	queue, reason string
	// exchange and keys are those by which the message had come when it died
	// so for the first time.
	exchange string
	keys     []string
	count    int64
	first    time.Time
	// expiration is the message's own at its first such death; "": none.
	expiration string
}

// table is the death as 4.0 and later write it.
func (d *death) table() wire.Table {
	t := make(wire.Table, 0, 7)
	if d.expiration != "" {
		t = append(t, wire.Field{Key: "original-expiration", Value: d.expiration})
	}
	return append(t,
		wire.Field{Key: "count", Value: d.count},
		wire.Field{Key: "reason", Value: d.reason},
		wire.Field{Key: "queue", Value: d.queue},
		wire.Field{Key: "time", Value: d.first.UTC().Truncate(time.Second)},
		wire.Field{Key: "exchange", Value: d.exchange},
		wire.Field{Key: "routing-keys", Value: stringArray(d.keys)},
	)
}

// recordDeath returns the deaths with d put first: counted up if the message
// died in that queue for that reason before.
func recordDeath(deaths []death, d death) []death {
	all := make([]death, 1, len(deaths)+1)
	all[0] = d
	for _, old := range deaths {
		if old.queue == d.queue && old.reason == d.reason {
			old.count++
			all[0] = old
			continue
		}
		all = append(all, old)
	}
	return all
}

// isDeathCycle says whether a message with these deaths, newest first, would
// come round to the queue without a client's rejection on the way.
func isDeathCycle(deaths []death, queue string) bool {
	for i := range deaths {
		if deaths[i].reason == reasonRejected {
			return false
		}
		if deaths[i].queue == queue {
			return true
		}
	}
	return false
}

// deathHeaders are the headers of 4.0 and later after d, the last of deaths:
// those of the broker replace the client's of the same name, and all are in the
// order of their keys, each there once.
func deathHeaders(headers wire.Table, deaths []death, d death) wire.Table {
	tables := make([]any, len(deaths))
	for i := range deaths {
		tables[i] = deaths[i].table()
	}
	t := wire.Table{
		{Key: "x-death", Value: tables},
		{Key: "x-last-death-exchange", Value: d.exchange},
		{Key: "x-last-death-queue", Value: d.queue},
		{Key: "x-last-death-reason", Value: d.reason},
	}
	if len(deaths) == 1 && deaths[0].count == 1 {
		t = append(t,
			wire.Field{Key: "x-first-death-exchange", Value: d.exchange},
			wire.Field{Key: "x-first-death-queue", Value: d.queue},
			wire.Field{Key: "x-first-death-reason", Value: d.reason},
		)
	}
	return dedupe(append(t, headers...).Sorted())
}

func stringArray(keys []string) []any {
	a := make([]any, len(keys))
	for i, k := range keys {
		a[i] = k
	}
	return a
}

// withoutEach removes each of the keys once, as often as it is named.
func withoutEach(keys, remove []string) []string {
	left := slices.Clone(keys)
	for _, r := range remove {
		if i := slices.Index(left, r); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	return left
}

// milliseconds writes an expiration as 4.0 and later do, without leading zeros.
func milliseconds(expiration string) string {
	n, err := strconv.ParseUint(expiration, 10, 64)
	if err != nil {
		return expiration
	}
	return strconv.FormatUint(n, 10)
}

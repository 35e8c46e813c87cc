package amqptest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// Headers that a quorum queue adds to what it delivers.
const (
	headerDeliveryCount = "x-delivery-count"
	headerAcquiredCount = "x-acquired-count"
)

// header is the message's properties, encoded, as the queue delivers them; get
// says that it is for basic.get. The result is not to be changed.
func (e *entry) header(get bool) []byte {
	m := e.msg
	v := e.queue.version()
	added := e.counts(v, get)
	if len(added) == 0 && (m.header != nil && (!v.atLeast40() || tidy(m.props.Headers))) {
		return m.header
	}
	props := m.props
	headers := m.props.Headers
	if v.atLeast40() {
		// What the broker adds counts, whatever the publisher sent; and the
		// headers come out in order.
		headers = dedupe(append(added, headers...).Sorted())
	} else {
		for _, f := range added {
			headers = headers.Set(f.Key, f.Value)
		}
		if len(added) > 0 {
			headers = headers.Sorted()
		}
	}
	if len(headers) > 0 {
		props.SetHeaders(headers)
	}
	return wire.AppendProperties(nil, &props)
}

// counts are the headers that tell how often the message came back.
func (e *entry) counts(v Version, get bool) wire.Table {
	if e.queue.kind != quorum {
		return nil
	}
	switch {
	case !v.atLeast40():
		if e.deliveries > 0 || get {
			return wire.Table{{Key: headerDeliveryCount, Value: e.deliveries}}
		}
		return nil
	case !v.atLeast43():
		// Since 4.0 this header tells how often the message was taken and not
		// settled. What a dead letter brings along counts until the first time.
		if n := cmp.Or(e.acquired, e.deliveries); n > 0 {
			return wire.Table{{Key: headerDeliveryCount, Value: n}}
		}
		return nil
	}
	var t wire.Table
	acquired := cmp.Or(e.acquired, e.deliveries)
	if acquired > 0 {
		t = append(t, wire.Field{Key: headerAcquiredCount, Value: acquired})
	}
	if e.deliveries > 0 {
		t = append(t, wire.Field{Key: headerDeliveryCount, Value: e.deliveries})
	}
	return t
}

// tidy says whether a table is in order and has no key twice.
func tidy(t wire.Table) bool {
	for i := 1; i < len(t); i++ {
		if strings.Compare(t[i-1].Key, t[i].Key) >= 0 {
			return false
		}
	}
	return true
}

// dedupe keeps the first of the fields with one key; equal keys are neighbors.
func dedupe(t wire.Table) wire.Table {
	return slices.CompactFunc(t, func(a, b wire.Field) bool { return a.Key == b.Key })
}

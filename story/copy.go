package story

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// DefaultLimit is the largest content header frame of a copy, in bytes: the
// usual frame_max of 128 KiB less 16 KiB for what the broker adds, four hops of
// x-death among it. A header frame over frame_max kills the connection of
// whoever receives it, for ever again (H 10.4).
const DefaultLimit = 128<<10 - 16<<10

// shortText is what is left of our own long text when room is short.
const shortText = 256

// Copy makes the message that carries d on, with the story s: the body as it
// is, byte for byte, and all properties, except
//
//   - persistent delivery mode, priority 0 (it blocks a quorum queue's expiry on
//     4.0, R 4), no user-id (another user's closes the channel, R 3), no
//     expiration (it would start anew with each copy, R 14): the story keeps them
//   - the message-id is kept; a message without one gets a UUIDv7 (R 33)
//   - x-death, x-first-death-*, x-last-death-*, x-delivery-count,
//     x-acquired-count, CC, BCC and an older story are left out (H 4.4)
//
// limit bounds the content header frame in bytes; 0 means [DefaultLimit]. What
// does not fit is shed rather than the message lost (R 2): first all but 256
// bytes of last-error, then the largest foreign headers. Their names are
// returned, largest first, and written to dropped-headers, at most 32 of all.
// Values that AMQP cannot carry, which only a handler can have put there, are
// dropped the same way.
//
// The copy shares d's body and d's header values.
func Copy(d amqp.Delivery, s Story, limit int) (amqp.Publishing, []string) {
	msg := amqp.Publishing{
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		DeliveryMode:    amqp.Persistent,
		CorrelationId:   d.CorrelationId,
		ReplyTo:         d.ReplyTo,
		MessageId:       cmp.Or(d.MessageId, newID()),
		Timestamp:       d.Timestamp,
		Type:            d.Type,
		AppId:           d.AppId,
		Body:            d.Body,
	}
	headers, dropped := foreign(d.Headers)
	msg.Headers = headers
	dropped = append(dropped, fit(&msg, s, dropped, cmp.Or(limit, DefaultLimit))...)
	return msg, dropped
}

// newID gives "" when the system has no random numbers: the publisher then
// makes one, or says why it cannot.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return ""
	}
	return id.String()
}

// foreign copies the headers that are neither ours nor the broker's record.
func foreign(h amqp.Table) (kept amqp.Table, dropped []string) {
	kept = make(amqp.Table, len(h)+16)
	for name, v := range h {
		if strings.HasPrefix(name, Prefix) || brokers(name) {
			continue
		}
		v, ok := carry(v, 1)
		if !ok || len(name) > maxShort {
			dropped = append(dropped, name)
			continue
		}
		kept[name] = v
	}
	if len(kept) > maxHeaders {
		for _, name := range bySize(kept)[:len(kept)-maxHeaders] {
			delete(kept, name)
			dropped = append(dropped, name)
		}
	}
	slices.Sort(dropped)
	return kept, dropped
}

// The client writes tables that it cannot read back: more than 32 deep, or with
// more than 8192 entries. A copy beyond that could never be consumed again, and
// one beyond the publisher's own limits not be published.
const (
	maxDepth   = 28
	maxEntries = 8000
	maxHeaders = 7900 // leaves room for our own
)

// brokers reports whether a header is the broker's own, or tells it to route a
// copy further.
func brokers(name string) bool {
	switch name {
	case "x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC":
		return true
	}
	return strings.HasPrefix(name, "x-first-death-") || strings.HasPrefix(name, "x-last-death-")
}

// carry returns the value as AMQP can carry it: an int as int64, for the client
// cuts it to 32 bits silently (H 10.3). False: it cannot. depth is that of the
// table or array which holds the value.
func carry(v any, depth int) (any, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case float32:
		return v, !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case amqp.Table:
		return carryTable(v, depth+1)
	case []any:
		return carryArray(v, depth+1)
	}
	return v, valueSize(v) > 0
}

func carryTable(t amqp.Table, depth int) (any, bool) {
	if depth > maxDepth || len(t) > maxEntries {
		return nil, false
	}
	table := make(amqp.Table, len(t))
	for name, item := range t {
		item, ok := carry(item, depth)
		if !ok || len(name) > maxShort {
			return nil, false
		}
		table[name] = item
	}
	return table, true
}

func carryArray(l []any, depth int) (any, bool) {
	if depth > maxDepth || len(l) > maxEntries {
		return nil, false
	}
	list := make([]any, len(l))
	for i, item := range l {
		item, ok := carry(item, depth)
		if !ok {
			return nil, false
		}
		list[i] = item
	}
	return list, true
}

// fit writes s into msg's headers and sheds until the header frame fits.
func fit(msg *amqp.Publishing, s Story, dropped []string, limit int) []string {
	earlier := s.DroppedHeaders
	named := func(more []string) []string { return merge(earlier, dropped, more) }
	foreignSize := Size(msg.Headers)
	s.DroppedHeaders = named(nil)
	s.put(msg.Headers)
	if frameSize(msg) <= limit {
		return nil
	}
	s.LastError = clean(s.LastError, shortText)
	s.put(msg.Headers)
	if frameSize(msg) <= limit {
		return nil
	}

	bare := frameSize(msg) - Size(msg.Headers)
	var shed []string
	for _, name := range bySize(msg.Headers) {
		foreignSize -= entrySize(name, msg.Headers[name])
		delete(msg.Headers, name)
		shed = append(shed, name)
		s.DroppedHeaders = named(shed[:min(len(shed), maxNamed+1)])
		if bare+foreignSize+Size(s.Table())-4 <= limit {
			break
		}
	}
	s.put(msg.Headers)
	return shed
}

// bySize lists the foreign headers, the largest first.
func bySize(h amqp.Table) []string {
	names := make([]string, 0, len(h))
	sizes := make(map[string]int, len(h))
	for name, v := range h {
		if !strings.HasPrefix(name, Prefix) {
			names = append(names, name)
			sizes[name] = entrySize(name, v)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
	return names
}

// merge joins lists of names, each name once.
func merge(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		for _, name := range list {
			if len(all) <= maxNamed && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

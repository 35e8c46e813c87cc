package amqptest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// String is the event in one line, without its number and time: connection
// and channel, kind, and the fields that are filled in, as name=value.
func (e Event) String() string {
	var s strings.Builder
	switch {
	case e.Channel != 0:
		fmt.Fprintf(&s, "%d/%d ", e.Connection, e.Channel)
	case e.Connection != 0:
		fmt.Fprintf(&s, "%d ", e.Connection)
	}
	s.WriteString(string(e.Kind))
	if e.VHost != "/" {
		writeWord(&s, "vhost", e.VHost)
	}
	if e.Exchange != "" || e.namesExchange() {
		writeWord(&s, "exchange", exchangeWord(e.Exchange))
	}
	writeWord(&s, "to", e.Destination)
	writeWord(&s, "key", e.Key)
	writeWord(&s, "queue", e.Queue)
	writeWord(&s, "type", e.Type)
	writeWord(&s, "consumer", e.Consumer)
	writeNumber(&s, "tag", e.Tag)
	writeWord(&s, "id", e.MessageID)
	if e.Redelivered {
		s.WriteString(" redelivered")
	}
	writeWord(&s, "reason", e.Reason)
	writeNumber(&s, "count", uint64(max(0, e.Count)))
	if len(e.Queues) > 0 {
		s.WriteString(" queues=")
		for i, q := range e.Queues {
			if i > 0 {
				s.WriteByte(',')
			}
			s.WriteString(quoted(q))
		}
	}
	writeNumber(&s, "code", uint64(e.Code))
	writeWord(&s, "text", e.Text)
	return s.String()
}

// namesExchange tells whether an empty Exchange is the default exchange.
func (e Event) namesExchange() bool {
	switch e.Kind {
	case EventPublished, EventReturned, EventDeadLettered:
		return true
	}
	return false
}

func exchangeWord(name string) string {
	if name == "" {
		return DefaultExchange
	}
	return name
}

func writeWord(s *strings.Builder, name, value string) {
	if value != "" {
		fmt.Fprintf(s, " %s=%s", name, quoted(value))
	}
}

func writeNumber(s *strings.Builder, name string, value uint64) {
	if value != 0 {
		fmt.Fprintf(s, " %s=%d", name, value)
	}
}

// quoted puts what is not one plain word into quotes.
func quoted(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '"' || r == ',' || r == '=' || r == 0x7f || r == '\uFFFD'
	})
	if plain && strconv.Quote(s) == `"`+s+`"` {
		return s
	}
	return strconv.Quote(s)
}

// TraceText is [Broker.Trace] as text, a line an event, the same in every run
// in which the same happens in the same order, as golden files need it: names
// that brokers and clients make up (queues, consumer tags, UUIDs) are
// replaced by numbered ones, and times, told if the broker's clock is
// [Stopped], count from its start. What several connections do at once has no
// order: let where pick events. Confirms of publishes under way together come
// as the network lets them.
func (b *Broker) TraceText(where func(Event) bool) string {
	events := b.Trace(where)
	b.lock()
	start, stopped, first := b.tracer.start, !b.clock.running, b.tracer.seq-uint64(len(b.tracer.events))
	b.unlock()
	var s strings.Builder
	if first > 0 {
		fmt.Fprintf(&s, "(%d earlier events are gone)\n", first)
	}
	names := normalizer{}
	for _, e := range events {
		e.Consumer = names.consumer(e.Consumer)
		line := names.line(e.String())
		if stopped {
			fmt.Fprintf(&s, "+%s ", e.At.Sub(start).Round(time.Microsecond))
		}
		s.WriteString(line)
		s.WriteByte('\n')
	}
	return s.String()
}

// normalizer replaces made-up names by the order in which they first appear.
type normalizer map[string]map[string]string

// madeUp are names that brokers make up, and UUIDs, which programs make up.
var madeUp = regexp.MustCompile(`amq\.gen-[A-Za-z0-9_-]{22}|amq\.ctag-[A-Za-z0-9_-]{22}|` +
	`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

func (n normalizer) line(s string) string {
	return madeUp.ReplaceAllStringFunc(s, func(name string) string {
		switch {
		case strings.HasPrefix(name, "amq.gen-"):
			return n.name("amq.gen", name)
		case strings.HasPrefix(name, "amq.ctag-"):
			return n.name("ctag", name)
		}
		return n.name("uuid", name)
	})
}

// consumer replaces the tags that amqp091-go makes up of the program's name.
func (n normalizer) consumer(tag string) string {
	if strings.HasPrefix(tag, "ctag-") || strings.HasPrefix(tag, "amq.ctag-") {
		return n.name("ctag", tag)
	}
	return tag
}

func (n normalizer) name(kind, name string) string {
	known := n[kind]
	if known == nil {
		known = map[string]string{}
		n[kind] = known
	}
	if known[name] == "" {
		known[name] = fmt.Sprintf("%s-%d", kind, len(known)+1)
	}
	return known[name]
}

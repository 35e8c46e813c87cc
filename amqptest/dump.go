package amqptest

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	dumpMessages = 10 // shown of each queue
	dumpEvents   = 30 // the last ones
	dumpBody     = 60 // bytes shown of a body
)

// Dump is the broker's state at one moment in words, for a log or a test's
// failure: exchanges and bindings that clients made, queues with their first
// messages, connections, consumers, faults, alarms, and the last events. What
// is not in use is summed up. What is more likely to be looked for stands
// nearer to the end.
func (b *Broker) Dump() string {
	b.lock()
	defer b.unlock()
	var s strings.Builder
	fmt.Fprintf(&s, "RabbitMQ %s, %s", b.cfg.Version.release(), b.clock.now().Format(time.RFC3339Nano))
	if alarms := b.alarmsRaised(); len(alarms) > 0 {
		fmt.Fprintf(&s, ", in alarm: %s", strings.Join(alarms, ", "))
	}
	s.WriteString("\n")
	b.dumpTopology(&s)
	b.dumpQueues(&s)
	b.dumpConnections(&s)
	b.dumpFaults(&s)
	b.dumpEvents(&s)
	return s.String()
}

func (b *Broker) alarmsRaised() []string {
	var all []string
	for resource, on := range b.alarms {
		if on {
			all = append(all, resource)
		}
	}
	slices.Sort(all)
	return all
}

// section writes a heading and aligned lines, if there are any.
func section(s *strings.Builder, heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(s, "\n%s\n", heading)
	w := tabwriter.NewWriter(s, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
	_ = w.Flush() // a strings.Builder takes everything
}

func (b *Broker) dumpConnections(s *strings.Builder) {
	var lines, channels []string
	for _, c := range b.connsInOrder() {
		info := c.info()
		line := fmt.Sprintf("%d\t%s\t%s\t%s@%s\t%d channels", c.id, info.State, c.name, c.user, info.VHost, len(c.channels))
		if info.ClientName != "" {
			line += "\t" + quoted(info.ClientName)
		}
		lines = append(lines, line)
		for _, ch := range c.channelsInOrder() {
			channels = append(channels, ch.dump())
		}
	}
	section(s, "connections", lines)
	section(s, "channels", channels)
}

func (ch *channel) dump() string {
	info := ch.info()
	line := fmt.Sprintf("%d/%d\t%d consumers\t%d unacked", info.Connection, info.Number, info.Consumers, info.Unacked)
	if info.Confirms {
		line += fmt.Sprintf("\t%d published", info.Published)
	}
	return line
}

// dumpQueues shows the queues that are in use.
func (b *Broker) dumpQueues(s *strings.Builder) {
	unacked := make(map[*queue]*shownMessages)
	b.eachUnacked(func(ch *channel, d *delivery) {
		q := d.entry.queue
		if unacked[q] == nil {
			unacked[q] = &shownMessages{}
		}
		unacked[q].add(func() Message { return d.view(ch) })
	})
	for _, vh := range b.vhostsInOrder() {
		for _, q := range vh.queuesInOrder() {
			if !q.idle() {
				q.dump(s, unacked[q])
			}
		}
	}
}

func (q *queue) dump(s *strings.Builder, unacked *shownMessages) {
	fmt.Fprintf(s, "\nqueue %s, %s: %d ready, %d unacked", inVHost(q.vhost.name, q.name), q.what(), q.len(), q.unacked)
	if n := len(q.delayed.entries); n > 0 {
		fmt.Fprintf(s, ", %d delayed", n)
	}
	if n := q.heldLetters(); n > 0 {
		fmt.Fprintf(s, ", %d held by dead-lettering", n)
	}
	s.WriteString("\n")
	if len(q.args) > 0 {
		fmt.Fprintf(s, "  %v\n", plainTable(q.args))
	}
	for _, c := range q.consumers {
		info := c.info()
		fmt.Fprintf(s, "  consumer %s on %d/%d, prefetch %d, %d unacked%s\n", quoted(c.tag), info.Connection, info.Channel,
			c.prefetch, c.unacked, flags(c.noAck, "no-ack", c.exclusive, "exclusive", !info.Active, "not active"))
	}
	q.dumpReady(s)
	unacked.dump(s, "unacked")
	q.dumpWaiting(s)
}

func (q *queue) dumpReady(s *strings.Builder) {
	ready := shownMessages{count: q.len()}
	if q.log != nil {
		q.log.each(func(offset uint64, at time.Time, m *message) bool {
			return ready.show(q.viewAt(offset, at, m))
		})
	} else {
		q.ready.each(func(e *entry) bool { return ready.show(e.view()) })
	}
	ready.dump(s, "ready")
}

// dumpWaiting shows what is neither ready nor at a client.
func (q *queue) dumpWaiting(s *strings.Builder) {
	var delayed shownMessages
	for _, e := range q.delayedInOrder() {
		delayed.add(e.view)
	}
	delayed.dump(s, "delayed")
	if q.dead == nil {
		return
	}
	held := shownMessages{count: q.heldLetters()}
	q.dead.each(func(e *entry) bool { return held.show(e.view()) })
	held.dump(s, "held")
}

// shownMessages are the first of some messages, and how many there are.
type shownMessages struct {
	count int
	first []Message
}

// add counts a message, and looks at it if it is among the first.
func (m *shownMessages) add(look func() Message) {
	m.count++
	if len(m.first) < dumpMessages {
		m.first = append(m.first, look())
	}
}

// show adds a message that is counted already; false: no more are needed.
func (m *shownMessages) show(message Message) bool {
	m.first = append(m.first, message)
	return len(m.first) < dumpMessages
}

// dump writes the messages. No messages may be a nil pointer.
func (m *shownMessages) dump(s *strings.Builder, state string) {
	if m == nil {
		return
	}
	for _, message := range m.first {
		message.dump(s, state)
	}
	if more := m.count - len(m.first); more > 0 {
		fmt.Fprintf(s, "  %s: %d more\n", state, more)
	}
}

func (m *Message) dump(s *strings.Builder, state string) {
	fmt.Fprintf(s, "  %s: exchange=%s key=%s", state, quoted(exchangeWord(m.Exchange)), quoted(m.RoutingKey))
	writeWord(s, "id", m.MessageID)
	if m.Connection != 0 {
		fmt.Fprintf(s, " at=%d/%d", m.Connection, m.Channel)
		writeWord(s, "consumer", m.Consumer)
		writeNumber(s, "tag", m.DeliveryTag)
	}
	writeNumber(s, "deliveries", uint64(max(0, m.Deliveries)))
	if m.Redelivered {
		s.WriteString(" redelivered")
	}
	if !m.Expires.IsZero() {
		fmt.Fprintf(s, " expires=%s", m.Expires.Format(time.RFC3339Nano))
	}
	if len(m.Headers) > 0 {
		fmt.Fprintf(s, " headers=%v", m.Headers)
	}
	fmt.Fprintf(s, " body=%s\n", bodyText(m.Body))
}

func bodyText(body []byte) string {
	if len(body) <= dumpBody {
		return fmt.Sprintf("%q", body)
	}
	return fmt.Sprintf("%q... (%d bytes)", body[:dumpBody], len(body))
}

func (b *Broker) dumpFaults(s *strings.Builder) {
	var lines []string
	for _, n := range b.faults.list {
		f := n.fault
		lines = append(lines, fmt.Sprintf("%s\t%s on %s\t%d hits of %d seen", quoted(f.Name), f.Do, f.On, n.hits, n.seen))
	}
	section(s, "faults", lines)
}

func (b *Broker) dumpEvents(s *strings.Builder) {
	t := &b.tracer
	n := min(len(t.events), dumpEvents)
	lines := make([]string, 0, n)
	for i := range n {
		e := t.events[(t.next+len(t.events)-n+i)%len(t.events)]
		lines = append(lines, fmt.Sprintf("%d\t+%s\t%s", e.Seq, e.At.Sub(t.start).Round(time.Microsecond), e))
	}
	section(s, "last events", lines)
}

// inVHost names what is in a virtual host other than "/".
func inVHost(vhost, name string) string {
	if vhost == "/" {
		return quoted(name)
	}
	return fmt.Sprintf("%s in %s", quoted(name), quoted(vhost))
}

// flags are the names, each behind whether it holds, of those that do.
func flags(pairs ...any) string {
	var s strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == true {
			fmt.Fprintf(&s, ", %s", pairs[i+1])
		}
	}
	return s.String()
}

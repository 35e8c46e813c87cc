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

// Dump is the broker's state in words, for a log or a test's failure:
// exchanges and bindings that clients made, queues with their first messages,
// connections, consumers, faults, alarms, and the last events. What is more
// likely to be looked for stands nearer to the end.
func (b *Broker) Dump() string {
	var s strings.Builder
	fmt.Fprintf(&s, "RabbitMQ %s, %s", b.cfg.Version.release(), b.Now().Format(time.RFC3339Nano))
	if alarms := b.alarmsRaised(); len(alarms) > 0 {
		fmt.Fprintf(&s, ", in alarm: %s", strings.Join(alarms, ", "))
	}
	s.WriteString("\n")
	b.dumpTopology(&s)
	b.dumpIdleQueues(&s)
	b.dumpQueues(&s)
	b.dumpConnections(&s)
	b.dumpFaults(&s)
	b.dumpEvents(&s)
	return s.String()
}

func (b *Broker) alarmsRaised() []string {
	b.lock()
	defer b.unlock()
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
	var lines []string
	for _, c := range b.Connections() {
		line := fmt.Sprintf("%d\t%s\t%s\t%s@%s\t%d channels", c.ID, c.State, c.Name, c.User, c.VHost, c.Channels)
		if c.ClientName != "" {
			line += "\t" + quoted(c.ClientName)
		}
		lines = append(lines, line)
	}
	section(s, "connections", lines)
	lines = nil
	for _, c := range b.Channels() {
		line := fmt.Sprintf("%d/%d\t%d consumers\t%d unacked", c.Connection, c.Number, c.Consumers, c.Unacked)
		if c.Confirms {
			line += fmt.Sprintf("\t%d published", c.Published)
		}
		lines = append(lines, line)
	}
	section(s, "channels", lines)
}

func (b *Broker) dumpTopology(s *strings.Builder) {
	var lines []string
	for _, x := range b.Exchanges("") {
		if x.Name == "" || strings.HasPrefix(x.Name, "amq.") && x.In == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s\t%s%s\t%d in\t%d out", inVHost(x.VHost, x.Name), x.Type,
			flags(x.Durable, "durable", x.AutoDelete, "auto-delete", x.Internal, "internal"), x.In, x.Out))
	}
	section(s, "exchanges", lines)
	lines = nil
	for _, to := range b.Bindings("") {
		if to.Source == "" {
			continue
		}
		line := fmt.Sprintf("%s\t-> %s %s\tkey=%s", inVHost(to.VHost, to.Source), to.DestinationType, quoted(to.Destination), quoted(to.RoutingKey))
		if len(to.Arguments) > 0 {
			line += fmt.Sprintf("\t%v", to.Arguments)
		}
		lines = append(lines, line)
	}
	section(s, "bindings", lines)
}

// idle: there is nothing in the queue, and nobody consumes it.
func (q QueueInfo) idle() bool {
	return q.Ready+q.Unacked+q.Delayed+q.Held+q.Consumers == 0
}

func (b *Broker) dumpIdleQueues(s *strings.Builder) {
	var lines []string
	for _, q := range b.Queues("") {
		if q.idle() {
			lines = append(lines, fmt.Sprintf("%s\t%s%s\t%v", inVHost(q.VHost, q.Name), q.Type,
				flags(q.Durable, "durable", q.AutoDelete, "auto-delete", q.Exclusive, "exclusive"), q.Arguments))
		}
	}
	section(s, "queues without messages and consumers", lines)
}

func (b *Broker) dumpQueues(s *strings.Builder) {
	for _, q := range b.Queues("") {
		if q.idle() {
			continue
		}
		fmt.Fprintf(s, "\nqueue %s, %s%s: %d ready, %d unacked", inVHost(q.VHost, q.Name), q.Type,
			flags(q.Durable, "durable", q.AutoDelete, "auto-delete", q.Exclusive, "exclusive"), q.Ready, q.Unacked)
		if q.Delayed > 0 {
			fmt.Fprintf(s, ", %d delayed", q.Delayed)
		}
		if q.Held > 0 {
			fmt.Fprintf(s, ", %d held by dead-lettering", q.Held)
		}
		s.WriteString("\n")
		if len(q.Arguments) > 0 {
			fmt.Fprintf(s, "  %v\n", q.Arguments)
		}
		for _, c := range b.Consumers(q.VHost) {
			if c.Queue == q.Name {
				fmt.Fprintf(s, "  consumer %s on %d/%d, prefetch %d, %d unacked%s\n", quoted(c.Tag), c.Connection, c.Channel,
					c.Prefetch, c.Unacked, flags(!c.Acks, "no-ack", c.Exclusive, "exclusive", !c.Active, "not active"))
			}
		}
		dumpMessagesOf(s, "ready", b.Messages(q.VHost, q.Name))
		dumpMessagesOf(s, "unacked", b.Unacked(q.VHost, q.Name))
		dumpMessagesOf(s, "delayed", b.Delayed(q.VHost, q.Name))
		dumpMessagesOf(s, "held", b.Held(q.VHost, q.Name))
	}
}

func dumpMessagesOf(s *strings.Builder, state string, all []Message) {
	for i, m := range all {
		if i == dumpMessages {
			fmt.Fprintf(s, "  %s: %d more\n", state, len(all)-i)
			return
		}
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
}

func bodyText(body []byte) string {
	if len(body) <= dumpBody {
		return fmt.Sprintf("%q", body)
	}
	return fmt.Sprintf("%q... (%d bytes)", body[:dumpBody], len(body))
}

func (b *Broker) dumpFaults(s *strings.Builder) {
	var lines []string
	for _, n := range b.Faults() {
		f := n.Fault()
		lines = append(lines, fmt.Sprintf("%s\t%s on %s\t%d hits of %d seen", quoted(f.Name), f.Do, f.On, n.Hits(), n.Seen()))
	}
	section(s, "faults", lines)
}

func (b *Broker) dumpEvents(s *strings.Builder) {
	events := b.Trace(nil)
	if len(events) == 0 {
		return
	}
	events = events[max(0, len(events)-dumpEvents):]
	b.lock()
	start := b.tracer.start
	b.unlock()
	lines := make([]string, 0, len(events))
	for _, e := range events {
		lines = append(lines, fmt.Sprintf("%d\t+%s\t%s", e.Seq, e.At.Sub(start).Round(time.Microsecond), e))
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

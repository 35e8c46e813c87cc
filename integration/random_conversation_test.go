package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/internal/scenario"
)

// talk is a random conversation in the making. Each step is played on amqptest at once, so that the next one can be
// about deliveries and queues that there are.
//
// What races on a real broker is not made:
//
//   - A step that sets something off is followed by "settle", so that what two channels do never meets.
//   - A channel consumes from one queue at a time: several would deliver in any order.
//   - A channel that consumes has neither confirms nor a transaction, whose answers race with deliveries.
//   - A connection ends only while one of its channels at most has something of a queue: channels end in any order.
//   - A queue that is given messages by two others in one step, or by a publish and another queue, gets them in any
//     order; the talk ends before such a step (see race).
//   - A quorum queue with reject-publish notices late that it is full; it is sent one message a step.
//   - A queue that is gone is not declared again: channels that used it fail (541), or have the new one fail, when they
//     settle what they got from the old one.
//   - A consumer without acks of a quorum queue has no prefetch: its credit comes back some time after the delivery.
//   - On 4.3, consumers of a quorum queue with a single active one have no priorities: when the channel of an active one
//     ends that was to hand over, 4.3.6 makes it active again, and the queue stands still for ever.
//   - A time to live is an hour; or, in a talk all of whose steps are followed by a wait of 600 ms, 150 ms.
//
// Left out, for they depend on the time or on what is written behind: streams, x-expires, at-least-once dead-lettering,
// delayed retries and timeouts of consumers.
type talk struct {
	version  string
	memory   *memory
	conv     *scenario.Conversation
	lines    []string
	safe     int // how many of lines are without a race
	places   map[string]*place
	declared map[string]bool // queues, by name
	short    bool            // there are short times to live
	single   bool            // there is a quorum queue that refuses
	ended    bool            // a channel or a connection did, since the last settle
	messages int
	tags     int
	traced   uint64
	race     string
}

// place is a channel.
type place struct {
	name     string
	held     []uint64 // delivery tags that are not settled
	settling []uint64 // those that are when the transaction ends
	queue    string   // that it consumes from
	tags     []string
	noAck    map[string]bool
	prefetch int
	confirms bool
	tx       bool
	shut     bool // the channel is
	lost     bool // the connection is
}

// The channels: those of a publish, confirm and commit; the others consume. All may get, settle and publish.
var (
	publishers = []string{"a.1", "a.2"}
	consumers  = []string{"b.1", "b.2", "c.1", "d.1"}
)

func newTalk(version string, m *memory) *talk {
	k := &talk{version: version, memory: m, conv: scenario.Begin(m.target), places: map[string]*place{}, declared: map[string]bool{}}
	for _, name := range slices.Concat(publishers, consumers) {
		k.places[name] = &place{name: name, noAck: map[string]bool{}}
	}
	return k
}

// say plays a step.
func (k *talk) say(t *rapid.T, format string, args ...any) {
	if k.race != "" {
		return
	}
	line := fmt.Sprintf(format, args...)
	k.lines = append(k.lines, line)
	seen, err := k.conv.Say(t.Context(), line)
	if err != nil {
		t.Fatalf("amqptest: %s: %v", line, err)
	}
	at := "a.1"
	if rest, ok := strings.CutPrefix(line, "on "); ok {
		at, _, _ = strings.Cut(rest, " ")
	}
	for _, s := range seen[1:] {
		k.note(at, strings.Contains(line, " no-ack"), strings.TrimPrefix(s, "  "))
	}
}

var (
	placed    = regexp.MustCompile(`^\[([^\]]+)\] (.*)$`)
	delivered = regexp.MustCompile(`^basic\.(deliver (\S+)|get-ok) (\d+) `)
)

// note takes in one line of the transcript.
func (k *talk) note(at string, noAck bool, line string) {
	if m := placed.FindStringSubmatch(line); m != nil {
		at, line = m[1], m[2]
	}
	conn, _, _ := strings.Cut(at, ".")
	p := k.places[at]
	switch m := delivered.FindStringSubmatch(line); {
	case strings.HasPrefix(line, "connection.close"), strings.HasPrefix(line, "(end of"):
		k.drop(conn)
		k.ended = true
	case p == nil:
	case m != nil && m[2] == "" && noAck:
	case m != nil && !p.noAck[m[2]]:
		tag, _ := strconv.ParseUint(m[3], 10, 64)
		p.held = append(p.held, tag)
	case strings.HasPrefix(line, "channel.close"):
		*p = place{name: p.name, noAck: map[string]bool{}, shut: true}
		k.ended = true
	case strings.HasPrefix(line, "basic.cancel "):
		p.forget(strings.Fields(line)[1])
	}
}

// drop notes the end of a connection.
func (k *talk) drop(conn string) {
	if !k.mayEnd(conn) {
		k.race = "channels of a connection"
	}
	for name, p := range k.places {
		if strings.HasPrefix(name, conn+".") {
			*p = place{name: p.name, noAck: map[string]bool{}, lost: true}
		}
	}
}

// mayEnd tells whether one channel at most of a connection has something of a queue.
func (k *talk) mayEnd(conn string) bool {
	return len(k.placesWith(func(p *place) bool { return strings.HasPrefix(p.name, conn) && p.busy() })) <= 1
}

func (p *place) forget(tag string) {
	p.tags = slices.DeleteFunc(p.tags, func(other string) bool { return other == tag })
	if len(p.tags) == 0 {
		p.queue = ""
	}
}

func (p *place) busy() bool { return len(p.tags)+len(p.held)+len(p.settling) > 0 }

// open sees to it that the channel is.
func (k *talk) open(t *rapid.T, p *place) {
	conn, _, _ := strings.Cut(p.name, ".")
	if p.lost {
		k.say(t, "connect %s", conn)
		for name, other := range k.places {
			if strings.HasPrefix(name, conn+".") {
				other.lost, other.shut = false, false
			}
		}
	}
	if p.shut {
		k.say(t, "on %s channel.open", p.name)
		p.shut = false
	}
}

// settle ends a step that set something off.
func (k *talk) settle(t *rapid.T) {
	if k.short {
		k.say(t, "wait 600ms")
	}
	if k.race != "" {
		return
	}
	k.ended = true
	for k.ended {
		// The end of a channel is answered when all is quiet, and may set off more.
		k.ended = false
		k.say(t, "settle")
	}
	k.sync(t)
}

// sync ends a step that is over when it is answered, unless it ended a channel.
func (k *talk) sync(t *rapid.T) {
	if k.ended {
		k.settle(t)
		return
	}
	if k.race == "" {
		k.race = k.racing()
	}
	if k.race == "" {
		k.safe = len(k.lines)
	}
}

// racing tells which queue got messages from two sides since it was called last; "": none.
func (k *talk) racing() string {
	from := map[string]map[string]bool{}
	add := func(queues []string, source string) {
		for _, q := range queues {
			if from[q] == nil {
				from[q] = map[string]bool{}
			}
			from[q][source] = true
		}
	}
	for _, e := range k.memory.broker.Trace(func(e amqptest.Event) bool { return e.Seq > k.traced }) {
		k.traced = e.Seq
		switch e.Kind {
		case amqptest.EventPublished:
			add(e.Queues, "publish")
		case amqptest.EventDeadLettered:
			add(e.Queues, "queue "+e.Queue)
		case amqptest.EventRequeued:
			add([]string{e.Queue}, "back")
		}
	}
	for q, sources := range from {
		if len(sources) > 1 {
			return q
		}
	}
	return ""
}

// end empties what queues are left: the transcript then has all that is in them.
func (k *talk) end(t *rapid.T) {
	for _, q := range k.memory.broker.Queues(memoryVHost) {
		if q.Exclusive {
			continue
		}
		k.say(t, "on z queue.declare %s passive", q.Name)
		if q.Type == "quorum" && q.Arguments["x-single-active-consumer"] == true {
			continue // knows no basic.get
		}
		for range q.Ready + 1 {
			k.say(t, "on z basic.get %s no-ack", q.Name)
			k.settleQuietly(t, q)
		}
	}
	k.settle(t)
}

// settleQuietly lets a basic.get take effect where it may set something off.
func (k *talk) settleQuietly(t *rapid.T, q amqptest.QueueInfo) {
	if q.Consumers > 0 || q.Type == "quorum" {
		k.say(t, "settle")
	}
}

// script is what was said, as far as it is without races.
func (k *talk) script() string { return strings.Join(k.lines[:k.safe], "\n") + "\n" }

package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// transcript collects what a script saw. Names that the broker or the target made up are replaced in it.
type transcript struct {
	lines   []string
	step    step
	places  []string // of the step's events, in the order of their first
	events  map[string][]shown
	aliases []alias
	numbers map[string]int // of made-up names, by kind
}

// shown is one event's lines, or one confirm.
type shown struct {
	lines []string
	tags  []uint64
	acked bool
}

type alias struct{ real, name string }

// madeUp are names that a broker gives to queues, consumers and those who wait for replies.
var madeUp = regexp.MustCompile(`amq\.(?:(gen|ctag)-[A-Za-z0-9_-]{22}|rabbitmq\.(reply-to)\.[A-Za-z0-9+/=._-]+)`)

func newTranscript(t Target) *transcript {
	return &transcript{
		events: map[string][]shown{}, numbers: map[string]int{},
		aliases: []alias{{t.Password, "<password>"}, {t.User, "<user>"}, {t.VHost, "<vhost>"}}, // the last is replaced first
	}
}

func (t *transcript) begin(st step) {
	t.step = st
	t.lines = append(t.lines, "> "+st.text)
}

// add notes an event's lines. The channel is named where it is not the step's own.
func (t *transcript) add(c *conn, channel uint16, lines ...string) {
	t.note(c, channel, shown{lines: lines})
}

func (t *transcript) confirm(c *conn, channel uint16, tags []uint64, acked bool) {
	t.note(c, channel, shown{tags: tags, acked: acked})
}

func (t *transcript) note(c *conn, channel uint16, s shown) {
	where := ""
	if c.name != t.step.conn || channel != t.step.channel {
		where = fmt.Sprintf("[%s.%d] ", c.name, channel)
	}
	if !slices.Contains(t.places, where) {
		t.places = append(t.places, where)
	}
	t.events[where] = append(t.events[where], s)
}

// line adds a line that is no event of a channel.
func (t *transcript) line(text string) { t.lines = append(t.lines, "  "+t.clean(text)) }

// flush writes the step's events, channel by channel.
func (t *transcript) flush() {
	for _, where := range t.places {
		for _, line := range inOrder(t.events[where]) {
			t.line(where + line)
		}
	}
	t.places = nil
	clear(t.events)
}

// inOrder lists the lines of events. Several confirms come last and in the order of their tags: a broker gives them in
// any order, and one for many or one by one.
func inOrder(events []shown) []string {
	confirms := 0
	for _, e := range events {
		confirms += len(e.tags)
	}
	var lines []string
	var acked, nacked []uint64
	for _, e := range events {
		switch {
		case e.tags == nil:
			lines = append(lines, e.lines...)
		case confirms == 1:
			lines = append(lines, confirmText(e.tags, e.acked))
		case e.acked:
			acked = append(acked, e.tags...)
		default:
			nacked = append(nacked, e.tags...)
		}
	}
	if len(acked) > 0 {
		lines = append(lines, confirmText(acked, true))
	}
	if len(nacked) > 0 {
		lines = append(lines, confirmText(nacked, false))
	}
	return lines
}

func confirmText(tags []uint64, acked bool) string {
	slices.Sort(tags)
	name := "basic.nack"
	if acked {
		name = "basic.ack"
	}
	return name + " " + strings.Trim(fmt.Sprint(tags), "[]")
}

func (t *transcript) text() string { return strings.Join(t.lines, "\n") + "\n" }

// clean replaces what differs from broker to broker.
func (t *transcript) clean(text string) string {
	text = strings.ReplaceAll(text, "\n", `\n`) // some reply texts have several lines
	for _, found := range madeUp.FindAllStringSubmatch(text, -1) {
		t.number(found[0], found[1]+found[2])
	}
	for _, a := range slices.Backward(t.aliases) {
		if a.real != "" {
			text = strings.ReplaceAll(text, a.real, a.name)
		}
	}
	return text
}

func (t *transcript) number(name, kind string) {
	if slices.ContainsFunc(t.aliases, func(a alias) bool { return a.real == name }) {
		return
	}
	t.numbers[kind]++
	t.alias(name, fmt.Sprintf("<%s-%d>", kind, t.numbers[kind]))
}

// alias shows name for real from now on, and lets scripts say name.
func (t *transcript) alias(real, name string) {
	t.aliases = append(t.aliases, alias{real, name})
}

// resolve is what a script's name stands for.
func (t *transcript) resolve(text string) string {
	for _, a := range t.aliases {
		if a.name == text {
			return a.real
		}
	}
	return text
}

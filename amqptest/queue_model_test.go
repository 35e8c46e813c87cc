package amqptest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/internal/wire"
)

// Whatever clients do, each message is in one place: ready, out at a channel,
// acked, or dead; and all counts agree.
func TestNoMessageIsLostOrDoubled(t *testing.T) {
	queues := [][]any{
		nil,
		{"x-max-priority", int32(5)},
		{"x-single-active-consumer", true},
		{"x-queue-type", "quorum", "x-delivery-limit", int32(3)},
		{"x-queue-type", "quorum", "x-delivery-limit", int32(-1)},
		{"x-queue-type", "quorum", "x-single-active-consumer", true},
	}
	rapid.Check(t, func(rt *rapid.T) {
		v := rapid.SampledFrom(allVersions).Draw(rt, "version")
		conserve(t, rt, v, rapid.SampledFrom(queues).Draw(rt, "arguments"))
	})
}

// conservation is one run of TestNoMessageIsLostOrDoubled.
type conservation struct {
	d         *driver
	out       map[string]string // "channel tag": body
	open      []uint16
	consumers []string // "channel tag"
	next      int
	finished  map[string]bool // acked, or taken without ack
	all       map[string]bool
}

func conserve(t *testing.T, rt *rapid.T, v Version, args []any) {
	b := Config{Version: v, Trace: -1}.New(t)
	defer b.Close()
	d := &driver{T: t, b: b, r: dialRaw(t, b), opened: []uint16{1, control}}
	defer d.r.nc.Close() // or the broker would wait for its answer
	d.r.open(control)
	d.declare("q", append(slices.Clone(args), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters")...)
	d.declare("letters")
	s := &conservation{d: d, out: map[string]string{}, open: []uint16{1, 2, 3}, finished: map[string]bool{}, all: map[string]bool{}}
	steps := rapid.IntRange(5, 15).Draw(rt, "steps")
	for range steps {
		s.step(rt)
		s.check(rt)
	}
}

func (s *conservation) step(rt *rapid.T) {
	ch := rapid.SampledFrom(s.open).Draw(rt, "channel")
	switch rapid.SampledFrom([]string{"publish", "consume", "cancel", "get", "settle", "settle", "settle", "close"}).Draw(rt, "op") {
	case "publish":
		var bodies []string
		for range rapid.IntRange(1, 5).Draw(rt, "n") {
			s.next++
			body := fmt.Sprint("m", s.next)
			s.all[body] = true
			bodies = append(bodies, fmt.Sprintf("%d!%s", rapid.IntRange(0, 9).Draw(rt, "priority"), body))
		}
		s.took(s.d.publish(bodies...))
	case "consume":
		s.next++
		tag := fmt.Sprint("c", s.next)
		s.consumers = append(s.consumers, fmt.Sprint(ch, " ", tag))
		s.took(s.d.consume(ch, tag, uint16(rapid.IntRange(0, 4).Draw(rt, "prefetch")), "x-priority", int32(rapid.IntRange(0, 1).Draw(rt, "rank"))))
	case "cancel":
		if len(s.consumers) == 0 {
			return
		}
		i := rapid.IntRange(0, len(s.consumers)-1).Draw(rt, "which")
		channel, tag, _ := strings.Cut(s.consumers[i], " ")
		s.consumers = slices.Delete(s.consumers, i, i+1)
		var n uint16
		_, _ = fmt.Sscan(channel, &n)
		s.took(s.d.do(n, cancel(tag)))
	case "get":
		if info, _ := s.d.b.Queue("/", "q"); info.Type == "quorum" && info.Arguments["x-single-active-consumer"] == true {
			return
		}
		s.took(s.d.do(ch, get()))
	case "settle":
		s.settle(rt, ch)
	case "close":
		prefix := fmt.Sprint(ch, " ")
		for key := range s.out {
			if strings.HasPrefix(key, prefix) {
				delete(s.out, key)
			}
		}
		s.consumers = slices.DeleteFunc(s.consumers, func(c string) bool { return strings.HasPrefix(c, prefix) })
		s.took(s.d.do(ch, closeChannel()))
	}
}

func (s *conservation) settle(rt *rapid.T, ch uint16) {
	var tags []uint64
	for key := range s.out {
		var c uint16
		var tag uint64
		_, _ = fmt.Sscan(key, &c, &tag)
		if c == ch {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return
	}
	slices.Sort(tags)
	tag := rapid.SampledFrom(tags).Draw(rt, "tag")
	multiple := rapid.Bool().Draw(rt, "multiple")
	how := rapid.SampledFrom([]string{"ack", "back", "away"}).Draw(rt, "how")
	for _, t := range tags {
		if t == tag || multiple && t < tag {
			key := fmt.Sprint(ch, " ", t)
			if how == "ack" {
				s.finished[s.out[key]] = true
			}
			delete(s.out, key)
		}
	}
	if how == "ack" {
		s.took(s.d.do(ch, &wire.BasicAck{DeliveryTag: tag, Multiple: multiple}))
		return
	}
	s.took(s.d.do(ch, &wire.BasicNack{DeliveryTag: tag, Multiple: multiple, Requeue: how == "back"}))
}

// took notes deliveries.
func (s *conservation) took(got []string) {
	for _, line := range got {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] == "closed" {
			continue
		}
		s.out[f[0]+" "+f[2]] = strings.TrimSuffix(f[3], "+")
	}
}

func (s *conservation) check(rt *rapid.T) {
	where := map[string]string{}
	put := func(body, place string) {
		if was, ok := where[body]; ok {
			rt.Fatalf("%s is %s and %s", body, was, place)
		}
		where[body] = place
	}
	for _, m := range s.d.b.Messages("/", "q") {
		put(string(m.Body), "ready")
	}
	for _, m := range s.d.b.Messages("/", "letters") {
		put(string(m.Body), "dead")
	}
	for _, body := range s.out {
		put(body, "out")
	}
	for body := range s.finished {
		put(body, "acked")
	}
	for body := range s.all {
		if where[body] == "" {
			rt.Fatalf("%s is lost", body)
		}
	}
	if len(where) != len(s.all) {
		rt.Fatalf("%d messages, %d were published", len(where), len(s.all))
	}
	unacked := s.d.b.Unacked("/", "q")
	info, _ := s.d.b.Queue("/", "q")
	if len(unacked) != len(s.out) || info.Unacked != len(s.out) {
		rt.Fatalf("%d unacked, counted %d, want %d", len(unacked), info.Unacked, len(s.out))
	}
	held := 0
	for _, c := range s.d.b.Consumers("/") {
		held += c.Unacked
	}
	if held > len(s.out) {
		rt.Fatalf("consumers hold %d of %d", held, len(s.out))
	}
}

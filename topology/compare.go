package topology

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// difference is one way in which what exists is not what was wanted.
type difference struct {
	argument   string // as MismatchError has it
	want, have string
	// weaker is why what exists keeps less of the guarantee, or does something else
	// than the topology was checked for; "" is that it does not.
	weaker string
}

// compareQueue lists all differences. What policies add counts as arguments.
func compareQueue(want Queue, have liveQueue) []difference {
	want = want.withDefaults()
	var all []difference
	add := func(argument string, w, h any, weaker string) {
		if w != h {
			all = append(all, difference{argument, fmt.Sprint(w), fmt.Sprint(h), weaker})
		}
	}
	add("x-queue-type", want.Type, have.Type, "it is of another type")
	add("durable", !want.Transient, have.Durable, reason(!have.Durable, "it is gone when the broker restarts"))
	add("auto_delete", want.AutoDelete, have.AutoDelete, reason(have.AutoDelete, "it is deleted when its last consumer goes"))
	add("exclusive", want.Exclusive, have.Exclusive, reason(have.Exclusive, "it is another connection's alone"))
	effective, policies := have.effective()
	c := comparison{want.Type, canonical(want.arguments()), effective}
	names := slices.Collect(maps.Keys(c.want))
	names = slices.AppendSeq(names, maps.Keys(c.have))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		w, h := c.want[name], c.have[name]
		if name == "x-queue-type" || equalArgument(name, w, h) {
			continue
		}
		shown := name
		if p := policies[name]; p != "" {
			shown += " (by " + p + ")"
		}
		all = append(all, difference{shown, orNone(w), orNone(h), c.weaker(name)})
	}
	return all
}

func reason(applies bool, text string) string {
	if applies {
		return text
	}
	return ""
}

func orNone(v any) string {
	if v == nil {
		return "none"
	}
	return fmt.Sprint(v)
}

// equalArgument reports whether two values mean the same to RabbitMQ.
func equalArgument(name string, a, b any) bool {
	if name == "x-max-age" {
		x, okX := ageOf(a)
		y, okY := ageOf(b)
		return okX == okY && x == y
	}
	return reflect.DeepEqual(a, b)
}

// ageOf reads x-max-age, such as 7D.
func ageOf(v any) (time.Duration, bool) {
	s, _ := v.(string)
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'Y': 365 * day, 'M': 30 * day, 'D': day, 'h': time.Hour, 'm': time.Minute, 's': time.Second}
	if len(s) < 2 || units[s[len(s)-1]] == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 32)
	return time.Duration(n) * units[s[len(s)-1]], err == nil
}

// effective are the arguments, and what policies make of them: the smaller one of two
// numbers, else the argument. by names the policies behind a value.
func (q liveQueue) effective() (args table, by map[string]string) {
	args, by = maps.Clone(q.Arguments), make(map[string]string)
	if args == nil {
		args = table{}
	}
	for key, value := range q.ByPolicy {
		name := "x-" + key
		if _, known := argumentOf(name); !known {
			continue
		}
		own, given := args[name]
		a, aNumber := own.(int64)
		b, bNumber := value.(int64)
		if given && (!aNumber || !bNumber || b >= a) {
			continue
		}
		args[name] = value
		by[name] = q.policies()
	}
	return args, by
}

// policies names the policies that apply to q.
func (q liveQueue) policies() string {
	var names []string
	if q.Policy != "" {
		names = append(names, fmt.Sprintf("policy %q", q.Policy))
	}
	if q.Operator != "" {
		names = append(names, fmt.Sprintf("operator policy %q", q.Operator))
	}
	return orElse(strings.Join(names, ", "), "a policy")
}

// comparison is of the arguments of two queues of one type.
type comparison struct {
	typ        QueueType
	want, have table
}

// What RabbitMQ does where there is no argument.
const (
	defaultDeliveryLimit   = 20 // since 4.0
	defaultConsumerTimeout = int64(30 * time.Minute / time.Millisecond)
	defaultGroupSize       = 3
)

// weaker is why the value that exists is worse than the one wanted; "" is that it is
// not. Both differ.
func (c comparison) weaker(name string) string {
	w, wanted := c.want[name].(int64)
	h, has := c.have[name].(int64)
	lower := has && (!wanted || h < w)
	switch name {
	case "x-message-ttl":
		return reason(lower, "messages expire earlier")
	case "x-expires":
		return reason(lower, "it is deleted earlier, and its messages with it")
	case "x-max-length", "x-max-length-bytes":
		return reason(lower, c.full())
	case "x-max-age":
		x, wanted := ageOf(c.want[name])
		y, has := ageOf(c.have[name])
		return reason(has && (!wanted || y < x), "messages are dropped earlier")
	case "x-overflow":
		return c.overflow()
	case "x-dead-letter-exchange", "x-dead-letter-routing-key":
		return "dead letters go elsewhere, or are deleted"
	case "x-dead-letter-strategy":
		return reason(c.want[name] == string(AtLeastOnce), "dead letters are sent once and may get lost")
	case "x-delivery-limit":
		return c.limit()
	}
	return c.weakerService(name)
}

// weakerService is weaker for what no message is lost by.
func (c comparison) weakerService(name string) string {
	w, wanted := c.want[name].(int64)
	h, has := c.have[name].(int64)
	switch name {
	case "x-consumer-timeout":
		if !has {
			h = defaultConsumerTimeout
		}
		if !wanted {
			w = defaultConsumerTimeout
		}
		return reason(h < w, "deliveries are taken back earlier")
	case "x-max-priority":
		if c.have["x-message-ttl"] != nil && !wanted {
			return "only the head of a priority queue expires (F 20)"
		}
		return reason(wanted && (!has || h < w), "higher priorities count as one")
	case "x-single-active-consumer":
		return reason(c.want[name] == true, "several consumers are served at once")
	case "x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max":
		return "what comes back waits otherwise"
	case "x-quorum-initial-group-size", "x-initial-cluster-size":
		return reason(c.smaller(name), "it has fewer replicas")
	}
	return ""
}

// limit: RabbitMQ 4.x takes no limit for 20, and 3.10 takes -1 for 0.
func (c comparison) limit() string {
	w, wanted := c.want["x-delivery-limit"].(int64)
	h, has := c.have["x-delivery-limit"].(int64)
	if !has {
		h = defaultDeliveryLimit
	}
	return reason(!wanted || h < w, fmt.Sprintf("a message is given up after %d returns", max(h, 0)))
}

// smaller: where nothing is said a quorum queue is on 3 nodes, and a stream on all.
func (c comparison) smaller(name string) bool {
	w, wanted := c.want[name].(int64)
	h, has := c.have[name].(int64)
	if name == "x-initial-cluster-size" {
		return has && (!wanted || h < w)
	}
	if !has {
		h = defaultGroupSize
	}
	if !wanted {
		w = defaultGroupSize
	}
	return h < w
}

func (c comparison) full() string {
	switch {
	case c.typ == Stream:
		return "messages are dropped earlier"
	case c.have["x-overflow"] == string(RejectPublish):
		return "it is full earlier, and then refuses messages and holds up a shared ladder"
	}
	return "it is full earlier, and then drops messages"
}

func (c comparison) overflow() string {
	switch {
	case c.have["x-overflow"] == string(RejectPublish):
		return ""
	case c.have["x-max-length"] != nil || c.have["x-max-length-bytes"] != nil:
		return "it drops messages when it is full"
	}
	return reason(c.want["x-dead-letter-strategy"] == string(AtLeastOnce), "without reject-publish dead letters are sent once and may get lost (H 6)")
}

// compareExchange lists all differences.
func compareExchange(want Exchange, have liveExchange) []difference {
	want = want.withDefaults()
	var all []difference
	add := func(argument string, w, h any, weaker string) {
		if !reflect.DeepEqual(w, h) {
			all = append(all, difference{argument, orNone(w), orNone(h), weaker})
		}
	}
	add("type", want.Kind, have.Type, "it routes otherwise")
	add("durable", !want.Transient, have.Durable, reason(!have.Durable, "it is gone when the broker restarts"))
	add("auto_delete", want.AutoDelete, have.AutoDelete, reason(have.AutoDelete, "it is deleted when its last binding goes"))
	add("internal", want.Internal, have.Internal, reason(have.Internal, "it refuses what is published to it"))
	wanted := canonical(want.arguments())
	names := slices.Collect(maps.Keys(wanted))
	names = slices.AppendSeq(names, maps.Keys(have.Arguments))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		weaker := "it routes otherwise"
		if name == "alternate-exchange" {
			weaker = "what it can route nowhere goes elsewhere"
		}
		add(name, wanted[name], have.Arguments[name], weaker)
	}
	return all
}

package topology

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// argument is one of RabbitMQ's queue arguments that has a field of Queue, which is
// where the checks look for it.
type argument struct {
	name  string // x-message-ttl
	field string // TTL
	types []QueueType
	// value is what to declare q with; nil when the field is not set.
	value func(q Queue) any
	// refusal is what becomes of it on other types; "" is that all releases refuse it.
	refusal string
}

// typedArguments are all arguments with a field, but for x-queue-type. Of those which
// older releases do not know, they store the value and compare nothing: so that it is
// the same set on all (R 23).
func typedArguments() []argument {
	const newer = "RabbitMQ 4.3 refuses it, and older ones ignore it"
	all := []QueueType{Quorum, Classic, Stream}
	replicated := []QueueType{Quorum, Stream}
	work := []QueueType{Quorum, Classic}
	quorum := []QueueType{Quorum}
	classic := []QueueType{Classic}
	stream := []QueueType{Stream}
	return []argument{
		{"x-dead-letter-exchange", "DeadLetterExchange", work, func(q Queue) any { return q.deadLetterExchange() }, ""},
		{"x-dead-letter-routing-key", "DeadLetterKey", work, func(q Queue) any { return text(q.DeadLetterKey) }, ""},
		{"x-dead-letter-strategy", "DeadLetterStrategy", quorum, func(q Queue) any { return text(q.DeadLetterStrategy) }, ""},
		{"x-overflow", "Overflow", work, func(q Queue) any { return text(q.Overflow) }, ""},
		{"x-message-ttl", "TTL", work, func(q Queue) any { return millis(q.TTL) }, ""},
		{"x-expires", "Expires", work, func(q Queue) any { return millis(q.Expires) }, ""},
		{"x-max-length", "MaxLength", work, func(q Queue) any { return number(q.MaxLength) }, ""},
		{"x-max-length-bytes", "MaxBytes", all, func(q Queue) any { return number(q.MaxBytes) }, ""},
		{"x-delivery-limit", "DeliveryLimit", quorum, func(q Queue) any { return number(q.DeliveryLimit) }, ""},
		{"x-max-priority", "MaxPriority", classic, func(q Queue) any { return number(int64(q.MaxPriority)) }, ""},
		{"x-single-active-consumer", "SingleActive", work, func(q Queue) any { return flag(q.SingleActive) }, ""},
		{"x-consumer-timeout", "ConsumerTimeout", quorum, func(q Queue) any { return millis(q.ConsumerTimeout) }, newer},
		{"x-consumer-disconnected-timeout", "DisconnectedTimeout", quorum, func(q Queue) any { return millis(q.DisconnectedTimeout) }, newer},
		{"x-delayed-retry-type", "DelayedRetry", quorum, func(q Queue) any { return text(q.DelayedRetry) }, newer},
		{"x-delayed-retry-min", "DelayedRetryMin", quorum, func(q Queue) any { return millis(q.DelayedRetryMin) }, newer},
		{"x-delayed-retry-max", "DelayedRetryMax", quorum, func(q Queue) any { return millis(q.DelayedRetryMax) }, newer},
		{"x-queue-leader-locator", "LeaderLocator", replicated, func(q Queue) any { return text(q.LeaderLocator) }, "RabbitMQ 3.10 refuses it"},
		{"x-quorum-initial-group-size", "InitialGroupSize", quorum, func(q Queue) any { return q.groupSize(Quorum) }, ""},
		{"x-initial-cluster-size", "InitialGroupSize", stream, func(q Queue) any { return q.groupSize(Stream) }, ""},
		{"x-max-age", "MaxAge", stream, func(q Queue) any { return age(q.MaxAge) }, ""},
		{"x-stream-max-segment-size-bytes", "SegmentBytes", stream, func(q Queue) any { return number(q.SegmentBytes) }, ""},
		{"x-stream-filter-size-bytes", "FilterBytes", stream, func(q Queue) any { return number(q.FilterBytes) }, ""},
	}
}

func (q Queue) deadLetterExchange() any {
	if q.DeadLetterExchange == DefaultExchange {
		return ""
	}
	return text(q.DeadLetterExchange)
}

// groupSize: one field for the argument that quorum queues and streams each have under
// a name of its own. On classic queues it is shown as the quorum queues' one.
func (q Queue) groupSize(t QueueType) any {
	if (q.Type == Stream) != (t == Stream) {
		return nil
	}
	return number(int64(q.InitialGroupSize))
}

func text[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

func number(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

func millis(d time.Duration) any { return number(d.Milliseconds()) }

func flag(set bool) any {
	if !set {
		return nil
	}
	return true
}

// age is d as x-max-age has it, by its largest whole unit: releases before 4.3 compare
// the text, so the choice must stay.
func age(d time.Duration) any {
	if d == 0 {
		return nil
	}
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"D", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if d%u.of == 0 {
			return fmt.Sprintf("%d%s", d/u.of, u.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func argumentOf(name string) (argument, bool) {
	for _, a := range typedArguments() {
		if a.name == name {
			return a, true
		}
	}
	return argument{}, false
}

// checkTypes refuses fields that queues of this type do not have.
func (q Queue) checkTypes(r *report) {
	for _, a := range typedArguments() {
		if slices.Contains(a.types, q.Type) || a.value(q) == nil {
			continue
		}
		r.add(q.entity(), fmt.Sprintf("%s is for %s queues: %s on %s (H 7, F 15)",
			a.field, list(a.types, " and "), orElse(a.refusal, "RabbitMQ refuses it"), q.Type),
			"clear it, or set Type to "+list(capitals(a.types), " or "))
	}
}

func list[T ~string](all []T, and string) string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = string(one)
	}
	return strings.Join(names, and)
}

// capitals are the types by the names of their constants.
func capitals(types []QueueType) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = strings.ToUpper(string(t[:1])) + string(t[1:])
	}
	return names
}

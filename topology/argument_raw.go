package topology

import (
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// rawArgument is an argument RabbitMQ knows that has no field, because current releases
// ignore it or because it is for operators.
type rawArgument struct {
	name  string
	types []QueueType
	// wants says what the value must be; fits whether it is.
	wants string
	fits  func(value any) bool
}

// rawArguments are all of them. Any other RabbitMQ accepts and ignores, also when it
// compares declarations (H 7).
func rawArguments() []rawArgument {
	quorum, classic := []QueueType{Quorum}, []QueueType{Classic}
	return []rawArgument{
		{"x-max-in-memory-bytes", quorum, "a whole number, not negative", atLeast(0)},
		{"x-max-in-memory-length", quorum, "a whole number, not negative", atLeast(0)},
		{"x-quorum-target-group-size", quorum, "a whole number above 0", atLeast(1)},
		{"x-queue-mode", classic, `"default" or "lazy"`, func(v any) bool { return v == "default" || v == "lazy" }},
		{"x-queue-version", classic, "2: RabbitMQ 4.3 refuses 1 (F 15)", func(v any) bool { n, ok := whole(v); return ok && n == 2 }},
	}
}

func atLeast(least int64) func(any) bool {
	return func(v any) bool { n, ok := whole(v); return ok && n >= least }
}

// whole reads an integer of any type that a table may hold.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int8:
		return int64(n), true
	case int16:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	case uint8:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	}
	return 0, false
}

// argumentFault says what is wrong with a raw argument; "" is nothing.
func (q Queue) argumentFault(name string, value any) (problem, fix string) {
	if name == "x-queue-type" {
		return "it has a field of its own", "use the field Type"
	}
	if a, ok := argumentOf(name); ok {
		return "it has a field of its own", "use the field " + a.field
	}
	for _, a := range rawArguments() {
		switch {
		case a.name != name:
		case !slices.Contains(a.types, q.Type):
			return fmt.Sprintf("it is not for %s queues", q.Type), "remove it, or change Type"
		case !a.fits(value):
			return fmt.Sprintf("the value is %v", value), "set it to " + a.wants
		default:
			return "", ""
		}
	}
	return unknownArgument(name)
}

// unknownArgument is what is wrong with one that no queue has.
func unknownArgument(name string) (problem, fix string) {
	candidates := []string{"x-queue-type"}
	for _, a := range typedArguments() {
		candidates = append(candidates, a.name)
	}
	for _, a := range rawArguments() {
		candidates = append(candidates, a.name)
	}
	switch {
	case strings.Contains(name, "retries") || strings.Contains(name, "retry-count"):
		return "RabbitMQ knows no such argument and ignores it: nothing would be retried, or stop being retried",
			"remove it, and give the number of retries to the retry policy of the consumer"
	case name == "x-queue-master-locator":
		return "RabbitMQ 4.3 closes the connection on it (F 16)", "remove it; for quorum queues and streams use the field LeaderLocator"
	case strings.HasPrefix(name, "x-ha-"):
		return "mirrored queues were set by policy, and RabbitMQ 4.0 has none", "remove it: a quorum queue is replicated"
	case name == "x-stream-offset" || name == "x-priority" || name == "x-cancel-on-ha-failover":
		return "it is an argument of consumers, and RabbitMQ ignores it here", "give it to basic.consume"
	}
	return "RabbitMQ knows no such argument, and would ignore it" + didYouMean(name, candidates),
		"correct or remove it; or, if a plugin or a newer broker knows it, move it to Unchecked"
}

// setArguments puts the typed arguments of q into args.
func (q Queue) setArguments(args amqp.Table) {
	args["x-queue-type"] = string(q.Type)
	for _, a := range typedArguments() {
		if v := a.value(q); v != nil {
			args[a.name] = v
		}
	}
}

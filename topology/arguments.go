package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// typedArguments are those with a field of Queue, which is where the checks look for
// them: pairs of argument and field.
func typedArguments() [][2]string {
	return [][2]string{
		{"x-queue-type", "Type"},
		{"x-dead-letter-exchange", "DeadLetterExchange"},
		{"x-dead-letter-routing-key", "DeadLetterKey"},
		{"x-dead-letter-strategy", "DeadLetterStrategy"},
		{"x-overflow", "Overflow"},
		{"x-message-ttl", "TTL"},
		{"x-expires", "Expires"},
		{"x-max-length", "MaxLength"},
		{"x-max-length-bytes", "MaxBytes"},
		{"x-delivery-limit", "DeliveryLimit"},
		{"x-max-priority", "MaxPriority"},
		{"x-single-active-consumer", "SingleActive"},
	}
}

func fieldOf(argument string) (field string, ok bool) {
	for _, t := range typedArguments() {
		if t[0] == argument {
			return t[1], true
		}
	}
	return "", false
}

// knownArguments are further arguments RabbitMQ knows, by queue type. All others it
// accepts and ignores, also when it compares declarations (H 7).
func knownArguments(t QueueType) []string {
	if t == Classic {
		return []string{"x-queue-leader-locator", "x-queue-mode", "x-queue-version"}
	}
	return []string{"x-max-in-memory-bytes", "x-max-in-memory-length", "x-queue-leader-locator",
		"x-quorum-initial-group-size", "x-quorum-target-group-size"}
}

func (q Queue) checkArguments(r *report) {
	checkTable(r, q.entity(), "Arguments", q.Arguments)
	checkTable(r, q.entity(), "Unchecked", q.Unchecked)
	for _, name := range slices.Sorted(maps.Keys(q.Unchecked)) {
		if field, ok := fieldOf(name); ok {
			r.add(q.entity(), fmt.Sprintf("argument %s would get past the checks", name), "use the field "+field)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.Arguments)) {
		if problem, fix := q.argumentFault(name); problem != "" {
			r.add(q.entity(), fmt.Sprintf("argument %s: %s", name, problem), fix)
		}
	}
}

// argumentFault says what is wrong with a raw argument; "" is nothing.
func (q Queue) argumentFault(name string) (problem, fix string) {
	if field, ok := fieldOf(name); ok {
		return "it has a field of its own", "use the field " + field
	}
	known := knownArguments(q.Type)
	switch {
	case slices.Contains(known, name):
		return "", ""
	case strings.Contains(name, "retries") || strings.Contains(name, "retry-count"):
		return "RabbitMQ knows no such argument and ignores it: nothing would be retried, or stop being retried",
			"remove it, and give the number of retries to the retry policy of the consumer"
	case strings.HasPrefix(name, "x-delayed-retry-") || name == "x-consumer-timeout":
		return "RabbitMQ before 4.3 ignores it, and 4.3 refuses to add it to a queue that exists (R 23)",
			"set it by a policy; or, if it will never change, in Unchecked"
	case name == "x-queue-master-locator":
		return "RabbitMQ 4.3 closes the connection on it", "use x-queue-leader-locator"
	case slices.Contains(knownArguments(other(q.Type)), name):
		return fmt.Sprintf("it is not for %s queues", q.Type), "remove it, or change Type"
	}
	candidates := known
	for _, t := range typedArguments() {
		candidates = append(candidates, t[0])
	}
	return "RabbitMQ knows no such argument, and would ignore it" + didYouMean(name, candidates),
		"correct or remove it; or, if a plugin or a newer broker knows it, move it to Unchecked"
}

func other(t QueueType) QueueType {
	if t == Classic {
		return Quorum
	}
	return Classic
}

func (e Exchange) checkArguments(r *report) {
	checkTable(r, e.entity(), "Arguments", e.Arguments)
	for _, name := range slices.Sorted(maps.Keys(e.Arguments)) {
		switch {
		case name == "alternate-exchange":
			r.add(e.entity(), "argument alternate-exchange: it has a field of its own", "use the field Alternate")
		case !strings.HasPrefix(e.Kind, "x-"):
			r.add(e.entity(), fmt.Sprintf("argument %s: RabbitMQ knows no such argument of a %s exchange, and would ignore it%s",
				name, e.Kind, didYouMean(name, []string{"alternate-exchange"})), "correct or remove it")
		}
	}
}

// checkTable refuses what the client could not put on the wire.
func checkTable(r *report, entity, field string, t amqp.Table) {
	if err := t.Validate(); err != nil {
		r.add(entity, fmt.Sprintf("%s: %v", field, err), "use string, bool, int64, float64, time.Time, amqp.Table or a list of them")
	}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if len(name) > longestName {
			r.add(entity, fmt.Sprintf("%s: a name of %d bytes, AMQP allows %d", field, len(name), longestName), "shorten it")
		}
	}
}

// didYouMean is `, did you mean "x"?` for the nearest candidate, or nothing when
// none is near.
func didYouMean(name string, candidates []string) string {
	plainName := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	best, least := "", len(name)/3+1
	for _, c := range candidates {
		d := min(distance(plainName, c), distance("x-"+plainName, c))
		if d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

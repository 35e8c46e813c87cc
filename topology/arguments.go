package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/nearest"
)

func (q Queue) checkArguments(r *report) {
	checkTable(r, q.entity(), "Arguments", q.Arguments)
	checkTable(r, q.entity(), "Unchecked", q.Unchecked)
	for _, name := range slices.Sorted(maps.Keys(q.Unchecked)) {
		if a, ok := argumentOf(name); ok {
			r.add(q.entity(), fmt.Sprintf("argument %s would get past the checks", name), "use the field "+a.field)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.Arguments)) {
		if problem, fix := q.argumentFault(name, q.Arguments[name]); problem != "" {
			r.add(q.entity(), fmt.Sprintf("argument %s: %s", name, problem), fix)
		}
	}
}

func (e Exchange) checkArguments(r *report) {
	checkTable(r, e.entity(), "Arguments", e.Arguments)
	for _, name := range slices.Sorted(maps.Keys(e.Arguments)) {
		switch {
		case name == "alternate-exchange":
			r.add(e.entity(), "argument alternate-exchange: it has a field of its own", "use the field Alternate")
		case e.Kind == ConsistentHash && name == "hash-header":
			r.add(e.entity(), "argument hash-header: it has a field of its own", "use the field HashHeader")
		case e.Kind == ConsistentHash && name == "hash-property":
			r.add(e.entity(), "argument hash-property: it has a field of its own", "use the field HashProperty")
		case e.Kind == ConsistentHash:
			r.add(e.entity(), fmt.Sprintf("argument %s: RabbitMQ knows no such argument of this exchange, and would ignore it%s", name,
				didYouMean(name, []string{"alternate-exchange", "hash-header", "hash-property"})), "correct or remove it")
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

// didYouMean hints at the nearest candidate; the "x-" of arguments may be missing.
func didYouMean(name string, candidates []string) string {
	return nearest.Hint(name, candidates, func(name, c string) int {
		plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		return min(nearest.Edits(plain, c), nearest.Edits("x-"+plain, c))
	})
}

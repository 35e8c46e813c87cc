package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
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

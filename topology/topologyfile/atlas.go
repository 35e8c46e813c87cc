package topologyfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hareline/hareline/topology"
)

// atlas finds the place of a fault in the file.
type atlas struct {
	places map[string]place
	// paths in which an entity stands, in the order of the file's lists, by what a
	// topology.Fault calls it. What a work queue or a ladder brings with it stands where
	// that does.
	paths map[string][]string
}

func newAtlas(f File, places map[string]place) atlas {
	a := atlas{places, make(map[string][]string)}
	a.topology(topology.Topology{Exchanges: f.Exchanges, Queues: f.Queues, Bindings: f.Bindings, Ladders: f.Ladders},
		func(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) })
	for i, w := range f.WorkQueues {
		path := fmt.Sprintf("work_queues[%d]", i)
		a.add(fmt.Sprintf("work queue %q", w.Name), path)
		work := topology.WorkQueue(w.Name, w.WorkConfig)
		own := len(work.Bindings) - len(w.Bindings) // those of the file come last
		a.topology(work.Topology, func(list string, j int) string {
			deeper := ""
			switch {
			case list == "bindings" && j >= own:
				deeper = fmt.Sprintf("%s.bindings[%d]", path, j-own)
			case list == "ladders":
				deeper = path + ".ladder"
			}
			if _, given := places[deeper]; given {
				return deeper
			}
			return path
		})
	}
	return a
}

func (a atlas) add(entity, path string) { a.paths[entity] = append(a.paths[entity], path) }

// topology adds all entities; path says where each stands.
func (a atlas) topology(t topology.Topology, path func(list string, i int) string) {
	for i, e := range t.Exchanges {
		a.add(fmt.Sprintf("exchange %q", e.Name), path("exchanges", i))
	}
	for i, q := range t.Queues {
		a.add(fmt.Sprintf("queue %q", q.Name), path("queues", i))
	}
	for i, b := range t.Bindings {
		to := "queue"
		if b.ToExchange {
			to = "exchange"
		}
		a.add(fmt.Sprintf("binding %q to %s %q by key %q", b.Source, to, b.Destination, b.Key), path("bindings", i))
	}
	for i, l := range t.Ladders {
		at := path("ladders", i)
		scope := l.Scope
		if scope == "" {
			scope = "default"
		}
		a.add(fmt.Sprintf("ladder %q", scope), at)
		a.topology(l.Topology(), func(string, int) string { return at })
	}
}

// problems are the faults of a validation, each at its place.
func (a atlas) problems(err error) []Problem {
	var invalid *topology.ValidationError
	if !errors.As(err, &invalid) {
		return []Problem{{What: err.Error(), Fix: "correct the file"}}
	}
	all := make([]Problem, len(invalid.Faults))
	for i, f := range invalid.Faults {
		all[i] = a.problem(f)
	}
	return all
}

// problem is a fault, its names those of the file, at the field it speaks of first, or
// else at its entity.
func (a atlas) problem(f topology.Fault) Problem {
	p := Problem{What: f.Entity + ": " + inFileWords(f.Problem), Fix: inFileWords(f.Fix)}
	paths := a.paths[f.Entity]
	if len(paths) == 0 {
		return p
	}
	p.Path = paths[0]
	if strings.HasPrefix(f.Problem, "is declared twice") {
		p.Path = paths[len(paths)-1]
	}
	if path, ok := a.spokenOf(p.Path, f); ok {
		p.Path = path
	}
	at := a.places[p.Path]
	p.Line, p.Column = at.line, at.column
	return p
}

// spokenOf is the path of the first field of the entity at path that the fault names
// and the file gives.
func (a atlas) spokenOf(path string, f topology.Fault) (string, bool) {
	for _, text := range []string{f.Problem, f.Fix} {
		if m := argumentName.FindStringSubmatch(text); m != nil {
			for _, table := range []string{".arguments.", ".unchecked."} {
				if _, ok := a.places[path+table+m[1]]; ok {
					return path + table + m[1], true
				}
			}
		}
		for _, name := range goWord.FindAllString(quoted.ReplaceAllString(text, ""), -1) {
			at := join(path, snake(name))
			if name == "Retry" {
				at = join(path, "longest_retry")
			}
			if _, ok := a.places[at]; ok {
				return at, true
			}
		}
	}
	return "", false
}

var (
	argumentName = regexp.MustCompile(`^argument ([^ :]+)`)
	goWord       = regexp.MustCompile(`\b[A-Z][A-Za-z]*\b`)
	quoted       = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	literal      = regexp.MustCompile(`\b([A-Z][A-Za-z]*)\{`)
)

// inFileWords puts the file's names for the Go names in a text about Go values; what
// stands in quotes is the user's, and stays.
func inFileWords(text string) string {
	names := constants()
	for _, t := range entityTypes() {
		for _, f := range fieldsOf(t) {
			names[f.goName] = f.name
		}
	}
	names["Ladder"] = "ladder"
	translate := func(s string) string {
		s = literal.ReplaceAllString(s, "$1: {")
		return goWord.ReplaceAllStringFunc(s, func(word string) string {
			if name, ok := names[word]; ok {
				return name
			}
			return word
		})
	}
	var b strings.Builder
	rest := text
	for _, at := range quoted.FindAllStringIndex(text, -1) {
		from := len(text) - len(rest)
		b.WriteString(translate(text[from:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		rest = text[at[1]:]
	}
	b.WriteString(translate(rest))
	return b.String()
}

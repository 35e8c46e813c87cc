package topologyfile

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hareline/hareline/topology"
)

// problemsOf are those of a file; it fails when there are none, or of another kind.
func problemsOf(t *testing.T, name, text string) []Problem {
	t.Helper()
	_, err := Parse(name, []byte(text))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Parse gave %T, want *Error: %v", err, err)
	}
	for _, p := range e.Problems {
		if p.File != name || p.What == "" || p.Fix == "" {
			t.Errorf("a problem without its file, what is wrong, or what to do: %+v", p)
		}
		if !errors.Is(err, p) || !strings.Contains(err.Error(), p.Error()) {
			t.Errorf("the error does not tell %v", p)
		}
	}
	return e.Problems
}

func TestProblemsAreToldWithTheirPlaces(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown list":        {"queue: []", `f.yaml:1:1: queue: is no field of it, did you mean "queues"?; fix: correct or remove it; there are work_queues, exchanges, queues, bindings, ladders`},
		"unknown field":       {"queues:\n  - name: q\n    max_byte: 5", `f.yaml:3:5: queues[0].max_byte: is no field of it, did you mean "max_bytes"?`},
		"Go's name":           {"queues:\n  - name: q\n    MaxBytes: 5", `f.yaml:3:5: queues[0].MaxBytes: is no field of it, did you mean "max_bytes"?`},
		"RabbitMQ's argument": {"queues: [{name: q, x-message-ttl: 5}]", `f.yaml:1:20: queues[0].x-message-ttl: is no field of it, did you mean "ttl"?`},
		"RabbitMQ's word":     {"bindings: [{routing_key: a}]", `f.yaml:1:13: bindings[0].routing_key: is no field of it, did you mean "key"?`},
		"type of an exchange": {"exchanges: [{name: e, type: topic}]", `exchanges[0].type: is no field of it, did you mean "kind"?`},
		"durable":             {"queues: [{name: q, durable: true}]", `queues[0].durable: is no field of it; fix: remove it: all is durable, unless it has transient: true`},
		"nothing like it":     {"queues: [{name: q, colour: red}]", `queues[0].colour: is no field of it; fix: correct or remove it; there are name, type`},
		"twice":               {"queues:\n  - name: q\n    ttl: 5m\n    name: r", `f.yaml:4:5: queues[0].name: is given on line 2 already`},
		"no value":            {"queues:\n  - name: q\n    ttl:", `f.yaml:3:9: queues[0].ttl: has no value; fix: give it one, or remove the field`},
		"no unit":             {"queues: [{name: q, ttl: 300000}]", `queues[0].ttl: the number 300000 has no unit; fix: write 5m if milliseconds are meant`},
		"no duration":         {"queues: [{name: q, ttl: 5 minutes}]", `queues[0].ttl: the text "5 minutes" is no duration; fix: write a duration with units, such as 300ms, 5m, 1h30m or 7d`},
		"float for duration":  {"queues: [{name: q, ttl: 1.5}]", `queues[0].ttl: is the number 1.5, not a duration`},
		"too many days":       {"queues: [{name: q, ttl: 200000d}]", `is longer than 292 years`},
		"no size":             {"queues: [{name: q, max_bytes: 5 parsecs}]", `queues[0].max_bytes: the text "5 parsecs" is no size; fix: write a number of bytes, or a size such as 64MiB or 1GB`},
		"size too great":      {"queues: [{name: q, max_bytes: 9000000000GiB}]", `is more than 9223372036854775807 bytes`},
		"number for text":     {"queues: [{name: 007}]", `queues[0].name: is the number 007, not text; fix: put it in quotes: "007"`},
		"bool for text":       {"exchanges: [{name: e, kind: topic, alternate: true}]", `exchanges[0].alternate: is true, not text; fix: put it in quotes: "true"`},
		"text for flag":       {"exchanges: [{name: e, kind: topic, internal: yes}]", `exchanges[0].internal: is the text "yes", not true or false; fix: write true or false`},
		"text for number":     {"queues: [{name: q, max_length: many}]", `queues[0].max_length: is the text "many", not a whole number`},
		"out of range":        {"queues: [{name: q, type: classic, max_priority: 256}]", `queues[0].max_priority: the number 256 is out of range; fix: write one from 0 to 255`},
		"limit":               {"queues: [{name: q, delivery_limit: infinite}]", `queues[0].delivery_limit: is the text "infinite", not a whole number, or unlimited`},
		"mapping for text":    {"queues: [{name: {a: b}}]", `queues[0].name: is a mapping, not text`},
		"mapping for list":    {"queues: {name: q}", `f.yaml:1:9: queues: is a mapping, not a list`},
		"list for mapping":    {"queues: [[q]]", `f.yaml:1:10: queues[0]: is a list, not a mapping`},
		"list for file":       {"- queues", `f.yaml:1:1: is a list, not a mapping of fields to values`},
		"list for arguments":  {"queues: [{name: q, arguments: [a]}]", `queues[0].arguments: is a list, not a mapping of names to values`},
		"huge argument":       {"queues: [{name: q, arguments: {x-a: 99999999999999999999}}]", `queues[0].arguments.x-a: the number 99999999999999999999 is nothing that an argument can be`},
		"no name":             {"queues:\n  - type: quorum", `f.yaml:2:5: queues[0]: has no name`},
		"own destination":     {"work_queues: [{name: q, bindings: [{source: amq.topic, destination: q}]}]", `work_queues[0].bindings[0].destination: is not given here; fix: remove it: the destination is the work queue`},
		"no file":             {"", `f.yaml: is empty; fix: write {}`},
		"a comment":           {"# nothing\n", `f.yaml: is empty`},
		"two documents":       {"queues: []\n---\nqueues: []", `a second document begins here`},
		"no YAML":             {"queues:\n  - name: q\n    ttl: 5m\n   ttl: 5m", `f.yaml:4:4: is no YAML: `},
		"unknown anchor":      {"queues:\n  - *q", `f.yaml:2:5: is no YAML: unknown anchor 'q' referenced`},
		"holds itself":        {"queues: [{name: q, arguments: &a {x-a: *a}}]", `is nested more than 64 levels deep`},
		"merges no mapping":   {"queues: [{name: q, <<: 5}]", `is the number 5, not a mapping to merge`},
		"a list for a name":   {"queues: [{name: q, [a]: b}]", `a mapping or a list cannot be a name`},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(t, "f.yaml", c.text)
			if len(got) != 1 {
				t.Fatalf("want one problem, got %v", got)
			}
			if !strings.Contains(got[0].Error(), c.want) {
				t.Errorf("got  %s\nwant %s", got[0].Error(), c.want)
			}
			if got[0].Line == 0 && !strings.Contains(c.want, "f.yaml: is empty") {
				t.Errorf("no line: %v", got[0])
			}
		})
	}
}

func TestProblemsOfJSON(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown field":  {"{\n\t\"queues\": [\n\t\t{\"name\": \"ü\", \"tll\": \"5m\"}\n\t]\n}", `f.json:3:17: queues[0].tll: is no field of it, did you mean "ttl"?`},
		"twice":          {`{"queues": [], "queues": []}`, `f.json:1:16: queues: is given on line 1 already`},
		"null":           {`{"queues": null}`, `f.json:1:12: queues: has no value`},
		"a comma more":   {"{\"queues\": [\n],}", `f.json:2:2: is no JSON: `},
		"YAML":           {"queues: []", `f.json:1:1: is no JSON: `},
		"too early":      {"{\"queues\": [", `f.json:1:13: is no JSON: it ends too early`},
		"nothing":        {"", `f.json:1:1: is no JSON: it ends too early`},
		"more":           {"{}\n{}", `f.json:2:2: is no JSON: there is more after the end of the value`},
		"not UTF-8":      {"{\"queues\": \"\xff\"}", `f.json: is not valid UTF-8`},
		"deep":           {strings.Repeat(`{"a":`, 100), `more than 64 levels`},
		"fraction":       {`{"queues": [{"name": "q", "max_length": 1.5}]}`, `f.json:1:41: queues[0].max_length: is the number 1.5, not a whole number`},
		"an unset fault": {"{\"queues\": [{\n\"name\": \"q\",\n\"ttl\": \"-5m\"}]}", `f.json:3:1: queues[0].ttl: queue "q": ttl is negative (-5m0s); fix: set it to 0 for none`},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(t, "f.json", c.text)
			if len(got) != 1 || !strings.Contains(got[0].Error(), c.want) {
				t.Errorf("got  %v\nwant %s", got, c.want)
			}
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	got := problemsOf(t, "f.yaml", "queues:\n  - name: q\n    ttl: 5\n    x: y\nqueue: []\nladders: [{levels: a}]\n")
	if len(got) != 4 {
		t.Errorf("want 4 problems, got %v", got)
	}
	many := problemsOf(t, "f.yaml", "queues:\n"+strings.Repeat("  - nam: q\n", 500))
	if len(many) != mostProblems {
		t.Errorf("%d problems are told", len(many))
	}
}

func TestAnInvalidTopologyIsReadNevertheless(t *testing.T) {
	f, err := Parse("f.yaml", []byte("queues: [{name: q, dead_letter_exchange: elsewhere}]"))
	var invalid *topology.ValidationError
	if !errors.As(err, &invalid) || len(invalid.Faults) != 1 {
		t.Errorf("no *topology.ValidationError in %v", err)
	}
	if len(f.Queues) != 1 || f.Queues[0].DeadLetterExchange != "elsewhere" {
		t.Errorf("read %+v", f)
	}
	f, err = Parse("f.yaml", []byte("queues: [{name: q, ttl: 5}]"))
	if errors.As(err, &invalid) || !reflect.DeepEqual(f, File{}) {
		t.Errorf("read %+v, %v", f, err)
	}
}

// TestAnchorsCannotBlowUp: forty anchors, each ten times the one before.
func TestAnchorsCannotBlowUp(t *testing.T) {
	var b strings.Builder
	b.WriteString("queues: [{name: q, arguments: {\n  x-0: &a0 [1,1,1,1,1,1,1,1,1,1],\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  x-%d: &a%d [%s],\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	b.WriteString("}}]")
	got := problemsOf(t, "f.yaml", b.String())
	if len(got) != 1 || !strings.Contains(got[0].What, "more than 200000 values") {
		t.Errorf("got %v", got)
	}
	got = problemsOf(t, "f.yaml", "queues: [{name: q, arguments: &a {<<: [*a, *a, *a]}}]")
	if len(got) == 0 || len(got) > mostProblems {
		t.Errorf("%d problems", len(got))
	}
}

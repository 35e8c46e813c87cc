package topologyfile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/topology"
)

var update = flag.Bool("update", false, "write schema.json and the golden files anew")

func TestSchemaIsThatOfTheTypes(t *testing.T) {
	want := readSource(t).generate(t)
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), want) {
		t.Errorf("schema.json is not that of the Go types and their comments; run: go test ./topology/topologyfile -run TestSchemaIsThatOfTheTypes -update")
	}
}

// TestEveryConstantHasItsWord holds that problems name the constants of the fields'
// types as a file writes them.
func TestEveryConstantHasItsWord(t *testing.T) {
	src := readSource(t)
	for _, typ := range entityTypes() {
		for _, f := range fieldsOf(typ) {
			for _, value := range src.constants[f.typ.Name()] {
				name := src.names[value]
				if constants()[name] != value {
					t.Errorf("constants() says %q for %s of %v, package topology %q", constants()[name], name, f.typ, value)
				}
			}
		}
	}
}

// TestEveryFieldHasAForm holds that a field added to package topology is in the format,
// or fails here.
func TestEveryFieldHasAForm(t *testing.T) {
	types := entityTypes()
	if len(types) < 6 {
		t.Fatalf("%d types: File, WorkQueue, Exchange, Queue, Binding, Ladder are the least", len(types))
	}
	for _, typ := range types {
		names := map[string]bool{}
		for _, f := range fieldsOf(typ) {
			if f.form() == formNone {
				t.Errorf("%v.%s: a file cannot say a %v: give it a form in field.go", typ, f.goName, f.typ)
			}
			if names[f.name] {
				t.Errorf("%v: two fields are %q in a file", typ, f.name)
			}
			names[f.name] = true
		}
	}
	whole := reflect.TypeFor[topology.Topology]()
	for i := range whole.NumField() {
		f := whole.Field(i)
		if _, ok := reflect.TypeFor[File]().FieldByName(f.Name); f.IsExported() && !ok {
			t.Errorf("Topology.%s is not in File", f.Name)
		}
	}
}

func compileSchema(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// bySchema is what the schema says of a YAML file.
func bySchema(s *jsonschema.Schema, data []byte) error {
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		return err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(instance)
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	s := compileSchema(t)
	for _, path := range []string{"testdata/whole.yaml", "../../examples/topologyfile/topology.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := bySchema(s, data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := Parse(path, data); err != nil {
			t.Error(err)
		}
	}
}

// TestSchemaRefusesWhatParseRefuses: what is wrong in one field, the editor shows.
func TestSchemaRefusesWhatParseRefuses(t *testing.T) {
	s := compileSchema(t)
	for name, text := range map[string]string{
		"unknown list":    "queue: []",
		"unknown field":   "queues: [{name: q, tll: 5m}]",
		"no name":         "queues: [{type: quorum}]",
		"no work name":    "work_queues: [{ttl: 5m}]",
		"no unit":         "queues: [{name: q, ttl: 300000}]",
		"no duration":     "queues: [{name: q, ttl: soon}]",
		"no size":         "queues: [{name: q, max_bytes: 1 parsec, overflow: drop-head}]",
		"no type":         "queues: [{name: q, type: quorm}]",
		"no overflow":     "queues: [{name: q, overflow: drop}]",
		"no kind":         "exchanges: [{name: e, kind: fan-out}]",
		"number for text": "queues: [{name: 5}]",
		"text for flag":   "exchanges: [{name: e, kind: topic, internal: 'yes'}]",
		"below zero":      "queues: [{name: q, max_length: -1, overflow: drop-head}]",
		"too great":       "queues: [{name: q, type: classic, max_priority: 256}]",
		"limit":           "queues: [{name: q, delivery_limit: infinite}]",
		"own destination": "work_queues: [{name: q, bindings: [{source: amq.topic, destination: q}]}]",
		"list for entry":  "queues: {name: q}",
		"argument list":   "queues: [{name: q, arguments: [1]}]",
		"nothing":         "queues: [{name: q, ttl: }]",
	} {
		t.Run(name, func(t *testing.T) {
			if err := bySchema(s, []byte(text)); err == nil {
				t.Error("the schema takes it")
			}
			if _, err := Parse("f.yaml", []byte(text)); err == nil {
				t.Error("Parse takes it")
			}
		})
	}
}

// TestSchemaTakesWhatIsWritten: whatever YAML writes passes the schema, but for negative
// numbers, which no valid topology has.
func TestSchemaTakesWhatIsWritten(t *testing.T) {
	s, values := compileSchema(t), readSource(t).constants
	rapid.Check(t, func(r *rapid.T) {
		f := fileOf(r, values)
		data, err := f.YAML()
		if err != nil {
			r.Fatal(err)
		}
		if err := bySchema(s, data); err != nil {
			r.Fatalf("%v\n%s", err, data)
		}
	})
}

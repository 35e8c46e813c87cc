package topologyfile

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hareline/hareline/topology"
)

// source is what the Go source says of the types: their comments, and the values of
// constants by type.
type source struct {
	fields    map[string]string   // "Queue.TTL" -> its comment
	constants map[string][]string // "QueueType" -> "quorum", "classic"
	names     map[string]string   // "quorum" -> "Quorum"
}

func readSource(t *testing.T) source {
	t.Helper()
	s := source{map[string]string{}, map[string][]string{}, map[string]string{}}
	for _, pattern := range []string{"*.go", "../*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				if g, ok := decl.(*ast.GenDecl); ok {
					s.read(g, strings.HasPrefix(path, ".."))
				}
			}
		}
	}
	return s
}

func (s source) read(g *ast.GenDecl, ofTopology bool) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, name := range f.Names {
						s.fields[spec.Name.Name+"."+name.Name] = comment(f)
					}
				}
			}
		case *ast.ValueSpec:
			if g.Tok == token.CONST && ofTopology {
				s.constant(spec)
			}
		}
	}
}

func (s source) constant(spec *ast.ValueSpec) {
	for i, name := range spec.Names {
		if !name.IsExported() || i >= len(spec.Values) {
			continue
		}
		lit, ok := spec.Values[i].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		value, _ := strconv.Unquote(lit.Value)
		if typ, ok := spec.Type.(*ast.Ident); ok {
			s.names[value] = name.Name
			s.constants[typ.Name] = append(s.constants[typ.Name], value)
		}
	}
}

// comment is the text above a field, or else behind it.
func comment(f *ast.Field) string {
	for _, c := range []*ast.CommentGroup{f.Doc, f.Comment} {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

// ordered is a JSON object that keeps its order.
type ordered []member

type member struct {
	name  string
	value any
}

func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(m.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

const (
	durationPattern = `^-?(0|[0-9]+d(([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h))*|(([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+ ?(B|[kKMGT]B|[KMGT]iB)$`
)

// generate makes the schema of the Go types.
func (s source) generate(t *testing.T) []byte {
	t.Helper()
	file := s.object(t, reflect.TypeFor[File](), nil)
	var definitions ordered
	for _, typ := range entityTypes()[1:] {
		definitions = append(definitions, member{snake(typ.Name()), s.object(t, typ, nil)})
	}
	definitions = append(definitions, member{"work_queue_binding",
		s.object(t, reflect.TypeFor[topology.Binding](), func(f field) bool { return withheld("work_queues[0].bindings[0]", f.name) == "" })})
	slices.SortFunc(definitions, func(a, b member) int { return strings.Compare(a.name, b.name) })
	root := append(ordered{
		{"$schema", "http://json-schema.org/draft-07/schema#"},
		{"$id", "https://raw.githubusercontent.com/hareline/hareline/main/topology/topologyfile/schema.json"},
		{"title", "Hareline topology"},
		{"description", "Exchanges, queues, bindings, delay ladders and work queues of RabbitMQ"},
	}, file...)
	properties := root[len(root)-1].value.(ordered)
	root[len(root)-1].value = append(ordered{{"$schema", ordered{{"type", "string"}, {"description", "This schema, for editors."}}}}, properties...)
	root = append(root, member{"definitions", definitions})
	raw, err := root.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// object is the schema of a struct; its properties come last.
func (s source) object(t *testing.T, typ reflect.Type, keep func(field) bool) ordered {
	t.Helper()
	var properties ordered
	var required []string
	for _, f := range fieldsOf(typ) {
		if keep != nil && !keep(f) {
			continue
		}
		if f.name == "name" {
			required = append(required, f.name)
		}
		properties = append(properties, member{f.name, s.property(t, typ, f)})
	}
	o := ordered{{"type", "object"}, {"additionalProperties", false}}
	if required != nil {
		o = append(o, member{"required", required})
	}
	return append(o, member{"properties", properties})
}

func (s source) property(t *testing.T, owner reflect.Type, f field) ordered {
	t.Helper()
	declared := owner.Name()
	if sf, ok := owner.FieldByName(f.goName); ok && len(sf.Index) > 1 {
		declared = owner.Field(sf.Index[0]).Type.Name() // of an embedded struct
	}
	text := s.fields[declared+"."+f.goName]
	if text == "" && f.goName != "Name" {
		text = s.fallback(declared, f)
	}
	o := s.schemaOf(t, f.form(), f.typ)
	if owner == reflect.TypeFor[WorkQueue]() && f.goName == "Bindings" {
		o = ordered{{"type", "array"}, {"items", ordered{{"$ref", "#/definitions/work_queue_binding"}}}}
	}
	if f.goName == "Kind" {
		o = append(o, member{"anyOf", []any{
			ordered{{"enum", []string{"direct", "topic", "fanout", "headers"}}}, ordered{{"pattern", "^x-"}}}})
	}
	if text == "" {
		return o
	}
	if len(o) > 0 && o[0].name == "$ref" { // what stands beside $ref is ignored in draft 7
		o = ordered{{"allOf", []any{o}}}
	}
	if f.form() == formRetry {
		text = "The longest delay of the consumer's retry policy: the ladder must reach that far. Absent is not checked."
	}
	kinds := strings.NewReplacer("amqp.ExchangeDirect", "direct", "ExchangeTopic", "topic", "ExchangeFanout", "fanout", "ExchangeHeaders", "headers")
	return append(ordered{{"description", inFileWords(kinds.Replace(text))}}, o...)
}

// fallback is a comment of another field that speaks of this one too, such as that of
// MaxLength of MaxBytes, in the same struct or else in Queue.
func (s source) fallback(owner string, f field) string {
	word := regexp.MustCompile(`\b` + f.goName + `\b`)
	if text := s.fields["Queue."+f.goName]; text != "" && owner != "Queue" {
		return text
	}
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		if strings.HasPrefix(name, owner+".") && word.MatchString(s.fields[name]) {
			return s.fields[name]
		}
	}
	return ""
}

func (s source) schemaOf(t *testing.T, f form, typ reflect.Type) ordered {
	t.Helper()
	switch f {
	case formText:
		o := ordered{{"type", "string"}}
		if values := s.constants[typ.Name()]; values != nil && typ.Name() != "string" {
			o = append(o, member{"enum", values})
		}
		return o
	case formFlag:
		return ordered{{"type", "boolean"}}
	case formReal:
		return ordered{{"type", "number"}}
	case formWhole:
		o := ordered{{"type", "integer"}, {"minimum", 0}}
		if typ.Kind() == reflect.Uint8 {
			o = append(o, member{"maximum", 255})
		}
		return o
	case formDuration, formRetry:
		return ordered{{"anyOf", []any{ordered{{"type", "string"}, {"pattern", durationPattern}}, ordered{{"const", 0}}}}, {"examples", []string{"300ms", "5m", "7d"}}}
	case formSize:
		return ordered{{"anyOf", []any{ordered{{"type", "integer"}, {"minimum", 0}}, ordered{{"type", "string"}, {"pattern", sizePattern}}}}, {"examples", []string{"64MiB", "1GB"}}}
	case formLimit:
		return ordered{{"anyOf", []any{ordered{{"type", "integer"}, {"minimum", 0}}, ordered{{"const", unlimited}}}}}
	case formTable:
		return ordered{{"type", "object"}}
	case formObject:
		return ordered{{"$ref", "#/definitions/" + snake(typ.Name())}}
	case formList:
		return ordered{{"type", "array"}, {"items", s.schemaOf(t, formOf(typ.Elem()), typ.Elem())}}
	case formOptional:
		return s.schemaOf(t, formOf(typ.Elem()), typ.Elem())
	}
	t.Fatalf("a topology file cannot say a %v: give it a form in field.go", typ)
	return nil
}

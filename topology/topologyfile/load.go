package topologyfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// deepest is how deep values may nest: far beyond what any topology needs, and what
// ends a value that holds itself.
const deepest = 64

// load reads either language into one tree of nodes, each with its place.
func load(name string, data []byte) (*yaml.Node, *Problem) {
	if strings.HasSuffix(strings.ToLower(name), ".json") {
		return loadJSON(data)
	}
	return loadYAML(data)
}

func loadYAML(data []byte) (*yaml.Node, *Problem) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, syntaxProblem(err)
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		return nil, &Problem{What: "is empty", Fix: "write {} for a topology without anything"}
	case err != nil:
		return nil, syntaxProblem(err)
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, syntaxProblem(err)
	}
	return nil, &Problem{Line: second.Line, Column: second.Column, What: "a second document begins here",
		Fix: "put all into one document, or into two files"}
}

// syntaxProblem is what the parser has to say, at the place it tells.
func syntaxProblem(err error) *Problem {
	p := &Problem{What: "is no YAML: " + err.Error(), Fix: "correct what stands there, or just before"}
	var at *yaml.LoadError
	if errors.As(err, &at) {
		p.What = "is no YAML: " + at.Message
		p.Line, p.Column = at.Mark.Line, at.Mark.Column
	}
	return p
}

// loadJSON does not leave JSON to the YAML parser, which takes more than JSON is, and
// does not know its surrogate pairs.
func loadJSON(data []byte) (*yaml.Node, *Problem) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	if !utf8.Valid(data) {
		return nil, &Problem{What: "is not valid UTF-8", Fix: "save it as UTF-8"}
	}
	node, err := r.value(0)
	if err == nil {
		if _, err = r.dec.Token(); errors.Is(err, io.EOF) {
			return node, nil
		}
		if err == nil {
			err = errors.New("there is more after the end of the value")
		}
	}
	at := r.dec.InputOffset()
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset - 1
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err, at = errors.New("it ends too early"), int64(len(data))
	}
	p := r.place(at)
	return nil, &Problem{Line: p.line, Column: p.column, What: "is no JSON: " + err.Error(), Fix: "correct what stands there, or just before"}
}

// jsonReader makes nodes of JSON's tokens.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	// what place has counted so far
	offset     int
	line, from int
}

// place is the line and column of an offset; offsets mostly grow.
func (r *jsonReader) place(offset int64) place {
	to := max(0, min(int(offset), len(r.data)))
	if to < r.offset {
		r.offset, r.line, r.from = 0, 0, 0
	}
	for i := r.offset; i < to; i++ {
		if r.data[i] == '\n' {
			r.line++
			r.from = i + 1
		}
	}
	r.offset = to
	return place{r.line + 1, utf8.RuneCount(r.data[r.from:to]) + 1}
}

// start is the offset of the next token.
func (r *jsonReader) start() int64 {
	at := r.dec.InputOffset()
	for at < int64(len(r.data)) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	return at
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > deepest {
		return nil, fmt.Errorf("more than %d levels", deepest)
	}
	at := r.place(r.start())
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: at.line, Column: at.column}
	switch v := token.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if v == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		return n, r.content(n, depth)
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!int", v.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(v)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

// content reads what is in an object, keys and values in turn, or in an array, and
// the bracket that ends it.
func (r *jsonReader) content(n *yaml.Node, depth int) error {
	for r.dec.More() {
		child, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.Content = append(n.Content, child)
	}
	_, err := r.dec.Token()
	return err
}

package topologyfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.yaml.in/yaml/v4"

	"github.com/hareline/hareline/topology"
)

// YAML writes f as a YAML file: fields in the order of the Go types, without those that
// are zero. [Parse] reads an equal File back; except that integers in arguments
// become int64, that float32 becomes float64, and that of a retry policy only its longest
// delay remains. The destinations of a work queue's bindings, which mean nothing, are
// left out.
//
// The error names the field that no file can say: text that is not UTF-8, and arguments
// that are neither text, bool, number, time, bytes, nor a table or list of those.
// f is not validated.
func (f File) YAML() ([]byte, error) {
	root, err := encodeObject(reflect.ValueOf(f), "")
	if err != nil {
		return nil, fmt.Errorf("topologyfile: %w", err)
	}
	data, err := yaml.Dump(root, yaml.WithIndent(2))
	if err != nil {
		return nil, fmt.Errorf("topologyfile: %w", err)
	}
	return data, nil
}

// JSON writes f as a JSON file, like [File.YAML]. JSON can say no times, no bytes, and
// no float that is infinite or no number.
func (f File) JSON() ([]byte, error) {
	root, err := encodeObject(reflect.ValueOf(f), "")
	if err != nil {
		return nil, fmt.Errorf("topologyfile: %w", err)
	}
	var raw, b bytes.Buffer
	if err := writeJSON(&raw, root); err != nil {
		return nil, fmt.Errorf("topologyfile: %w", err)
	}
	if err := json.Indent(&b, raw.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("topologyfile: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// encodeObject is the mapping of a struct's fields that are not zero, and of its name.
func encodeObject(v reflect.Value, path string) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fieldsOf(v.Type()) {
		value := v.FieldByIndex(f.index)
		empty := value.IsZero() || (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0
		if empty && f.name != "name" || withheld(path, f.name) != "" {
			continue
		}
		at := join(path, f.name)
		child, err := encodeValue(value, f.form(), at)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, textNode(f.name), child)
	}
	return n, nil
}

func encodeValue(v reflect.Value, f form, path string) (*yaml.Node, error) {
	switch f {
	case formObject:
		return encodeObject(v, path)
	case formList:
		return encodeList(v.Len(), func(i int) (*yaml.Node, error) {
			return encodeValue(v.Index(i), formOf(v.Type().Elem()), fmt.Sprintf("%s[%d]", path, i))
		})
	case formOptional:
		return encodeValue(v.Elem(), formOf(v.Type().Elem()), path)
	case formTable:
		return encodeFree(v.Interface(), path, 0)
	case formText:
		return encodeText(v.String(), path)
	case formFlag:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}, nil
	case formReal:
		return floatNode(v.Float()), nil
	case formDuration:
		return textNode(formatDuration(time.Duration(v.Int()))), nil
	case formRetry:
		policy, _ := v.Interface().(interface{ Longest() time.Duration })
		return textNode(formatDuration(policy.Longest())), nil
	case formSize:
		if size := formatSize(v.Int()); size != "" {
			return textNode(size), nil
		}
	case formLimit:
		if v.Int() == topology.Unlimited {
			return textNode(unlimited), nil
		}
	}
	return encodeWhole(v, path)
}

func encodeList(length int, entry func(i int) (*yaml.Node, error)) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range length {
		child, err := entry(i)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	return n, nil
}

func encodeWhole(v reflect.Value, path string) (*yaml.Node, error) {
	switch {
	case v.CanInt():
		return wholeNode(v.Int()), nil
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return wholeNode(int64(v.Uint())), nil
	}
	return nil, fmt.Errorf("%s: a file cannot say %v", path, v)
}

// encodeFree is the node of an argument.
func encodeFree(value any, path string, depth int) (*yaml.Node, error) {
	if depth > deepest {
		return nil, fmt.Errorf("%s: is nested more than %d levels deep", path, deepest)
	}
	switch v := value.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	case string:
		return encodeText(v, path)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	case float32:
		return floatNode(float64(v)), nil
	case float64:
		return floatNode(v), nil
	case time.Time:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: v.Format(time.RFC3339Nano)}, nil
	case []byte:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!binary", Value: base64.StdEncoding.EncodeToString(v)}, nil
	case amqp.Table:
		return encodeTable(v, path, depth)
	case []any:
		return encodeList(len(v), func(i int) (*yaml.Node, error) {
			return encodeFree(v[i], fmt.Sprintf("%s[%d]", path, i), depth+1)
		})
	}
	if v := reflect.ValueOf(value); v.CanInt() || v.CanUint() {
		return encodeWhole(v, path)
	}
	return nil, fmt.Errorf("%s: a file cannot say a %T; use string, bool, a number, time.Time, []byte, amqp.Table or []any", path, value)
}

// encodeTable writes the names in their alphabetical order.
func encodeTable(t amqp.Table, path string, depth int) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		key, err := encodeText(name, path)
		if err != nil {
			return nil, err
		}
		child, err := encodeFree(t[name], join(path, name), depth+1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, key, child)
	}
	return n, nil
}

func encodeText(s, path string) (*yaml.Node, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%s: %q is not valid UTF-8", path, s)
	}
	return textNode(s), nil
}

// plainText is what stands unquoted: what no YAML parser, of 1.1 or 1.2, can take for
// anything but text. Durations and sizes begin with a digit and end in a letter.
var plainText = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_./-]*|[0-9]+[A-Za-z][A-Za-z0-9]*)$`)

// textNode is s, in quotes unless they are idle.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		n.Style = yaml.DoubleQuotedStyle
	default:
		if !plainText.MatchString(s) {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}

func wholeNode(i int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(i, 10)}
}

// floatNode keeps a float a float: 1.0 is not 1.
func floatNode(x float64) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float"}
	switch {
	case math.IsNaN(x):
		n.Value = ".nan"
	case math.IsInf(x, 1):
		n.Value = ".inf"
	case math.IsInf(x, -1):
		n.Value = "-.inf"
	default:
		n.Value = strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(n.Value, ".e") {
			n.Value += ".0"
		}
	}
	return n
}

// writeJSON writes a node of this file's making.
func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	brackets := map[yaml.Kind]string{yaml.MappingNode: "{}", yaml.SequenceNode: "[]"}[n.Kind]
	if brackets == "" {
		return writeJSONScalar(b, n)
	}
	b.WriteByte(brackets[0])
	for i, child := range n.Content {
		switch {
		case i == 0:
		case n.Kind == yaml.MappingNode && i%2 == 1:
			b.WriteByte(':')
		default:
			b.WriteByte(',')
		}
		if err := writeJSON(b, child); err != nil {
			return err
		}
	}
	b.WriteByte(brackets[1])
	return nil
}

func writeJSONScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Tag {
	case "!!str":
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		return enc.Encode(n.Value)
	case "!!timestamp", "!!binary":
		return fmt.Errorf("JSON has no times and no bytes: %s; write YAML", n.Value)
	}
	if strings.HasSuffix(n.Value, ".inf") || n.Value == ".nan" {
		return fmt.Errorf("JSON has no number %s; write YAML", strings.TrimPrefix(n.Value, "."))
	}
	b.WriteString(n.Value)
	return nil
}

package topologyfile

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// mostNodes is how many values a file may have, counted anew at each use of an anchor:
// what ends a file that doubles itself a hundred times.
const mostNodes = 200_000

// mostProblems is how many are told.
const mostProblems = 100

// place is a place in the file, from 1.
type place struct{ line, column int }

// decoder makes Go values of nodes. It goes on after a problem, so that all are told.
type decoder struct {
	problems []Problem
	// places of fields (their keys) and of list entries, by path.
	places map[string]place
	nodes  int
	full   bool // mostNodes are reached
	depth  int
}

func (d *decoder) file(root *yaml.Node) File {
	var f File
	v := reflect.ValueOf(&f).Elem()
	d.object(root, v, "")
	return f
}

// problem tells one, until nobody would read more.
func (d *decoder) problem(n *yaml.Node, path, what, fix string) {
	if len(d.problems) == mostProblems {
		d.nodes, d.full = max(d.nodes, mostNodes), true
		return
	}
	d.problems = append(d.problems, Problem{Line: n.Line, Column: n.Column, Path: path, What: what, Fix: fix})
}

// enter follows an alias, and counts. A node it refuses is nil.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	d.nodes++
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.nodes >= mostNodes {
		if !d.full {
			d.full = true
			d.problem(n, path, fmt.Sprintf("the file has more than %d values, those of anchors counted at each use", mostNodes), "split it")
		}
		return nil
	}
	if d.depth > deepest {
		d.problem(n, path, fmt.Sprintf("is nested more than %d levels deep", deepest), "make it flatter; an anchor must not hold itself")
		return nil
	}
	return n
}

// value reads n into v, in the given form.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f form, path string) {
	d.depth++
	defer func() { d.depth-- }()
	if n = d.enter(n, path); n == nil {
		return
	}
	if n.ShortTag() == "!!null" {
		d.problem(n, path, "has no value", "give it one, or remove the field")
		return
	}
	switch f {
	case formObject:
		d.object(n, v, path)
	case formList:
		d.list(n, v, path)
	case formTable:
		if n.Kind != yaml.MappingNode {
			d.mismatch(n, path, "a mapping of names to values")
			return
		}
		d.nodes-- // counted again as a table's value
		if t := d.table(n, path); len(t) > 0 {
			v.Set(reflect.ValueOf(t))
		}
	case formOptional:
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), formOf(p.Type().Elem()), path)
		v.Set(p)
	default:
		if n.Kind != yaml.ScalarNode {
			d.mismatch(n, path, f.wanted())
			return
		}
		d.scalar(n, v, f, path)
	}
}

// mismatch tells that n is something else than what is wanted.
func (d *decoder) mismatch(n *yaml.Node, path, wanted string) {
	d.problem(n, path, "is "+describe(n)+", not "+wanted, "write "+wanted)
}

// describe says what n is, with its value where that is short.
func describe(n *yaml.Node) string {
	value := n.Value
	if runes := []rune(value); len(runes) > 40 {
		value = string(runes[:40]) + "..."
	}
	switch n.ShortTag() {
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!str":
		return "the text " + strconv.Quote(value)
	case "!!int", "!!float":
		return "the number " + value
	}
	return value
}

// object reads a mapping into the fields of a struct.
func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	if path == "" {
		if n = d.enter(n, path); n == nil {
			return
		}
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "a mapping of fields to values")
		return
	}
	fields := fieldsOf(v.Type())
	names := make([]string, 0, len(fields))
	byName := make(map[string]field, len(fields))
	for _, f := range fields {
		if fix := withheld(path, f.name); fix == "" {
			names = append(names, f.name)
			byName[f.name] = f
		}
	}
	for _, p := range d.pairs(n, path) {
		f, known := byName[p.name]
		at := join(path, p.name)
		switch {
		case path == "" && p.name == "$schema": // for editors
		case known:
			d.places[at] = place{p.key.Line, p.key.Column}
			d.value(p.value, v.FieldByIndex(f.index), f.form(), at)
		case withheld(path, p.name) != "":
			d.problem(p.key, at, "is not given here", withheld(path, p.name))
		default:
			what, fix := unknownField(p.name, names)
			d.problem(p.key, at, what, fix)
		}
	}
	if f, named := byName["name"]; named && v.FieldByIndex(f.index).IsZero() && d.places[join(path, "name")] == (place{}) {
		d.problem(n, path, "has no name", "add the field name")
	}
}

// withheld says what to do instead of giving a field that has no meaning there, or "".
func withheld(path, name string) string {
	if strings.HasPrefix(path, "work_queues[") && strings.Contains(path, "].bindings[") &&
		(name == "destination" || name == "to_exchange") {
		return "remove it: the destination is the work queue"
	}
	return ""
}

// pair is one entry of a mapping.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs are the entries of a mapping, each name once; those it merges ("<<") come last.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var all []pair
	seen := make(map[string]int)
	var merged []*yaml.Node
	d.nodes += len(n.Content) / 2
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch before, twice := seen[key.Value]; {
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case key.Kind != yaml.ScalarNode:
			d.problem(key, path, "a mapping or a list cannot be a name", "write the name of a field")
		case twice:
			d.problem(key, join(path, key.Value), fmt.Sprintf("is given on line %d already", before), "keep one of them")
		default:
			seen[key.Value] = key.Line
			all = append(all, pair{key.Value, key, value})
		}
	}
	for _, m := range merged {
		for _, p := range d.merge(m, path) {
			if _, own := seen[p.name]; !own {
				seen[p.name] = p.key.Line
				all = append(all, p)
			}
		}
	}
	return all
}

// merge is what the value of a merge key stands for: a mapping, or a list of them, of
// which the first has precedence.
func (d *decoder) merge(n *yaml.Node, path string) []pair {
	d.depth++
	defer func() { d.depth-- }()
	if n = d.enter(n, path); n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.pairs(n, path)
	case yaml.SequenceNode:
		var all []pair
		for _, one := range n.Content {
			all = append(all, d.merge(one, path)...)
		}
		return all
	}
	d.mismatch(n, join(path, "<<"), "a mapping to merge")
	return nil
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, path, "a list")
		return
	}
	if len(n.Content) == 0 {
		return
	}
	entries := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, one := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = place{one.Line, one.Column}
		d.value(one, entries.Index(i), formOf(v.Type().Elem()), at)
	}
	v.Set(entries)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

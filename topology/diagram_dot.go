package topology

import (
	"fmt"
	"strings"
)

// DOT is the topology as a directed graph in the language of Graphviz:
//
//	dot -Tsvg topology.dot >topology.svg
//
// It shows what [Topology.Mermaid] shows, in the same order, and is as stable: hexagons
// are exchanges, cylinders queues, trapezoids delay ladders; dead letters are
// dashed red edges, alternate exchanges dotted ones, retries bold and two-way.
func (t Topology) DOT() string {
	d := draw(t)
	var b strings.Builder
	b.WriteString("digraph topology {\n  rankdir=LR\n  node [fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n")
	for _, n := range d.nodes {
		fmt.Fprintf(&b, "  %s [%s]\n", n.id, n.dot())
	}
	for _, e := range d.edges {
		fmt.Fprintf(&b, "  %s -> %s%s\n", e.from, e.to, e.dot())
	}
	b.WriteString("}\n")
	return b.String()
}

func (n node) dot() string {
	shape := map[figure]string{figureExchange: "hexagon", figureQueue: "cylinder", figureLadder: "trapezium"}[n.figure]
	lines := make([]string, len(n.lines))
	for i, l := range n.lines {
		lines[i] = dotText(l)
	}
	attributes := fmt.Sprintf(`shape=%s, label="%s"`, shape, strings.Join(lines, `\n`))
	if n.elsewhere {
		attributes += ", style=dashed"
	}
	return attributes
}

func (e edge) dot() string {
	attributes := words(when(e.label != "", fmt.Sprintf(`label="%s"`, dotText(e.label))))
	switch e.line {
	case deadly:
		attributes = append(attributes, "style=dashed", "color=firebrick")
	case otherwise:
		attributes = append(attributes, "style=dotted")
	case retries:
		attributes = append(attributes, "style=bold", "dir=both")
	}
	if len(attributes) == 0 {
		return ""
	}
	return " [" + strings.Join(attributes, ", ") + "]"
}

// dotText writes s for between the quotes of a label, where a backslash starts an
// escape and an ampersand an HTML entity.
func dotText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`).Replace(visible(s))
}

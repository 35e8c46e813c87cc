package topology

import (
	"fmt"
	"strings"
	"unicode"
)

// Mermaid is the topology as a flowchart in the language of Mermaid, which GitHub,
// GitLab and many wikis show in place: in a Markdown file, fence it as mermaid. The
// text is the same for the same topology, so that it can be checked in and compared.
//
// Hexagons are exchanges, cylinders queues, trapezoids delay ladders. A full arrow is
// a binding with its key, a thick one goes into a ladder and back, a dotted one
// leads dead letters, or what an exchange cannot route to its alternate. What is
// External, or not in the topology, has a broken outline.
//
// A ladder in Ladders is one node. To see what it is made of, merge its
// [Ladder.Topology] in its place.
func (t Topology) Mermaid() string {
	d := draw(t)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range d.nodes {
		fmt.Fprintf(&b, "  %s%s\n", n.id, n.mermaid())
	}
	for _, e := range d.edges {
		fmt.Fprintf(&b, "  %s %s %s\n", e.from, e.mermaid(), e.to)
	}
	var elsewhere []string
	for _, n := range d.nodes {
		if n.elsewhere {
			elsewhere = append(elsewhere, n.id)
		}
	}
	if len(elsewhere) > 0 {
		b.WriteString("  classDef elsewhere stroke-dasharray: 5 5\n")
		fmt.Fprintf(&b, "  class %s elsewhere\n", strings.Join(elsewhere, ","))
	}
	return b.String()
}

func (n node) mermaid() string {
	lines := make([]string, len(n.lines))
	for i, l := range n.lines {
		lines[i] = mermaidText(l)
	}
	label := `"` + strings.Join(lines, "<br/>") + `"`
	switch n.figure {
	case figureExchange:
		return "{{" + label + "}}"
	case figureLadder:
		return `[/` + label + `\]`
	}
	return "[(" + label + ")]"
}

func (e edge) mermaid() string {
	arrow := map[line]string{routes: "-->", deadly: "-.->", otherwise: "-.->", retries: "<==>"}[e.line]
	if e.label == "" {
		return arrow
	}
	return fmt.Sprintf(`%s|"%s"|`, arrow, mermaidText(e.label))
}

// mermaidText writes s so that Mermaid shows it as it is: letters, digits and a few
// signs stay, all else becomes a character code, because Mermaid reads quotes, HTML,
// Markdown, comments, icons and directives within quoted labels.
func mermaidText(s string) string {
	var b strings.Builder
	runes := []rune(visible(s))
	for i, c := range runes {
		if plainInMermaid(runes, i) {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, "#%d;", c)
		}
	}
	return b.String()
}

// plainInMermaid reports whether the i-th rune stands for itself. A digit that begins
// a label might begin a numbered list, a "-" a list; "_" is Markdown's stress except
// within a word.
func plainInMermaid(runes []rune, i int) bool {
	word := func(at int) bool {
		return at >= 0 && at < len(runes) && (unicode.IsLetter(runes[at]) || unicode.IsDigit(runes[at]))
	}
	switch c := runes[i]; {
	case unicode.IsLetter(c):
		return true
	case unicode.IsDigit(c):
		return i > 0
	case c == '_':
		return word(i-1) && word(i+1)
	case c == '-':
		return word(i - 1)
	case c == ' ':
		return i > 0 && runes[i-1] != ' '
	}
	return strings.ContainsRune(".,/", runes[i])
}

// visible replaces what has no shape or is not UTF-8.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

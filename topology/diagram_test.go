package topology

import (
	goflag "flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

var updateDiagrams = goflag.Bool("update-diagrams", false, "write the golden diagrams anew")

// drawn are the topologies with golden diagrams.
func drawn() map[string]Topology {
	orders := WorkQueue("orders", WorkConfig{
		TTL:      7 * 24 * time.Hour,
		Bindings: []Binding{{Source: "events", Key: "order.*"}},
	})
	invoices := WorkQueue("invoices", WorkConfig{
		MaxLength: 1000, MaxBytes: 1 << 20, SingleActive: true,
		Ladder:   Ladder{Scope: "invoices"},
		Bindings: []Binding{{Source: "events", Key: "invoice.#"}},
	})
	shop := orders.Merge(invoices.Topology, Topology{
		Exchanges: []Exchange{
			{Name: "events", Kind: "topic", Alternate: "unroutable"},
			{Name: "unroutable", Kind: "fanout"},
			{Name: "by-headers", Kind: "headers", Internal: true},
			{Name: "legacy", External: true},
		},
		Queues: []Queue{
			{Name: "unroutable"},
			{Name: "audit", DeadLetterExchange: DefaultExchange, DeadLetterKey: "unroutable", MaxLength: 50, Overflow: DropHead},
			{Name: "session", Type: Classic, Exclusive: true, Transient: true, AutoDelete: true, MaxPriority: 3, Expires: 90 * time.Minute},
			{Name: "theirs", External: true},
		},
		Bindings: []Binding{
			{Source: "unroutable", Destination: "unroutable"},
			{Source: "events", Destination: "by-headers", ToExchange: true, Key: "#"},
			{Source: "by-headers", Destination: "audit", Arguments: amqp.Table{"x-match": "all", "kind": "order", "size": int64(3)}},
			{Source: "amq.topic", Destination: "session", Key: "now.*"},
			{Source: "legacy", Destination: "theirs", Key: "old"},
			{Source: "legacy", Destination: "not-here", Key: "old"},
		},
	})
	return map[string]Topology{
		"work":   WorkQueue("orders", WorkConfig{Bindings: []Binding{{Source: "events", Key: "order.*"}}}).Topology,
		"shop":   shop,
		"ladder": Ladder{Scope: "short", Levels: 2}.Topology().Merge(Topology{Queues: []Queue{{Name: "q"}}, Bindings: []Binding{Ladder{Scope: "short", Levels: 2}.Binding("q")}}),
		"names": {
			Exchanges: []Exchange{{Name: `a "quoted" <b>#1; & %% \n ` + "`x`", Kind: "topic"}, {Name: "1. list", Kind: "direct"}, {Name: "end", Kind: "direct"}},
			Queues:    []Queue{{Name: "_stressed_ snake_case"}, {Name: "two\nlines\x00"}, {Name: "köln.北京"}, {Name: "- [x](y) style:fa:fa-ban|]"}},
			Bindings: []Binding{
				{Source: "1. list", Destination: "_stressed_ snake_case", Key: "*.#"},
				{Source: "end", Destination: "two\nlines\x00", Key: `"`},
				{Source: "end", Destination: "köln.北京"},
				{Source: "end", Destination: "- [x](y) style:fa:fa-ban|]", Key: `\`},
			},
		},
		"nothing": {},
	}
}

func TestDiagrams(t *testing.T) {
	for name, top := range drawn() {
		for file, text := range map[string]string{name + ".mmd": top.Mermaid(), name + ".dot": top.DOT()} {
			t.Run(file, func(t *testing.T) {
				path := filepath.Join("testdata", "diagrams", file)
				if *updateDiagrams {
					if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if text != string(want) {
					t.Errorf("got\n%s\nwant (to accept it: go test ./topology -run TestDiagrams -update-diagrams)\n%s", text, want)
				}
			})
		}
	}
}

// TestDiagramsTakeAnyName: no name of the user's ends its label, whatever is in it.
func TestDiagramsTakeAnyName(t *testing.T) {
	mermaid := regexp.MustCompile(`^  ([equl]\d+(\{\{".*"\}\}|\[\(".*"\)\]|\[/".*"\\\])|[equl]\d+ (-->|-\.->|<==>)(\|".*"\|)? [equl]\d+|classDef elsewhere .*|class [equl0-9,]+ elsewhere)$`)
	safe := regexp.MustCompile(`^(#\d+;|<br/>|[^#<>&"` + "`" + `\\%$*:;\x00-\x1f])*$`)
	label := regexp.MustCompile(`"(.*)"`)
	dot := regexp.MustCompile(`^  ([equl]\d+( -> [equl]\d+)?( \[([a-z]+=("([^"\\]|\\["\\n])*"|[a-z]+)(, )?)+\])?|rankdir=LR|(node|edge) \[.*\])$`)
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`"`, `\`, `\"`, "#35;", "&quot;", "\n", "<br/>", "]", "}}", "%%", "end"}), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		a, b, key := name.Draw(r, "a"), name.Draw(r, "b"), name.Draw(r, "key")
		top := WorkQueue(a, WorkConfig{DeadLetterExchange: b, Ladder: Ladder{Scope: key}, Bindings: []Binding{{Source: b, Key: key}}}).Topology
		lines := strings.Split(strings.TrimSuffix(top.Mermaid(), "\n"), "\n")
		for _, line := range lines[1:] {
			if !mermaid.MatchString(line) {
				r.Fatalf("no line of Mermaid's: %q", line)
			}
			if m := label.FindStringSubmatch(line); m != nil && !safe.MatchString(m[1]) {
				r.Fatalf("Mermaid may read more than text: %q", line)
			}
		}
		lines = strings.Split(strings.TrimSuffix(top.DOT(), "\n"), "\n")
		for _, line := range lines[1 : len(lines)-1] {
			if !dot.MatchString(line) {
				r.Fatalf("no line of DOT's: %q", line)
			}
			if strings.ContainsFunc(line, unicode.IsControl) {
				r.Fatalf("a control character: %q", line)
			}
		}
	})
}

// TestDiagramsDoNotDependOnTheRun: maps have no order.
func TestDiagramsDoNotDependOnTheRun(t *testing.T) {
	first := drawn()["shop"]
	for range 20 {
		again := drawn()["shop"]
		if first.Mermaid() != again.Mermaid() || first.DOT() != again.DOT() {
			t.Fatal("the same topology is drawn differently")
		}
	}
}

// TestDiagramsHoldEverything: each entity is a node, each binding an edge.
func TestDiagramsHoldEverything(t *testing.T) {
	top := drawn()["shop"]
	d := draw(top)
	for _, q := range top.Queues {
		if d.ids[q.entity()] == "" {
			t.Errorf("%s is not drawn", q.entity())
		}
	}
	for _, e := range top.Exchanges {
		if d.ids[e.entity()] == "" {
			t.Errorf("%s is not drawn", e.entity())
		}
	}
	var deadly, alternates int
	for _, q := range top.Queues {
		if q.DeadLetterExchange != "" {
			deadly++
		}
	}
	for _, e := range top.Exchanges {
		if e.Alternate != "" {
			alternates++
		}
	}
	if want := len(top.Bindings) + deadly + alternates; len(d.edges) != want {
		t.Errorf("%d edges, want %d", len(d.edges), want)
	}
}

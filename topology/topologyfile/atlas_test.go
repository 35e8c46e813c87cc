package topologyfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/hareline/hareline/topology"
)

// TestFaultsHavePlaces: what Validate finds is told at the field it is about, in the
// words of the file.
func TestFaultsHavePlaces(t *testing.T) {
	const dlx = "exchanges: [{name: dlx, kind: direct}]\n"
	for name, c := range map[string]struct{ text, want string }{
		"field":             {"queues:\n  - name: q\n    ttl: -5m", `f.yaml:3:5: queues[0].ttl: queue "q": ttl is negative`},
		"field of the fix":  {"queues:\n  - name: q\n    auto_delete: true", `f.yaml:3:5: queues[0].auto_delete: queue "q": a quorum queue is durable`},
		"words of the file": {"queues:\n  - name: q\n    max_length: 5", `f.yaml:2:5: queues[0]: queue "q": is bounded without an overflow: RabbitMQ then drops the oldest message, confirmed or not, without a word (H 3.3); fix: set overflow to reject-publish, or to drop-head`},
		"enum":              {"queues: [{name: q, type: quorm}]", `queues[0].type: queue "q": type is "quorm"`},
		"quoted stays":      {"queues: [{name: TTL, ttl: 1us}]", `queues[0].ttl: queue "TTL": ttl is 1µs, not whole milliseconds`},
		"kind":              {"exchanges:\n  - name: e\n    kind: fan-out", `f.yaml:3:5: exchanges[0].kind: exchange "e": kind is "fan-out", did you mean "fanout"?`},
		"argument":          {"queues:\n  - name: q\n    arguments:\n      x-foo: 5", `f.yaml:4:7: queues[0].arguments.x-foo: queue "q": argument x-foo: RabbitMQ knows no such argument`},
		"unchecked":         {"queues:\n  - name: q\n    unchecked:\n      x-message-ttl: 5", `f.yaml:4:7: queues[0].unchecked.x-message-ttl: queue "q": argument x-message-ttl would get past the checks; fix: use the field ttl`},
		"binding":           {"bindings:\n  - {source: amq.headers, destination: q, arguments: {x-match: some}}", `f.yaml:2:5: bindings[0]: binding "amq.headers" to queue "q" by key "": x-match is some`},
		"to an exchange":    {"exchanges: [{name: e, kind: topic}]\nbindings:\n  - source: amq.topic\n    destination: e", `f.yaml:4:5: bindings[0].destination: binding "amq.topic" to queue "e" by key "": destination is an exchange; fix: set to_exchange`},
		"ladder":            {"ladders:\n  - scope: s\n    levels: 25", `f.yaml:3:5: ladders[0].levels: ladder "s": levels is 25`},
		"twice":             {"queues:\n  - name: q\n  - {name: q, ttl: 5m}", `f.yaml:3:15: queues[1].ttl: queue "q": is declared twice, differently: ttl is 0s and 5m0s`},
		"missing exchange":  {"queues:\n  - name: q\n    dead_letter_exchange: dlx", `f.yaml:3:5: queues[0].dead_letter_exchange: queue "q": its dead_letter_exchange "dlx" is not in the topology`},
		"nobody bound":      {dlx + "queues:\n  - name: q\n    dead_letter_exchange: dlx", `f.yaml:4:5: queues[0].dead_letter_exchange: queue "q": no queue is bound to its dead_letter_exchange "dlx"`},
		"work queue":        {"work_queues:\n  - name: q\n    delivery_limit: 20000", `f.yaml:3:5: work_queues[0].delivery_limit: work queue "q": delivery_limit is 20000`},
		"work queue's own":  {"work_queues:\n  - name: q\n    ttl: -1s", `f.yaml:3:5: work_queues[0].ttl: queue "q": ttl is negative`},
		"work's binding":    {"work_queues:\n  - name: q\n    bindings:\n      - source: ''", `f.yaml:4:9: work_queues[0].bindings[0].source: binding "" to queue "q" by key "": the default exchange cannot be bound`},
		"work's ladder":     {"work_queues:\n  - name: q\n    ladder: {levels: 30}", `f.yaml:3:14: work_queues[0].ladder.levels: ladder "default": levels is 30`},
		"shared ladder":     {"work_queues:\n  - name: q\n    max_length: 5", `f.yaml:2:5: work_queues[0]: queue "q": is bounded and shares the ladder "default": while it is full, no other queue of the ladder gets a retry; fix: give it one of its own: ladder: {scope: "q"}`},
		"retry":             {"work_queues:\n  - name: q\n    longest_retry: 100d", `f.yaml:3:5: work_queues[0].longest_retry: work queue "q": longest_retry waits up to 2400h0m0s, its ladder reaches`},
		"work and queue":    {"work_queues:\n  - name: q\nqueues:\n  - name: q", `queue "q": is declared twice`},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(t, "f.yaml", c.text)
			if len(got) != 1 || !strings.Contains(got[0].Error(), c.want) {
				t.Errorf("got  %v\nwant %s", got, c.want)
			}
			if got[0].Line == 0 {
				t.Errorf("no line: %v", got[0])
			}
		})
	}
}

// TestEveryKindOfFaultHasAPlace reads the faults of package topology's own table of bad
// files: whatever is wrong, a line is told.
func TestEveryKindOfFaultHasAPlace(t *testing.T) {
	f := File{
		Exchanges: []topology.Exchange{{Name: "amq.mine", Kind: "topic"}, {Name: "hareline.x", Kind: "topic"}, {Name: "e", Kind: "fanuot", Alternate: "gone"}},
		Queues:    []topology.Queue{{Name: "a", MaxLength: 1}, {Name: "b", TTL: -1}, {Name: "hareline.v1.100ms.24.default.level.07"}},
		Bindings:  []topology.Binding{{Source: "", Destination: "a"}, {Source: "e", Destination: "", ToExchange: true}},
		Ladders:   []topology.Ladder{{Levels: 99}, {Scope: strings.Repeat("s", 300), Levels: 1}},
		WorkQueues: []WorkQueue{{"", topology.WorkConfig{}}, {"w", topology.WorkConfig{DeadLetterKey: "k", MaxPriority: 3,
			Ladder: topology.Ladder{Scope: strings.Repeat("t", 300)}, Bindings: []topology.Binding{{Source: ""}}}}},
	}
	data, err := f.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got := problemsOf(t, "f.yaml", string(data))
	if len(got) < 14 {
		t.Errorf("only %d problems", len(got))
	}
	for _, p := range got {
		if p.Line == 0 || p.Path == "" {
			t.Errorf("no place: %v", p)
		}
	}
	if !slices.IsSortedFunc(got, func(a, b Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of the file: %v", got)
	}
}

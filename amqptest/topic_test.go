package amqptest

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// topicMatches is the rule, straight from its definition.
func topicMatches(pattern, words []string) bool {
	switch {
	case len(pattern) == 0:
		return len(words) == 0
	case pattern[0] == "#":
		return topicMatches(pattern[1:], words) || len(words) > 0 && topicMatches(pattern, words[1:])
	case len(words) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == words[0]) && topicMatches(pattern[1:], words[1:])
}

func topicWords(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

func takenBy(r *topicRouter, key string, of []*binding) map[*binding]bool {
	routing := &routing{seq: 1}
	for _, b := range of {
		b.queue.routed = 0
	}
	r.match(&message{key: key}, routing)
	taken := make(map[*binding]bool)
	for _, b := range of {
		taken[b] = b.queue.routed == 1
	}
	return taken
}

func TestTopicTrieFollowsTheRule(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "", "*", "#"})
	rapid.Check(t, func(t *rapid.T) {
		r := newTopicRouter()
		var bindings []*binding
		for i, words := range rapid.SliceOfN(rapid.SliceOfN(word, 0, 5), 1, 12).Draw(t, "patterns") {
			b := &binding{key: strings.Join(words, "."), queue: &queue{name: fmt.Sprint(i)}}
			bindings = append(bindings, b)
			r.add(b)
		}
		for len(bindings) > 0 {
			for _, words := range rapid.SliceOfN(rapid.SliceOfN(word, 0, 6), 1, 6).Draw(t, "keys") {
				key := strings.Join(words, ".")
				taken := takenBy(r, key, bindings)
				for _, b := range bindings {
					if want := topicMatches(topicWords(b.key), topicWords(key)); taken[b] != want {
						t.Fatalf("pattern %q, key %q: %v", b.key, key, taken[b])
					}
				}
			}
			i := rapid.IntRange(0, len(bindings)-1).Draw(t, "gone")
			r.remove(bindings[i])
			bindings = append(bindings[:i:i], bindings[i+1:]...)
		}
		if !r.root.empty() {
			t.Fatal("nodes are left of bindings that are gone")
		}
	})
}

// A pattern of many "#" takes time that grows with the words, and not with
// all the ways to spread words over them.
func TestTopicOfManyHashes(t *testing.T) {
	r := newTopicRouter()
	b := &binding{key: strings.Repeat("#.a.", 30) + "b", queue: &queue{}}
	r.add(b)
	key := strings.TrimSuffix(strings.Repeat("a.", 120), ".")
	if takenBy(r, key, []*binding{b})[b] {
		t.Error("matches without the last word")
	}
	if !takenBy(r, key+".b", []*binding{b})[b] {
		t.Error("does not match")
	}
}

func TestTopicMatchDoesNotAllocate(t *testing.T) {
	r := newTopicRouter()
	for _, key := range []string{"a.*.c", "a.#", "#.c", "a.b.c"} {
		r.add(&binding{key: key, queue: &queue{}})
	}
	m, routing := &message{key: "a.b.c"}, &routing{queues: make([]*queue, 0, 8)}
	if n := testing.AllocsPerRun(100, func() {
		routing.seq++
		routing.queues = routing.queues[:0]
		r.match(m, routing)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

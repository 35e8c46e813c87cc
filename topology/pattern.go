package topology

import (
	"regexp"
	"slices"
	"strings"
)

// matchExactly is a regular expression that matches these names, whole, and no others.
// It shares what they begin with, so that a ladder is one line. It keeps to what
// RabbitMQ's PCRE, which looks at bytes, and Go's regexp agree on.
func matchExactly(names []string) string {
	root := &trie{}
	for _, name := range names {
		root.add([]rune(name))
	}
	return "^" + root.pattern() + "$"
}

// trie is a set of texts by their first letters.
type trie struct {
	next map[rune]*trie
	end  bool // a text ends here
}

func (t *trie) add(text []rune) {
	if len(text) == 0 {
		t.end = true
		return
	}
	if t.next == nil {
		t.next = make(map[rune]*trie)
	}
	if t.next[text[0]] == nil {
		t.next[text[0]] = &trie{}
	}
	t.next[text[0]].add(text[1:])
}

// pattern matches what is below t.
func (t *trie) pattern() string {
	branches := t.branches()
	switch {
	case len(branches) == 0:
		return ""
	case len(branches) == 1 && !t.end:
		return branches[0]
	}
	group := "(" + strings.Join(branches, "|") + ")"
	if t.end {
		group += "?"
	}
	return group
}

// branches are the alternatives at t. Letters that the same follows are one.
func (t *trie) branches() []string {
	var followers []string
	letters := make(map[string][]rune) // by what follows
	runes := make([]rune, 0, len(t.next))
	for r := range t.next {
		runes = append(runes, r)
	}
	slices.Sort(runes)
	for _, r := range runes {
		after := t.next[r].pattern()
		if letters[after] == nil {
			followers = append(followers, after)
		}
		letters[after] = append(letters[after], r)
	}
	branches := make([]string, len(followers))
	for i, after := range followers {
		branches[i] = oneOf(letters[after]) + after
	}
	return branches
}

// oneOf matches one of the letters, which are sorted. Only ASCII letters and digits go
// into a class: PCRE would take others for their bytes.
func oneOf(letters []rune) string {
	var class, others []string
	for i := 0; i < len(letters); i++ {
		first := letters[i]
		if !isPlain(first) {
			others = append(others, regexp.QuoteMeta(string(first)))
			continue
		}
		last := first
		for i+1 < len(letters) && letters[i+1] == last+1 && isPlain(letters[i+1]) {
			i++
			last = letters[i]
		}
		switch last - first {
		case 0:
			class = append(class, string(first))
		case 1:
			class = append(class, string(first)+string(last))
		default:
			class = append(class, string(first)+"-"+string(last))
		}
	}
	all := strings.Join(class, "")
	if len([]rune(all)) > 1 {
		all = "[" + all + "]"
	}
	if len(class) > 0 {
		others = append([]string{all}, others...)
	}
	if len(others) == 1 {
		return others[0]
	}
	return "(" + strings.Join(others, "|") + ")"
}

func isPlain(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

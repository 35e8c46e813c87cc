package amqptest

import "strings"

// topicRouter is a trie over the words of the binding keys. It is walked word
// by word with all places at once that a key can be at, so that the effort is
// bounded by the size of the trie times the number of words.
type topicRouter struct {
	root *topicNode
	// step marks the nodes that the walk came to with the word in hand.
	step     uint64
	now, new []*topicNode
}

// topicNode is where a binding key is after some of its words.
type topicNode struct {
	words map[string]*topicNode
	star  *topicNode
	hash  *topicNode
	// manyWords: the word that led here is "#".
	manyWords bool
	bindings  []*binding
	step      uint64
}

func newTopicRouter() *topicRouter { return &topicRouter{root: &topicNode{}} }

// cutWord splits the first word off a key. In RabbitMQ the empty key has no
// word at all.
func cutWord(key string) (word, rest string, more bool) { return strings.Cut(key, ".") }

func (t *topicRouter) add(b *binding) {
	n := t.root
	rest, more := b.key, b.key != ""
	for more {
		var word string
		word, rest, more = cutWord(rest)
		n = n.make(word)
	}
	n.bindings = append(n.bindings, b)
}

func (n *topicNode) make(word string) *topicNode {
	switch word {
	case "*":
		if n.star == nil {
			n.star = &topicNode{}
		}
		return n.star
	case "#":
		if n.hash == nil {
			n.hash = &topicNode{manyWords: true}
		}
		return n.hash
	}
	if n.words == nil {
		n.words = make(map[string]*topicNode)
	}
	child, ok := n.words[word]
	if !ok {
		child = &topicNode{}
		n.words[word] = child
	}
	return child
}

func (t *topicRouter) remove(b *binding) { t.root.remove(b, b.key, b.key != "") }

// remove takes a binding out below the node, where rest of its key leads, and
// with it the nodes that nothing needs any more.
func (n *topicNode) remove(b *binding, rest string, more bool) {
	if !more {
		n.bindings = without(n.bindings, b)
		return
	}
	word, rest, more := cutWord(rest)
	child := n.child(word)
	if child == nil {
		return
	}
	child.remove(b, rest, more)
	if !child.empty() {
		return
	}
	switch word {
	case "*":
		n.star = nil
	case "#":
		n.hash = nil
	default:
		delete(n.words, word)
	}
}

func (n *topicNode) child(word string) *topicNode {
	switch word {
	case "*":
		return n.star
	case "#":
		return n.hash
	}
	return n.words[word]
}

func (n *topicNode) empty() bool {
	return len(n.bindings) == 0 && len(n.words) == 0 && n.star == nil && n.hash == nil
}

func (t *topicRouter) match(m *message, r *routing) {
	t.matchKey(m.key, r)
	for _, key := range m.extra {
		t.matchKey(key, r)
	}
}

func (t *topicRouter) matchKey(key string, r *routing) {
	t.step++
	t.now = t.now[:0]
	t.reach(&t.now, t.root)
	rest, more := key, key != ""
	for more && len(t.now) > 0 {
		var word string
		word, rest, more = cutWord(rest)
		t.step++
		t.new = t.new[:0]
		for _, n := range t.now {
			if n.manyWords {
				t.reach(&t.new, n)
			}
			if child, ok := n.words[word]; ok {
				t.reach(&t.new, child)
			}
			if n.star != nil {
				t.reach(&t.new, n.star)
			}
		}
		t.now, t.new = t.new, t.now
	}
	for _, n := range t.now {
		r.takeAll(n.bindings)
	}
}

// reach adds a node, and those behind "#", which may stand for no word.
func (t *topicRouter) reach(nodes *[]*topicNode, n *topicNode) {
	for n != nil && n.step != t.step {
		n.step = t.step
		*nodes = append(*nodes, n)
		n = n.hash
	}
}

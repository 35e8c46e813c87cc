package bus

import (
	"fmt"
	"strings"
)

// longestKey is what AMQP allows for routing keys and patterns, in bytes.
const longestKey = 255

// checkPattern finds what a topic exchange takes and then does not match as it was
// meant: RabbitMQ binds anything, and says nothing.
func checkPattern(pattern string) (problem, fix string) {
	if pattern == "" {
		return "is empty: it matches only events with an empty key, and there are none", didYouMean("")
	}
	if len(pattern) > longestKey {
		return fmt.Sprintf("%.40q... has %d bytes, AMQP allows %d", pattern, len(pattern), longestKey), "shorten it"
	}
	if trimmed := strings.TrimSpace(pattern); trimmed != pattern {
		return fmt.Sprintf("%q has blanks around it, which would have to be in the keys too", pattern), didYouMean(trimmed)
	}
	if slashed(pattern) {
		return fmt.Sprintf("%q has no dots: words are apart by dots, nothing else", pattern), didYouMean(strings.NewReplacer("/", ".", ":", ".").Replace(pattern))
	}
	words := strings.Split(pattern, ".")
	for i, word := range words {
		if problem, meant := checkWord(word); problem != "" {
			return fmt.Sprintf("%q %s", pattern, problem), didYouMean(replaced(words, i, meant))
		}
	}
	return "", ""
}

// slashed tells a pattern of another system, such as "video/*".
func slashed(pattern string) bool {
	return strings.ContainsAny(pattern, "/:") && strings.ContainsAny(pattern, "*#+>") && !strings.Contains(pattern, ".")
}

// checkWord gives the problem of one word and what was meant by it; "" is to leave
// the word out.
func checkWord(word string) (problem, meant string) {
	literal := strings.Trim(word, "*#")
	switch {
	case word == "":
		return "has an empty word: it matches only keys with an empty word at that place", ""
	case word == "*" || word == "#":
		return "", ""
	case word == "+":
		return `has the word "+", which is MQTT's wildcard: AMQP takes it literally`, "*"
	case word == ">":
		return `has the word ">", which is NATS's wildcard: AMQP takes it literally`, "#"
	case literal == "":
		return fmt.Sprintf("has the word %q, which AMQP takes literally: %q is any number of words already", word, "#"), "#"
	case !strings.ContainsAny(word, "*#"):
		return "", ""
	}
	problem = fmt.Sprintf("has a wildcard inside the word %q, where AMQP takes it literally: wildcards stand for whole words between dots", word)
	switch {
	case strings.ContainsAny(literal, "*#"): // in the middle: one word, whatever it is
		return problem, "*"
	case strings.HasPrefix(word, literal) && len(word) == len(literal)+1:
		return problem, literal + "." + word[len(literal):]
	case strings.HasPrefix(word, literal):
		return problem, literal + ".#"
	}
	return problem, "*" // an ending, or both: no pattern says that
}

// replaced is the pattern with word i replaced, or without it.
func replaced(words []string, i int, word string) string {
	var all []string
	for j, w := range words {
		if j == i {
			w = word
		}
		if w != "" {
			all = append(all, w)
		}
	}
	return strings.Join(all, ".")
}

func didYouMean(pattern string) string {
	if pattern == "" {
		return `give an event type, a pattern such as "video.*", or "#" for all`
	}
	return fmt.Sprintf("did you mean %q?", pattern)
}

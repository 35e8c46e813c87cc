package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// longestWord is how many bytes of a routing key's 255 a queue's word may take:
// 24 levels take 48, and some are kept for a later version (R 29).
const longestWord = 180

// word makes a queue's name one word of a topic key: injectively, so that no two
// queues share one. Dots would split it, "*" and "#" match others; "%" starts an
// escape and "~" a hash, so they are escaped too. A word that gets too long is the
// name's hash.
func word(queue string) string {
	var b strings.Builder
	for i := range len(queue) {
		switch c := queue[i]; c {
		case '.', '*', '#', '%', '~':
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() <= longestWord {
		return b.String()
	}
	sum := sha256.Sum256([]byte(queue))
	return "~" + hex.EncodeToString(sum[:])
}

// TargetOf reads the target queue from the routing key of a message on a ladder,
// or in its unclaimed queue. It is false for a key that is none of a ladder's, and
// for one with a long name, of which the key has only a hash.
func TargetOf(key string) (queue string, ok bool) {
	words := strings.Split(key, ".")
	last := words[len(words)-1]
	if len(words) < 2 || last == "" || last[0] == '~' {
		return "", false
	}
	for _, w := range words[:len(words)-1] {
		if w != "0" && w != "1" {
			return "", false
		}
	}
	return unescape(last)
}

func unescape(word string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] != '%' {
			b.WriteByte(word[i])
			continue
		}
		if i+2 >= len(word) {
			return "", false
		}
		c, err := strconv.ParseUint(word[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), true
}

package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// word is one argument of a step: VALUE, or KEY=VALUE.
type word struct {
	key, text string
	named     bool // has a key
	quoted    bool // the text stood in quotes
}

// split cuts a line at spaces that are in no quotes, brackets or braces.
func split(line string) ([]string, error) {
	var out []string
	depth, start := 0, -1
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == ' ' || c == '\t' {
			if depth == 0 && start >= 0 {
				out, start = append(out, line[start:i]), -1
			}
			continue
		}
		if start < 0 {
			if c == '#' && strings.HasPrefix(line[i:], "# ") {
				break
			}
			start = i
		}
		switch c {
		case '"':
			n, err := quotedLen(line[i:])
			if err != nil {
				return nil, err
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	if depth != 0 {
		return nil, errors.New("brackets or braces do not match")
	}
	if start >= 0 {
		out = append(out, strings.TrimRight(line[start:], " \t"))
	}
	return out, nil
}

// quotedLen is the length of the quoted string that text starts with.
func quotedLen(text string) (int, error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return 0, fmt.Errorf("no closed string: %s", text)
	}
	return len(quoted), nil
}

func parseWord(text string) (word, error) {
	if text[0] != '"' {
		if key, rest, ok := strings.Cut(text, "="); ok && key != "" && !strings.ContainsAny(key, `"{[:`) {
			w := word{key: key, text: rest, named: true}
			if strings.HasPrefix(rest, `"`) {
				s, err := strconv.Unquote(rest)
				if err != nil {
					return word{}, fmt.Errorf("bad string %s", rest)
				}
				w.text, w.quoted = s, true
			}
			return w, nil
		}
		return word{text: text}, nil
	}
	s, err := strconv.Unquote(text)
	if err != nil {
		return word{}, fmt.Errorf("bad string %s", text)
	}
	return word{text: s, quoted: true}, nil
}

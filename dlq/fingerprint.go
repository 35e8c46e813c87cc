package dlq

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fingerprint is the same for letters that failed for what looks like one cause:
// it hashes the class of the last error and its text, without what differs from
// one message to the next: quoted parts, and words with a digit in them (numbers,
// ids, hashes, times, addresses). A letter of which no error is known has the
// fingerprint of its reason. It is stable within a major version.
func (l Letter) Fingerprint() string {
	if l.ErrorClass == "" && l.LastError == "" {
		return digest("reason", l.Reason)
	}
	return digest("error", l.ErrorClass, normalize(l.LastError))
}

// maxNormalized bounds what of a text counts: it may end anywhere, and a stack or
// a list at its end would make every text another.
const (
	maxNormalized = 512
	maxText       = 2 << 10 // what story keeps of a text
)

// normalize replaces what differs: a quoted part by "", words with a digit by #,
// several of these in a row, with only punctuation between them, by one #.
func normalize(text string) string {
	text = cut(text, maxText)
	var out strings.Builder
	glue := "" // punctuation since the last #, not written yet
	after := false
	var last rune
	write := func(s string) {
		out.WriteString(glue)
		out.WriteString(s)
		glue, after = "", false
	}
	for text != "" && out.Len() < maxNormalized {
		r, size := utf8.DecodeRuneInString(text)
		token := text[:size]
		switch {
		case isQuote(r) && !isWord(last) && quoted(text) > 0:
			token = text[:quoted(text)]
			write(`""`)
		case isWord(r):
			token = text[:cmp.Or(uuidEnd(text), wordEnd(text))]
			if !variable(token) {
				write(strings.ToLower(token))
				break
			}
			if !after {
				write("#")
			}
			glue, after = "", true
		case unicode.IsSpace(r):
			token = text[:len(text)-len(strings.TrimLeftFunc(text, unicode.IsSpace))]
			write(" ")
		case after:
			glue += token
		default:
			write(token)
		}
		last, _ = utf8.DecodeLastRuneInString(token)
		text = text[len(token):]
	}
	out.WriteString(glue)
	return strings.TrimSpace(cut(out.String(), maxNormalized))
}

func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func isQuote(r rune) bool { return r == '"' || r == '\'' || r == '`' }

// longQuote is how much of a text may follow a quote that is never closed: it is
// taken for one that was cut.
const longQuote = 200

// quoted is the length of the quoted part that text begins with; 0 when it is
// none.
func quoted(text string) int {
	mark := text[0]
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case mark:
			if next, _ := utf8.DecodeRuneInString(text[i+1:]); mark == '"' || !isWord(next) { // else an apostrophe
				return i + 1
			}
		}
	}
	if mark == '"' && len(text) > longQuote {
		return len(text)
	}
	return 0
}

// uuidEnd is the length of the UUID that text begins with, or 0: one in twenty has
// a part without a digit.
func uuidEnd(text string) int {
	const length = 36
	if len(text) < length || len(text) > length && isWord(rune(text[length])) {
		return 0
	}
	for i, c := range []byte(text[:length]) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return 0
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
				return 0
			}
		}
	}
	return length
}

func wordEnd(text string) int {
	if i := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) }); i >= 0 {
		return i
	}
	return len(text)
}

// variable tells ids and numbers from words, by a digit; or by hex that is too
// long for a word.
func variable(word string) bool {
	const longHex = 8
	return strings.ContainsFunc(word, unicode.IsDigit) ||
		len(word) >= longHex && strings.Trim(strings.ToLower(word), "abcdef") == ""
}

// cut shortens s to at most n bytes, at the end of a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

package wire

import (
	"strconv"
	"strings"
)

// Reply texts of RabbitMQ show octets and tuples as Erlang prints them, with its
// line breaks: lines of 80 columns, on which a term has at most 60.
const (
	termLine  = 80
	termWidth = 60
)

// frameText is the text about a frame: the beginning of its payload, and what is
// wrong with it, an atom or a tuple, or nothing.
func frameText(f Frame, what string) string {
	const limit = 16
	which, payload := "all", f.Payload
	if len(payload) > limit {
		which, payload = "first 16", payload[:limit]
	}
	s := "type " + strconv.Itoa(int(f.Type)) + ", " + which + " octets = "
	s += binaryTerm(payload, len(s)+1)
	if what == "" {
		return s
	}
	s += ": "
	column := len(s) - strings.LastIndexByte(s, '\n')
	tag, rest, tuple := strings.Cut(what, ",")
	if tuple && len(what) >= termLine-column {
		return s + tag + ",\n" + strings.Repeat(" ", column) + rest
	}
	return s + what
}

// binaryTerm prints octets as Erlang's ~p does from the column on: <<"text">>
// when they are printable ASCII, else the numbers. Erlang has octets that are
// printable Latin-1 or UTF-8 as text too, differently in each version; here they
// are numbers.
func binaryTerm(b []byte, column int) string {
	if s, ok := textTerm(b); ok {
		return s
	}
	s := octetTerm(b)
	if len(s) < termLine-column && len(s) <= termWidth {
		return s
	}
	return breakOctets(s, column)
}

// breakOctets breaks a term of numbers that is too long for its line.
func breakOctets(s string, column int) string {
	const around = len("<<>>")
	width := max(8, min(termLine-column-2, termWidth-around))
	var out strings.Builder
	left := width
	for _, octet := range strings.SplitAfter(s[2:len(s)-2], ",") {
		if len(octet) > left {
			out.WriteString("\n" + strings.Repeat(" ", column+1))
			left = width
		}
		out.WriteString(octet)
		left -= len(octet)
	}
	return "<<" + out.String() + ">>"
}

// textTerm prints octets as text, if all of them can be.
func textTerm(b []byte) (string, bool) {
	if len(b) == 0 {
		return "<<>>", true
	}
	const escaped, letters = "\b\t\n\v\f\r\x1b\"\\", "btnvfre\"\\"
	s := []byte(`<<"`)
	for _, c := range b {
		i := strings.IndexByte(escaped, c)
		switch {
		case i >= 0:
			s = append(s, '\\', letters[i])
		case c >= ' ' && c <= '~':
			s = append(s, c)
		default:
			return "", false
		}
	}
	return string(append(s, `">>`...)), true
}

// octetTerm prints octets as Erlang's ~w does. It stops after as many as any
// reply text can show.
func octetTerm(b []byte) string {
	s := []byte("<<")
	for i, c := range b {
		if i > 0 {
			s = append(s, ',')
		}
		s = strconv.AppendUint(s, uint64(c), 10)
		if len(s) > maxText {
			break
		}
	}
	return string(append(s, ">>"...))
}

package dlq

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestNormalize(t *testing.T) {
	for text, want := range map[string]string{
		"":    "",
		"EOF": "eof",
		"dial tcp 10.0.0.1:5432: connect: refused":             "dial tcp #: connect: refused",
		"read tcp 127.0.0.1:34512->127.0.0.1:5672: i/o":        "read tcp #: i/o",
		"took 1m3.5s, at 2026-11-23T12:00:00Z":                 "took #, at #",
		`no film "The Third Man" for 'alice' in` + " `users`":  `no film "" for "" in ""`,
		`escaped "a \" b" end`:                                 `escaped "" end`,
		"can't find it, don't ask":                             "can't find it, don't ask",
		"the users' queue isn't there":                         "the users' queue isn't there",
		`one " only`:                                           `one " only`,
		"order ord_42 of user 7f3a9c":                          "order # of user #",
		"commit deadbeefcafe is bad":                           "commit # is bad",
		"a facade is a word":                                   "a facade is a word",
		"id 9b2fabcd-beef-4abc-abcd-aabbccddeeff gone":         "id # gone",
		"id deadbeef-feed-4bad-babe-facefacefacade":            "id #-feed-#-babe-#",
		"HTTP 503   from\n\tupstream":                          "http # from upstream",
		"Größe überschritten: 12 Äpfel":                        "größe überschritten: # äpfel",
		"bad \xff byte":                                        "bad \xff byte",
		`cut: "` + strings.Repeat("payload with no end ", 100): `cut: ""`,
	} {
		if got := normalize(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Only what differs from message to message may differ: the fingerprint stays.
func TestFingerprintOfOneCause(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[g-zG-Z]{1,9}`)
		before, after := word.Draw(t, "before"), word.Draw(t, "after")
		part := rapid.OneOf(
			rapid.Map(rapid.Int64(), func(n int64) string { return strings.TrimPrefix(fmt.Sprint(n), "-") }),
			rapid.Custom(func(t *rapid.T) string {
				return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")).String()
			}),
			rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,3}){3}:[0-9]{2,5}`),
			rapid.StringMatching(`[a-z]{1,5}[0-9][a-z0-9]{0,20}`),
		)
		text := func(label string) Letter {
			return Letter{ErrorClass: "e", LastError: fmt.Sprintf("%s %s: %s %q", before, part.Draw(t, label), after, word.Draw(t, label+" quoted"))}
		}
		a, b := text("a"), text("b")
		if a.Fingerprint() != b.Fingerprint() {
			t.Fatalf("%q and %q differ: %q, %q", a.LastError, b.LastError, normalize(a.LastError), normalize(b.LastError))
		}
		other := a
		other.LastError += " else"
		if other.Fingerprint() == a.Fingerprint() {
			t.Fatalf("%q and %q are the same", a.LastError, other.LastError)
		}
	})
}

// Letters without an error have the fingerprint of their reason, which no error
// has.
func TestFingerprintWithoutError(t *testing.T) {
	prints := map[string]string{}
	for name, l := range map[string]Letter{
		"expired": {Reason: "expired"}, "rejected": {Reason: "rejected"}, "nothing": {},
		"text": {LastError: "expired"}, "class": {ErrorClass: "expired"}, "class and text": {ErrorClass: "expired", LastError: "expired"},
	} {
		if was, ok := prints[l.Fingerprint()]; ok {
			t.Errorf("%s and %s have one fingerprint", name, was)
		}
		prints[l.Fingerprint()] = name
	}
	if (Letter{Reason: "expired"}).Fingerprint() != (Letter{Reason: "expired", Queue: "q", ID: "x"}).Fingerprint() {
		t.Error("two of one reason differ")
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"", "a 1", `"`, "'a'", "`", "\xff\x80", `"\`, strings.Repeat("1 ", 2000), "a-1-b-2", "deadbeef-feed-4bad-babe-facefacefaca"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := normalize(text)
		if len(got) > maxNormalized {
			t.Errorf("%d bytes", len(got))
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q became %q", text, got)
		}
		if strings.ContainsAny(got, "0123456789") {
			t.Errorf("%q still has digits: %q", text, got)
		}
	})
}

package nearest_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/internal/nearest"
)

func TestHint(t *testing.T) {
	candidates := []string{"ttl", "max_length", "max_bytes"}
	for name, want := range map[string]string{
		"tll":        `, did you mean "ttl"?`,
		"max_legnth": `, did you mean "max_length"?`,
		"max_":       "", // four of four bytes are far
		"expires":    "",
		"":           "",
	} {
		if got := nearest.Hint(name, candidates, nearest.Edits); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got, want := nearest.Hint("xbc", []string{"abc", "ybc"}, nearest.Edits), `, did you mean "abc"?`; got != want {
		t.Errorf("of two at the same distance: %q, want %q", got, want)
	}
	if got := nearest.Hint("abc", nil, nearest.Edits); got != "" {
		t.Errorf("without candidates: %q", got)
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"kitten", "sitting", 3},
		{"flaw", "lawn", 2},
	} {
		if got := nearest.Edits(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestEditsAreADistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ab_]{0,8}`)
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		ab := nearest.Edits(a, b)
		if (ab == 0) != (a == b) {
			t.Fatalf("%d", ab)
		}
		if ba := nearest.Edits(b, a); ab != ba {
			t.Fatalf("%d there, %d back", ab, ba)
		}
		if by := nearest.Edits(a, c) + nearest.Edits(c, b); ab > by {
			t.Fatalf("%d, but %d by way of %q", ab, by, c)
		}
	})
}

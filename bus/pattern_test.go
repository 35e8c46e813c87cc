package bus

import (
	"strconv"
	"strings"
	"testing"
)

func TestCheckPattern(t *testing.T) {
	for pattern, fix := range map[string]string{
		"#":                      "",
		"*":                      "",
		"video":                  "",
		"video.*":                "",
		"video.#":                "",
		"*.video.#":              "",
		"#.failed.#":             "",
		"order.created.v2":       "",
		"a/b":                    "",
		"urn:x.created":          "",
		"":                       "give an event type",
		"a..b":                   `did you mean "a.b"?`,
		".a":                     `did you mean "a"?`,
		"a.":                     `did you mean "a"?`,
		".":                      `give an event type`,
		"video.**":               `did you mean "video.#"?`,
		"##":                     `did you mean "#"?`,
		"video*":                 `did you mean "video.*"?`,
		"video.watch#":           `did you mean "video.watch.#"?`,
		"video.watch**":          `did you mean "video.watch.#"?`,
		"*video":                 `did you mean "*"?`,
		"video.*_started":        `did you mean "video.*"?`,
		"video.w*d":              `did you mean "video.*"?`,
		"video/*":                `did you mean "video.*"?`,
		"video:started:#":        `did you mean "video.started.#"?`,
		"video.+":                `did you mean "video.*"?`,
		"video.>":                `did you mean "video.#"?`,
		" video.*":               `did you mean "video.*"?`,
		"video.*\n":              `did you mean "video.*"?`,
		strings.Repeat("a", 256): "shorten it",
	} {
		problem, got := checkPattern(pattern)
		if (problem == "") != (fix == "") || !strings.HasPrefix(got, fix) {
			t.Errorf("%q: %q, fix %q; want fix %q", pattern, problem, got, fix)
		}
	}
}

// What is meant by a faulty pattern is, mended once for each fault, a good one.
func FuzzCheckPattern(f *testing.F) {
	for _, p := range []string{"video.*", "a..b", "**.a*", "video/*", " x ", " ", "+.>.*a#b"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		for range len(pattern) + 2 {
			problem, fix := checkPattern(pattern)
			if problem == "" {
				return
			}
			meant, ok := strings.CutPrefix(fix, "did you mean ")
			if !ok {
				return
			}
			if pattern = unquoted(t, meant); pattern == "" {
				t.Fatalf("an empty pattern is proposed: %s", problem)
			}
		}
		t.Fatalf("never good: %q", pattern)
	})
}

func unquoted(t *testing.T, meant string) string {
	t.Helper()
	s, err := strconv.Unquote(strings.TrimSuffix(meant, "?"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

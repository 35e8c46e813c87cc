package dlq

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const title = journalTitle + `"q" ""` + "\n"

func key(n int) string { return digest(fmt.Sprint(n)) }

func opened(t interface{ Fatal(...any) }, path string) *journal {
	j, err := openJournal(path, "q", "", 8, false)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func flyings(n ...int) (all []flying) {
	for _, n := range n {
		all = append(all, flying{taken: taken{key: key(n)}})
	}
	return all
}

// What a process wrote before it died is what the next one knows.
func TestJournalAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := opened(t, path)
	for _, err := range []error{j.begin(flyings(1, 2, 3, 4)), j.confirm(flyings(1, 2))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	j.forget(key(1))
	if err := j.begin(flyings(5)); err != nil { // carries the line before it
		t.Fatal(err)
	}
	j.forget(key(2)) // not written yet: the process dies
	j = opened(t, path)
	for n, want := range map[int]past{1: nothing, 2: wasConfirmed, 3: wasBegun, 4: wasBegun, 5: wasBegun, 6: nothing} {
		if got := j.before(key(n)); got != want {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
		if got := j.before(key(n)); got != nothing {
			t.Errorf("%d is told of twice: %v", n, got)
		}
	}
	for n := 2; n <= 5; n++ {
		j.forget(key(n))
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("an empty journal is left", err)
	}
}

// A long replay needs a short journal; one that cannot know of its copies ends.
func TestJournalIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := opened(t, path)
	for i := range 30 {
		var batch []int
		for n := range 1000 {
			batch = append(batch, i*1000+n)
		}
		for _, err := range []error{j.begin(flyings(batch...)), j.confirm(flyings(batch...))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range batch[1:] { // one of them stays in doubt
			j.forget(key(n))
		}
		if info, err := os.Stat(path); err != nil || info.Size() > 27*(maxJournalLines+4000) {
			t.Fatalf("%d: %v, %v", i, info, err)
		}
	}
	if j = opened(t, path); len(j.entries) < 30 || len(j.entries) > 1029 { // the last batch is not over yet
		t.Errorf("%d entries", len(j.entries))
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("files: %v", left)
	}
	j.limit = 10
	if err := j.begin(flyings(1)); err == nil {
		t.Error("it goes on with too much in doubt")
	}
}

func TestParseJournal(t *testing.T) {
	s1, c1, s2 := "s "+key(1)+"\n", "c "+key(1)+"\n", "s "+key(2)+"\n"
	for name, tc := range map[string]struct {
		text string
		size int // -1: it is refused
	}{
		"empty":             {"", 0},
		"half a title":      {title[:20], 0},
		"zeros":             {"\x00\x00\x00", 0},
		"title":             {title, len(title)},
		"lines":             {title + s1 + c1 + s2, len(title + s1 + c1 + s2)},
		"half a line":       {title + s1 + c1[:9], len(title + s1)},
		"no end of line":    {title + s1 + c1[:26], len(title + s1)},
		"zeros at the end":  {title + s1 + "\x00\x00\x00\x00", len(title + s1)},
		"rubbish before":    {title + "rubbish\n" + s1, -1},
		"rubbish at end":    {title + s1 + "rubbish\n", len(title + s1)},
		"bad key":           {title + "s " + strings.Repeat("x", 24) + "\n" + s1, -1},
		"bad operation":     {title + "x" + s1[1:] + s1, -1},
		"another queue":     {journalTitle + `"other" ""` + "\n", -1},
		"another target":    {journalTitle + `"q" "to"` + "\n" + s1, -1},
		"another file":      {"root:x:0:0\n", -1},
		"another, one line": {"root:x:0:0", -1},
		"another version":   {"hareline replay journal 2 \"q\" \"\"\n", -1},
		"too large":         {title + strings.Repeat(s1, maxJournalBytes/len(s1)+1), -1},
	} {
		_, _, size, err := parseJournal([]byte(tc.text), title)
		if (err != nil) != (tc.size < 0) || err == nil && size != tc.size {
			t.Errorf("%s: %d bytes, %v; want %d", name, size, err, tc.size)
		}
	}
}

// Whatever a process does, what it wrote is read as it was, also after the file
// was written anew.
func TestJournalIsReadAsItWas(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "j")
		defer os.Remove(path)
		j := opened(t, path)
		for range rapid.IntRange(0, 10).Draw(t, "steps") {
			n := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 4).Draw(t, "keys")
			var err error
			switch rapid.SampledFrom([]string{"begin", "confirm", "forget", "rewrite", "reopen"}).Draw(t, "step") {
			case "begin":
				err = j.begin(flyings(n...))
			case "confirm":
				err = j.confirm(flyings(n...))
			case "forget":
				j.forget(key(n[0]))
			case "rewrite":
				err = j.rewrite()
			case "reopen":
				if err = j.sync(); err == nil {
					_ = j.file.Close()
					j = opened(t, path)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := j.entries
		if err := j.sync(); err != nil {
			t.Fatal(err)
		}
		_ = j.file.Close()
		got := opened(t, path)
		_ = got.file.Close()
		if len(got.entries) != len(want) {
			t.Fatalf("%v, want %v", got.entries, want)
		}
		for k, e := range want {
			if g := got.entries[k]; g.begun != e.begun || g.confirmed != e.confirmed || g.old != e.begun {
				t.Fatalf("%s: %+v, want %+v", k, g, e)
			}
		}
	})
}

func FuzzParseJournal(f *testing.F) {
	f.Add([]byte(title + "s " + key(1) + "\nc " + key(1) + "\nd " + key(1) + "\n"))
	f.Add([]byte(title + "s " + key(1) + "\nc " + key(1)[:7]))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, lines, size, err := parseJournal(text, title)
		if size > len(text) || lines > size {
			t.Fatalf("%d lines, %d of %d bytes", lines, size, len(text))
		}
		for k, e := range entries {
			if e.begun <= 0 || e.confirmed < 0 || e.confirmed > e.begun {
				t.Fatalf("%s: %+v", k, e)
			}
		}
		if err != nil {
			return
		}
		if _, l, s, err := parseJournal(text[:size], title); err != nil || l != lines || s != size {
			t.Fatalf("the good part is read as %d lines, %d bytes, %v", l, s, err)
		}
	})
}

package dlq

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a full disk cut in the middle of a line goes on there when there is room
// again: the journal stays one.
func TestJournalOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := opened(t, path)
	if err := j.begin(flyings(1)); err != nil {
		t.Fatal(err)
	}
	full := &halfFile{journalFile: j.file, room: 40}
	j.file = full
	if err := j.begin(flyings(2, 3)); err == nil {
		t.Fatal("the disk is not full")
	}
	full.room = 1 << 20
	if err := j.confirm(flyings(1)); err != nil {
		t.Fatal(err)
	}
	_ = j.file.Close()
	if j = opened(t, path); j.before(key(1)) != wasConfirmed || j.before(key(3)) != wasBegun {
		t.Errorf("%v", j.entries)
	}
}

type halfFile struct {
	journalFile
	room int
}

func (f *halfFile) Write(b []byte) (int, error) {
	n, err := f.journalFile.Write(b[:min(len(b), f.room)])
	if f.room -= n; err == nil && n < len(b) {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// A journal that cannot be written anew is still the one that it was, and leaves
// no other file.
func TestJournalThatCannotBeWrittenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := opened(t, path)
	if err := j.begin(flyings(1)); err != nil {
		t.Fatal(err)
	}
	j.path = filepath.Join(filepath.Dir(path), "folder")
	if err := os.MkdirAll(filepath.Join(j.path, "in it"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.rewrite(); err == nil {
		t.Fatal("a folder was replaced")
	}
	if err := j.confirm(flyings(1)); err != nil {
		t.Fatal(err)
	}
	_ = j.file.Close()
	if left, _ := filepath.Glob(j.path + ".*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if j = opened(t, path); j.before(key(1)) != wasConfirmed {
		t.Errorf("%v", j.entries)
	}
}

// With too much in doubt nothing new begins, but what is in doubt can be settled.
func TestJournalAtItsLimit(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "j"))
	if err := j.begin(flyings(1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	j.limit = 2
	if err := j.begin([]flying{{taken: taken{key: key(1)}, again: true}}); err != nil {
		t.Error(err)
	}
	if err := j.begin(flyings(4)); err == nil {
		t.Error("more begins")
	}
}

// Only what no replay has met for a while is forgotten.
func TestJournalExpires(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := opened(t, path)
	if err := j.begin(flyings(1, 2, 2, 3)); err != nil {
		t.Fatal(err)
	}
	_ = j.file.Close()
	for _, age := range []time.Duration{0, time.Hour} {
		old := time.Now().Add(-age)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		j = opened(t, path)
		j.before(key(1))
		j.before(key(2))
		j.note(opBegun, key(4))
		j.expire()
		if left := len(j.entries); left != map[bool]int{false: 4, true: 3}[age > 0] {
			t.Errorf("after %v: %v", age, j.entries)
		}
		_ = j.file.Close()
	}
	if e := j.entries[key(2)]; e.begun != 1 {
		t.Errorf("%+v", e)
	}
}

// What JSON would alter silently is refused.
func TestLineThatIsNotUTF8(t *testing.T) {
	for _, text := range []string{"{\"hareline_letter\":1,\"body\":\"caf\xe9\"}", `{"hareline_letter":1} x`} {
		if d, err := readLine([]byte(text)); err == nil {
			t.Errorf("%q: %q", text, d.Body)
		}
	}
	if _, err := readLine([]byte(`{"hareline_letter":1} ` + strings.Repeat(" ", 9) + "\r\n")); err != nil {
		t.Error(err)
	}
}

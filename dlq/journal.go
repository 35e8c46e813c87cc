package dlq

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A journal file begins with a line that names its version, queue and
// ReplayConfig.To. Each further line is one of these and a letter's key.
const (
	journalTitle = "hareline replay journal 1 "

	opBegun     = 's' // a copy is about to be published
	opConfirmed = 'c' // it is confirmed
	opDone      = 'd' // its letter is surely gone, or the copy surely does not exist
)

// Bounds of a journal: of what is read, and of lines before it is written anew.
const (
	maxJournalBytes = 16 << 20
	maxJournalLines = 8 << 10
)

// journal is what this replay and earlier ones of the same file did, of which the
// broker has not said yet that it is over. Its methods do nothing on nil.
//
// Letters that share a key (two of one message that died at one time) are
// counted, not told apart.
type journal struct {
	path    string
	file    journalFile // nil: it is only read
	title   string
	entries map[string]entry
	buffer  []byte // lines not written yet: opDone needs no fsync of its own
	lines   int    // in the file
	limit   int    // of entries
	rested  bool   // nobody wrote to it for settleTime before
}

// settleTime is how long the letters of a replay that died may take to be back in
// the queue: they race with the end of its lock.
const settleTime = time.Minute

// journalFile is what of an *os.File is written to.
type journalFile interface {
	io.WriteCloser
	Sync() error
}

type entry struct {
	begun, confirmed int
	old              int // of those begun, by an earlier replay, and whose letter was not met yet
}

// past is what a journal knows of a letter.
type past uint8

const (
	nothing      past = iota
	wasBegun          // a copy may have been published
	wasConfirmed      // a copy is there
)

// journalKey tells letters apart better than their IDs do, for what it says is
// acted on: a program may give all its messages one message-id.
func journalKey(l Letter) string { return digest(l.ID, string(l.Delivery.Body)) }

// openJournal reads the file, or creates it. readOnly changes nothing, and gives
// nil where there is none.
func openJournal(path, queue, to string, window int, readOnly bool) (*journal, error) {
	j := &journal{
		path: path, title: journalTitle + strconv.Quote(queue) + " " + strconv.Quote(to) + "\n",
		limit: maxDuplicates + 2*window,
	}
	flags := os.O_RDWR | os.O_CREATE
	if readOnly {
		flags = os.O_RDONLY
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, j.failed(0, err)
	}
	if err := j.load(file, readOnly); err != nil {
		_ = file.Close()
		return nil, err
	}
	if readOnly {
		_ = file.Close()
		return j, nil
	}
	j.file = file
	return j, nil
}

func (j *journal) load(file *os.File, readOnly bool) error {
	text, err := io.ReadAll(io.LimitReader(file, maxJournalBytes+1))
	if err != nil {
		return j.failed(0, err)
	}
	entries, lines, size, err := parseJournal(text, j.title)
	if err != nil {
		return j.failed(lines+1, err)
	}
	j.entries, j.lines = entries, lines
	if info, err := file.Stat(); err == nil {
		j.rested = time.Since(info.ModTime()) > settleTime
	}
	if readOnly {
		return nil
	}
	// What a crash left half written ends here.
	if err := file.Truncate(int64(size)); err != nil {
		return j.failed(0, err)
	}
	if _, err := file.Seek(int64(size), io.SeekStart); err != nil {
		return j.failed(0, err)
	}
	if size == 0 {
		j.buffer = append(j.buffer, j.title...)
		return j.synced(syncDir(filepath.Dir(j.path)))
	}
	return nil
}

// parseJournal reads a journal with that title. size is how many bytes of it are
// good, lines how many lines. What a crash left at the end is not; a line that
// makes no sense before others that do is an error.
func parseJournal(text []byte, title string) (entries map[string]entry, lines, size int, err error) {
	entries = map[string]entry{}
	first, _, whole := bytes.Cut(text, []byte("\n"))
	switch {
	case len(text) > maxJournalBytes:
		return entries, 0, 0, errors.New("it is too large for a journal")
	case !whole && (strings.HasPrefix(title, string(first)) || len(bytes.Trim(first, "\x00")) == 0):
		return entries, 0, 0, nil // new, or never finished
	case !whole || !bytes.HasPrefix(first, []byte(journalTitle)):
		return entries, 0, 0, fmt.Errorf("it does not begin with %q", journalTitle)
	case string(first)+"\n" != title:
		return entries, 0, 0, fmt.Errorf("it is the journal of another replay: %s, not %s", first[len(journalTitle):], strings.TrimSpace(title[len(journalTitle):]))
	}
	lines, size = 1, len(title)
	for rest := text[size:]; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		op, key, ok := parseLine(line)
		if !ok || !whole {
			for later := range bytes.Lines(after) {
				if _, _, ok := parseLine(bytes.TrimSuffix(later, []byte("\n"))); ok {
					return entries, lines, size, fmt.Errorf("%.60q is no line of a journal", line)
				}
			}
			break
		}
		record(entries, op, key)
		lines++
		size += len(line) + 1
		rest = after
	}
	for key, e := range entries {
		e.old = e.begun
		entries[key] = e
	}
	return entries, lines, size, nil
}

// parseLine reads "s KEY".
func parseLine(line []byte) (op byte, key string, ok bool) {
	const keyLen = 24
	if len(line) != 2+keyLen || line[1] != ' ' || !bytes.ContainsRune([]byte{opBegun, opConfirmed, opDone}, rune(line[0])) {
		return 0, "", false
	}
	key = string(line[2:])
	return line[0], key, strings.Trim(key, "0123456789abcdef") == ""
}

// record applies a line.
func record(entries map[string]entry, op byte, key string) {
	e := entries[key]
	switch op {
	case opBegun:
		e.begun++
	case opConfirmed:
		e.confirmed = min(e.confirmed+1, e.begun)
	case opDone:
		e.begun--
		e.confirmed = max(e.confirmed-1, 0)
	}
	if e.begun <= 0 {
		delete(entries, key)
		return
	}
	e.old = min(e.old, e.begun)
	entries[key] = e
}

// before says what earlier replays did about the letter with that key. Each of
// them is told of once.
func (j *journal) before(key string) past {
	if j == nil {
		return nothing
	}
	e := j.entries[key]
	if e.old == 0 {
		return nothing
	}
	e.old--
	j.entries[key] = e
	if e.confirmed == e.begun {
		return wasConfirmed
	}
	return wasBegun
}

// expire forgets what earlier replays did about letters that were not met, when
// all of the queue was seen: they are gone, and if others like them come, from an
// export or a parking lot, these have not been replayed.
func (j *journal) expire() {
	if j == nil || j.file == nil || !j.rested {
		return
	}
	for key, e := range j.entries {
		for range e.old {
			j.note(opDone, key)
		}
	}
}

// begin writes down that copies are about to be published.
func (j *journal) begin(all []flying) error {
	isNew := func(c flying) bool { return !c.again }
	if len(j.entries) > j.limit && slices.ContainsFunc(all, isNew) { // those of earlier replays settle what is in doubt
		return j.failed(0, fmt.Errorf("of %d copies it is not known whether they are stored: see to the broker, then run the replay again", len(j.entries)))
	}
	for _, c := range all {
		if !c.again { // else it was written down by an earlier replay
			j.note(opBegun, c.key)
		}
	}
	return j.sync()
}

// confirm writes down that copies are confirmed.
func (j *journal) confirm(all []flying) error {
	if j == nil || len(all) == 0 {
		return nil
	}
	for _, c := range all {
		j.note(opConfirmed, c.key)
	}
	return j.sync()
}

// forget writes down, some time, that a letter is over.
func (j *journal) forget(key string) {
	if j != nil {
		j.note(opDone, key)
	}
}

func (j *journal) note(op byte, key string) {
	record(j.entries, op, key)
	j.buffer = append(append(append(j.buffer, op, ' '), key...), '\n')
}

// sync brings all that was noted to the disk.
func (j *journal) sync() error {
	if j.lines > maxJournalLines+2*len(j.entries) {
		return j.rewrite()
	}
	n, err := j.file.Write(j.buffer)
	j.lines += bytes.Count(j.buffer[:n], []byte("\n"))
	j.buffer = j.buffer[:copy(j.buffer, j.buffer[n:])] // what a full disk left goes on where it ended
	if err != nil {
		return j.failed(0, err)
	}
	return j.synced(j.file.Sync())
}

func (j *journal) synced(err error) error {
	if err != nil {
		return j.failed(0, err)
	}
	return nil
}

// rewrite replaces the file by one that has only what is still of use. If that
// fails, the old one goes on.
func (j *journal) rewrite() error {
	file, err := os.CreateTemp(filepath.Dir(j.path), filepath.Base(j.path)+".*")
	if err != nil {
		return j.failed(0, err)
	}
	text := j.text()
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(file.Name(), j.path)
	}
	if err != nil {
		_ = file.Close()
		_ = os.Remove(file.Name())
		return j.failed(0, err)
	}
	_ = j.file.Close()
	j.file, j.buffer, j.lines = file, j.buffer[:0], bytes.Count(text, []byte("\n"))
	return j.synced(syncDir(filepath.Dir(j.path)))
}

// text is the shortest journal that says the same.
func (j *journal) text() []byte {
	text := []byte(j.title)
	for key, e := range j.entries {
		for range e.begun {
			text = append(append(append(text, opBegun, ' '), key...), '\n')
		}
		for range e.confirmed {
			text = append(append(append(text, opConfirmed, ' '), key...), '\n')
		}
	}
	return text
}

// syncDir makes a new name survive a crash.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	return cmp.Or(err, dir.Close())
}

// close ends the journal. One that has nothing to remember is removed.
func (j *journal) close() error {
	if j == nil || j.file == nil {
		return nil
	}
	var err error
	if len(j.entries) > 0 {
		err = j.sync()
	}
	if e := j.file.Close(); e != nil && err == nil {
		err = j.failed(0, e)
	}
	if len(j.entries) == 0 {
		if e := os.Remove(j.path); e != nil && err == nil {
			err = j.failed(0, e)
		}
	}
	return err
}

func (j *journal) failed(line int, err error) error {
	return &JournalError{Path: j.path, Line: line, Err: err}
}

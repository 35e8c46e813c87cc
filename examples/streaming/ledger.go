package main

import (
	"path"
	"slices"
	"strings"
	"sync"
)

// ledger keeps the books of one run: for every subscriber, by message-id, what
// was published to it and what became of it. It is safe for many goroutines.
type ledger struct {
	mu     sync.Mutex
	groups []string // in the order of subscribing
	books  map[string]*account
}

// account is the books of one subscriber.
type account struct {
	pattern string
	events  map[string]*entry
	retries int
}

// entry is one event at one subscriber.
type entry struct {
	published bool
	handled   int  // how often; more than once is a duplicate
	letters   int  // how many lie in the dead-letter queue, at the last look
	open      bool // since it was published or replayed, neither handled nor buried
}

// done: the event needs no more waiting for.
func (e *entry) done() bool { return e.letters > 0 || e.handled > 0 && !e.open }

func newLedger() *ledger { return &ledger{books: make(map[string]*account)} }

// subscribe opens the books of a subscriber.
func (l *ledger) subscribe(pattern, group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = append(l.groups, group)
	l.books[group] = &account{pattern: pattern, events: make(map[string]*entry)}
}

// published enters a confirmed event for all who subscribe to its key. It may
// have been handled by some already.
func (l *ledger) published(key, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.books {
		if matches(a.pattern, key) {
			a.entry(id).published = true
		}
	}
}

// handled enters that a handler succeeded.
func (l *ledger) handled(group, id string) {
	l.change(group, id, func(e *entry) { e.handled, e.open = e.handled+1, false })
}

// buried enters that a burial has begun. Only a look at the letters tells that
// it is done.
func (l *ledger) buried(group, id string) {
	l.change(group, id, func(e *entry) { e.open = false })
}

// replaying enters that a letter is about to go back to its queue.
func (l *ledger) replaying(group, id string) {
	l.change(group, id, func(e *entry) { e.letters, e.open = 0, true })
}

func (l *ledger) retried(group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books[group].retries++
}

// looked enters what lies in a dead-letter queue: the letters' message-ids.
func (l *ledger) looked(group string, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.books[group]
	for _, e := range a.events {
		e.letters = 0
	}
	for _, id := range ids {
		a.entry(id).letters++
	}
}

func (l *ledger) change(group, id string, f func(*entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.books[group].entry(id))
}

func (a *account) entry(id string) *entry {
	e, ok := a.events[id]
	if !ok {
		e = &entry{open: true}
		a.events[id] = e
	}
	return e
}

// quiet reports whether every published event was handled, or its burial has
// begun.
func (l *ledger) quiet() bool {
	return l.all(func(e *entry) bool { return !e.open })
}

// done reports whether every published event was handled or lies in its
// dead-letter queue, those that were replayed once more.
func (l *ledger) done() bool { return l.all((*entry).done) }

func (l *ledger) all(is func(*entry) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.books {
		for _, e := range a.events {
			if e.published && !is(e) {
				return false
			}
		}
	}
	return true
}

// total is the sum of a subscriber's books, of its published events. Published
// is handled plus buried plus missing, always.
type total struct {
	group      string
	published  int
	handled    int      // at least once
	buried     int      // never handled, but in the dead-letter queue
	missing    []string // neither
	duplicates int      // handled again, or handled and buried, or buried again
	retries    int
}

func (l *ledger) totals() []total {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []total
	for _, group := range l.groups {
		t := total{group: group, retries: l.books[group].retries}
		for id, e := range l.books[group].events {
			if e.published {
				t.add(id, e)
			}
		}
		slices.Sort(t.missing)
		all = append(all, t)
	}
	return all
}

func (t *total) add(id string, e *entry) {
	t.published++
	switch {
	case e.handled > 0:
		t.handled++
	case e.letters > 0:
		t.buried++
	default:
		t.missing = append(t.missing, id)
	}
	t.duplicates += max(0, e.handled+e.letters-1)
}

// matches tells whether a topic pattern, here of whole words and "*" only, takes
// a key.
func matches(pattern, key string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, ".", "/"), strings.ReplaceAll(key, ".", "/"))
	return ok && err == nil
}

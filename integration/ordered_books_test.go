package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// orderBooks reads the journal.
type orderBooks struct {
	t       *testing.T
	letters map[string]bool
	next    map[string]int    // key: all below have had an effect or a letter
	settled map[string]bool   // messages that have had an effect
	moved   map[string]bool   // messages that were redelivered
	dead    map[string]bool   // messages that a handler gave up
	busy    map[string]string // process and key: the message at work
	last    map[string]int    // process, session and key: the newest message begun
	lines   int
	again   int
	wrong   int
}

func (o *orderBooks) fault(format string, args ...any) {
	if o.wrong++; o.wrong <= 10 {
		o.t.Errorf("line %d: "+format, append([]any{o.lines}, args...)...)
	}
}

// read takes the next line: kind, process, session, message, attempt, redelivered.
func (o *orderBooks) read(f []string) {
	o.lines++
	if len(f) != 6 {
		o.fault("torn: %q", f)
		return
	}
	kind, process, session, message, redelivered := f[0], f[1], f[1]+f[2], f[3], f[5] == "true"
	key, number, _ := strings.Cut(message, "/")
	n, err := strconv.Atoi(number)
	if err != nil {
		o.fault("%v", err)
		return
	}
	if kind == lineStart {
		if at := o.busy[process+key]; at != "" {
			o.fault("%s begins %s while it is at work on %s", process, message, at)
		}
		if o.last[session+key] > n {
			o.fault("session %s begins %s after number %d", session, message, o.last[session+key])
		}
		o.busy[process+key], o.last[session+key] = message, n
		return
	}
	if at := o.busy[process+key]; at != message {
		o.fault("%s ends %s, at work is %q", process, message, at)
	}
	delete(o.busy, process+key)
	for o.done(key, o.next[key]+1) {
		o.next[key]++
	}
	switch kind {
	case lineDead:
		o.dead[message] = true
	case lineEffect:
		if o.settled[message] {
			o.again++
			if !redelivered && !o.moved[message] { // nor is it what a process does that does not know yet that it was cut off
				o.fault("%s has an effect again, and was delivered once", message)
			}
		}
		o.moved[message] = o.moved[message] || redelivered
		if n > o.next[key]+1 {
			o.fault("%s has an effect before %s/%d has an effect or a letter", message, key, o.next[key]+1)
		}
		o.settled[message] = true
	}
}

// done tells whether a message has had an effect, or was given up and has a letter.
func (o *orderBooks) done(key string, n int) bool {
	message := fmt.Sprintf("%s/%d", key, n)
	return o.settled[message] || o.dead[message] && o.letters[message]
}

// balance looks for what is lost.
func (o *orderBooks) balance(sent map[string]int) {
	for key, count := range sent {
		for n := range count {
			if message := fmt.Sprintf("%s/%d", key, n+1); !o.settled[message] && !o.letters[message] {
				o.fault("%s is lost", message)
			}
		}
	}
	if o.wrong > 0 {
		o.t.Errorf("%d faults in all", o.wrong)
	}
}

func (o *orderBooks) total(sent map[string]int) int {
	sum := 0
	for _, n := range sent {
		sum += n
	}
	return sum
}

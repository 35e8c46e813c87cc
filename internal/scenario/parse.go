package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Script is one conversation. See the package's documentation for its notation.
type Script struct {
	File string // the name of the file it was read from, without folder and ending
	Name string
	Only []string // the versions that it is for; none: all
	Line int      // of its name in the file

	steps []step
}

// For tells whether the script is for that version, such as "4.0".
func (s *Script) For(version string) bool {
	for _, v := range s.Only {
		if v == version {
			return true
		}
	}
	return len(s.Only) == 0
}

// Users are the users that the script makes, on that virtual host: for a broker whose users are set when it starts.
func (s *Script) Users(vhost string) []User {
	var users []User
	for _, st := range s.steps {
		if st.verb == "user" {
			u, _ := userOf(newCall(st.words, func(text string) string { return text }), vhost)
			users = append(users, u)
		}
	}
	return users
}

// userOf is the user that a step describes. Its true name holds that of the virtual host, for users belong to no vhost.
func userOf(c *call, vhost string) (u User, name string) {
	name = c.pos("name")
	return User{
		Name: name + "-" + vhost, Password: c.optText("password", "secret"),
		Configure: c.optText("configure", "^$"), Write: c.optText("write", "^$"), Read: c.optText("read", "^$"),
	}, name
}

// step is one line of a script.
type step struct {
	text    string // the whole line
	conn    string
	channel uint16
	times   int // of repeat; 0: once, and no %d
	verb    string
	words   []string
}

// Parse reads the scripts of a file. It checks every step as far as it can be checked without a broker; an error names
// the line.
func Parse(file, text string) ([]*Script, error) {
	var scripts []*Script
	var errs []error
	names := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, isName := strings.CutPrefix(line, "--- ")
		if !isName && (line == "" || line[0] == '#') {
			continue
		}
		var err error
		switch {
		case isName:
			name = strings.TrimSpace(name)
			if names[name] {
				err = fmt.Errorf("two scripts are named %q", name)
			}
			names[name] = true
			scripts = append(scripts, &Script{File: file, Name: name, Line: i + 1})
		case len(scripts) == 0:
			err = errors.New("a step before the first --- NAME")
		default:
			err = scripts[len(scripts)-1].add(line)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, i+1, err))
		}
	}
	return scripts, errors.Join(errs...)
}

func (s *Script) add(line string) error {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return err
	}
	if words[0] == "only" {
		s.Only = append(s.Only, words[1:]...)
		return nil
	}
	st := step{text: strings.Join(words, " "), conn: "a", channel: 1}
	if words[0] == "on" {
		if len(words) < 3 {
			return errors.New("on: no place or no step")
		}
		if st.conn, st.channel, err = place(words[1]); err != nil {
			return err
		}
		words = words[2:]
	}
	if words[0] == "repeat" {
		if len(words) < 3 {
			return errors.New("repeat: no number or no step")
		}
		if st.times, err = strconv.Atoi(words[1]); err != nil || st.times < 1 {
			return fmt.Errorf("repeat %s: no number", words[1])
		}
		words = words[2:]
	}
	st.verb, st.words = words[0], words[1:]
	if err := st.check(); err != nil {
		return err
	}
	s.steps = append(s.steps, st)
	return nil
}

// place reads "2", "b" or "b.2".
func place(text string) (name string, channel uint16, err error) {
	name, number, ok := strings.Cut(text, ".")
	if !ok {
		if text[0] < '0' || text[0] > '9' {
			return text, 1, nil
		}
		name, number = "a", text
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("on %s: want CHANNEL, CONNECTION or CONNECTION.CHANNEL", text)
	}
	return name, uint16(n), nil
}

// at is the step's arguments in its n-th repetition.
func (st *step) at(n int) []string {
	if st.times == 0 {
		return st.words
	}
	out := make([]string, len(st.words))
	for i, w := range st.words {
		out[i] = strings.ReplaceAll(w, "%d", strconv.Itoa(n))
	}
	return out
}

// check builds what the step would send and forgets it.
func (st *step) check() error {
	_, known := verbs[st.verb]
	build, method := methods[st.verb]
	if !known && !method {
		return fmt.Errorf("unknown step %q", st.verb)
	}
	if !method {
		return st.checkVerb()
	}
	c := newCall(st.at(1), func(s string) string { return s })
	build(c)
	if err := c.end(); err != nil {
		return fmt.Errorf("%s: %w", st.verb, err)
	}
	return nil
}

func (st *step) checkVerb() error {
	var err error
	switch st.verb {
	case "wait":
		if len(st.words) != 1 {
			return errors.New("wait: want one duration")
		}
		_, err = time.ParseDuration(st.words[0])
	case "expect":
		_, _, err = expectation(st.words)
	case "send":
		_, err = rawBytes(newCall(st.at(1), func(s string) string { return s }), st.channel)
	case "depth":
		if len(st.words) != 2 {
			return errors.New("depth: want a queue and a number, or gone")
		}
	case "user":
		c := newCall(st.words, func(s string) string { return s })
		userOf(c, "")
		err = c.end()
	case "connect", "dial", "cut":
		if len(st.words) == 0 {
			return fmt.Errorf("%s: no name", st.verb)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", st.verb, err)
	}
	return nil
}

// expectations are what "expect" can wait for.
var expectations = map[string]bool{
	"deliver": true, "return": true, "confirm": true, "cancel": true, "close": true,
	"eof": true, "blocked": true, "unblocked": true, "any": true,
}

func expectation(words []string) (kind string, n int, err error) {
	if len(words) == 0 || len(words) > 2 || !expectations[words[0]] {
		return "", 0, fmt.Errorf("want deliver, return, confirm, cancel, close, eof, blocked, unblocked or any, and a number")
	}
	n = 1
	if len(words) == 2 {
		n, err = strconv.Atoi(words[1])
	}
	return words[0], n, err
}

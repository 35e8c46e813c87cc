package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hareline/hareline/amqptest"
)

// users are those of the environment and of a file; none: nil.
func (p process) users(file string) (map[string]amqptest.User, error) {
	users := make(map[string]amqptest.User)
	if file != "" {
		if err := readUsers(file, users); err != nil {
			return nil, err
		}
	}
	name, password := p.getenv("HARELINE_BROKER_USER"), p.getenv("HARELINE_BROKER_PASSWORD")
	switch {
	case name != "" && password != "":
		users[name] = amqptest.User{Password: password, Tags: []string{"administrator"}}
	case name != "" || password != "":
		return nil, usage(errors.New("HARELINE_BROKER_USER and HARELINE_BROKER_PASSWORD belong together: set both or none"))
	}
	if len(users) == 0 {
		return nil, nil
	}
	return users, nil
}

// readUsers reads lines of user:password[:tag,tag]. Empty lines and those that
// begin with # say nothing. No error quotes what is in the file.
func readUsers(file string, users map[string]amqptest.User) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("--users: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, ":")
		password, tags, tagged := strings.Cut(rest, ":")
		if name == "" || password == "" {
			return fmt.Errorf("--users: %s: line %d: give user:password or user:password:tag,tag", file, n)
		}
		u := amqptest.User{Password: password, Tags: []string{"administrator"}}
		if tagged {
			u.Tags = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' || r == ' ' })
		}
		users[name] = u
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("--users: %s: %w", file, err)
	}
	if len(users) == 0 {
		return fmt.Errorf("--users: %s names no user", file)
	}
	return nil
}

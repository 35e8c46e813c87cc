package topology

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// MismatchError tells that the entity exists with other arguments than the topology
// says (406). The broker names one difference only, the first it finds. Nothing was
// changed: declare never deletes.
type MismatchError struct {
	Entity   string // `queue "orders"`
	Argument string // "x-message-ttl", "durable", "type"...; "" where the broker's text does not tell
	Have     string // the broker's value, "none" where it has none; "" where its text was cut
	Want     string // the topology's value
	// Weaker is why OnMismatch UseExisting did not take what exists, one text for each
	// such argument; nil where it was not asked.
	Weaker []string
	Err    error // with an *amqp.Error in its chain
}

func (e *MismatchError) Error() string {
	weaker := ""
	if len(e.Weaker) > 0 {
		weaker = "; it will not do as it is: " + strings.Join(e.Weaker, ", ")
	}
	return fmt.Sprintf("topology: %s exists with another %s: the broker has %s, the topology wants %s%s; "+
		"put the old value into the topology, or declare it under a new name (it cannot be changed in place): %v",
		e.Entity, orElse(e.Argument, "argument"), orElse(e.Have, "(not told)"), orElse(e.Want, "(not told)"), weaker, e.Err)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Unwrap returns the broker's answer.
func (e *MismatchError) Unwrap() error { return e.Err }

// PermissionError tells that the user may not declare the entity (403).
type PermissionError struct {
	Entity string // what was being declared: `queue "orders"`
	// Permission is "configure", "write" or "read". Of 3.10, which names the resource
	// only, what the entity needs on it: perhaps "configure or read". "" is not known.
	Permission string
	Resource   string // what it is needed on: a queue also needs write on its dead-letter exchange
	Err        error  // with an *amqp.Error in its chain
}

func (e *PermissionError) Error() string {
	what := "permission"
	if e.Permission != "" {
		what = "the " + e.Permission + " permission"
	}
	if e.Resource != "" {
		what += " on " + e.Resource
	}
	return fmt.Sprintf("topology: %s: the user lacks %s; grant it, or let an admin declare the topology: %v", e.Entity, what, e.Err)
}

// Unwrap returns the broker's answer.
func (e *PermissionError) Unwrap() error { return e.Err }

// MissingError tells that the entity, or an end of a binding, is not there (404): it
// is External, or not in the topology.
type MissingError struct {
	Entity  string // what was being declared or looked for
	Missing string // what is not there: `exchange "events"`; "" where the broker does not tell
	Err     error  // with an *amqp.Error in its chain
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("topology: %s: there is no %s; declare it first, or add it to the topology: %v", e.Entity, orElse(e.Missing, "such entity"), e.Err)
}

// Unwrap returns the broker's answer.
func (e *MissingError) Unwrap() error { return e.Err }

// explain is the error of the failed step.
func (s step) explain(err error) error {
	err = explain(s.entity, err)
	var refused *PermissionError
	if errors.As(err, &refused) && refused.Permission == "" {
		refused.Permission = missing(s.needs, refused.Resource)
	}
	return err
}

// explain makes a failed step's error tell the entity, and what to do.
func explain(entity string, err error) error {
	var broker *amqp.Error
	if !errors.As(err, &broker) {
		return fmt.Errorf("topology: declare %s: %w", entity, err)
	}
	text := broker.Reason
	switch {
	case broker.Code == amqp.PreconditionFailed && strings.Contains(text, "inequivalent arg"):
		m := &MismatchError{Entity: entity, Err: err}
		m.Argument, m.Have, m.Want = parseMismatch(text)
		return m
	case broker.Code == amqp.AccessRefused:
		p := &PermissionError{Entity: entity, Err: err}
		p.Permission, p.Resource = parseRefusal(text)
		return p
	case broker.Code == amqp.NotFound:
		return &MissingError{Entity: entity, Missing: parseMissing(text), Err: err}
	}
	return fmt.Errorf("topology: declare %s: the broker refused it: %w", entity, err)
}

// parseMismatch reads `inequivalent arg 'A' for queue 'Q' in vhost '/': received W
// but current is H`, the same on 3.10, 4.0 and 4.3. The broker cuts texts of more
// than 255 bytes.
func parseMismatch(text string) (argument, have, want string) {
	_, rest, _ := strings.Cut(text, "inequivalent arg '")
	argument, rest, _ = strings.Cut(rest, "'")
	_, values, ok := strings.Cut(rest, "': received ")
	if !ok {
		return argument, "", ""
	}
	want, have, _ = strings.Cut(values, " but current is ")
	return argument, value(have), value(want)
}

// value reads `none`, `'V'` or `the value 'V' of type 'T'`.
func value(s string) string {
	if v, ok := strings.CutPrefix(s, "the value "); ok {
		if i := strings.LastIndex(v, " of type "); i >= 0 {
			v = v[:i]
		}
		s = v
	}
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	return s
}

// parseRefusal reads `ACCESS_REFUSED - write access to exchange 'E' in vhost '/'
// refused for user 'U'`; 3.10 leaves the permission out.
func parseRefusal(text string) (permission, resource string) {
	before, after, ok := strings.Cut(text, "access to ")
	if !ok {
		return "", ""
	}
	_, before, _ = strings.Cut(before, " - ")
	return strings.TrimSpace(before), named(after)
}

// parseMissing reads `NOT_FOUND - no queue 'Q' in vhost '/'`.
func parseMissing(text string) string {
	_, after, ok := strings.Cut(text, " - no ")
	if !ok {
		return ""
	}
	return named(after)
}

// named reads `queue 'Q' in vhost ...`.
func named(s string) string {
	if i := strings.LastIndex(s, " in vhost '"); i >= 0 {
		s = s[:i]
	}
	kind, name, _ := strings.Cut(s, " ")
	return fmt.Sprintf("%s %q", kind, strings.Trim(name, "'"))
}

// Package management reads RabbitMQ's management API over HTTP: the one client of it in
// this module. What it does not understand is an error, never a zero.
package management

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The most that is read of one answer. Bindings of a large virtual host are some tens of
// megabytes, a queue's columns some kilobytes.
const (
	largeAnswer = 256 << 20
	smallAnswer = 1 << 20
)

// Client makes the requests. It has no state of its own, and may be used concurrently.
type Client struct {
	URL   string // with user and password
	VHost string
	HTTP  *http.Client
}

// Kind is what kept the API from giving an answer that can be used.
type Kind uint8

// The kinds of errors.
const (
	Unreachable Kind = iota // no answer: refused, reset, no such host
	Slow                    // no answer before the ctx was over
	Refused                 // 401 or 403
	Broken                  // another status than it should have
	Nonsense                // an answer, and not the management API's
)

// Error tells that the API gave no answer that can be used.
type Error struct {
	Kind   Kind
	URL    string // of the request, without the password
	Status int    // of HTTP; 0: there was no answer
	Fix    string
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("management API: %s: %v; fix: %s", e.URL, e.Err, e.Fix)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Validate tells what is wrong with the URL, and never its text: it holds a password.
func (c Client) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		err = errors.New("it cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		err = errors.New("it has no http or https host")
	case u.RawQuery != "" || u.Fragment != "":
		err = errors.New("it has a ? or #, and what follows is no part of it")
	case u.User == nil:
		err = errors.New("it names no user")
	default:
		return nil
	}
	return fmt.Errorf("%w; write http://user:password@host:15672, with special characters percent-encoded", err)
}

// reply is an answer whose body was read.
type reply struct {
	at     string // of the request
	status int
	body   []byte
}

func (r reply) fail(kind Kind, err error, fix string) error {
	return &Error{Kind: kind, URL: r.at, Status: r.status, Err: err, Fix: fix}
}

// nonsense is the error of an answer that says what it cannot mean.
func (r reply) nonsense(format string, values ...any) error {
	return r.fail(Nonsense, fmt.Errorf(format, values...), "is it RabbitMQ's management API, and nothing in between that changes it?")
}

// Get reads one answer into out, with numbers as json.Number where out leaves their type
// open. found is false where the broker says that there is no such thing. Errors are
// *Error.
func (c Client) Get(ctx context.Context, out any, path ...string) (found bool, err error) {
	r, err := c.ask(ctx, largeAnswer, nil, path...)
	if err != nil {
		return false, err
	}
	if found, err = r.found(); !found || err != nil {
		return false, err
	}
	if err := r.decode(out); err != nil {
		return false, err
	}
	return true, nil
}

// ask makes one GET request and reads its answer, whatever its status.
func (c Client) ask(ctx context.Context, limit int64, query url.Values, path ...string) (reply, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return reply{}, &Error{Err: c.Validate(), Fix: "correct Management.URL"}
	}
	user := u.User
	u.User = nil
	escaped := make([]string, len(path))
	for i, p := range path {
		escaped[i] = url.PathEscape(p)
	}
	r := reply{at: strings.TrimRight(u.String(), "/") + "/api/" + strings.Join(escaped, "/")}
	at := r.at
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return r, r.fail(Unreachable, err, "correct Management.URL")
	}
	password, _ := user.Password()
	req.SetBasicAuth(user.Username(), password)
	answer, err := c.HTTP.Do(req)
	if err != nil {
		return r, r.noAnswer(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	r.status = answer.StatusCode
	r.body, err = io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return r, r.noAnswer(ctx, err)
	case int64(len(r.body)) > limit:
		return r, r.nonsense("the answer is longer than %d bytes", limit)
	}
	return r, nil
}

// noAnswer tells a slow API from one that is not there.
func (r reply) noAnswer(ctx context.Context, err error) error {
	if inner := (*url.Error)(nil); errors.As(err, &inner) { // it repeats the URL
		err = inner.Err
	}
	var timeout interface{ Timeout() bool }
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return r.fail(Slow, fmt.Errorf("no answer in time: %w", err), "is the broker overloaded, or does something in between drop packets?")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return r.fail(Unreachable, fmt.Errorf("the answer was cut off: %w", err), "see the broker's log, and that of a proxy in between")
	}
	return r.fail(Unreachable, err, "is the plugin rabbitmq_management enabled, and the port right?")
}

// found is whether there is what was asked for.
func (r reply) found() (bool, error) {
	if r.status == http.StatusOK {
		return true, nil
	}
	if told, _ := r.told(); r.status == http.StatusNotFound && told != "" {
		return false, nil
	}
	return false, r.refused()
}

// refused is the error of a status that is none of those that the request may have.
func (r reply) refused() error {
	err := fmt.Errorf("it answers %d %s", r.status, http.StatusText(r.status))
	told, reason := r.told()
	if reason != "" {
		err = fmt.Errorf("%w: %.200q", err, reason)
	}
	if r.status == http.StatusNotFound && told == "" { // RabbitMQ's is a JSON object
		return r.nonsense("%w, and not as RabbitMQ does", err)
	}
	if r.status == http.StatusUnauthorized || r.status == http.StatusForbidden {
		return r.fail(Refused, err, "check user and password, the user's tag management, and its permissions in the virtual host")
	}
	return r.fail(Broken, err, "see the broker's log, and that of a proxy in between")
}

// told is what an error object of RabbitMQ says; "" is that the body is none.
func (r reply) told() (name, reason string) {
	var o struct {
		Error  string `json:"error"`
		Reason any    `json:"reason"`
	}
	if json.Unmarshal(r.body, &o) != nil || o.Error == "" {
		return "", ""
	}
	if text, ok := o.Reason.(string); ok {
		return o.Error, text
	}
	return o.Error, ""
}

// decode reads the whole body into out.
func (r reply) decode(out any) error {
	if name, reason := r.told(); name != "" {
		return r.nonsense("it answers 200 with an error: %.100q %.200q", name, reason)
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	if err := d.Decode(out); err != nil {
		return r.nonsense("%w in an answer that begins with %.60q", err, r.body)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r.nonsense("something follows the answer")
	}
	return nil
}

package topology

import (
	"errors"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The texts as 3.10.8, 4.0.5 and 4.3.6 sent them.
func TestExplainMismatch(t *testing.T) {
	for text, want := range map[string]MismatchError{
		`PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'a1' in vhost 'topo': received '1' but current is '2'`:                                                   {Argument: "x-message-ttl", Have: "2", Want: "1"},
		`PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'a1' in vhost 'topo': received none but current is the value '2' of type 'long'`:                         {Argument: "x-message-ttl", Have: "2", Want: "none"},
		`PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'a1' in vhost 'topo': received the value '5' of type 'long' but current is none`:                          {Argument: "x-max-length", Have: "none", Want: "5"},
		`PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-strategy' for queue 'a3' in vhost 'topo': received the value 'at-least-once' of type 'longstr' but current is none`: {Argument: "x-dead-letter-strategy", Have: "none", Want: "at-least-once"},
		`PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue 'a5' in vhost 'topo': received the value 'true' of type 'bool' but current is none`:           {Argument: "x-single-active-consumer", Have: "none", Want: "true"},
		`PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a6' in vhost 'topo': received 'quorum' but current is 'classic'`:                                         {Argument: "x-queue-type", Have: "classic", Want: "quorum"},
		`PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'a7' in vhost 'topo': received 'true' but current is 'false'`:                                              {Argument: "auto_delete", Have: "false", Want: "true"},
		`PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e1' in vhost 'topo': received 'topic' but current is 'direct'`:                                                {Argument: "type", Have: "direct", Want: "topic"},
		`PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'e1' in vhost 'topo': received the value 'zz' of type 'longstr' but current is none`:             {Argument: "alternate-exchange", Have: "none", Want: "zz"},
		`PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'it's 'x' for queue' in vhost 'topo': received '1' but current is '2'`:                                   {Argument: "x-message-ttl", Have: "2", Want: "1"},
		`PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'a8' in vhost 'topo': received 'tw'o' but current is 'on'e' but current is'`:                    {Argument: "x-dead-letter-exchange", Have: "on'e' but current is", Want: "tw'o"},
		`PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '` + strings.Repeat("n", 160) + `...`:                                                                    {Argument: "x-message-ttl"},
		`PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-strategy' for queue 'é世' in vhost 'topo': received none but current is the value 'at-least-once' of type 'longstr'`: {Argument: "x-dead-letter-strategy", Have: "at-least-once", Want: "none"},
		`PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'a' in vhost 'topo': received 'drop-head`:                                                                   {Argument: "x-overflow", Have: "", Want: "'drop-head"},
		`PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'e1' in vhost 'topo': received 'false' but current is 'true'`:                                               {Argument: "durable", Have: "true", Want: "false"},
	} {
		cause := &amqp.Error{Code: 406, Reason: text, Server: true}
		err := explain(`queue "q"`, cause)
		var got *MismatchError
		if !errors.As(err, &got) {
			t.Errorf("%T for %s", err, text)
			continue
		}
		if got.Argument != want.Argument || got.Have != want.Have || got.Want != want.Want || got.Entity != `queue "q"` {
			t.Errorf("%q, have %q, want %q: for %s", got.Argument, got.Have, got.Want, text)
		}
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), `queue "q" exists with another `+got.Argument) {
			t.Errorf("error %v does not wrap or name", err)
		}
	}
}

func TestExplainPermission(t *testing.T) {
	for text, want := range map[string]PermissionError{
		`ACCESS_REFUSED - access to queue 'zq' in vhost 'topo' refused for user 'topolim'`:           {Resource: `queue "zq"`},
		`ACCESS_REFUSED - configure access to queue 'zq' in vhost 'topo' refused for user 'topolim'`: {Permission: "configure", Resource: `queue "zq"`},
		`ACCESS_REFUSED - write access to exchange 'e1' in vhost 'topo' refused for user 'topolim'`:  {Permission: "write", Resource: `exchange "e1"`},
		`ACCESS_REFUSED - read access to exchange 'e1' in vhost 'topo' refused for user 'topolim'`:   {Permission: "read", Resource: `exchange "e1"`},
		`ACCESS_REFUSED - operation not permitted on the default exchange`:                           {},
		`ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'`:                     {},
	} {
		var got *PermissionError
		err := explain(`queue "q"`, &amqp.Error{Code: 403, Reason: text, Server: true})
		if !errors.As(err, &got) || got.Permission != want.Permission || got.Resource != want.Resource {
			t.Errorf("%+v for %s", got, text)
		}
		if !strings.Contains(err.Error(), `queue "q": the user lacks`) {
			t.Error(err)
		}
	}
}

func TestExplainOthers(t *testing.T) {
	missing := explain(`binding "e" to queue "q" by key ""`, &amqp.Error{Code: 404, Reason: "NOT_FOUND - no exchange 'e' in vhost '/'", Server: true})
	var m *MissingError
	if !errors.As(missing, &m) || m.Missing != `exchange "e"` || !strings.Contains(missing.Error(), `there is no exchange "e"`) {
		t.Errorf("%+v", m)
	}
	for _, cause := range []error{
		&amqp.Error{Code: 406, Reason: "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'b3' in vhost 'topo': {value_too_large,315360000001}", Server: true},
		&amqp.Error{Code: 405, Reason: "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'a7' in vhost 'topo'.", Server: true},
		errors.New("broken pipe"),
	} {
		err := explain(`queue "q"`, cause)
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), `declare queue "q"`) {
			t.Errorf("%v does not wrap %v, or does not name the queue", err, cause)
		}
	}
}

// No text may make reading it fail, and what is read is part of it.
func FuzzExplain(f *testing.F) {
	f.Add(`PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e1' in vhost 'topo': received 'topic' but current is 'direct'`)
	f.Add(`ACCESS_REFUSED - write access to exchange 'e1' in vhost 'topo' refused for user 'topolim'`)
	f.Add(`NOT_FOUND - no queue 'Q' in vhost '/'`)
	f.Add(`inequivalent arg 'a': received ' but current is '`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, code := range []int{403, 404, 405, 406} {
			err := explain("queue", &amqp.Error{Code: code, Reason: text, Server: true})
			if err == nil || err.Error() == "" {
				t.Fatal("no error")
			}
		}
		argument, have, want := parseMismatch(text)
		for _, part := range []string{argument, have, want} {
			if !strings.Contains(text, part) {
				t.Fatalf("%q is not in %q", part, text)
			}
		}
	})
}

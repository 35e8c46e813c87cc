package amqptest

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// scope tells where an effect can happen.
type scope struct {
	on   string // default of Fault.On
	only bool   // it happens there alone
	// channel: it needs a method of a channel; queue: one that names a queue.
	channel, queue bool
	// connect, now: it can happen there too.
	connect, now bool
}

var scopes = map[Effect]scope{
	Nack:             {on: "basic.publish", only: true},
	DelayConfirm:     {on: "basic.publish", only: true},
	ReorderConfirms:  {on: "basic.publish", only: true},
	HoldConfirm:      {on: "basic.publish", only: true},
	DropBefore:       {on: OnAny, connect: true, now: true},
	DropAfter:        {on: OnAny},
	CloseChannel:     {on: OnAny, channel: true, now: true},
	CloseConnection:  {on: OnAny, now: true},
	Stall:            {on: OnAny, connect: true, now: true},
	RaiseAlarm:       {on: Now, connect: true, now: true},
	DeleteQueue:      {on: OnAny, queue: true, now: true},
	CancelConsumers:  {on: OnAny, queue: true, now: true},
	ForgetConsumers:  {on: OnAny, queue: true, now: true},
	RefuseConnection: {on: OnConnect, only: true, connect: true},
	RefuseLogin:      {on: onLogin, only: true},
}

const (
	onLogin   = "connection.start-ok"
	onDeliver = "basic.deliver"
)

func (f Fault) withDefaults() Fault {
	f.Name = cmp.Or(f.Name, string(f.Do))
	if f.On == "" {
		f.On = scopes[f.Do].on
		if scopes[f.Do].queue && f.Queue != "" {
			f.On = Now
		}
	}
	f.Nth = cmp.Or(f.Nth, 1)
	f.Every = cmp.Or(f.Every, 1)
	switch f.Do {
	case ReorderConfirms:
		f.Count = cmp.Or(f.Count, 2)
		f.Times = cmp.Or(f.Times, f.Count)
	case CloseChannel, CloseConnection:
		f.Code = cmp.Or(f.Code, codeInternalError)
		f.Text = cmp.Or(f.Text, codeNames[f.Code]+" - injected fault")
	case RaiseAlarm:
		f.Resource = cmp.Or(f.Resource, "memory")
	}
	f.Times = cmp.Or(f.Times, 1)
	return f
}

// validate names the field that is wrong, and the fix. It takes a fault with
// its defaults filled in.
func (f Fault) validate() error {
	s, ok := scopes[f.Do]
	if !ok {
		return fmt.Errorf("amqptest: Fault.Do is %q: give one of the effects, such as Nack", f.Do)
	}
	if err := f.validateOn(s); err != nil {
		return err
	}
	for _, p := range []struct{ field, pattern string }{
		{"Connection", f.Connection}, {"VHost", f.VHost}, {"Exchange", f.Exchange}, {"Key", f.Key}, {"Queue", f.Queue},
	} {
		if _, err := path.Match(p.pattern, ""); err != nil {
			return fmt.Errorf("amqptest: Fault.%s is %q: write it as path.Match takes it: %w", p.field, p.pattern, err)
		}
	}
	if len(f.Text) > maxReplyText {
		return fmt.Errorf("amqptest: Fault.Text has %d bytes: a reply text has at most %d", len(f.Text), maxReplyText)
	}
	return f.validateNumbers()
}

const maxReplyText = 255

func (f Fault) validateNumbers() error {
	switch {
	case f.Nth < 1:
		return fmt.Errorf("amqptest: Fault.Nth is %d: count from 1", f.Nth)
	case f.Every < 1:
		return fmt.Errorf("amqptest: Fault.Every is %d: give 1 or more", f.Every)
	case f.Delay < 0:
		return fmt.Errorf("amqptest: Fault.Delay is %s: it cannot be negative", f.Delay)
	case f.Do == DelayConfirm && f.Delay == 0:
		return errors.New("amqptest: Fault.Delay is 0: say by how much confirms are late")
	case f.Do == ReorderConfirms && f.Count < 2:
		return fmt.Errorf("amqptest: Fault.Count is %d: it takes 2 or more confirms to change their order", f.Count)
	case f.Do == RaiseAlarm:
		if err := checkResource(f.Resource); err != nil {
			return fmt.Errorf("amqptest: Fault.Resource: %w", err)
		}
	}
	return nil
}

// validateOn checks that the effect can happen where the fault waits.
func (f Fault) validateOn(s scope) error {
	fix := ""
	switch f.On {
	case OnAny, onDeliver:
	case OnConnect:
		if !s.connect {
			fix = "nothing was said on the connection yet"
		}
	case Now:
		if !s.now {
			fix = "name a method"
		}
		if s.queue && f.Queue == "" {
			return errors.New("amqptest: Fault.Queue is empty: name the queue, or set Fault.On to a method that names it")
		}
	default:
		if _, _, ok := clientMethod(f.On); !ok {
			return fmt.Errorf("amqptest: Fault.On is %q: give a method that clients send, such as basic.publish, or basic.deliver", f.On)
		}
		fix = s.misplaced(f.On)
	}
	if s.only && f.On != s.on {
		fix = "leave it empty"
	}
	if fix != "" {
		return fmt.Errorf("amqptest: Fault.On is %q, which does not go with %q: %s", f.On, f.Do, fix)
	}
	return nil
}

// misplaced says what to do about a method at which the effect cannot happen.
func (s scope) misplaced(method string) string {
	if (s.channel || s.queue) && strings.HasPrefix(method, "connection.") {
		return "name a method of a channel"
	}
	return ""
}

// methodName is a method's name as the specification of AMQP writes it.
func methodName(class, method uint16) string {
	return strings.ReplaceAll(wire.MethodName(class, method), "_", "-")
}

// serverMethods are those of which no name ends in -ok and that only the broker sends.
var serverMethods = []string{
	"connection.start", "connection.secure", "connection.tune", "connection.blocked", "connection.unblocked",
	"basic.return", "basic.get-empty", onDeliver,
}

// clientMethod finds a method that clients send of themselves, or in the
// handshake, by its name.
func clientMethod(name string) (class, method uint16, ok bool) {
	handshake := name == onLogin || name == "connection.tune-ok"
	if strings.HasSuffix(name, "-ok") && !handshake || slices.Contains(serverMethods, name) {
		return 0, 0, false
	}
	for class = wire.ClassConnection; class <= wire.ClassTx; class += 5 {
		for method = 10; method <= 120; method++ {
			if methodName(class, method) == name {
				return class, method, true
			}
		}
	}
	return 0, 0, false
}

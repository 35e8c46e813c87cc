package scenario

import (
	"context"
	"net"
	"time"
)

// Target is a broker with an empty virtual host for one script.
type Target struct {
	// Names have the same lengths in all targets whose transcripts are compared: a broker cuts long texts of errors.
	VHost          string
	User, Password string // with every permission on VHost

	// Dial opens a socket to the broker.
	Dial func(ctx context.Context) (net.Conn, error)

	// Wait lets d pass on the broker's clock. Nil: real time.
	Wait func(ctx context.Context, d time.Duration) error

	// Tick lets d pass on the clock of a broker whose time stands still otherwise. It is called again and again while a
	// step waits for what must come. Nil: the clock runs.
	Tick func(d time.Duration)

	// Settle returns when the broker has nothing left to do without a client. Nil: it cannot tell; Quiet decides alone.
	Settle func(ctx context.Context) error

	// Quiet is how long nothing must come until nothing is held to come any more. Default 150 ms.
	Quiet time.Duration

	// Patience is how long a step waits for what must come. Default 10 s.
	Patience time.Duration

	// AddUser makes a user. Nil: scripts that need one fail.
	AddUser func(ctx context.Context, u User) error
}

// User is one with permissions on the target's virtual host: regular expressions over names of queues and exchanges.
type User struct {
	Name, Password         string
	Configure, Write, Read string
}

// A broker with Tick has had no word to say for idle before its clock moves on by tick.
const idle, tick = 3 * time.Millisecond, 10 * time.Millisecond

// pause waits for changed, for ctx, or a moment in which nothing came; then the clock moves on.
func (t Target) pause(ctx context.Context, changed <-chan struct{}, moment time.Duration) error {
	if t.Tick != nil {
		moment = idle
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-changed:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		if t.Tick != nil {
			t.Tick(tick)
		}
	}
	return nil
}

func (t Target) withDefaults() Target {
	if t.Quiet <= 0 {
		t.Quiet = 150 * time.Millisecond
	}
	if t.Patience <= 0 {
		t.Patience = 10 * time.Second
	}
	if t.Wait == nil {
		t.Wait = func(ctx context.Context, d time.Duration) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return t
}

package confirm

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"
)

// Config bounds a [Publisher]. The zero value is useful.
type Config struct {
	// Window is the largest number of unanswered messages; further callers
	// wait. Default 1000: fewer than 100 cost throughput, more bring none.
	Window int
	// WindowBytes is the largest sum of their bodies and headers. A message
	// larger than it is sent alone. Default 64 MiB.
	WindowBytes int
	// ConfirmTimeout is how long a written message may stay unanswered, time
	// under an alarm not counted, until it is unknown to its caller; its place
	// in the window is kept until the broker answers. When nothing at all is
	// answered for that long, the channel is replaced. Default 30 s.
	ConfirmTimeout time.Duration
	// NoRepublish makes messages that were unanswered when the link was lost
	// unknown at once, instead of sending them again.
	NoRepublish bool
	// MaxHeaderBytes bounds the encoded headers of Publish and Send; Start,
	// which carries copies of what a broker has once accepted, takes up to
	// 120 KiB. A header frame near frame_max (128 KiB) kills the connection of
	// whoever receives it (H 10.4). With a Tracer 8 KiB more are taken, which may be
	// its own. Default 32 KiB.
	MaxHeaderBytes int
	// MaxBodyBytes bounds the body of Publish and Send. RabbitMQ 4 refuses
	// more than 16 MiB, closing the channel (H 10.5). Default 16 MiB.
	MaxBodyBytes int
	// OnOutcome is told what became of every message, until Close: for metrics
	// and logs. It is called from one goroutine of its own, in the order of the
	// outcomes. However slow it is, no caller and no other channel of the link
	// waits for it, and no outcome is lost to its caller; what does not fit its
	// buffer (8192 confirmed ones, and 8192 others) is counted in
	// Outcome.Dropped. It must not call Close, which waits for it.
	OnOutcome func(Outcome)
	// Tracer, if set, follows every message from its call to its outcome, as
	// package telemetry does. Default none.
	Tracer Tracer
	// Later is where the messages of PublishLater wait: a work queue with its
	// delay ladder, as topology.WorkQueue makes it, whose consumer has Forward as its
	// handler. It holds nothing else. Default none.
	Later Parker
	// Logger gets what no caller is told: channels replaced, messages sent
	// again. Default slog.Default().
	Logger *slog.Logger
}

// Parker says where to publish a message for it to come to one queue after delay,
// and how long that will really be: rounded up by an eighth at most, or cut to
// the longest there is. topology.Work is one.
type Parker interface {
	Park(delay time.Duration) (exchange, key string, actual time.Duration)
}

func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, 1000)
	c.WindowBytes = cmp.Or(c.WindowBytes, 64<<20)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, 30*time.Second)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 32<<10)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 16<<20)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Window", int64(c.Window)}, {"WindowBytes", int64(c.WindowBytes)},
		{"ConfirmTimeout", int64(c.ConfirmTimeout)}, {"MaxHeaderBytes", int64(c.MaxHeaderBytes)},
		{"MaxBodyBytes", int64(c.MaxBodyBytes)},
	} {
		if f.value < 0 {
			return fmt.Errorf("confirm: Config.%s is negative (%d): leave it zero for the default", f.name, f.value)
		}
	}
	if c.MaxHeaderBytes > maxCopyHeaders {
		return fmt.Errorf("confirm: Config.MaxHeaderBytes is %d: use at most %d, a header frame near frame_max kills connections", c.MaxHeaderBytes, maxCopyHeaders)
	}
	return nil
}

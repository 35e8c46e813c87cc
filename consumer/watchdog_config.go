package consumer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"
)

// WatchdogConfig is how a consumer watches itself: whether the broker still knows
// it, whether handlers come to an end, whether what is delivered gets settled. It is
// on by default: a message costs three atomic writes, and a consumer that nothing is
// delivered to a passive queue.declare, on a channel of its own, for each look.
//
// What is found is logged, at error, and told to OnEvent. The one thing that it does
// is to subscribe anew where the broker forgot the consumer. It settles nothing, for
// a handler or a copy may be at work on it; it starts nothing in place of a stuck
// handler, which would be more than Workers at once; and it ends no handler's ctx:
// that is a verdict on the message, which [Timeout] gives.
type WatchdogConfig struct {
	// Off watches nothing.
	Off bool
	// Every is the time from look to look. Default 30 s.
	Every time.Duration
	// StuckAfter is how long a delivery may be with a worker, with all that
	// middleware does there: then its handler counts as stuck. Where [Timeout] ended
	// the handler's ctx, it does 10 s later. Default half of Config.ConsumerTimeout.
	StuckAfter time.Duration
	// Looks is the number of looks in a row, with nothing settled from the first to
	// the last, that make kept deliveries [Unsettled]. Default 3.
	Looks int
	// Consumers, if set, lists the tags of the queue's consumers, as the management
	// API does (consumer_details). Without it only a queue that has messages ready and
	// no consumer at all tells that this one is forgotten, and a quorum queue does not
	// even tell that while something is unacked; of an empty one 0 consumers say
	// nothing, for so is a quorum queue counted whose leader is slow or away. A list is
	// not believed before it has once had this
	// consumer in it. It must be safe for concurrent use, and return when its ctx
	// ends. Where it is set, Config.Tag gets a random ending, for other processes may
	// have the same tag.
	Consumers func(ctx context.Context, queue string) (tags []string, err error)
	// OnEvent is told of each finding, and of its end, in order, from a goroutine of
	// its own. Findings overlap each other and the states of OnHealth, so they are
	// no states: Health says Consuming while one handler of many is stuck.
	OnEvent func(WatchdogEvent)
}

func (c WatchdogConfig) withDefaults(timeout time.Duration) WatchdogConfig {
	c.Every = cmp.Or(c.Every, 30*time.Second)
	c.StuckAfter = cmp.Or(c.StuckAfter, timeout/2)
	c.Looks = cmp.Or(c.Looks, 3)
	return c
}

// Validate gives a *ConfigError for a field that cannot be used. [Run] calls it.
func (c WatchdogConfig) Validate() error {
	for _, f := range []struct {
		field string
		wrong bool
		value any
	}{
		{"Every", c.Every < 0, c.Every}, {"StuckAfter", c.StuckAfter < 0, c.StuckAfter}, {"Looks", c.Looks < 0, c.Looks},
	} {
		if f.wrong {
			return &ConfigError{Field: "Watchdog." + f.field, Problem: fmt.Sprintf("is %v", f.value), Fix: "leave it zero for the default; Off turns the watchdog off"}
		}
	}
	return nil
}

// Finding is what a watchdog found.
type Finding string

const (
	// Forgotten is a subscription of which the broker knows nothing any more, though
	// it told of no end: nothing would ever be delivered. The consumer subscribes
	// anew, as [Subscription.Replace] does: what is unsettled then is delivered
	// again. It is told again each time, at growing intervals, and its end when the
	// broker knows the consumer.
	Forgotten Finding = "forgotten"
	// Stuck is a handler beyond its deadline, told once for each delivery and when
	// it has returned after all. Its worker is lost until then, and at
	// Config.ConsumerTimeout the broker takes back what the session holds (R 19); a
	// restart of the process is what helps. Without MessageID it can be the
	// consumer's own loop, which a Logger that blocks holds up. A handler behind a
	// pending error (Subscription.Begin), as package ordered has them, is with no
	// worker: one that hangs is found as Unsettled alone, and only once nothing else
	// is settled.
	Stuck Finding = "stuck"
	// Unsettled is a session that keeps half of the prefetch or more, neither
	// waiting for a worker nor with one, and keeps more at each look or can have no
	// more, while nothing is settled. Copies that are never confirmed look so, and
	// middleware that postpones for long. Its end is told when something is settled.
	// What is held, set aside or postponed goes back after half of
	// Config.ConsumerTimeout in any case (R 19); giving back a message whose copy is
	// under way would make another copy of it each time. While a Control holds the
	// consumer, or copies cannot be stored, Health says so, and nothing is found here.
	Unsettled Finding = "unsettled"
)

// WatchdogEvent is the beginning or the end of a finding.
type WatchdogEvent struct {
	Queue   string
	Finding Finding
	// Over is false when it was found, true when it has ended.
	Over bool
	At   time.Time
	// For is how long the handler is at work (it was, when Over), how long ago the
	// oldest kept delivery came, or how long ago the broker was last seen to know the
	// consumer.
	For time.Duration
	// Since is when the stuck handler got its delivery, the same in the beginning and
	// the end: it tells those without a MessageID apart. Zero for other findings.
	Since time.Time
	// MessageID is that of the stuck delivery, or of the oldest kept one.
	MessageID string
	// Stack is that of the stuck handler's goroutine, as runtime.Stack writes it, and
	// at most 16 KiB of it.
	Stack string
	// Unsettled says what kept deliveries wait for.
	Unsettled UnsettledCounts
}

// UnsettledCounts are the unsettled deliveries of one session.
type UnsettledCounts struct {
	Prefetch int
	// Waiting for a worker, and Running with one.
	Waiting, Running int
	// Pending have a copy under way, or middleware keeps them behind a pending error.
	Pending int
	// Postponed by middleware, see [Postpone].
	Postponed int
	// Returning are given back in a moment: their handler failed, and nothing took
	// its error.
	Returning int
	// Held until their copy can be stored, or HeldAside for it never can.
	Held, HeldAside int
	// Unacked are finished, and their ack is not written.
	Unacked int
}

// kept are those that neither wait for a worker nor are with one.
func (u UnsettledCounts) kept() int {
	return u.Pending + u.Postponed + u.Returning + u.Held + u.HeldAside + u.Unacked
}

// full tells whether the broker sends nothing more.
func (u UnsettledCounts) full() bool { return u.kept()+u.Running >= u.Prefetch }

// LogValue writes what is not zero.
func (u UnsettledCounts) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, a := range []slog.Attr{
		slog.Int("prefetch", u.Prefetch), slog.Int("waiting", u.Waiting), slog.Int("running", u.Running), slog.Int("pending", u.Pending),
		slog.Int("postponed", u.Postponed), slog.Int("returning", u.Returning), slog.Int("held", u.Held),
		slog.Int("held_aside", u.HeldAside), slog.Int("unacked", u.Unacked),
	} {
		if a.Value.Int64() != 0 {
			attrs = append(attrs, a)
		}
	}
	return slog.GroupValue(attrs...)
}

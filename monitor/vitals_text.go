package monitor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// plain is what may be shown of an error to whoever asks for the health of a process: the
// words of the broker, of the network, and our own. Of any other error it is the type: a
// handler's may quote the message it failed on.
func plain(err error) string {
	var (
		probe     *ProbeError
		refused   *consumer.SubscribeError
		drain     *consumer.DrainError
		connect   *link.ConnectError
		waiting   *link.UnavailableError
		closed    *link.ClosedError
		broker    *amqp.Error
		candidate error
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &probe):
		candidate = probe
	case errors.As(err, &refused):
		candidate = refused
	case errors.As(err, &drain):
		candidate = drain
	case errors.As(err, &connect):
		candidate = connect
	case errors.As(err, &waiting):
		candidate = waiting
	case errors.As(err, &closed):
		candidate = closed
	case errors.Is(err, link.ErrClosed):
		candidate = link.ErrClosed
	case errors.As(err, &broker):
		candidate = broker
	default:
		return typeOf(err)
	}
	return candidate.Error()
}

func typeOf(err error) string { return fmt.Sprintf("an error of type %T; see the log", err) }

func probeReason(l LadderLag) ProbeReason {
	var err *ProbeError
	if errors.As(l.Err, &err) {
		return err.Reason
	}
	return ""
}

// refusedItself tells whether the broker refuses the probe its own queue, by a right or a
// limit: that says nothing of the ladder, and is no reason to take away a service.
func refusedItself(l LadderLag) bool {
	var err *ProbeError
	return errors.As(l.Err, &err) && err.Reason == ProbeRefused && (err.Doing == consumesOwn || err.Doing == bindsOwn)
}

// rounded is a duration for people.
func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func joinTexts(texts []string) string { return strings.Join(texts, "; ") }

// redacted is h with redact applied to its texts.
func (h Health) redacted(redact func(string) string) Health {
	for condition, v := range h.Conditions {
		v.Text = redact(v.Text)
		for name, p := range v.Parts {
			p.Text = redact(p.Text)
			v.Parts[name] = p
		}
		h.Conditions[condition] = v
	}
	for i := range h.Alarms {
		h.Alarms[i].Text = redact(h.Alarms[i].Text)
	}
	return h
}

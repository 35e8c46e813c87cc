package telemetry

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// The outcomes of a publish. Their places number the series of publishSeries.
var outcomes = [...]string{outcomeConfirmed, outcomeReturned, outcomeNacked, outcomeRefused, outcomeUnsent, outcomeUnknown}

type publishKey struct{ exchange, operation string }

// publishSeries are the series of the publishes to one exchange, for one purpose.
// Routing keys are in no metric: those of the default exchange alone are without
// number.
type publishSeries struct {
	inFlight atomic.Int64
	as       metric.ObserveOption
	waitedAs []metric.RecordOption
	by       [len(outcomes)]outcomeSeries
}

type outcomeSeries struct {
	sent, all         atomic.Int64
	sentAs, outcomeAs metric.ObserveOption
	took              []metric.RecordOption
}

// publishKeyOf takes a message of a batch for what it is: one that is sent. Only traces
// need a span for its creation.
func publishKeyOf(s sending) publishKey {
	if s.op == opCreate {
		s.op = opSend
	}
	return publishKey{exchangeName(s.exchange), s.op}
}

// publishing counts a publish that has no outcome yet.
func (in *instruments) publishing(s sending) {
	if in != nil {
		in.publishes.of(publishKeyOf(s)).inFlight.Add(1)
	}
}

// published counts its outcome.
func (in *instruments) published(ctx context.Context, s sending, r sent) {
	if in == nil {
		return
	}
	series := in.publishes.of(publishKeyOf(s))
	series.inFlight.Add(-1)
	o := &series.by[outcomeIndex(r.outcome)]
	o.all.Add(1)
	if !r.unsent {
		o.sent.Add(1)
	}
	in.took.Record(ctx, r.ended.Sub(s.began).Seconds(), o.took...)
	if r.waited > 0 {
		in.waited.Record(ctx, r.waited.Seconds(), series.waitedAs...)
	}
	if s.about.Kind != verdict.None && r.outcome == outcomeConfirmed {
		in.copied(ctx, s)
	}
}

func (in *instruments) newPublishSeries(k publishKey) (publishKey, func() *publishSeries) {
	k.exchange = in.exchanges.bound(k.exchange)
	return k, func() *publishSeries {
		where := []attribute.KeyValue{system, keyOperation.String(k.operation), keyDestination.String(k.exchange)}
		s := &publishSeries{as: observed(where...), waitedAs: recorded(attribute.NewSet(where...))}
		for i, name := range outcomes {
			o := &s.by[i]
			as := where[:len(where):len(where)]
			if i > 0 {
				as = append(as, keyErrorType.String(name))
			}
			o.sentAs = observed(as...)
			o.took = recorded(attribute.NewSet(append(as, typeSend)...))
			o.outcomeAs = observed(append(where[:len(where):len(where)], keyOutcome.String(name))...)
		}
		return s
	}
}

func outcomeIndex(outcome string) int {
	for i, name := range outcomes {
		if name == outcome {
			return i
		}
	}
	return len(outcomes) - 1 // unknown
}

// copied counts a confirmed copy for what it was made for.
func (in *instruments) copied(ctx context.Context, s sending) {
	switch a := s.about; a.Kind {
	case verdict.Parked:
		in.delay.Record(ctx, a.Delay.Seconds(), in.processes.of(queueName(a.Queue)).plain...)
	case verdict.Buried:
		in.buried.of(buriedKey{queueName(a.Queue), a.Reason}).n.Add(1)
		in.attempts.Record(ctx, int64(a.Attempt), in.processes.of(queueName(a.Queue)).buried...)
	case verdict.Replayed, verdict.Moved:
		from, to := queueName(a.From), queueName(a.Queue)
		in.received.of(from).n.Add(1)
		in.replayed.of(replayedKey{from, to, s.op}).n.Add(1)
	case verdict.None, verdict.Later:
	}
}

type buriedKey struct{ queue, reason string }

// reasons are those of package story. Each queue has a series of each from the
// beginning, for the same reason as all outcomes.
var reasons = [...]string{
	story.ReasonMalformed, story.ReasonPermanent, story.ReasonUnexpected, story.ReasonExhausted,
	story.ReasonElapsed, story.ReasonExpired, story.ReasonBudget,
}

func (in *instruments) newBuried(k buriedKey) (buriedKey, func() *counter) {
	k = buriedKey{in.queues.bound(k.queue), in.reasons.bound(k.reason)}
	return k, func() *counter {
		return &counter{as: observed(system, keyDestination.String(k.queue), keyReason.String(k.reason))}
	}
}

type replayedKey struct {
	from, to, op string
}

func (in *instruments) newReplayed(k replayedKey) (replayedKey, func() *counter) {
	k.from, k.to = in.queues.bound(k.from), in.queues.bound(k.to)
	return k, func() *counter {
		return &counter{as: observed(system, keyOperation.String(k.op), keyDestination.String(k.to), keySource.String(k.from))}
	}
}

// newReceived makes the series of the letters that were taken to be replayed.
func (in *instruments) newReceived(queue string) (string, func() *counter) {
	queue = in.queues.bound(queue)
	return queue, func() *counter {
		return &counter{as: observed(system, keyOperation.String(opReceive), keyDestination.String(queue))}
	}
}

// ofPublishes makes what is observed of publishes.
func (in *instruments) ofPublishes(meter metric.Meter) error {
	return errors.Join(
		in.count(meter, sentMessages.Name(), "{message}", sentMessages.Description(), func(p put) {
			in.eachOutcome(func(o *outcomeSeries) {
				if n := o.sent.Load(); n > 0 {
					p(n, o.sentAs)
				}
			})
		}),
		// Those that did not occur are reported, too: a rate does not see the first of
		// what was not there before.
		in.count(meter, "hareline.publish.outcomes", "{message}", "Messages published, by what became of them: confirmed, returned, nacked, refused, unsent, unknown.", func(p put) {
			in.eachOutcome(func(o *outcomeSeries) { p(o.all.Load(), o.outcomeAs) })
		}),
		in.level(meter, "hareline.publish.in_flight", "{message}", "Messages handed to a publisher that have no outcome yet.", func(p put) {
			for _, s := range in.publishes.all() {
				p(s.inFlight.Load(), s.as)
			}
		}),
		in.count(meter, "hareline.buried.messages", "{message}", "Messages that consumers put into a dead-letter queue, by reason.", readCounters(&in.buried)),
		in.count(meter, "hareline.replayed.messages", "{message}", "Letters replayed to a queue, or moved to another dead-letter queue.", readCounters(&in.replayed)),
	)
}

func (in *instruments) eachOutcome(f func(*outcomeSeries)) {
	for _, s := range in.publishes.all() {
		for i := range s.by {
			f(&s.by[i])
		}
	}
}

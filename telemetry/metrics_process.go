package telemetry

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/internal/settlement"
)

// processSeries are the series of the consumption of one queue.
type processSeries struct {
	active      atomic.Int64
	consumed    atomic.Int64
	redelivered atomic.Int64
	postponed   atomic.Int64
	lost        atomic.Int64
	lastWrite   atomic.Int64

	as                     metric.ObserveOption // the queue
	plain, handled, buried []metric.RecordOption
	consumedAs             metric.ObserveOption
	verdicts               family[verdictKey, []metric.RecordOption]
	settles                [len(settles)]settleSeries
}

type verdictKey struct{ verdict, class string }

// The methods that settle. Their places number the series of processSeries.
var settles = [...]string{opAck, opNack, opReject}

type settleSeries struct{ latency, took, failed []metric.RecordOption }

func (in *instruments) newProcessSeries(queue string) (string, func() *processSeries) {
	queue = in.queues.bound(queue)
	return queue, func() *processSeries {
		where := []attribute.KeyValue{system, keyDestination.String(queue)}
		with := func(more ...attribute.KeyValue) attribute.Set {
			return attribute.NewSet(append(where[:len(where):len(where)], more...)...)
		}
		s := &processSeries{
			as:         metric.WithAttributeSet(with()),
			consumedAs: metric.WithAttributeSet(with(keyOperation.String(opProcess))),
			plain:      recorded(with()),
			handled:    recorded(with(keyVerdict.String(verdictHandled))),
			buried:     recorded(with(keyVerdict.String(verdictBuried))),
		}
		for _, reason := range reasons {
			in.buried.of(buriedKey{queue, reason})
		}
		for i, method := range settles {
			s.settles[i] = settleSeries{
				latency: recorded(with(keyOperation.String(method))),
				took:    recorded(with(keyOperation.String(method), typeSettle)),
				failed:  recorded(with(keyOperation.String(method), typeSettle, keyErrorType.String(other))),
			}
		}
		s.verdicts.init(func(k verdictKey) (verdictKey, func() *[]metric.RecordOption) {
			if k.class != "" {
				k.class = in.classes.bound(k.class)
			}
			return k, func() *[]metric.RecordOption {
				set := with(keyOperation.String(opProcess), keyVerdict.String(k.verdict))
				if k.class != "" {
					set = with(keyOperation.String(opProcess), keyVerdict.String(k.verdict), keyErrorType.String(k.class))
				}
				as := recorded(set)
				return &as
			}
		})
		return s
	}
}

// processing counts a delivery that is given to the handler chain.
func (in *instruments) processing(a attempt) {
	if in != nil {
		in.processes.of(queueName(a.queue)).active.Add(1)
	}
}

// processed counts what it came to. What a middleware postponed was no attempt; one
// that failed and is kept is followed by another one at the same delivery.
func (in *instruments) processed(ctx context.Context, a attempt) {
	if in == nil {
		return
	}
	s := in.processes.of(queueName(a.queue))
	s.active.Add(-1)
	if a.verdict == verdictPostponed {
		s.postponed.Add(1)
		return
	}
	if a.verdict != verdictFailed {
		s.count(a)
	}
	in.handled.Record(ctx, a.ended.Sub(a.began).Seconds(), *s.verdicts.of(verdictKey{a.verdict, a.failure})...)
	if a.verdict == verdictHandled || a.verdict == verdictForwarded || a.verdict == verdictAnswered {
		in.attempts.Record(ctx, int64(a.number), s.handled...)
	}
}

// count counts a delivery.
func (s *processSeries) count(a attempt) {
	s.consumed.Add(1)
	if a.redelivered {
		s.redelivered.Add(1)
	}
}

// settled counts what became of a delivery after its attempt.
func (in *instruments) settled(ctx context.Context, a attempt, r settlement.Result) {
	if in == nil {
		return
	}
	s := in.processes.of(queueName(a.queue))
	if a.verdict == verdictFailed && r.Method != "" { // it was the last attempt: the message is a letter
		s.count(a)
	}
	if r.Method == "" || r.Err != nil {
		s.lost.Add(1)
	}
	if r.Method == "" {
		return
	}
	as := &s.settles[settleIndex(r.Method)]
	// One write settles all that had finished before it.
	if began := r.Began.UnixNano(); s.lastWrite.Swap(began) != began {
		took := as.took
		if r.Err != nil {
			took = as.failed
		}
		in.took.Record(ctx, r.Ended.Sub(r.Began).Seconds(), took...)
	}
	if r.Err == nil {
		in.settle.Record(ctx, max(0, r.Ended.Sub(a.ended)).Seconds(), as.latency...)
	}
}

func settleIndex(method string) int {
	for i, name := range settles {
		if name == method {
			return i
		}
	}
	return 0
}

// ofProcesses makes what is observed of consumption.
func (in *instruments) ofProcesses(meter metric.Meter) error {
	each := func(value func(*processSeries) int64) func(put) {
		return func(p put) {
			for _, s := range in.processes.all() {
				p(value(s), s.as)
			}
		}
	}
	return errors.Join(
		in.count(meter, consumedMessages.Name(), "{message}", consumedMessages.Description(), func(p put) {
			for _, s := range in.processes.all() {
				p(s.consumed.Load(), s.consumedAs)
			}
			readCounters(&in.received)(p)
		}),
		in.level(meter, "hareline.process.active", "{message}", "Messages that handlers work on.",
			each(func(s *processSeries) int64 { return s.active.Load() })),
		in.count(meter, "hareline.process.redelivered", "{message}", "Deliveries that the broker had made before, to a consumer that did not settle them.",
			each(func(s *processSeries) int64 { return s.redelivered.Load() })),
		in.count(meter, "hareline.process.postponed", "{delivery}", "Times that a middleware did not let a delivery through for now.",
			each(func(s *processSeries) int64 { return s.postponed.Load() })),
		in.count(meter, "hareline.settle.lost", "{message}", "Deliveries whose session ended before they were settled: the broker delivers them again.",
			each(func(s *processSeries) int64 { return s.lost.Load() })),
	)
}

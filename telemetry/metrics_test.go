package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/link"
)

// counting gives instruments, and what they measured as lines of text.
func counting(t testing.TB, o ...sdk.Option) (*instruments, func() []string) {
	t.Helper()
	reader := sdk.NewManualReader()
	in, err := newInstruments(sdk.NewMeterProvider(append(o, sdk.WithReader(reader))...))
	if err != nil {
		t.Fatal(err)
	}
	return in, func() []string {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		return lines(t, all)
	}
}

// Lines is lines for the tests from outside.
var Lines = lines

// lines are the points that are not zero: a histogram's count and sum.
func lines(t testing.TB, all metricdata.ResourceMetrics) []string {
	t.Helper()
	return slices.DeleteFunc(points(t, all), func(l string) bool { return strings.HasSuffix(l, "} 0") })
}

// points are lines with those that are zero.
func points(t testing.TB, all metricdata.ResourceMetrics) []string {
	t.Helper()
	var out []string
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			add := func(as attribute.Set, value string) {
				out = append(out, fmt.Sprintf("%s{%s} %s", m.Name, text(as), value))
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, fmt.Sprint(p.Value))
				}
			case metricdata.Sum[float64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, fmt.Sprint(p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, fmt.Sprintf("%d of %v", p.Count, p.Sum))
				}
			case metricdata.Histogram[int64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, fmt.Sprintf("%d of %v", p.Count, p.Sum))
				}
			default:
				t.Fatalf("metric %s has %T", m.Name, d)
			}
		}
	}
	slices.Sort(out)
	return out
}

// text leaves out what all have.
func text(as attribute.Set) string {
	var parts []string
	for it := as.Iter(); it.Next(); {
		kv := it.Attribute()
		if kv.Key == "messaging.system" {
			continue
		}
		name := strings.TrimPrefix(strings.TrimPrefix(string(kv.Key), "messaging."), "hareline.")
		parts = append(parts, name+"="+kv.Value.AsString())
	}
	return strings.Join(parts, " ")
}

func expect(t *testing.T, got []string, want string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.TrimSpace(want); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func containing(all []string, part string) (out []string) {
	for _, l := range all {
		if strings.Contains(l, part) {
			out = append(out, l)
		}
	}
	return out
}

func TestNoMetricsWithoutAProvider(t *testing.T) {
	for name, p := range map[string]metric.MeterProvider{
		"noop":      noop.NewMeterProvider(),
		"global":    otel.GetMeterProvider(),
		"no reader": sdk.NewMeterProvider(),
		"all is dropped": sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader()),
			sdk.WithView(sdk.NewView(sdk.Instrument{Name: "*"}, sdk.Stream{Aggregation: sdk.AggregationDrop{}}))),
	} {
		if in, err := newInstruments(p); in != nil || err != nil {
			t.Errorf("%s: %v, %v", name, in, err)
		}
	}
	var in *instruments // nobody looks before calling
	in.publishing(sending{})
	in.published(t.Context(), sending{}, sent{})
	in.processing(attempt{})
	in.processed(t.Context(), attempt{})
	in.settled(t.Context(), attempt{}, settlement.Result{})
	(*Telemetry)(nil).OnState(link.State{})
	(&Telemetry{}).OnHealth("q", "consuming")
	(&Telemetry{}).OnWatchdog("q", "stuck", false)
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestPublishCounts(t *testing.T) {
	in, measured := counting(t)
	send := func(s sending, r sent) {
		s.began, r.ended = began, began.Add(time.Second)
		in.publishing(s)
		in.published(t.Context(), s, r)
	}
	send(sending{op: opSend, exchange: "events"}, sent{outcome: outcomeConfirmed, waited: 250 * time.Millisecond})
	send(sending{op: opCreate, exchange: "events", batched: true}, sent{outcome: outcomeConfirmed})
	send(sending{op: opSend}, sent{outcome: outcomeReturned})
	send(sending{op: opSend}, sent{outcome: outcomeNacked})
	send(sending{op: opSend}, sent{outcome: outcomeRefused})
	send(sending{op: opSend}, sent{outcome: outcomeRefused, unsent: true})
	send(sending{op: opSend}, sent{outcome: outcomeUnsent, unsent: true})
	send(sending{op: opSend}, sent{outcome: "something else"})
	in.publishing(sending{op: opSend, exchange: "events"})
	expect(t, measured(), `
hareline.publish.in_flight{destination.name=events operation.name=send} 1
hareline.publish.outcomes{outcome=confirmed destination.name=events operation.name=send} 2
hareline.publish.outcomes{outcome=nacked destination.name=amq.default operation.name=send} 1
hareline.publish.outcomes{outcome=refused destination.name=amq.default operation.name=send} 2
hareline.publish.outcomes{outcome=returned destination.name=amq.default operation.name=send} 1
hareline.publish.outcomes{outcome=unknown destination.name=amq.default operation.name=send} 1
hareline.publish.outcomes{outcome=unsent destination.name=amq.default operation.name=send} 1
hareline.publish.wait{destination.name=events operation.name=send} 1 of 0.25
messaging.client.operation.duration{destination.name=events operation.name=send operation.type=send} 2 of 2
messaging.client.operation.duration{error.type=nacked destination.name=amq.default operation.name=send operation.type=send} 1 of 1
messaging.client.operation.duration{error.type=refused destination.name=amq.default operation.name=send operation.type=send} 2 of 2
messaging.client.operation.duration{error.type=returned destination.name=amq.default operation.name=send operation.type=send} 1 of 1
messaging.client.operation.duration{error.type=unknown destination.name=amq.default operation.name=send operation.type=send} 1 of 1
messaging.client.operation.duration{error.type=unsent destination.name=amq.default operation.name=send operation.type=send} 1 of 1
messaging.client.sent.messages{destination.name=events operation.name=send} 2
messaging.client.sent.messages{error.type=nacked destination.name=amq.default operation.name=send} 1
messaging.client.sent.messages{error.type=refused destination.name=amq.default operation.name=send} 1
messaging.client.sent.messages{error.type=returned destination.name=amq.default operation.name=send} 1
messaging.client.sent.messages{error.type=unknown destination.name=amq.default operation.name=send} 1
`)
}

// A counter that appears with its first event has no rate, and no alert sees that one.
func TestWhatDidNotHappenIsZero(t *testing.T) {
	reader := sdk.NewManualReader()
	in, err := newInstruments(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	in.publishing(sending{op: opSend, exchange: "events"})
	in.processing(attempt{queue: "work"})
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var zero []string
	for _, l := range points(t, all) {
		if l, ok := strings.CutSuffix(l, "} 0"); ok {
			zero = append(zero, l)
		}
	}
	expect(t, zero, `
hareline.buried.messages{reason=budget destination.name=work
hareline.buried.messages{reason=elapsed destination.name=work
hareline.buried.messages{reason=exhausted destination.name=work
hareline.buried.messages{reason=expired destination.name=work
hareline.buried.messages{reason=malformed destination.name=work
hareline.buried.messages{reason=permanent destination.name=work
hareline.buried.messages{reason=unexpected destination.name=work
hareline.link.blocked.time{role=consuming
hareline.link.blocked.time{role=publishing
hareline.link.connections{role=consuming
hareline.link.connections{role=publishing
hareline.link.reconnects{role=consuming
hareline.link.reconnects{role=publishing
hareline.process.postponed{destination.name=work
hareline.process.redelivered{destination.name=work
hareline.publish.outcomes{outcome=confirmed destination.name=events operation.name=send
hareline.publish.outcomes{outcome=nacked destination.name=events operation.name=send
hareline.publish.outcomes{outcome=refused destination.name=events operation.name=send
hareline.publish.outcomes{outcome=returned destination.name=events operation.name=send
hareline.publish.outcomes{outcome=unknown destination.name=events operation.name=send
hareline.publish.outcomes{outcome=unsent destination.name=events operation.name=send
hareline.settle.lost{destination.name=work
messaging.client.consumed.messages{destination.name=work operation.name=process
`)
}

// A copy counts for what it was made for, and only when it is confirmed.
func TestCopyCounts(t *testing.T) {
	in, measured := counting(t)
	for _, outcome := range []string{outcomeNacked, outcomeConfirmed} {
		for _, s := range []sending{
			{op: opPark, exchange: "ladder", about: verdict.About{Kind: verdict.Parked, Queue: "work", Delay: 1500 * time.Millisecond, Attempt: 1, Of: 3}},
			{op: opBury, about: verdict.About{Kind: verdict.Buried, Queue: "work", Reason: "exhausted", Attempt: 3, Of: 3}},
			{op: opReplay, about: verdict.About{Kind: verdict.Replayed, Queue: "work", From: "work.dlq"}},
			{op: opMove, about: verdict.About{Kind: verdict.Moved, Queue: "parking", From: "work.dlq"}},
			{op: opLater, exchange: "events", about: verdict.About{Kind: verdict.Later, Delay: time.Hour}},
		} {
			in.publishing(s)
			in.published(t.Context(), s, sent{outcome: outcome})
		}
	}
	all := measured()
	expect(t, slices.DeleteFunc(all, func(l string) bool { return strings.Contains(l, "duration") || strings.Contains(l, "outcomes") }), `
hareline.buried.messages{reason=exhausted destination.name=work} 1
hareline.parked.delay{destination.name=work} 1 of 1.5
hareline.process.attempts{verdict=buried destination.name=work} 1 of 3
hareline.replayed.messages{source=work.dlq destination.name=parking operation.name=move} 1
hareline.replayed.messages{source=work.dlq destination.name=work operation.name=replay} 1
messaging.client.consumed.messages{destination.name=work.dlq operation.name=receive} 2
messaging.client.sent.messages{destination.name=amq.default operation.name=bury} 1
messaging.client.sent.messages{destination.name=amq.default operation.name=move} 1
messaging.client.sent.messages{destination.name=amq.default operation.name=replay} 1
messaging.client.sent.messages{destination.name=events operation.name=publish-later} 1
messaging.client.sent.messages{destination.name=ladder operation.name=park} 1
messaging.client.sent.messages{error.type=nacked destination.name=amq.default operation.name=bury} 1
messaging.client.sent.messages{error.type=nacked destination.name=amq.default operation.name=move} 1
messaging.client.sent.messages{error.type=nacked destination.name=amq.default operation.name=replay} 1
messaging.client.sent.messages{error.type=nacked destination.name=events operation.name=publish-later} 1
messaging.client.sent.messages{error.type=nacked destination.name=ladder operation.name=park} 1
`)
}

func TestProcessCounts(t *testing.T) {
	in, measured := counting(t)
	handle := func(a attempt, r settlement.Result) {
		a.queue, a.began, a.ended = "work", began, began.Add(time.Second)
		in.processing(a)
		in.processed(t.Context(), a)
		if a.verdict != verdictPostponed {
			in.settled(t.Context(), a, r)
		}
	}
	at := func(method string, after time.Duration, err error) settlement.Result {
		return settlement.Result{Method: method, Began: began.Add(after), Ended: began.Add(after + time.Second), Err: err}
	}
	handle(attempt{number: 1, verdict: verdictPostponed}, settlement.Result{})
	handle(attempt{number: 1, verdict: verdictHandled}, at("ack", 2*time.Second, nil))
	handle(attempt{number: 3, verdict: verdictHandled, redelivered: true}, at("ack", 2*time.Second, nil)) // by the same write
	handle(attempt{number: 1, verdict: verdictForwarded}, at("ack", 3*time.Second, nil))
	handle(attempt{number: 1, verdict: verdictParked, failure: "*net.OpError"}, at("ack", 4*time.Second, errors.New("broken pipe")))
	handle(attempt{number: 1, verdict: verdictRejected, failure: "error"}, at("reject", 5*time.Second, nil))
	handle(attempt{number: 1, verdict: verdictGivenBack}, at("nack", 6*time.Second, nil))
	handle(attempt{number: 1, verdict: verdictBuried, failure: "panic"}, at("", 7*time.Second, nil))
	in.processing(attempt{queue: "work"})
	in.processing(attempt{queue: "kept"})
	in.processed(t.Context(), attempt{queue: "kept", number: 1, verdict: verdictFailed, failure: "error"})
	expect(t, measured(), `
hareline.process.active{destination.name=work} 1
hareline.process.attempts{verdict=handled destination.name=work} 3 of 5
hareline.process.postponed{destination.name=work} 1
hareline.process.redelivered{destination.name=work} 1
hareline.settle.latency{destination.name=work operation.name=ack} 3 of 7
hareline.settle.latency{destination.name=work operation.name=nack} 1 of 6
hareline.settle.latency{destination.name=work operation.name=reject} 1 of 5
hareline.settle.lost{destination.name=work} 2
messaging.client.consumed.messages{destination.name=work operation.name=process} 7
messaging.client.operation.duration{destination.name=work operation.name=ack operation.type=settle} 2 of 2
messaging.client.operation.duration{destination.name=work operation.name=nack operation.type=settle} 1 of 1
messaging.client.operation.duration{destination.name=work operation.name=reject operation.type=settle} 1 of 1
messaging.client.operation.duration{error.type=_OTHER destination.name=work operation.name=ack operation.type=settle} 1 of 1
messaging.process.duration{error.type=*net.OpError verdict=parked destination.name=work operation.name=process} 1 of 1
messaging.process.duration{error.type=error verdict=failed destination.name=kept operation.name=process} 1 of 0
messaging.process.duration{error.type=error verdict=rejected destination.name=work operation.name=process} 1 of 1
messaging.process.duration{error.type=panic verdict=buried destination.name=work operation.name=process} 1 of 1
messaging.process.duration{verdict=forwarded destination.name=work operation.name=process} 1 of 1
messaging.process.duration{verdict=given-back destination.name=work operation.name=process} 1 of 1
messaging.process.duration{verdict=handled destination.name=work operation.name=process} 2 of 2
`)
}

package monitor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// The first round is made at once, then one a minute, on the minute.
func TestSchedule(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		w := x.watch(monitor.Config{})
		x.pass(10 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.reports) != 11 {
			x.Fatalf("%d rounds", len(w.reports))
		}
		for i, r := range w.reports {
			if d := r.At.Sub(w.reports[0].At); d != time.Duration(i)*time.Minute {
				x.Errorf("round %d is at %v", i, d)
			}
		}
	})
}

// Without Run, Check calls the hooks itself.
func TestCheckAlone(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		var alarms []monitor.Alarm
		reports := 0
		m, err := monitor.New(monitor.Config{
			Management: newAPI(x.b).management(), Queues: []monitor.Queue{{Name: "nowhere"}}, RaiseAfter: 1, Logger: silent,
			OnAlarm: func(a monitor.Alarm) { alarms = append(alarms, a) }, OnReport: func(monitor.Report) { reports++ },
		})
		if err != nil {
			x.Fatal(err)
		}
		if r := m.Report(); !r.At.IsZero() || len(m.Alarms()) > 0 {
			x.Errorf("before the first round: %+v", r)
		}
		r := m.Check(x.Context())
		if len(alarms) != 1 || alarms[0].Kind != monitor.QueueMissing || alarms[0].Severity != monitor.Critical || reports != 1 || !r.Queues[0].Missing {
			x.Errorf("%+v, %d reports, %+v", alarms, reports, r)
		}
		r.Queues[0].Missing = false // a copy
		if !m.Report().Queues[0].Missing {
			x.Error("a report can be changed from outside")
		}
	})
}

// Many call everything at once, with -race.
func TestConcurrentUse(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		work := x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Queues: monitor.Watch(work), Ladders: monitor.Ladders(work)})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 5 {
					w.Check(x.Context())
					_, _ = w.Report(), w.Alarms()
				}
			})
		}
		all.Wait()
		if err := w.Run(x.Context()); err == nil || !strings.Contains(err.Error(), "Run runs already") {
			x.Errorf("a second Run: %v", err)
		}
	})
}

// A hook that hangs holds up neither rounds nor, for long, the end of Run.
func TestHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		var out lockedBuffer
		free := make(chan struct{})
		m, err := monitor.New(monitor.Config{
			Management: newAPI(b).management(), Queues: []monitor.Queue{{Name: "nowhere"}},
			OnAlarm: func(monitor.Alarm) { <-free }, Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Hour+6*time.Second {
			t.Errorf("Run took %v", took)
		}
		if at := m.Report().At; time.Since(at) > 2*time.Minute {
			t.Errorf("the last round was at %v", at)
		}
		close(free)
		synctest.Wait()
		if log := out.String(); strings.Count(log, "alarm raised") != 1 || !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "queue=nowhere") || !strings.Contains(log, "has not returned") {
			t.Errorf("%s", log)
		}
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestConfig(t *testing.T) {
	good := topology.Management{URL: "http://a:b@c"}
	for field, c := range map[string]monitor.Config{
		"Management.URL":      {Management: topology.Management{URL: "http://a:s3cret@c:port"}},
		"Every":               {Management: good, Every: -1},
		"Timeout":             {Management: good, Timeout: -1},
		"RaiseAfter":          {Management: good, RaiseAfter: -1},
		"ClearAfter":          {Management: good, ClearAfter: -1},
		"ClearAt":             {Management: good, ClearAt: 1.5},
		"Queues[0]":           {Management: good, Queues: []monitor.Queue{{}}},
		"Queues[1]":           {Management: good, Queues: []monitor.Queue{{Name: "a"}, {Name: "a"}}},
		"Ladders[0]":          {Management: good, Ladders: []topology.Ladder{{Levels: 99}}},
		"Queues[2]":           {Management: good, Queues: []monitor.Queue{{Name: "a"}, {Name: "b"}, {Name: topology.Ladder{}.Unclaimed()}}, Ladders: []topology.Ladder{{}}},
		"Queues[1].BackingUp": {Management: good, Queues: []monitor.Queue{{Name: "b"}, {Name: "a", BackingUp: math.Inf(1)}}},
		"Queues[0].BackingUp": {Management: good, Queues: []monitor.Queue{{Name: "a", BackingUp: nan()}}},
	} {
		_, err := monitor.New(c)
		var refused *monitor.ConfigError
		if !errors.As(err, &refused) || refused.Field != field || refused.Fix == "" || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func nan() float64 { var zero float64; return zero / zero }

// What is unknown is not observed; what is known has queue, ladder or kind, and nothing else.
func TestMetrics(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		work := x.work("orders", topology.WorkConfig{})
		reader := metric.NewManualReader()
		provider := metric.NewMeterProvider(metric.WithReader(reader))
		w := x.watch(monitor.Config{Queues: monitor.Watch(work), Ladders: monitor.Ladders(work), MeterProvider: provider})
		x.publish("orders", 3)
		w.want(2, "raised no-consumers orders")
		got := collect(x, reader)
		for series, want := range map[string]float64{
			"hareline.queue.ready{messaging.destination.name=orders}":                                                                     3,
			"hareline.queue.unacked{messaging.destination.name=orders}":                                                                   0,
			"hareline.queue.held{messaging.destination.name=orders}":                                                                      0,
			"hareline.queue.consumers{messaging.destination.name=orders}":                                                                 0,
			"hareline.queue.publish.rate{messaging.destination.name=orders}":                                                              0,
			"hareline.queue.consume.rate{messaging.destination.name=orders}":                                                              0,
			"hareline.queue.members{messaging.destination.name=orders}":                                                                   1,
			"hareline.queue.members.online{messaging.destination.name=orders.dlq}":                                                        1,
			"hareline.ladder.messages{hareline.ladder.name=hareline.v1.100ms.24.default}":                                                 0,
			"hareline.ladder.held{hareline.ladder.name=hareline.v1.100ms.24.default}":                                                     0,
			"hareline.ladder.enter.rate{hareline.ladder.name=hareline.v1.100ms.24.default}":                                               0,
			"hareline.ladder.unclaimed{hareline.ladder.name=hareline.v1.100ms.24.default}":                                                0,
			"hareline.monitor.alarm{hareline.alarm.kind=no-consumers,hareline.alarm.severity=critical,messaging.destination.name=orders}": 1,
			"hareline.monitor.alarm{hareline.alarm.kind=pending,hareline.alarm.severity=warning,messaging.destination.name=orders}":       0,
			"hareline.monitor.alarm{hareline.alarm.kind=api-slow,hareline.alarm.severity=critical}":                                       0,
			"hareline.monitor.round.duration{}":                                                                                           3,
		} {
			if v, there := got[series]; !there || v != want {
				x.Errorf("%s is %v (%v), want %v", series, v, there, want)
			}
		}
		for _, unknown := range []string{
			"hareline.queue.oldest.age{messaging.destination.name=orders}",
			"hareline.monitor.alarm{hareline.alarm.kind=oldest-message,hareline.alarm.severity=warning,messaging.destination.name=orders}",
		} {
			if v, there := got[unknown]; there {
				x.Errorf("%s is %v", unknown, v)
			}
		}
		w.api.set(always(401, ""), nil)
		w.want(2, "raised api-unauthorised")
		got = collect(x, reader)
		if v := got["hareline.monitor.round.failures{error.type=api-unauthorised}"]; v != 2 {
			x.Errorf("%v failures", v)
		}
		for series := range got {
			if strings.HasPrefix(series, "hareline.queue.") || strings.HasPrefix(series, "hareline.ladder.") {
				x.Errorf("%s is observed, and unknown", series)
			}
		}
		w.stop()
		for series := range collect(x, reader) {
			if strings.HasPrefix(series, "hareline.monitor.alarm") {
				x.Errorf("%s is observed after Run", series)
			}
		}
	})
}

// collect is every series by its name and attributes: its value, or how often it was
// recorded.
func collect(x bubble, r *metric.ManualReader) map[string]float64 {
	x.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(x.Context(), &all); err != nil {
		x.Fatal(err)
	}
	out := map[string]float64{}
	name := func(m metricdata.Metrics, set attribute.Set) string {
		set, watched := set.Filter(func(kv attribute.KeyValue) bool {
			return !slices.Contains([]attribute.Key{"server.address", "server.port", "hareline.vhost"}, kv.Key)
		})
		if len(watched) < 2 {
			x.Errorf("%s is of no virtual host of a server", m.Name)
		}
		if m.Unit == "" || m.Description == "" {
			x.Errorf("%s has no unit or description", m.Name)
		}
		return m.Name + "{" + set.Encoded(attribute.DefaultEncoder()) + "}"
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					out[name(m, p.Attributes)] = p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					out[name(m, p.Attributes)] = float64(p.Value)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					out[name(m, p.Attributes)] = float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					out[name(m, p.Attributes)] = float64(p.Count)
				}
			}
		}
	}
	return out
}

// Two monitors, of a broker that is there and of one that is not, share a provider: neither
// overwrites what the other says.
func TestMetricsOfTwoMonitors(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		reader := metric.NewManualReader()
		provider := metric.NewMeterProvider(metric.WithReader(reader))
		for range 2 { // whichever is last must not win
			w := x.watch(monitor.Config{MeterProvider: provider})
			defer w.stop()
		}
		down := x.watchAt("http://guest:guest@other:15672", monitor.Config{MeterProvider: provider})
		defer down.stop()
		down.api.set(always(500, ""), nil)
		x.pass(3 * time.Minute)
		var all metricdata.ResourceMetrics
		if err := reader.Collect(x.Context(), &all); err != nil {
			x.Fatal(err)
		}
		got := map[string]int64{}
		for _, m := range all.ScopeMetrics[0].Metrics {
			if data, ok := m.Data.(metricdata.Gauge[int64]); ok {
				for _, p := range data.DataPoints {
					kind, _ := p.Attributes.Value("hareline.alarm.kind")
					server, _ := p.Attributes.Value("server.address")
					if kind.AsString() == "api-unavailable" {
						got[server.AsString()] = p.Value
					}
				}
			}
		}
		if len(got) != 2 || got["broker"] != 0 || got["other"] != 1 {
			x.Errorf("api-unavailable is %v", got)
		}
	})
}

// Run does not wait for a Check of somebody else.
func TestRunEndsDuringCheck(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		w := x.watch(monitor.Config{Timeout: time.Hour})
		w.api.set(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, nil)
		var check sync.WaitGroup
		check.Go(func() { w.Check(x.Context()) })
		x.pass(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > time.Minute {
			x.Errorf("Run ended after %v", took)
		}
		check.Wait()
	})
}

// A hook that hangs is told of the last round alone, once it goes on.
func TestReportHookHangs(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		var got []time.Time
		free := make(chan struct{})
		m, err := monitor.New(monitor.Config{Management: newAPI(x.b).management(), Logger: silent, OnReport: func(r monitor.Report) {
			got = append(got, r.At)
			<-free
		}})
		if err != nil {
			x.Fatal(err)
		}
		ctx, cancel := context.WithCancel(x.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		x.pass(time.Hour + time.Second)
		close(free)
		x.pass(time.Second)
		last := m.Report().At
		cancel()
		if err := <-ended; err != nil || len(got) != 2 || !got[1].Equal(last) {
			x.Errorf("%v, told of %d rounds", err, len(got))
		}
	})
}

// With rates_mode none there are depths and no counters, seen on 3.10, 4.0 and 4.3: rates
// are unknown, and not 0.
func TestRatesOff(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		work := x.bounded()
		var out lockedBuffer
		a := newAPI(x.b)
		a.set(nil, func(_ string, o map[string]any) {
			delete(o, "message_stats")
			if _, there := o["rates_mode"]; there {
				o["rates_mode"] = "none"
			}
		})
		m, err := monitor.New(monitor.Config{
			Management: a.management(), Queues: []monitor.Queue{{Name: "orders"}}, Ladders: monitor.Ladders(work),
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		if err != nil {
			x.Fatal(err)
		}
		var r monitor.Report
		for range 4 {
			x.publish("orders", 20)
			x.pass(time.Minute)
			r = m.Check(x.Context())
		}
		q := r.Queues[0]
		if r.Err != nil || q.Messages.Value != 80 || q.Growth.Value != 20 || q.PublishRate.Known || q.ConsumeRate.Known || r.Ladders[0].EnterRate.Known {
			x.Errorf("%+v", r)
		}
		if n := strings.Count(out.String(), "management.rates_mode"); n != 1 {
			x.Errorf("logged %d times: %s", n, out.String())
		}
	})
}

package monitor_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// An alarm is no fault of the ladder: nothing is known while it lasts, and its time is in
// no lag.
func TestProbeUnderAnAlarm(t *testing.T) {
	for name, wait := range map[string]time.Duration{
		"before a round": 30 * time.Second,
		"on its way":     60500 * time.Millisecond,
		"later":          10*time.Minute + 3*time.Second,
		"from the start": 0, // the broker tells a connection when it publishes
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
				x.work("orders", topology.WorkConfig{})
				alarm := func() {
					if err := x.b.Alarm("memory"); err != nil {
						x.Fatal(err)
					}
				}
				if wait == 0 {
					alarm()
				}
				p := x.probe(monitor.ProbeConfig{})
				if x.pass(wait); wait != 0 {
					alarm()
				}
				x.pass(20 * time.Minute)
				if l := p.Lag(); reason(l) != monitor.ProbeBlocked || l.Known() {
					x.Errorf("under the alarm: %+v", l)
				}
				if err := x.b.ClearAlarm("memory"); err != nil {
					x.Fatal(err)
				}
				x.pass(2 * time.Minute)
				if !fine(p.Lag()) {
					x.Errorf("after it: %+v", p.Lag())
				}
				for _, l := range p.all() {
					if reason(l) == monitor.ProbeOverdue || reason(l) == "" && l.Lag > time.Second {
						x.Errorf("told %+v", l)
					}
				}
			})
		})
	}
}

// The broker's answers to one probe.
func TestProbeRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		fault amqptest.Fault
		want  monitor.ProbeReason
	}{
		"nacked":         {amqptest.Fault{Do: amqptest.Nack}, monitor.ProbeRefused},
		"refused":        {amqptest.Fault{Do: amqptest.CloseChannel, On: "basic.publish", Code: 403}, monitor.ProbeRefused},
		"missing":        {amqptest.Fault{Do: amqptest.CloseChannel, On: "basic.publish", Code: 404}, monitor.ProbeMissing},
		"cut":            {amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish"}, monitor.ProbeDisconnected},
		"stored and cut": {amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish"}, monitor.ProbeDisconnected},
		"no binding":     {amqptest.Fault{Do: amqptest.CloseChannel, On: "queue.bind", Queue: "hareline-probe.*.*.*.*.*", Code: 406}, monitor.ProbeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			tt.fault.Times = -1
			inBubble(t, amqptest.Config{}, link.Config{Heartbeat: 3 * time.Hour}, func(x bubble) {
				x.work("orders", topology.WorkConfig{})
				p := x.probe(monitor.ProbeConfig{})
				x.pass(30 * time.Second)
				n := x.inject(tt.fault)
				x.pass(time.Minute)
				if l := p.Lag(); reason(l) != tt.want || l.Known() {
					x.Errorf("%+v", l)
				}
				n.Remove()
				x.pass(5 * time.Minute)
				if !fine(p.Lag()) || p.heard(monitor.ProbeOverdue) {
					x.Errorf("later: %+v", p.all())
				}
			})
		})
	}
}

// A probe that the broker never confirms is overdue when it does not come back either,
// and measured when it does.
func TestProbeUnconfirmed(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p := x.probe(monitor.ProbeConfig{})
		x.pass(30 * time.Second)
		n := x.inject(amqptest.Fault{Do: amqptest.HoldConfirm, Times: -1})
		x.pass(2 * time.Minute)
		if !fine(p.Lag()) || p.heard(monitor.ProbeOverdue) {
			x.Errorf("stored, not confirmed: %+v", p.all())
		}
		n.Remove()
	})
	inBubble(t, amqptest.Config{}, link.Config{Heartbeat: time.Hour, WriteTimeout: time.Hour}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p := x.probe(monitor.ProbeConfig{})
		x.pass(30 * time.Second)
		n := x.inject(amqptest.Fault{Do: amqptest.Stall, On: "confirm.select", Connection: "* publishing", Delay: time.Hour})
		x.pass(45 * time.Second) // what follows is written, and not read
		if l := p.Lag(); reason(l) != monitor.ProbeOverdue {
			x.Errorf("not read: %+v", l)
		}
		n.Remove()
		x.pass(5 * time.Minute)
		if !fine(p.Lag()) {
			x.Errorf("later: %+v", p.Lag())
		}
	})
}

// Where it cannot work, OpenProbe says so, and leaves nothing.
func TestOpenProbeErrors(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		var missing *topology.MissingError
		if _, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{}); !errors.As(err, &missing) {
			x.Errorf("no ladder: %v", err)
		}
		x.work("orders", topology.WorkConfig{})
		for field, cfg := range map[string]monitor.ProbeConfig{
			"Every":  {Every: -1},
			"Limit":  {Limit: -1},
			"Delay":  {Delay: 30 * 24 * time.Hour},
			"Ladder": {Ladder: topology.Ladder{Levels: 99}},
		} {
			var bad *monitor.ProbeConfigError
			if _, err := monitor.OpenProbe(x.soon(), x.l, cfg); !errors.As(err, &bad) || bad.Field != field {
				x.Errorf("%s: %v", field, err)
			}
		}
		if _, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{Logger: silent}); err != nil {
			x.Error(err)
		}
		x.pass(time.Second)
		if len(x.probes()) != 0 {
			x.Errorf("left %v", x.probes())
		}
	})
}

// Of a ladder that an admin declares, the admin declares the shared queue as well.
func TestProbeOfAnExternalLadder(t *testing.T) {
	eachBroker(t, func(x bubble) {
		admins := topology.Ladder{Scope: "admins", Levels: 3}
		x.work("orders", topology.WorkConfig{Ladder: admins})
		users := admins
		users.External = true
		var missing *topology.MissingError
		if _, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{Ladder: users}); !errors.As(err, &missing) {
			x.Errorf("no shared queue: %v", err)
		}
		if err := topology.Declare(x.soon(), x.l, monitor.ProbeTopology(admins)); err != nil {
			x.Fatal(err)
		}
		p := x.probe(monitor.ProbeConfig{Ladder: users})
		x.pass(10 * time.Second)
		if l := p.Lag(); !fine(l) || l.Delay != 700*time.Millisecond {
			x.Errorf("%+v", l)
		}
		var twice *monitor.ProbeError
		if err := p.Run(x.soon()); !errors.As(err, &twice) {
			x.Errorf("a second Run: %v", err)
		}
	})
}

// The rights of ProbePermissions are enough, and none of the three can be left out.
func TestProbePermissions(t *testing.T) {
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		for name, take := range map[string]func(p *topology.Permissions){
			"all":          func(*topology.Permissions) {},
			"no configure": func(p *topology.Permissions) { p.Configure = "^$" },
			"no write":     func(p *topology.Permissions) { p.Write = "^$" },
			"no read":      func(p *topology.Permissions) { p.Read = "^$" },
		} {
			t.Run(string(v)+" "+name, func(t *testing.T) {
				rights := monitor.ProbePermissions(shared)
				take(&rights)
				cfg := amqptest.Config{Version: v, Users: map[string]amqptest.User{
					"guest":  {Password: "guest", Tags: []string{"administrator"}},
					"prober": {Password: "prober", Permissions: map[string]amqptest.Permissions{"/": amqptest.Permissions(rights)}},
				}}
				inBubble(t, cfg, link.Config{}, func(x bubble) {
					x.work("orders", topology.WorkConfig{})
					x.l = x.open(strings.Replace(x.b.PipeURL(), "guest:guest", "prober:prober", 1), link.Config{})
					if name != "all" {
						if _, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{}); err == nil {
							x.Error("it opens")
						}
						return
					}
					p := x.probe(monitor.ProbeConfig{})
					x.pass(90 * time.Second)
					if !fine(p.Lag()) || len(p.all()) != 2 {
						x.Errorf("%+v", p.all())
					}
				})
			})
		}
	}
}

// A binding that is refused again and again leaves no queues behind, and neither does a
// consumer that is.
func TestProbeLeavesNoQueues(t *testing.T) {
	for on, most := range map[string]int{"queue.bind": 1, "basic.consume": 20} {
		t.Run(on, func(t *testing.T) {
			inBubble(t, amqptest.Config{}, link.Config{Heartbeat: 3 * time.Hour}, func(x bubble) {
				x.work("orders", topology.WorkConfig{})
				p := x.probe(monitor.ProbeConfig{})
				x.pass(30 * time.Second)
				n := x.inject(amqptest.Fault{Do: amqptest.CloseChannel, On: on, Queue: "hareline-probe.*.*.*.*.*", Code: 404, Times: -1})
				x.b.CutConnections()
				x.pass(time.Hour)
				if queues := x.probes(); len(queues) > most {
					x.Errorf("%d queues are left", len(queues))
				}
				n.Remove()
				x.pass(5 * time.Minute)
				if queues := x.probes(); len(queues) != 1 || !fine(p.Lag()) {
					x.Errorf("%d queues later; %+v", len(queues), p.Lag())
				}
			})
		})
	}
}

// asking is a log that asks what it logs about, as one does that adds the health.
type asking struct {
	slog.Handler
	probe *atomic.Pointer[monitor.Probe]
	asked *atomic.Int32
}

func (h asking) Enabled(context.Context, slog.Level) bool { return true }
func (h asking) Handle(context.Context, slog.Record) error {
	h.probe.Load().Lag()
	h.asked.Add(1)
	return nil
}

// Nothing is logged while Lag would have to wait.
func TestProbeLogsUnlocked(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		h := asking{probe: new(atomic.Pointer[monitor.Probe]), asked: new(atomic.Int32)}
		p, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{Logger: slog.New(h)})
		if err != nil {
			x.Fatal(err)
		}
		h.probe.Store(p)
		ctx, cancel := context.WithTimeout(x.Context(), 5*time.Minute)
		defer cancel()
		time.AfterFunc(90*time.Second, func() { x.b.CutConnections() })
		if err := p.Run(ctx); err != nil {
			x.Error(err)
		}
		if n := h.asked.Load(); n != 2 { // the link is lost, and the ladder works again
			x.Errorf("%d lines", n)
		}
	})
}

// A Probe can be run again: what came back to nobody meanwhile is not overdue.
func TestProbeRunsAgain(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		failed := false
		p, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{Logger: silent, OnLag: func(l monitor.LadderLag) { failed = failed || l.Err != nil }})
		if err != nil {
			x.Fatal(err)
		}
		for range 3 { // the first ends with a message on its way
			ctx, cancel := context.WithTimeout(x.Context(), 61*time.Second)
			if err := p.Run(ctx); err != nil {
				x.Error(err)
			}
			cancel()
			x.pass(5 * time.Second)
		}
		if failed || p.Lag().At.IsZero() {
			x.Errorf("%+v", p.Lag())
		}
	})
}

// A closed link ends Run.
func TestProbeOnAClosedLink(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		p, err := monitor.OpenProbe(x.soon(), x.l, monitor.ProbeConfig{Logger: silent})
		if err != nil {
			x.Fatal(err)
		}
		result := make(chan error, 1)
		go func() { result <- p.Run(context.Background()) }()
		x.pass(time.Second)
		if err := x.l.Close(x.soon()); err != nil {
			x.Error(err)
		}
		if err := <-result; !errors.Is(err, link.ErrClosed) {
			x.Errorf("Run: %v", err)
		}
	})
}

// metrics reads the lag, where there is one, and the failures by reason.
func (x bubble) metrics(reader metric.Reader) (lags []float64, failures map[string]int64) {
	x.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(x.soon(), &all); err != nil {
		x.Fatal(err)
	}
	failures = map[string]int64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[float64]:
				if m.Name != "hareline.ladder.lag" || m.Unit != "s" {
					x.Errorf("%s in %s", m.Name, m.Unit)
				}
				for _, point := range data.DataPoints {
					lags = append(lags, point.Value)
				}
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					why, _ := point.Attributes.Value("hareline.probe.reason")
					if name, _ := point.Attributes.Value("hareline.ladder.name"); name.AsString() != "hareline.v1.100ms.24.default" {
						x.Errorf("ladder %q", name.AsString())
					}
					failures[why.AsString()] = point.Value
				}
			}
		}
	}
	return lags, failures
}

// The metrics: a lag while it is known, failures by reason.
func TestProbeMetrics(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		reader := metric.NewManualReader()
		p := x.probe(monitor.ProbeConfig{MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
		if lags, _ := x.metrics(reader); len(lags) != 0 {
			x.Errorf("at first: %v", lags)
		}
		x.pass(10 * time.Second)
		if lags, failures := x.metrics(reader); len(lags) != 1 || lags[0] > 0.1 || len(failures) != 0 {
			x.Errorf("fine: %v %v", lags, failures)
		}
		if err := x.b.Alarm("disk"); err != nil {
			x.Fatal(err)
		}
		x.pass(3 * time.Minute)
		if lags, failures := x.metrics(reader); len(lags) != 0 || failures["blocked"] == 0 || len(failures) != 1 {
			x.Errorf("blocked: %v %v", lags, failures)
		}
		if err := p.stop(); err != nil {
			x.Error(err)
		}
		if lags, _ := x.metrics(reader); len(lags) != 0 {
			x.Errorf("after Run: %v", lags)
		}
	})
}

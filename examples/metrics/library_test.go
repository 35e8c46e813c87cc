package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

// life is a service to which everything happens that has a metric.
type life struct {
	*testing.T
	b        *amqptest.Broker
	tel      *telemetry.Telemetry
	provider *metric.MeterProvider
	scraped  *scraped
	link     *link.Link
	work     topology.Work
	pub      *confirm.Publisher
	copies   *confirm.Publisher
	api      *api

	postponed atomic.Bool
	release   chan struct{} // of the handler that is stuck
}

var quiet = slog.New(slog.DiscardHandler)

// live lives that life, in virtual time, and gives all that was scraped meanwhile.
func live(t *testing.T) (all *scraped) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		provider, err := newProvider(registry)
		must(t, err)
		tel, err := telemetry.New(telemetry.Config{MeterProvider: provider})
		must(t, err)
		x := &life{
			T: t, b: amqptest.Config{Version: amqptest.V43, Clock: amqptest.Running}.New(t), tel: tel, provider: provider,
			scraped: &scraped{registry: registry, series: map[string]map[string]map[string]bool{}}, release: make(chan struct{}),
			work: topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Levels: 5}}),
		}
		all = x.scraped
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		x.open(ctx)
		x.publish(ctx)
		var ended sync.WaitGroup
		consuming, stop := context.WithCancel(ctx)
		ended.Go(func() { x.consume(consuming) })
		x.handle(ctx)
		ended.Go(func() { x.watch(consuming) })
		ended.Go(func() { x.probe(consuming) })
		x.disturb()
		stop()
		ended.Wait()
		must(t, x.link.Close(ctx))
		must(t, provider.Shutdown(ctx))
	})
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pass lets d go by, and scrapes.
func (x *life) pass(d time.Duration) {
	x.Helper()
	<-time.After(d)
	synctest.Wait()
	must(x.T, x.scraped.scrape())
}

func (x *life) open(ctx context.Context) {
	l, err := link.Open(ctx, link.Config{URLs: []string{x.b.PipeURL()}, Dial: x.b.Dial, OnState: x.tel.OnState, Logger: quiet})
	must(x.T, err)
	x.link = l
	// A classic queue tells the age of its oldest message.
	must(x.T, topology.Declare(ctx, l, x.work.Merge(topology.Topology{Queues: []topology.Queue{{Name: "old", Type: topology.Classic}}})))
	x.pub, err = confirm.Open(ctx, l, confirm.Config{Window: 1, Tracer: x.tel, Logger: quiet})
	must(x.T, err)
	x.copies, err = confirm.Open(ctx, l, confirm.Config{Tracer: x.tel, Logger: quiet})
	must(x.T, err)
	x.api = &api{handler: x.b.ManagementHandler()}
}

// publish has each of the outcomes.
func (x *life) publish(ctx context.Context) {
	must(x.T, x.pub.Publish(ctx, "", "old", amqp.Publishing{Timestamp: time.Now()}))
	_, err := x.b.Inject(amqptest.Fault{Do: amqptest.DelayConfirm, Queue: "old", Delay: time.Second, Times: 2})
	must(x.T, err)
	receipt := x.pub.Send(ctx, "", "old", amqp.Publishing{})
	must(x.T, x.pub.Publish(ctx, "", "old", amqp.Publishing{})) // waits for its place
	must(x.T, receipt.Wait(ctx))
	_, err = x.b.Inject(amqptest.Fault{Do: amqptest.Nack, Queue: "old", Times: 1})
	must(x.T, err)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, f := range []struct {
		ctx           context.Context //nolint:containedctx // an argument of the call
		exchange, key string
		msg           amqp.Publishing
	}{
		{ctx, "", "nobody", amqp.Publishing{}},                       // returned
		{ctx, "", "old", amqp.Publishing{}},                          // nacked
		{ctx, "", "old", amqp.Publishing{Expiration: "some time"}},   // refused
		{ctx, "no such exchange", "old", amqp.Publishing{}},          // refused by the broker
		{ended, "", "old", amqp.Publishing{MessageId: "never sent"}}, // unsent
	} {
		if err := x.pub.Publish(f.ctx, f.exchange, f.key, f.msg); err == nil {
			x.Errorf("confirmed: %+v", f)
		}
	}
	_, err = x.b.Inject(amqptest.Fault{Do: amqptest.DelayConfirm, Queue: "old", Delay: time.Minute, Times: 1})
	must(x.T, err)
	impatient, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := x.pub.Publish(impatient, "", "old", amqp.Publishing{}); err == nil { // unknown
		x.Error("confirmed before the broker confirms")
	}
	x.pass(2 * time.Minute)
}

func (x *life) consume(ctx context.Context) {
	handler := func(_ context.Context, d amqp.Delivery) error {
		switch d.MessageId {
		case "fails once":
			if d.Headers["hareline-retry-count"] == nil {
				return retry.Transient(context.DeadlineExceeded)
			}
		case "fails":
			if d.Headers["hareline-replay-count"] == nil {
				return retry.Permanent(errors.New("no"))
			}
		case "waits":
			if !x.postponed.Swap(true) {
				return consumer.Postpone(time.Second, errors.New("not yet"))
			}
		case "stuck":
			<-x.release
		}
		return nil
	}
	err := consumer.Run(ctx, x.link, consumer.Config{
		Queue: x.work.Queue, Workers: 4, Logger: quiet,
		Handler: consumer.Chain(handler, x.tel.Middleware(), dlq.Middleware(x.copies, x.work, dlq.Config{Logger: quiet}),
			retry.Middleware(x.copies, x.work, retry.Policy{BackOff: retry.Constant(time.Second), Logger: quiet})),
		OnHealth: func(h consumer.Health) { x.tel.OnHealth(h.Queue, string(h.Status)) },
		Watchdog: consumer.WatchdogConfig{
			StuckAfter: time.Minute,
			OnEvent:    func(e consumer.WatchdogEvent) { x.tel.OnWatchdog(e.Queue, string(e.Finding), e.Over) },
		},
	})
	if err != nil {
		x.Error(err)
	}
}

// handle has messages that come to each of the usual ends.
func (x *life) handle(ctx context.Context) {
	for _, id := range []string{"succeeds", "fails once", "fails", "waits"} {
		must(x.T, x.pub.Publish(ctx, "", x.work.Queue, amqp.Publishing{MessageId: id}))
	}
	x.pass(time.Minute)
	report, err := dlq.Open(x.link, dlq.QueueConfig{Queue: x.work.DeadLetterQueue}).Replay(ctx, x.pub, dlq.ReplayConfig{})
	if err != nil || report.Replayed != 1 {
		x.Fatalf("%v, %v", report, err)
	}
	must(x.T, x.pub.Publish(ctx, "", x.work.Queue, amqp.Publishing{MessageId: "stuck"}))
	x.pass(5 * time.Minute)
	close(x.release)
	x.pass(time.Minute)
}

func (x *life) watch(ctx context.Context) {
	m, err := monitor.New(monitor.Config{
		Management: topology.Management{URL: "http://guest:guest@broker", Client: &http.Client{Transport: x.api}},
		Queues:     append(monitor.Watch(x.work), monitor.Queue{Name: "old"}), Ladders: monitor.Ladders(x.work),
		MeterProvider: x.provider, Logger: quiet,
	})
	if err != nil {
		x.Error(err)
		return
	}
	if err := m.Run(ctx); err != nil {
		x.Error(err)
	}
}

func (x *life) probe(ctx context.Context) {
	p, err := monitor.OpenProbe(ctx, x.link, monitor.ProbeConfig{Ladder: x.work.Ladders[0], MeterProvider: x.provider, Logger: quiet})
	if err != nil {
		x.Error(err)
		return
	}
	if err := p.Run(ctx); err != nil {
		x.Error(err)
	}
}

// disturb has the broker and its API fail for a while.
func (x *life) disturb() {
	x.pass(5 * time.Minute)
	must(x.T, x.b.Alarm("memory"))
	x.pass(5 * time.Minute)
	must(x.T, x.b.ClearAlarm("memory"))
	x.api.down.Store(true)
	x.pass(5 * time.Minute)
	x.api.down.Store(false)
	x.b.CutConnections()
	x.pass(5 * time.Minute)
}

// api is the broker's management API without a socket.
type api struct {
	handler http.Handler
	down    atomic.Bool
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.down.Load() {
		return nil, errors.New("connection refused")
	}
	asked := httptest.NewRequest(r.Method, r.URL.String(), http.NoBody)
	asked.Header = r.Header
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, asked)
	return w.Result(), nil
}

// scraped is what a Prometheus that scrapes has seen: the values of each label of each
// metric.
type scraped struct {
	registry prometheus.Gatherer
	series   map[string]map[string]map[string]bool
}

func (s *scraped) scrape() error {
	families, err := s.registry.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		names := []string{f.GetName()}
		extra := map[string]string{"job": "service", "instance": "host:9464"} // of Prometheus itself
		if h := f.GetMetric()[0].GetHistogram(); h != nil {
			names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
		}
		for _, name := range names {
			if s.series[name] == nil {
				s.series[name] = map[string]map[string]bool{}
			}
			add := func(label, value string) {
				if s.series[name][label] == nil {
					s.series[name][label] = map[string]bool{}
				}
				s.series[name][label][value] = true
			}
			for label, value := range extra {
				add(label, value)
			}
			if len(names) > 1 && name == names[0] {
				add("le", "1")
			}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					add(l.GetName(), l.GetValue())
				}
			}
		}
	}
	return nil
}

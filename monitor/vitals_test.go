package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// ask asks a handler.
func ask(t *testing.T, h http.Handler, method string) (status int, health monitor.Health, answer *httptest.ResponseRecorder) {
	t.Helper()
	answer = httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(method, "/readyz", http.NoBody))
	if method == http.MethodGet {
		if err := json.Unmarshal(answer.Body.Bytes(), &health); err != nil {
			t.Fatalf("%v: %s", err, answer.Body)
		}
	}
	return answer.Code, health, answer
}

func TestHandlers(t *testing.T) {
	v, err := monitor.NewVitals(monitor.VitalsConfig{Queues: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	for path, tt := range map[string]struct {
		h    http.Handler
		want int
	}{"live": {v.Live(), 200}, "ready": {v.Ready(), 503}} {
		status, health, get := ask(t, tt.h, http.MethodGet)
		if status != tt.want || health.Live != true || health.Ready != (tt.want == 200) || health.At.IsZero() {
			t.Errorf("%s: %d %+v", path, status, health)
		}
		if get.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(get.Header().Get("Content-Type"), "application/json") {
			t.Errorf("%s: %v", path, get.Header())
		}
		status, _, head := ask(t, tt.h, http.MethodHead)
		if status != tt.want || head.Body.Len() != 0 || head.Header().Get("Content-Length") == "0" {
			t.Errorf("%s HEAD: %d, %d bytes", path, status, head.Body.Len())
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			if status, _, answer := ask(t, tt.h, method); status != 405 || answer.Header().Get("Allow") != "GET, HEAD" || answer.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d", path, method, status)
			}
		}
	}
	if _, health, _ := ask(t, v.Live(), http.MethodGet); len(health.Conditions) != 1 {
		t.Errorf("Live tells %+v", health.Conditions)
	}
}

// Hooks and handlers at the same time, for the race detector.
func TestVitalsConcurrently(t *testing.T) {
	v, err := monitor.NewVitals(monitor.VitalsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 200 {
				v.OnState(link.State{Role: link.Role(i % 2), Status: link.Connected})
				v.OnHealth(consumer.Health{Queue: "q", Status: consumer.Consuming})
				for _, f := range []consumer.Finding{consumer.Stuck, consumer.Unsettled} {
					v.OnWatchdog(consumer.WatchdogEvent{Queue: "q", Finding: f, Over: i%2 == 0})
				}
				health, _ := v.Consumer("other")
				health(consumer.Health{Queue: "q"})
				v.Ready().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", http.NoBody))
				v.Live().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", http.NoBody))
			}
		})
	}
	all.Wait()
}

// process is a whole one: link, consumer, monitor, probe, vitals.
type process struct {
	bubble
	*monitor.Vitals
	work    topology.Work
	watched *watching
	result  chan error
}

// whole starts a process whose handler is h.
func (x bubble) whole(cfg monitor.VitalsConfig, h consumer.Handler) *process {
	x.Helper()
	w := x.work("orders", topology.WorkConfig{})
	p := &process{bubble: x, work: w, result: make(chan error, 1)}
	p.watched = x.watch(monitor.Config{Queues: monitor.Watch(w), Ladders: monitor.Ladders(w)})
	probe := x.probe(monitor.ProbeConfig{})
	cfg.Queues, cfg.Monitor, cfg.Probes = []string{w.Queue}, p.watched, []interface{ Lag() monitor.LadderLag }{probe}
	var err error
	if p.Vitals, err = monitor.NewVitals(cfg); err != nil {
		x.Fatal(err)
	}
	l := x.open(x.b.PipeURL(), link.Config{OnState: p.OnState, ReconnectMax: time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.result <- consumer.Run(ctx, l, consumer.Config{
			Queue: w.Queue, Handler: h, Logger: silent, OnHealth: p.OnHealth, GiveUpAfter: time.Minute,
			Watchdog: consumer.WatchdogConfig{OnEvent: p.OnWatchdog, StuckAfter: time.Minute},
		})
	}()
	x.Cleanup(func() { cancel(); <-ended })
	x.pass(3 * time.Minute)
	return p
}

func (p *process) want(what string, live, ready int, levels map[monitor.Condition]monitor.Level) {
	p.Helper()
	gotLive, _, _ := ask(p.T, p.Live(), http.MethodGet)
	gotReady, health, answer := ask(p.T, p.Ready(), http.MethodGet)
	if gotLive != live || gotReady != ready {
		p.Errorf("%s: live %d, ready %d, want %d and %d: %s", what, gotLive, gotReady, live, ready, answer.Body)
	}
	for c, v := range health.Conditions {
		want := levels[c]
		if want == "" {
			want = monitor.LevelOK
		}
		if v.Level != want {
			p.Errorf("%s: %s is %s, want %s: %s", what, c, v.Level, want, v.Text)
		}
	}
	if strings.Contains(answer.Body.String(), "guest") {
		p.Errorf("%s: a password: %s", what, answer.Body)
	}
}

type levels = map[monitor.Condition]monitor.Level

func nothing(context.Context, amqp.Delivery) error { return nil }

// The answers of a whole process while things happen to it.
func TestVitalsOfAProcess(t *testing.T) {
	eachBroker(t, func(x bubble) {
		p := x.whole(monitor.VitalsConfig{}, nothing)
		p.want("all is well", 200, 200, nil)

		if err := x.b.Alarm("memory"); err != nil {
			x.Fatal(err)
		}
		x.pass(3 * time.Minute)
		p.want("blocked", 200, 200, levels{monitor.ConditionBlocked: monitor.LevelFailing, monitor.ConditionLadder: monitor.LevelUnknown})
		if err := x.b.ClearAlarm("memory"); err != nil {
			x.Fatal(err)
		}
		x.pass(4 * time.Minute)
		p.want("unblocked", 200, 200, nil)

		away := x.inject(amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
		x.b.CutConnections()
		x.pass(30 * time.Second)
		p.want("cut", 200, 503, levels{
			monitor.ConditionLink: monitor.LevelFailing, monitor.ConditionConsuming: monitor.LevelFailing,
			monitor.ConditionBlocked: monitor.LevelUnknown, monitor.ConditionLadder: monitor.LevelUnknown,
		})
		away.Remove()
		x.pass(4 * time.Minute)
		p.want("connected again", 200, 200, nil)

		x.inject(amqptest.Fault{Do: amqptest.CancelConsumers, Queue: p.work.Queue})
		x.pass(10 * time.Second)
		p.want("subscribed again", 200, 200, nil)

		for range 4 {
			x.publish(p.work.DeadLetterQueue, 3)
			x.pass(time.Minute)
		}
		p.want("letters come in", 200, 200, levels{monitor.ConditionDeadLetters: monitor.LevelFailing})
		x.pass(3 * time.Minute)
		p.want("letters lie there", 200, 200, levels{monitor.ConditionDeadLetters: monitor.LevelDegraded})
		p.watched.api.set(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, nil)
		x.pass(2 * time.Minute)
		p.want("the API is down", 200, 200, levels{monitor.ConditionDeadLetters: monitor.LevelUnknown})
	})
}

// What a restart helps against fails Live: a consumer that has given up, a handler that
// does not come back.
func TestVitalsThatCallForARestart(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
			p := x.whole(monitor.VitalsConfig{}, nothing)
			x.operate(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(p.work.Queue, false, false, false); return err })
			x.pass(30 * time.Second)
			p.want("deleted", 200, 503, levels{monitor.ConditionConsuming: monitor.LevelFailing})
			if err := <-p.result; err == nil {
				x.Error("Run returned nil")
			}
			p.result <- nil
			p.want("given up", 503, 503, levels{monitor.ConditionConsuming: monitor.LevelFailing, monitor.ConditionProcess: monitor.LevelFailing})
		})
	})
	t.Run("stuck", func(t *testing.T) {
		inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
			free := make(chan struct{})
			p := x.whole(monitor.VitalsConfig{StuckFor: 10 * time.Minute}, func(context.Context, amqp.Delivery) error { <-free; return nil })
			x.publish(p.work.Queue, 1)
			x.pass(3 * time.Minute)
			p.want("stuck", 200, 200, levels{monitor.ConditionConsuming: monitor.LevelDegraded})
			x.pass(10 * time.Minute)
			p.want("stuck for long", 503, 503, levels{monitor.ConditionConsuming: monitor.LevelDegraded, monitor.ConditionProcess: monitor.LevelFailing})
			close(free)
			x.pass(time.Minute)
			p.want("back", 200, 200, nil)
		})
	})
}

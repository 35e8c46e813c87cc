package monitor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// api is a broker's management API without a socket, which a test may disturb.
type api struct {
	handler http.Handler

	mu      sync.Mutex
	disturb func(*http.Request) (*http.Response, error) // nil, nil: as always
	edit    func(path string, o map[string]any)         // of every answer that is an object
	asked   []string
}

func newAPI(b *amqptest.Broker) *api { return &api{handler: b.ManagementHandler()} }

// RoundTrip asks the handler in process.
func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	disturb, edit := a.disturb, a.edit
	a.asked = append(a.asked, r.URL.Path)
	a.mu.Unlock()
	if disturb != nil {
		if answer, err := disturb(r); answer != nil || err != nil {
			return answer, err
		}
	}
	asked := httptest.NewRequest(r.Method, r.URL.String(), http.NoBody)
	asked.Header = r.Header
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, asked)
	var o map[string]any
	if edit == nil || json.Unmarshal(w.Body.Bytes(), &o) != nil {
		return w.Result(), nil
	}
	edit(r.URL.Path, o)
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return answer(w.Code, string(body)), nil
}

func answer(status int, body string) *http.Response {
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	return w.Result()
}

func (a *api) set(disturb func(*http.Request) (*http.Response, error), edit func(string, map[string]any)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.disturb, a.edit = disturb, edit
}

func (a *api) management() topology.Management {
	return topology.Management{URL: "http://guest:guest@broker", Client: &http.Client{Transport: a}}
}

// watching is a monitor that runs, and what it has told.
type watching struct {
	*monitor.Monitor
	x    bubble
	api  *api
	stop func()

	mu      sync.Mutex
	told    []monitor.Alarm
	reports []monitor.Report
}

// watch runs a monitor until the test ends, and waits for its first round.
func (x bubble) watch(cfg monitor.Config) *watching {
	x.Helper()
	return x.watchAt("http://guest:guest@broker:15672", cfg)
}

// watchAt is watch, of the same broker by another URL.
func (x bubble) watchAt(url string, cfg monitor.Config) *watching {
	x.Helper()
	w := &watching{x: x, api: newAPI(x.b)}
	cfg.Management, cfg.Logger = w.api.management(), silent
	cfg.Management.URL = url
	cfg.OnAlarm = func(a monitor.Alarm) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, a)
	}
	cfg.OnReport = func(r monitor.Report) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reports = append(w.reports, r)
	}
	m, err := monitor.New(cfg)
	if err != nil {
		x.Fatal(err)
	}
	w.Monitor = m
	ctx, cancel := context.WithCancel(x.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				x.Errorf("Run: %v", err)
			}
		})
	}
	x.Cleanup(w.stop)
	x.pass(time.Second) // from now on a second after each round
	return w
}

// lines are alarms in short.
func lines(all []monitor.Alarm) []string {
	out := make([]string, 0, len(all))
	for _, a := range all {
		s := "cleared "
		if a.Raised {
			s = "raised "
		}
		out = append(out, strings.TrimSpace(s+string(a.Kind)+" "+a.Queue))
	}
	return out
}

// want waits for n rounds, and compares what is told in them.
func (w *watching) want(rounds int, alarms ...string) {
	w.x.Helper()
	w.x.pass(time.Duration(rounds) * time.Minute)
	w.mu.Lock()
	got := lines(w.told)
	for _, a := range w.told {
		if a.Text == "" || strings.Contains(a.Text, "%!") || a.Severity == "" || a.Since.IsZero() || a.At.Before(a.Since) {
			w.x.Errorf("incomplete: %+v", a)
		}
	}
	w.told = nil
	w.mu.Unlock()
	slices.Sort(got)
	slices.Sort(alarms)
	if !slices.Equal(got, alarms) {
		w.x.Errorf("told %q, want %q; the last report: %+v", got, alarms, w.Report())
	}
}

// raisesAndClears is the life of one alarm: in the first bad round nothing, in the second it
// is raised, and the same back.
func (w *watching) raisesAndClears(alarm string, break_, mend func()) {
	w.x.Helper()
	w.want(1)
	break_()
	w.want(1)
	w.want(1, "raised "+alarm)
	w.want(3)
	mend()
	w.want(1)
	if standing := lines(w.Alarms()); !slices.Equal(standing, []string{"raised " + alarm}) {
		w.x.Errorf("standing: %q", standing)
	}
	w.want(1, "cleared "+alarm)
	w.want(3)
	if standing := w.Alarms(); len(standing) > 0 {
		w.x.Errorf("standing: %v", standing)
	}
}

// publish publishes n messages and waits for their confirms.
func (x bubble) publish(queue string, n int) {
	x.Helper()
	x.operate(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for range n {
			c, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Timestamp: time.Now()})
			if err != nil {
				return err
			}
			if !c.Wait() {
				return fmt.Errorf("nacked")
			}
		}
		return nil
	})
}

func (x bubble) purge(queue string) {
	x.Helper()
	x.operate(func(ch *amqp.Channel) error {
		_, err := ch.QueuePurge(queue, false)
		return err
	})
}

// consumer is a consumer that a test drives: it acks when told.
type driven struct {
	x          bubble
	conn       *amqp.Connection
	ch         *amqp.Channel
	deliveries <-chan amqp.Delivery
}

func (x bubble) consume(queue string, prefetch int) *driven {
	x.Helper()
	c := &driven{x: x, conn: x.dial()}
	var err error
	if c.ch, err = c.conn.Channel(); err == nil {
		if err = c.ch.Qos(prefetch, 0, false); err == nil {
			c.deliveries, err = c.ch.Consume(queue, "", false, false, false, false, nil)
		}
	}
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(c.close)
	return c
}

func (c *driven) close() { _ = c.conn.Close() }

func (c *driven) ack(n int) {
	c.x.Helper()
	for range n {
		if err := (<-c.deliveries).Ack(false); err != nil {
			c.x.Fatal(err)
		}
	}
}

func (x bubble) dial() *amqp.Connection {
	x.Helper()
	c, err := amqp.DialConfig(x.b.PipeURL(), amqp.Config{
		Heartbeat: time.Hour,
		Dial:      func(network, addr string) (net.Conn, error) { return x.b.Dial(context.Background(), network, addr) },
	})
	if err != nil {
		x.Fatal(err)
	}
	return c
}

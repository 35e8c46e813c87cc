package monitor_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// failing has an API fail in every request.
type failing = func(*http.Request) (*http.Response, error)

func always(status int, body string) failing {
	return func(*http.Request) (*http.Response, error) { return answer(status, body), nil }
}

// Each way to fail is an alarm of its own kind, and hides everything: what was wrong
// before is not cleared, though it may be well by now, and nothing looks healthy.
func TestAPIFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail failing
		kind string
	}{
		"down": {func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, "api-unavailable"},
		"slow": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}, "api-slow"},
		"cut off": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"status":"ok"}`), cut{}))}, nil
		}, "api-unavailable"},
		"401":       {always(401, `{"error":"not_authorized","reason":"Not_Authorized"}`), "api-unauthorised"},
		"403":       {always(403, ``), "api-unauthorised"},
		"404":       {always(404, `<html>no such page</html>`), "api-nonsense"},
		"500":       {always(500, `{"error":"internal_server_error"}`), "api-unavailable"},
		"503":       {always(503, `<html>no upstream</html>`), "api-unavailable"},
		"login":     {always(200, `<html>please log in</html>`), "api-nonsense"},
		"truncated": {always(200, `{"name":"orders","messages":0,"consumers":`), "api-nonsense"},
		"empty":     {always(200, ``), "api-nonsense"},
		"an error":  {always(200, `{"error":"timeout"}`), "api-nonsense"},
		"huge":      {always(200, `{"name":"orders","status":"ok","x":"`+strings.Repeat("x", 1<<20)+`"}`), "api-nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
				work := x.work("orders", topology.WorkConfig{})
				cfg := monitor.Config{Queues: []monitor.Queue{{Name: "orders", Pending: 10, MinConsumers: -1}}}
				if name != "huge" { // it is enough once
					cfg.Ladders = monitor.Ladders(work)
				}
				w := x.watch(cfg)
				x.publish("orders", 11)
				w.want(2, "raised pending orders")
				w.api.set(c.fail, nil)
				x.purge("orders")
				w.want(1)
				x.pass(15 * time.Second) // as long as a round may take
				r := w.Report()
				if r.Err == nil || r.NodeAlarmsErr == nil || r.Queues[0].Messages.Known || r.Queues[0].Missing || len(r.Ladders) > 0 && r.Ladders[0].Messages.Known {
					x.Errorf("%+v", r)
				}
				var refused *topology.ManagementError
				if err := r.Queues[0].Err; !errors.As(err, &refused) || refused.Fix == "" || strings.Contains(err.Error(), "guest:guest") {
					x.Errorf("%v", err)
				}
				w.want(1, "raised "+c.kind)
				w.want(5)
				w.api.set(nil, nil)
				w.want(1)
				w.want(1, "cleared "+c.kind, "cleared pending orders")
				if r := w.Report(); r.Err != nil || len(w.Alarms()) > 0 {
					x.Errorf("%v, %v", r.Err, w.Alarms())
				}
			})
		})
	}
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Absurd numbers of one queue, and a failure of one queue: the others are seen.
func TestOneQueueFails(t *testing.T) {
	for name, value := range map[string]any{"negative": -5, "words": "many", "absurd": 1e300, "a list": []int{1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
				x.work("orders", topology.WorkConfig{})
				x.work("mails", topology.WorkConfig{})
				watched := monitor.Queue{Pending: 10, MinConsumers: -1}
				orders, mails := watched, watched
				orders.Name, mails.Name = "orders", "mails"
				w := x.watch(monitor.Config{Queues: []monitor.Queue{orders, mails}})
				w.api.set(nil, func(_ string, o map[string]any) {
					if o["name"] == "orders" {
						o["messages"] = value
					}
				})
				x.publish("mails", 11)
				w.want(2, "raised api-nonsense", "raised pending mails")
				if r := w.Report(); r.Queues[0].Err == nil || r.Queues[0].Messages.Known || r.Queues[1].Err != nil || r.Queues[1].Messages.Value != 11 {
					x.Errorf("%+v", r)
				}
				x.purge("mails")
				w.want(5) // while the API talks nonsense, nothing is cleared
				w.api.set(nil, nil)
				w.want(2, "cleared api-nonsense", "cleared pending mails")
			})
		})
	}
}

// A failure of a single round is no alarm, and its report says so all the same.
func TestHiccup(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: "orders", MinConsumers: -1}}})
		for range 5 {
			w.api.set(always(502, ""), nil)
			w.want(1)
			if w.Report().Err == nil {
				x.Error("the report tells of no error")
			}
			w.api.set(nil, nil)
			w.want(1)
		}
	})
}

// A round that takes longer than the time between two delays the next one, and never runs
// beside it.
func TestSlowRoundsDoNotOverlap(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		w := x.watch(monitor.Config{Timeout: time.Hour})
		rounds := make(chan struct{}, 1)
		w.api.set(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/alarms") { // one of a round's requests
				return nil, nil
			}
			select {
			case rounds <- struct{}{}:
			default:
				x.Error("two rounds at once")
			}
			<-time.After(150 * time.Second)
			<-rounds
			return nil, nil
		}, nil)
		x.pass(30 * time.Minute)
		w.mu.Lock()
		n := len(w.reports)
		w.mu.Unlock()
		if n < 11 || n > 13 {
			x.Errorf("%d rounds of 150 s in half an hour", n)
		}
		w.api.set(nil, nil)
		x.pass(10 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if more := len(w.reports) - n; more < 8 || more > 11 {
			x.Errorf("%d rounds in the ten minutes after that", more)
		}
	})
}

// The end of Run's ctx cuts a round short; that is no failure of the API, and no round.
func TestRunEndsInTheMiddleOfARound(t *testing.T) {
	inBubble(t, amqptest.Config{}, link.Config{}, func(x bubble) {
		w := x.watch(monitor.Config{RaiseAfter: 1})
		w.api.set(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, nil)
		x.pass(time.Minute)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 0 {
			x.Errorf("Run took %v to end", took)
		}
		if r := w.Report(); r.Err != nil || len(w.Alarms()) > 0 {
			x.Errorf("%v, %v", r.Err, w.Alarms())
		}
		ctx, cancel := context.WithCancel(x.Context())
		cancel()
		if r := w.Check(ctx); !errors.Is(r.Err, context.Canceled) {
			x.Errorf("%v", r.Err)
		}
	})
}

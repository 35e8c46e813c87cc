package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// ask asks a handler over HTTP's own types.
func ask(t *testing.T, h http.Handler) (status int, health monitor.Health, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	if err := json.Unmarshal(w.Body.Bytes(), &health); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return w.Code, health, w.Body.String()
}

// The answers of a process while its broker is restarted, raises an alarm, and gets dead
// letters: link, consuming, blocked, dead letters and ladder told apart.
func TestVitals(t *testing.T) {
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {
		declaring := open(t, link.Config{URLs: []string{b.URL}, ReconnectMax: time.Second})
		w := work(t, declaring, "orders", topology.WorkConfig{})
		cfg := monitor.VitalsConfig{Queues: []string{w.Queue}, MonitorStale: time.Hour}
		cfg.Monitor = watch(t, b, monitor.Config{Queues: monitor.Watch(w), Ladders: monitor.Ladders(w), Timeout: 5 * time.Second})
		cfg.Probes = []interface{ Lag() monitor.LadderLag }{probe(t, declaring, monitor.ProbeConfig{Limit: 30 * time.Second})}
		v, err := monitor.NewVitals(cfg)
		if err != nil {
			t.Fatal(err)
		}
		strict := cfg
		strict.Unready = []monitor.Condition{monitor.ConditionBlocked}
		s, err := monitor.NewVitals(strict)
		if err != nil {
			t.Fatal(err)
		}
		until := func(what string, ready int, levels map[monitor.Condition]monitor.Level) string {
			t.Helper()
			var text string
			brokertest.Eventually(t, patience, func() error {
				var status int
				var health monitor.Health
				status, health, text = ask(t, v.Ready())
				if strings.Contains(text, "hareline:") || strings.Contains(text, "secret body") {
					t.Fatalf("%s: a password or a message: %s", what, text)
				}
				if live, _, _ := ask(t, v.Live()); live != 200 {
					t.Fatalf("%s: live %d", what, live)
				}
				if status != ready {
					return fmt.Errorf("%s: ready %d: %s", what, status, text)
				}
				for c, want := range levels {
					if got := health.Conditions[c]; got.Level != want {
						return fmt.Errorf("%s: %s is %s: %s", what, c, got.Level, text)
					}
				}
				return nil
			})
			return text
		}
		all := func(l monitor.Level) map[monitor.Condition]monitor.Level {
			return map[monitor.Condition]monitor.Level{
				monitor.ConditionProcess: monitor.LevelOK, monitor.ConditionLink: l, monitor.ConditionConsuming: l,
				monitor.ConditionBlocked: l, monitor.ConditionDeadLetters: l, monitor.ConditionLadder: l,
			}
		}
		unknown := all(monitor.LevelUnknown)
		delete(unknown, monitor.ConditionDeadLetters) // the monitor runs already
		delete(unknown, monitor.ConditionLadder)
		until("nothing told", 503, unknown)

		l := open(t, link.Config{URLs: []string{b.URL}, ReconnectMax: time.Second, OnState: func(st link.State) { v.OnState(st); s.OnState(st) }})
		run(t, l, consumer.Config{
			Queue: w.Queue, OnHealth: v.OnHealth, Watchdog: consumer.WatchdogConfig{OnEvent: v.OnWatchdog},
			Handler: func(context.Context, amqp.Delivery) error { return nil },
		})
		until("all is well", 200, all(monitor.LevelOK))

		b.Stop(t)
		stopped := all(monitor.LevelFailing)
		stopped[monitor.ConditionBlocked], stopped[monitor.ConditionDeadLetters] = monitor.LevelUnknown, monitor.LevelUnknown
		stopped[monitor.ConditionLadder] = monitor.LevelUnknown
		if strings.HasPrefix(b.Image, "amqptest:") { // its API goes on while its AMQP sockets do not
			stopped[monitor.ConditionDeadLetters] = monitor.LevelOK
		}
		until("stopped", 503, stopped)
		b.Start(t)
		until("started", 200, all(monitor.LevelOK))

		b.Alarm(t)
		p := publisher(t, l, confirm.Config{})
		p.Send(deadline(t), "", w.Queue, amqp.Publishing{Body: []byte("secret body")}) // tells the broker that we publish
		text := until("alarm", 200, map[monitor.Condition]monitor.Level{
			monitor.ConditionBlocked: monitor.LevelFailing, monitor.ConditionConsuming: monitor.LevelOK, monitor.ConditionLink: monitor.LevelOK,
			monitor.ConditionLadder: monitor.LevelUnknown,
		})
		if !strings.Contains(text, "memory") {
			t.Errorf("no reason: %s", text)
		}
		if status, health, text := ask(t, s.Ready()); status != 503 || len(health.Unready) != 1 {
			t.Errorf("with Blocked in Unready: %d %s", status, text)
		}
		b.ClearAlarm(t)
		until("alarm over", 200, all(monitor.LevelOK))

		lying := all(monitor.LevelOK)
		lying[monitor.ConditionDeadLetters] = monitor.LevelDegraded
		publishTo(t, p, w.DeadLetterQueue, 1)
		until("a letter lies there", 200, lying)
	})
}

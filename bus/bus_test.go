package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sony/gobreaker/v2"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/breaker"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// Each group gets each event of its pattern once; processes of one group share
// them.
func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		first, second := openBus(t, br, bus.Config{}), openBus(t, br, bus.Config{})
		shared, h := collector()
		subscribe(t, first, "video.*", "shared", h)
		subscribe(t, second, "video.*", "shared", h)
		all, h := collector()
		subscribe(t, first, "#", "all", h)
		runBus(first)
		runBus(second)
		for i := range 20 {
			for _, kind := range []string{"video.started", "video", "audio.started", "video.started.again"} {
				publish(t, second, bus.Event{Type: kind, Payload: i})
			}
		}
		synctest.Wait()
		if len(shared) != 20 || len(all) != 80 {
			t.Errorf("shared got %d events, want 20; all got %d, want 80", len(shared), len(all))
		}
		for range 20 {
			if e := <-shared; e.Type != "video.started" || e.Key != e.Type || e.Attempt != 1 || e.Redelivered {
				t.Errorf("%+v", e)
			}
		}
		empty(t, br, "shared")
		empty(t, br, "all")
	})
}

// The wire: exactly three fields, persistent; and what other programs publish,
// as they write it, is read.
func TestOtherPrograms(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		got, h := collector()
		subscribe(t, b, "video.*", "analytics_service_queue", h)
		publish(t, b, bus.Event{Type: "watch", Key: "video.watch_started", Payload: map[string]any{"title": "아바타"}, MessageID: "m1"})
		ours := br.Messages("/", "analytics_service_queue")
		if len(ours) != 1 {
			t.Fatalf("%d messages", len(ours))
		}
		var body map[string]any
		if err := json.Unmarshal(ours[0].Body, &body); err != nil {
			t.Fatal(err)
		}
		at, _ := body["timestamp"].(float64)
		if len(body) != 3 || body["event_type"] != "watch" || body["payload"].(map[string]any)["title"] != "아바타" || int64(at) != time.Now().Unix() {
			t.Errorf("body %s", ours[0].Body)
		}
		if m := ours[0]; m.DeliveryMode != amqp.Persistent || m.ContentType != "application/json" || m.RoutingKey != "video.watch_started" || m.MessageID != "m1" {
			t.Errorf("%+v", m)
		}
		operate(t, br, func(ch *amqp.Channel) error {
			if err := ch.ExchangeDeclare("events", "topic", true, false, false, false, nil); err != nil {
				return err
			}
			return ch.Publish("events", "video.watch_started", false, false, amqp.Publishing{DeliveryMode: 2, Body: []byte(
				`{"event_type": "video.watch_started", "payload": {"title": "\uc544\ubc14\ud0c0"}, "timestamp": 1763899999.123456}`)})
		})
		runBus(b)
		wait(t, got, "our own event")
		e := wait(t, got, "the other program's event")
		var v struct{ Title string }
		if err := e.Decode(&v); err != nil || v.Title != "아바타" || !e.Timestamp.Equal(time.UnixMicro(1763899999123456)) || e.MessageID != "" {
			t.Errorf("%+v: %+v, %v", e, v, err)
		}
	})
}

// R 26: an event that nobody subscribes to.
func TestUnrouted(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		err := openBus(t, br, bus.Config{}).Publish(soon(t), bus.Event{Type: "nobody.cares"})
		if returned := as[*confirm.ReturnedError](t, err); returned.Key != "nobody.cares" || returned.Exchange != "events" {
			t.Errorf("%+v", returned)
		}
		b := openBus(t, br, bus.Config{Unrouted: bus.Ignore})
		if err := b.Publish(soon(t), bus.Event{Type: "nobody.cares"}); err != nil {
			t.Errorf("ignored: %v", err)
		}
		inject(t, br, amqptest.Fault{Do: amqptest.Nack}) // Ignore is about returns alone
		as[*confirm.NackedError](t, b.Publish(soon(t), bus.Event{Type: "nobody.cares"}))
	})
}

// Every group has retries and a dead-letter queue without asking, and what
// happens in one group no other group sees; nor does a replay.
func TestRetriesAndBurials(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{Workers: 4})
		var mu sync.Mutex
		attempts := map[string][]int{}
		fixed := false
		subscribe(t, b, "#", "failing", func(_ context.Context, e bus.Received) error {
			mu.Lock()
			defer mu.Unlock()
			if attempts[e.Type] = append(attempts[e.Type], e.Attempt); e.Key != e.Type || e.MessageID != e.Type {
				t.Errorf("attempt %d came with another key or id: %+v", e.Attempt, e)
			}
			switch {
			case e.Type == "busy" && e.Attempt < 3, e.Type == "always busy":
				return retry.Transient(errors.New("busy"))
			case e.Type == "bug" && !fixed:
				return errors.New("a bug")
			case e.Type == "panic":
				panic("a bad one")
			case e.Type == "other payload":
				var n int
				return e.Decode(&n)
			}
			if e.Type == "bug" && e.Replays != 1 {
				t.Errorf("replayed: %+v", e)
			}
			return nil
		})
		well, h := collector()
		subscribe(t, b, "#", "well", h)
		runBus(b)
		began := time.Now()
		for _, kind := range []string{"busy", "always busy", "bug", "panic", "other payload"} {
			publish(t, b, bus.Event{Type: kind, MessageID: kind, Payload: kind})
		}
		for i, body := range []string{"{", `{"event_type": 1}`, `["event_type"]`, ""} {
			operate(t, br, func(ch *amqp.Channel) error {
				return ch.Publish("events", "broken", false, false, amqp.Publishing{MessageId: fmt.Sprint("broken", i), Body: []byte(body)})
			})
		}
		pass(time.Minute)
		mu.Lock()
		if got, want := fmt.Sprint(attempts), "map[always busy:[1 2 3 4] bug:[1] busy:[1 2 3] other payload:[1] panic:[1]]"; got != want {
			t.Errorf("attempts %s, want %s", got, want)
		}
		fixed = true
		mu.Unlock()
		want := map[string]string{
			"always busy": story.ReasonExhausted, "bug": story.ReasonUnexpected, "panic": story.ReasonUnexpected, "other payload": story.ReasonMalformed,
			"broken0": story.ReasonMalformed, "broken1": story.ReasonMalformed, "broken2": story.ReasonMalformed, "broken3": story.ReasonMalformed,
		}
		dead := letters(t, b, "failing")
		for id, reason := range want {
			if dead[id].Reason != reason || dead[id].Queue != "failing" {
				t.Errorf("letter %s: reason %q, queue %q; want %q", id, dead[id].Reason, dead[id].Queue, reason)
			}
		}
		if l := dead["always busy"]; l.Attempts != 4 || !l.DeadAt.Equal(began.Add(3*time.Second)) {
			t.Errorf("died after %v: %+v", l.DeadAt.Sub(began), l)
		}
		if len(dead) != len(want) || len(well) != 5 {
			t.Errorf("%d letters, want %d; %d events in the other group, want 5", len(dead), len(want), len(well))
		}
		report, err := b.Replay(soon(t), "failing", dlq.ReplayConfig{Select: func(l dlq.Letter) bool { return l.Delivery.MessageId == "bug" }})
		if err != nil || report.Replayed != 1 {
			t.Fatalf("%v, %v", report, err)
		}
		pass(time.Minute)
		if n := len(letters(t, b, "failing")); n != len(want)-1 || len(well) != 5 || len(attempts["bug"]) != 2 {
			t.Errorf("after the replay: %d letters, %d events in the other group, attempts %v", n, len(well), attempts["bug"])
		}
		empty(t, br, "failing")
	})
}

// Faults of every kind while events are published and handled: what Publish
// accepted is handled by the group or lies with its letters.
func TestNoAcceptedEventIsLost(t *testing.T) {
	every := func(f amqptest.Fault) amqptest.Fault {
		f.Connection, f.Nth, f.Every, f.Times = "hareline*", 5, 9, 5
		return f
	}
	for name, fault := range map[string]amqptest.Fault{
		"nacks":             every(amqptest.Fault{Do: amqptest.Nack}),
		"lost before":       every(amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish"}),
		"lost after":        every(amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish"}),
		"lost at an ack":    every(amqptest.Fault{Do: amqptest.DropBefore, On: "basic.ack"}),
		"lost after an ack": every(amqptest.Fault{Do: amqptest.DropAfter, On: "basic.ack"}),
		"channel closed":    every(amqptest.Fault{Do: amqptest.CloseChannel, On: "basic.ack", Code: 406}),
		"connection closed": every(amqptest.Fault{Do: amqptest.CloseConnection, On: "basic.publish", Code: 320}),
		"late confirms":     every(amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 20 * time.Second}),
		"other order":       {Do: amqptest.ReorderConfirms, Count: 3, Times: 30},
		"alarm":             {Do: amqptest.RaiseAlarm, On: "basic.publish", Nth: 10, Delay: 20 * time.Second},
		"stall":             {Do: amqptest.Stall, On: "basic.publish", Nth: 10, Delay: 5 * time.Second},
		"cancel":            {Do: amqptest.CancelConsumers, On: "basic.ack", Nth: 5, Every: 5, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, br *amqptest.Broker) {
				b := openBus(t, br, bus.Config{Workers: 3})
				var mu sync.Mutex
				handled := map[string]bool{}
				subscribe(t, b, "#", "group", func(_ context.Context, e bus.Received) error {
					mu.Lock()
					defer mu.Unlock()
					switch n := len(e.MessageID); {
					case e.MessageID[n-1] == '7':
						return errors.New("a bug")
					case e.MessageID[n-1] == '3' && e.Attempt < 3:
						return retry.Transient(errors.New("busy"))
					case e.Attempt > 4:
						t.Errorf("attempt %d of %s", e.Attempt, e.MessageID)
					}
					handled[e.MessageID] = true
					return nil
				})
				runBus(b)
				hit := inject(t, br, fault)
				var accepted []string
				for i := range 40 {
					if err := b.Publish(soon(t), event(i)); err == nil {
						accepted = append(accepted, fmt.Sprint(i))
					}
				}
				pass(20 * time.Minute)
				if hit.Hits() == 0 {
					t.Error("the fault never happened")
				}
				empty(t, br, "group")
				dead := letters(t, b, "group")
				for _, id := range accepted {
					if _, buried := dead[id]; buried != strings.HasSuffix(id, "7") || handled[id] == buried {
						t.Errorf("event %s: handled %t, buried %t", id, handled[id], buried)
					}
				}
				if len(accepted) < 20 { // those whose confirm waits for others are unknown after a while
					t.Errorf("%d of 40 accepted", len(accepted))
				}
			})
		})
	}
}

// Secrets are redacted in headers and logs, also where the dead-letter queue is
// missing and the consumer complains.
func TestRedact(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		var log lines
		paused := make(chan struct{}, 1000)
		b := openBus(t, br, bus.Config{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") },
			OnHealth: func(h consumer.Health) {
				if h.Status == consumer.Paused {
					paused <- struct{}{}
				}
			},
		})
		subscribe(t, b, "x", "redacted", func(context.Context, bus.Received) error { return errors.New("login with hunter2 failed") })
		inject(t, br, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: "redacted.dlq"})
		runBus(b)
		publish(t, b, bus.Event{Type: "x", MessageID: "m"})
		wait(t, paused, "the pause")
		pass(time.Minute)
		operate(t, br, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("redacted.dlq", true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": topology.Unlimited})
			return err
		})
		pass(time.Minute)
		if l := letters(t, b, "redacted")["m"]; l.LastError != "login with *** failed" {
			t.Errorf("%+v", l)
		}
		if text := log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "***") {
			t.Errorf("the log:\n%s", text)
		}
	})
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// Config.Control is that of all groups: a breaker holds them.
func TestBreakerOnABus(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		var control consumer.Control
		guard, err := breaker.New(breaker.Config{Control: &control, Settings: gobreaker.Settings{Timeout: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan consumer.Status, 100)
		b := openBus(t, br, bus.Config{
			Control: &control, Middleware: []consumer.Middleware{guard}, Policy: retry.Policy{MaxRetries: 12},
			OnHealth: func(h consumer.Health) { told <- h.Status },
		})
		up := time.Now().Add(5 * time.Minute)
		var attempts, handled atomic.Int32
		subscribe(t, b, "#", "group", func(context.Context, bus.Received) error {
			if attempts.Add(1); time.Now().Before(up) {
				return retry.Transient(errors.New("down"))
			}
			handled.Add(1)
			return nil
		})
		runBus(b)
		for i := range 10 {
			publish(t, b, event(i))
		}
		pass(10 * time.Minute)
		if handled.Load() != 10 || attempts.Load() > 30 {
			t.Errorf("%d handled in %d attempts", handled.Load(), attempts.Load())
		}
		for wait(t, told, "paused") != consumer.Paused {
		}
	})
}

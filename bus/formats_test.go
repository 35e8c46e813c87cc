package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

type film struct{ Title string }

// Buses of all formats understand each other, and an event keeps all that it had
// over a retry, a burial and a replay.
func TestFormatsMix(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		reader := openBus(t, br, bus.Config{})
		type seen struct {
			e bus.Received
			f film
		}
		got := make(chan seen, 100)
		fixed := false
		if err := bus.Subscribe(soon(t), reader, "film.*", "films", func(_ context.Context, f film, e bus.Received) error {
			switch {
			case e.Attempt == 1 && !fixed:
				return retry.Transient(errors.New("busy"))
			case !fixed:
				return errors.New("a bug")
			}
			got <- seen{e, f}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		runBus(reader)
		for _, format := range []bus.Format{bus.Envelope, bus.CloudEventsBinary, bus.CloudEventsStructured} {
			e := bus.Event{Type: "film.seen", MessageID: string('a' + rune(format)), Payload: film{"아바타"}}
			if format != bus.Envelope {
				e.Subject, e.Extensions = "films/7", map[string]string{"traceparent": "00-1"}
			}
			publish(t, openBus(t, br, bus.Config{Format: format, Source: "/films"}), e)
		}
		pass(time.Minute)
		if n := len(letters(t, reader, "films")); n != 3 {
			t.Fatalf("%d letters, want 3", n)
		}
		fixed = true
		if _, err := reader.Replay(soon(t), "films", dlq.ReplayConfig{}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s := wait(t, got, "an event replayed")
			e := s.e
			ours := e.MessageID == "a" || e.Source == "/films" && e.Subject == "films/7" && e.Extensions["traceparent"] == "00-1" && len(e.Extensions) == 1
			if s.f.Title != "아바타" || e.Type != "film.seen" || e.Key != "film.seen" || e.Replays != 1 || !ours || time.Since(e.Timestamp) > 2*time.Minute {
				t.Errorf("%+v", s)
			}
		}
	})
}

// A payload that does not decode never reaches a typed handler; a nil one is refused.
func TestSubscribeTyped(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		if err := bus.Subscribe(soon(t), b, "#", "films", func(context.Context, film, bus.Received) error {
			t.Error("handled")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var bad *bus.ConfigError
		if err := bus.Subscribe[film](soon(t), b, "#", "none", nil); !errors.As(err, &bad) || bad.Field != "handler" {
			t.Errorf("%v", err)
		}
		if err := bus.Respond[film, int](soon(t), b, "#", "none", nil); !errors.As(err, &bad) || bad.Field != "handler" {
			t.Errorf("%v", err)
		}
		if err := b.Respond(soon(t), "film*", "none", func(context.Context, bus.Received) (any, error) { return nil, nil }); !errors.As(err, &bad) || bad.Field != "pattern" || bad.Fix != `did you mean "film.*"?` {
			t.Errorf("%v", err)
		}
		runBus(b)
		publish(t, b, bus.Event{Type: "x", MessageID: "m", Payload: 5})
		pass(time.Second)
		if dead := letters(t, b, "films"); dead["m"].Reason != story.ReasonMalformed {
			t.Errorf("%+v", dead)
		}
	})
}

type watchedV2 struct{ Title, Device string }

// During a deploy: what the old process does not know, the new one of the same group
// handles at a later attempt; alone, the old one buries it as an unsupported version,
// and after the update it is replayed.
func TestVersionsDuringDeploys(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		v1 := bus.Versions{Type: "film.watched"}
		v2 := bus.Versions{Type: "film.watched", Steps: []bus.Step{
			bus.Upcast(func(f film) (watchedV2, error) { return watchedV2{f.Title, "unknown"}, nil }),
		}}
		old := openBus(t, br, bus.Config{Versions: []bus.Versions{v1}})
		oldGot, h := collector()
		subscribe(t, old, v1.Pattern(), "stats", h)
		publisher := openBus(t, br, bus.Config{})
		runBus(old)
		publish(t, publisher, bus.Event{Type: v1.Current(), Payload: film{"Alien"}})
		publish(t, publisher, bus.Event{Type: v2.Current(), MessageID: "new", Payload: watchedV2{"Heat", "tv"}})
		if e := wait(t, oldGot, "the old version"); e.Type != "film.watched" {
			t.Errorf("%+v", e)
		}
		pass(time.Minute)
		if l := letters(t, old, "stats")["new"]; l.Reason != story.ReasonExhausted || l.ErrorClass != "unsupported version" || l.Attempts != 4 {
			t.Errorf("%+v", l)
		}

		updated := openBus(t, br, bus.Config{Versions: []bus.Versions{v2}})
		got := make(chan watchedV2, 9)
		if err := bus.Subscribe(soon(t), updated, v2.Pattern(), "stats", func(_ context.Context, w watchedV2, e bus.Received) error {
			if e.Type != "film.watched.v2" {
				t.Errorf("%+v", e)
			}
			got <- w
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		runBus(updated)
		if err := old.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		publish(t, publisher, bus.Event{Type: v1.Current(), Payload: film{"Alien"}})
		if w := wait(t, got, "the old version, made new"); w != (watchedV2{"Alien", "unknown"}) {
			t.Errorf("%+v", w)
		}
		if _, err := updated.Replay(soon(t), "stats", dlq.ReplayConfig{Select: func(l dlq.Letter) bool { return l.ErrorClass == "unsupported version" }}); err != nil {
			t.Fatal(err)
		}
		if w := wait(t, got, "the new version, replayed"); w != (watchedV2{"Heat", "tv"}) {
			t.Errorf("%+v", w)
		}
	})
}

// Config.Middleware wraps responders as it wraps handlers.
func TestMiddlewareOfResponders(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		var queues []string
		b := openBus(t, br, bus.Config{Middleware: []consumer.Middleware{func(next consumer.Handler) consumer.Handler {
			queues = append(queues, "wrapped")
			return next
		}}})
		respond(t, b, "#", "group", func(context.Context, bus.Received) (any, error) { return 1, nil })
		if len(queues) != 1 {
			t.Errorf("wrapped %d times", len(queues))
		}
	})
}

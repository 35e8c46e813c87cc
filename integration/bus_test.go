package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// openBus opens a bus that is closed with the test, before its link.
func openBus(t *testing.T, l *link.Link, cfg bus.Config) *bus.Bus {
	t.Helper()
	cfg.Logger = logger()
	if cfg.Policy.BackOff == nil {
		cfg.Policy.BackOff = soon
	}
	b, err := bus.Open(deadline(t), l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func subscribe(t *testing.T, b *bus.Bus, pattern, group string, h bus.Handler) {
	t.Helper()
	if err := b.Subscribe(deadline(t), pattern, group, h); err != nil {
		t.Fatal(err)
	}
}

// runBus runs the bus; it ends with b.Close. The result comes on the channel.
func runBus(b *bus.Bus) <-chan error {
	result := make(chan error, 1)
	go func() { result <- b.Run(context.Background()) }()
	return result
}

// collector is a handler that hands its events to the test.
func collector() (chan bus.Received, bus.Handler) {
	c := make(chan bus.Received, 100)
	return c, func(_ context.Context, e bus.Received) error {
		c <- e
		return nil
	}
}

// A program in another language on the same exchange, as pika's users write it:
// what it publishes we get.
func TestBusReadsOtherPrograms(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{})
		got, h := collector()
		subscribe(t, b, "video.*", "analytics_service_queue", h)
		runBus(b)
		do(t, l, func(ch *amqp.Channel) error {
			if err := ch.ExchangeDeclare("events", "topic", true, false, false, false, nil); err != nil {
				return err
			}
			for _, body := range []string{
				`{"event_type": "video.watch_started", "payload": {"user_id": "user123", "video_title": "\uc544\ubc14\ud0c0"}, "timestamp": 1763899999.123456}`,
				`{"event_type": "video.watch_started", "payload": {"user_id": "user123", "video_title": "아바타"}, "timestamp": 1763899999}`,
			} {
				if err := ch.PublishWithContext(deadline(t), "events", "video.watch_started", false, false, amqp.Publishing{DeliveryMode: 2, Body: []byte(body)}); err != nil {
					return err
				}
			}
			return nil
		})
		for _, at := range []time.Time{time.UnixMicro(1763899999123456), time.Unix(1763899999, 0)} {
			e := wait(t, got, "the events")
			var v struct {
				UserID string `json:"user_id"`
				Title  string `json:"video_title"`
			}
			if err := e.Decode(&v); err != nil || v.UserID != "user123" || v.Title != "아바타" {
				t.Errorf("payload %s: %+v, %v", e.Payload, v, err)
			}
			if e.Type != "video.watch_started" || e.Key != e.Type || !e.Timestamp.Equal(at) || e.Attempt != 1 || e.MessageID != "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

// And what we publish, it gets: exactly three fields, persistent.
func TestOtherProgramsReadBus(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{})
		do(t, l, func(ch *amqp.Channel) error {
			if err := ch.ExchangeDeclare("events", "topic", true, false, false, false, nil); err != nil {
				return err
			}
			if _, err := ch.QueueDeclare("python", true, false, false, false, nil); err != nil {
				return err
			}
			return ch.QueueBind("python", "video.*", "events", false, nil)
		})
		err := b.Publish(deadline(t), bus.Event{Type: "watch", Key: "video.watch_started", Payload: map[string]any{"title": "아바타"}, MessageID: "m1"})
		if err != nil {
			t.Fatal(err)
		}
		letters := take(t, l, "python")
		if len(letters) != 1 {
			t.Fatalf("%d messages", len(letters))
		}
		d := letters[0]
		var body map[string]any
		if err := json.Unmarshal(d.Body, &body); err != nil {
			t.Fatal(err)
		}
		at, _ := body["timestamp"].(float64)
		if len(body) != 3 || body["event_type"] != "watch" || body["payload"].(map[string]any)["title"] != "아바타" ||
			time.Since(time.Unix(int64(at), 0)).Abs() > time.Hour {
			t.Errorf("body %s", d.Body)
		}
		if d.DeliveryMode != amqp.Persistent || d.ContentType != "application/json" || d.RoutingKey != "video.watch_started" || d.MessageId != "m1" {
			t.Errorf("%+v", d)
		}
	})
}

// R 26: an event that nobody subscribes to.
func TestBusUnrouted(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		var returned *confirm.ReturnedError
		err := openBus(t, l, bus.Config{}).Publish(deadline(t), bus.Event{Type: "nobody.cares"})
		if !errors.As(err, &returned) || returned.Key != "nobody.cares" || returned.Exchange != "events" {
			t.Errorf("%v, want a *confirm.ReturnedError", err)
		}
		if err := openBus(t, l, bus.Config{Unrouted: bus.Ignore}).Publish(deadline(t), bus.Event{Type: "nobody.cares"}); err != nil {
			t.Errorf("ignored: %v", err)
		}
	})
}

// Every group has retries and a dead-letter queue without asking, and what
// happens in one group no other group sees.
func TestBusRetriesAndBuries(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{Workers: 4})
		seen := make(chan bus.Received, 100)
		fixed := make(chan struct{})
		subscribe(t, b, "#", "failing", func(_ context.Context, e bus.Received) error {
			seen <- e
			switch {
			case e.Type == "busy" && e.Attempt < 3:
				return retry.Transient(errors.New("busy"))
			case e.Type == "bug":
				select {
				case <-fixed:
				default:
					return errors.New("a bug")
				}
			case e.Type == "panic":
				panic("a bad one")
			}
			return nil
		})
		well, h := collector()
		subscribe(t, b, "#", "well", h)
		runBus(b)

		for _, kind := range []string{"busy", "bug", "panic"} {
			if err := b.Publish(deadline(t), bus.Event{Type: kind, MessageID: kind}); err != nil {
				t.Fatal(err)
			}
		}
		if err := publisher(t, l, confirm.Config{}).Publish(deadline(t), "events", "broken", amqp.Publishing{MessageId: "broken", Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if e := wait(t, well, "the other group"); e.Attempt != 1 {
				t.Errorf("the other group sees a retry: %+v", e)
			}
		}
		attempts := map[string][]int{}
		for range 5 {
			e := wait(t, seen, "the attempts")
			attempts[e.Type] = append(attempts[e.Type], e.Attempt)
			if e.Key != e.Type || e.MessageID != e.Type {
				t.Errorf("attempt %d came with another key or id: %+v", e.Attempt, e)
			}
		}
		if want := "map[bug:[1] busy:[1 2 3] panic:[1]]"; fmt.Sprint(attempts) != want {
			t.Errorf("attempts %v, want %s", attempts, want)
		}
		letters := lettersOf(t, b, "failing", 3)
		for id, reason := range map[string]string{"bug": story.ReasonUnexpected, "panic": story.ReasonUnexpected, "broken": story.ReasonMalformed} {
			if letters[id].Reason != reason || letters[id].Queue != "failing" {
				t.Errorf("letter %s: reason %q, queue %q; want %q", id, letters[id].Reason, letters[id].Queue, reason)
			}
		}

		close(fixed)
		report, err := b.Replay(deadline(t), "failing", dlq.ReplayConfig{Select: func(l dlq.Letter) bool { return l.Delivery.MessageId == "bug" }})
		if err != nil || report.Replayed != 1 {
			t.Fatalf("%v, %v", report, err)
		}
		if e := wait(t, seen, "the replay"); e.Type != "bug" || e.Attempt != 1 || e.Replays != 1 || e.Key != "bug" {
			t.Errorf("replayed: %+v", e)
		}
		lettersOf(t, b, "failing", 2)
	})
}

// lettersOf waits until the group has n letters and returns them by message-id.
func lettersOf(t *testing.T, b *bus.Bus, group string, n int) map[string]dlq.Letter {
	t.Helper()
	q := b.DeadLetters(group)
	eventually(t, func() bool {
		count, err := q.Count(deadline(t))
		return err == nil && count == n
	})
	letters := map[string]dlq.Letter{}
	if err := q.Look(deadline(t), func(l dlq.Letter) error {
		letters[l.Delivery.MessageId] = l
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return letters
}

// Close lets a running handler finish, settles its event and ends Run.
func TestBusCloseDrains(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{})
		started, finish := make(chan struct{}), make(chan struct{})
		subscribe(t, b, "slow", "slow", func(context.Context, bus.Received) error {
			close(started)
			<-finish
			return nil
		})
		ended := runBus(b)
		if err := b.Publish(deadline(t), bus.Event{Type: "slow"}); err != nil {
			t.Fatal(err)
		}
		wait(t, started, "the handler")
		closed := make(chan error, 1)
		go func() { closed <- b.Close(context.Background()) }()
		select {
		case err := <-closed:
			t.Fatalf("Close returned %v while a handler was running", err)
		default:
		}
		close(finish)
		if err := wait(t, closed, "Close"); err != nil {
			t.Error(err)
		}
		if err := wait(t, ended, "Run"); err != nil {
			t.Error(err)
		}
		if n := depth(t, l, "slow"); n != 0 {
			t.Errorf("%d events were given back, though their handler had finished", n)
		}
		if err := b.Subscribe(deadline(t), "a", "a", func(context.Context, bus.Received) error { return nil }); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Subscribe after Close: %v", err)
		}
		var unsent *confirm.UnsentError
		if err := b.Publish(deadline(t), bus.Event{Type: "slow"}); !errors.As(err, &unsent) {
			t.Errorf("Publish after Close: %v", err)
		}
	})
}

// A group whose queue exists with other arguments is refused, by name, and can
// be subscribed once that is mended.
func TestBusSubscribeMismatch(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{})
		declareQueue(t, l, "old", nil)
		_, h := collector()
		var mismatch *topology.MismatchError
		if err := b.Subscribe(deadline(t), "a", "old", h); !errors.As(err, &mismatch) || mismatch.Entity != `queue "old"` {
			t.Fatalf("%v, want a *topology.MismatchError", err)
		}
		do(t, l, func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete("old", false, false, false)
			return err
		})
		subscribe(t, b, "a", "old", h)
	})
}

package consumer

import (
	"context"
	"log/slog"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/notify"
	"github.com/hareline/hareline/internal/verdict"
)

type doneCopy struct{}

func (doneCopy) Error() string { return "copy under way" }
func (doneCopy) Done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
func (doneCopy) Outcome() error { return nil }

type code struct{ n int }

func (c *code) Error() string { return string(rune(c.n)) } // panics for a nil *code

type badAgain struct{}

func (badAgain) Error() string               { return "again" }
func (badAgain) Again(context.Context) error { panic("boom") }

func handlingSession() *session {
	r := &runner{cfg: Config{Queue: "q", Handler: func(context.Context, amqp.Delivery) error { return nil }, Logger: slog.New(slog.DiscardHandler)}.withDefaults(),
		prefetch: 10, handling: context.Background(), health: notify.New[Health](nil)}
	s := newSession(r, nil, nil, 10)
	s.lifetime = context.Background()
	s.take(amqp.Delivery{DeliveryTag: 1})
	s.waiting, s.running = nil, 1
	return s
}

// "A panic is unexpected, whatever it holds."
func TestAPanicIsNeverACopyUnderWay(t *testing.T) {
	h := Recover()(func(context.Context, amqp.Delivery) error { panic(doneCopy{}) })
	if _, ok := verdict.AsPending(h(t.Context(), amqp.Delivery{})); ok {
		t.Error("pending: acked though the handler panicked")
	}
}

func TestATypedNilErrorDoesNotEndTheProcess(t *testing.T) {
	s := handlingSession()
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("the session's goroutine panicked: %v", v)
		}
	}()
	s.handle(result{tag: 1, err: (*code)(nil), handled: true})
}

func TestAPanicInAgainDoesNotEndTheProcess(t *testing.T) {
	s := handlingSession()
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("the helper's goroutine panicked: %v", v)
		}
	}()
	if err := s.callAgain(badAgain{}); err == nil {
		t.Error("no error")
	}
}

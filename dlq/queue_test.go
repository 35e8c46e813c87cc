package dlq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrongConfigIsReportedByEveryMethod(t *testing.T) {
	for field, cfg := range map[string]QueueConfig{
		"Queue":           {},
		"ConsumerTimeout": {Queue: "q", ConsumerTimeout: -1},
		"Idle":            {Queue: "q", Idle: -1},
		"Prefetch":        {Queue: "q", Prefetch: maxPrefetch + 1},
	} {
		q := Open(nil, cfg)
		ctx := t.Context()
		_, replayed := q.Replay(ctx, &publisher{}, ReplayConfig{})
		_, discarded := q.Discard(ctx, func(Letter) bool { return true })
		_, counted := q.Count(ctx)
		for _, err := range []error{q.Look(ctx, func(Letter) error { return nil }), replayed, discarded, counted} {
			if err == nil || !strings.Contains(err.Error(), "QueueConfig."+field) {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
	q := Open(nil, QueueConfig{Queue: "q"})
	if _, err := q.Replay(t.Context(), nil, ReplayConfig{}); err == nil {
		t.Error("no publisher: no error")
	}
	if _, err := q.Replay(t.Context(), &publisher{}, ReplayConfig{Limit: -1}); err == nil {
		t.Error("a negative limit: no error")
	}
}

func TestLockName(t *testing.T) {
	if got := lockName("orders.dlq"); got != "hareline.lock.orders.dlq" {
		t.Error(got)
	}
	long := strings.Repeat("q", 255)
	if a, b := lockName(long), lockName(long[:254]+"r"); len(a) > 255 || a == b {
		t.Errorf("%d bytes, %q", len(a), a)
	}
}

func TestHeld(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{&amqp.Error{Code: 405, Reason: "RESOURCE_LOCKED - cannot obtain exclusive access"}, true},
		{fmt.Errorf("w: %w", &amqp.Error{Code: 403, Reason: "ACCESS_REFUSED - queue 'l' in vhost '/' in exclusive use"}), true},
		{&amqp.Error{Code: 403, Reason: "ACCESS_REFUSED - configure access to queue 'l' in vhost '/' refused for user 'u'"}, false},
		{&amqp.Error{Code: 404, Reason: "NOT_FOUND"}, true},
		{errors.New("x"), false},
	} {
		if got := held(tc.err); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}

type unknown bool

func (unknown) Error() string          { return "unknown" }
func (u unknown) PossiblyStored() bool { return bool(u) }

func TestMaybeStored(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{{unknown(true), true}, {unknown(false), false}, {refused(404), false}, {errors.New("nobody knows"), true}} {
		if got := maybeStored(tc.err); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}

func TestGraced(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	late, done := graced(ctx, replayGrace)
	cancel()
	if late.Err() != nil {
		t.Error("no grace")
	}
	done()
	if late.Err() == nil {
		t.Error("outlives the replay")
	}
}

func TestReport(t *testing.T) {
	var r Report
	for i := range 3000 {
		r.fail(Duplicate{ID: fmt.Sprint(i)}, errors.New("x"), true)
	}
	if r.Failed != 3000 || len(r.Failures) != maxFailures || len(r.Duplicates) != 3000 {
		t.Errorf("%d failed, %d and %d listed", r.Failed, len(r.Failures), len(r.Duplicates))
	}
	r = Report{Total: 5, Seen: 5, Replayed: 2, Kept: 2, Failed: 1, Duplicates: []Duplicate{{ID: "id"}}}
	if got := r.String(); got != "5 of 5 letters seen, 2 replayed, 0 discarded, 2 kept, 1 failed, 1 possibly published twice" {
		t.Error(got)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	cause := errors.New("cause")
	for _, err := range []error{
		&LockedError{Queue: "q", Lock: "l", Err: cause},
		&UnsafeLookError{Queue: "q", Reason: "r", Err: cause},
		&QueueError{Queue: "q", Doing: "look", Err: cause},
	} {
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), `"q"`) {
			t.Errorf("%v", err)
		}
	}
	if got := (&IncompleteError{Queue: "q", Seen: 3, Total: 9, Reason: "r"}).Error(); !strings.Contains(got, "3 of 9") {
		t.Error(got)
	}
}

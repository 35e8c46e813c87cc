package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync/atomic"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/retry"
)

const analyticsQueue = "analytics_service_queue"

// failureRate is how often analytics fails for a moment.
const failureRate = 0.3

var errStoreBusy = errors.New("the analytics store is busy")

// analyticsService counts all that happens to videos. Its store fails now and
// then, and until it is fixed, the service has a bug.
type analyticsService struct {
	seed  uint64
	stage *stage
	fixed atomic.Bool
}

func (s *analyticsService) handleVideoEvent(_ context.Context, e bus.Received) error {
	var v struct {
		UserID  string `json:"user_id"`
		Percent int    `json:"percent"`
	}
	if err := e.Decode(&v); err != nil {
		return err
	}
	if v.Percent > 100 && !s.fixed.Load() {
		// The bug: nobody thought of those who watch a scene twice. An error
		// that says nothing of itself is unexpected: no retry, buried at once.
		return fmt.Errorf("%d %% of a video cannot be", v.Percent)
	}
	if fails(s.seed, e.Type+" "+v.UserID, e.Replays, e.Attempt) {
		return retry.Transient(errStoreBusy)
	}
	s.stage.say("analytics", "counted %s of %s at attempt %d", e.Type, v.UserID, e.Attempt)
	return nil
}

// fails decides by what the event is and by its attempt alone, so that the same
// seed gives the same run whichever worker is first.
func fails(seed uint64, event string, replays, attempt int) bool {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d %d", seed, event, replays, attempt)
	x := h.Sum64() // FNV's high bits are weak for short inputs: mix them
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11)/(1<<53) < failureRate
}

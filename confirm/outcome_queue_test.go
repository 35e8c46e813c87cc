package confirm

import (
	"context"
	"errors"
	"testing"
)

// A full buffer drops confirmed outcomes and keeps the failures; the number of
// those dropped is told with the next, and those left are in order.
func TestFullBufferCountsWhatItDrops(t *testing.T) {
	const surplus, failures = 100, 50
	failed := errors.New("failed")
	started, release := make(chan struct{}), make(chan struct{})
	var told []Outcome
	o := newObserver(func(out Outcome) {
		if len(told) == 0 {
			close(started)
			<-release
		}
		told = append(told, out)
	})
	o.tell(Outcome{Key: "first"})
	<-started
	for i := range outcomeBuffer + surplus {
		o.tell(Outcome{Took: 1})
		if i%2 == 0 && i/2 < failures {
			o.tell(Outcome{Err: failed})
		}
	}
	close(release)
	if err := o.end(context.Background()); err != nil {
		t.Fatal(err)
	}
	dropped, errs := 0, 0
	for i, out := range told {
		dropped += out.Dropped
		if out.Err != nil {
			errs++
			if i != 3*errs-1 { // after one of first and 2 confirmed each
				t.Fatalf("failure %d came as outcome %d", errs, i)
			}
		}
	}
	if len(told) != 1+outcomeBuffer+failures || dropped != surplus || errs != failures || told[1].Dropped != surplus {
		t.Errorf("told %d, %d of them failures; %d counted as dropped", len(told), errs, dropped)
	}
	o.tell(Outcome{}) // no panic, no effect
}

func TestNoHook(t *testing.T) {
	if err := newObserver(nil).end(context.Background()); err != nil {
		t.Error(err)
	}
}

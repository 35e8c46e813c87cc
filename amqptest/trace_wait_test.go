package amqptest

import (
	"testing"
	"time"
)

// TestWaitEventSeesWhatComes: no event that comes while WaitEvent waits passes
// it by, however few are kept.
func TestWaitEventSeesWhatComes(t *testing.T) {
	b := Config{Trace: 1}.New(t)
	waiting := make(chan struct{})
	found := make(chan error, 1)
	go func() {
		first := true
		_, err := b.WaitEvent(inTime(t), func(e Event) bool {
			if first { // it is looked at after WaitEvent began
				close(waiting)
				first = false
			}
			return e.Kind == EventAlarmRaised
		})
		found <- err
	}()
	b.Advance(time.Second)
	<-waiting
	b.lock()
	b.raiseAlarm("disk")
	for range 3 {
		b.trace(Event{Kind: EventAdvanced})
	}
	b.unlock()
	if err := <-found; err != nil {
		t.Error("passed by:", err)
	}
}

func TestNilAcceptsAllEvents(t *testing.T) {
	b := New(t)
	b.Advance(time.Second)
	if e, err := b.WaitEvent(t.Context(), nil); err != nil || e.Kind != EventAdvanced {
		t.Error(e, err)
	}
	if got := b.Trace(Both(nil, OfKind(EventAdvanced), nil)); len(got) != 1 {
		t.Error(got)
	}
	if got := b.Trace(Both()); len(got) != 1 {
		t.Error(got)
	}
}

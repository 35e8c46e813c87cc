package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/consumer"
)

// The watchdog of the bus is that of each group's consumer.
func TestWatchdog(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		told := make(chan consumer.WatchdogEvent, 10)
		b := openBus(t, br, bus.Config{Watchdog: consumer.WatchdogConfig{
			StuckAfter: time.Minute, OnEvent: func(e consumer.WatchdogEvent) { told <- e },
		}})
		release := make(chan struct{})
		subscribe(t, b, "x", "slow", func(context.Context, bus.Received) error { <-release; return nil })
		runBus(b)
		publish(t, b, bus.Event{Type: "x", MessageID: "m"})
		if e := wait(t, told, "a stuck handler"); e.Queue != "slow" || e.Finding != consumer.Stuck || e.MessageID != "m" || e.Over {
			t.Errorf("told: %+v", e)
		}
		close(release)
		if e := wait(t, told, "its end"); !e.Over {
			t.Errorf("told: %+v", e)
		}
	})
}

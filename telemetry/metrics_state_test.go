package telemetry

import (
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/link"
)

// A block counts while it lasts, and ends with its connection.
func TestLinkCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, measured := counting(t)
		tel := &Telemetry{counts: in}
		tell := func(role link.Role, server string, all ...link.Status) {
			for _, status := range all {
				tel.OnState(link.State{Role: role, Status: status, Server: server, At: time.Now()})
			}
		}
		pass := func(d time.Duration) { <-time.After(d) }
		links := func() []string { return containing(measured(), ".link.") }

		tell(link.Publishing, "a", link.Connected)
		tell(link.Consuming, "a", link.Connected)
		expect(t, links(), `
hareline.link.connections{role=consuming} 1
hareline.link.connections{role=publishing} 1`)

		tell(link.Publishing, "a", link.Blocked)
		pass(3 * time.Second)
		expect(t, containing(links(), "blocked"), `hareline.link.blocked.time{role=publishing} 3`)
		pass(2 * time.Second)
		tell(link.Publishing, "a", link.Unblocked, link.Unblocked)
		pass(time.Minute)
		expect(t, containing(links(), "blocked"), `hareline.link.blocked.time{role=publishing} 5`)

		// Blocked, and lost without a word of its end.
		tell(link.Publishing, "a", link.Blocked)
		pass(time.Second)
		tell(link.Publishing, "a", link.Disconnected)
		pass(time.Minute)
		expect(t, links(), `
hareline.link.blocked.time{role=publishing} 6
hareline.link.connections{role=consuming} 1`)
		tell(link.Publishing, "b", link.Connected)
		expect(t, links(), `
hareline.link.blocked.time{role=publishing} 6
hareline.link.connections{role=consuming} 1
hareline.link.connections{role=publishing} 1
hareline.link.reconnects{role=publishing} 1`)

		// Another link: that it connects is no reconnect; two blocks at once are one.
		tell(link.Publishing, "c", link.Connected)
		tell(link.Publishing, "b", link.Blocked)
		pass(time.Second)
		tell(link.Publishing, "c", link.Blocked)
		pass(time.Second)
		tell(link.Publishing, "b", link.Disconnected)
		pass(time.Second)
		expect(t, links(), `
hareline.link.blocked.time{role=publishing} 9
hareline.link.connections{role=consuming} 1
hareline.link.connections{role=publishing} 1
hareline.link.reconnects{role=publishing} 1`)
		tell(link.Publishing, "c", link.Closed) // blocked, too
		tell(link.Publishing, "", link.Closed)  // the one that was lost
		tell(link.Consuming, "a", link.Closed)
		tell(link.Publishing, "d", link.Connected)
		pass(time.Second)
		expect(t, links(), `
hareline.link.blocked.time{role=publishing} 9
hareline.link.connections{role=publishing} 1
hareline.link.reconnects{role=publishing} 1`)
		tell(link.Role(9), "d", link.Connected) // of a later release
	})
}

func TestConsumerCounts(t *testing.T) {
	in, measured := counting(t)
	tel := &Telemetry{counts: in}
	for _, status := range []string{"consuming", "disconnected", "consuming", "paused"} {
		tel.OnHealth("work", status)
	}
	tel.OnHealth("other", "consuming")
	for _, e := range []struct {
		finding string
		over    bool
	}{
		{"stuck", false}, {"stuck", false}, {"stuck", true},
		{"forgotten", false}, {"forgotten", false}, {"forgotten", true}, {"forgotten", true},
		{"forgotten", false}, {"forgotten", false},
		{"unsettled", false}, {"unsettled", true},
	} {
		tel.OnWatchdog("work", e.finding, e.over)
	}
	expect(t, measured(), `
hareline.consumer.changes{state=consuming destination.name=other} 1
hareline.consumer.changes{state=consuming destination.name=work} 2
hareline.consumer.changes{state=disconnected destination.name=work} 1
hareline.consumer.changes{state=paused destination.name=work} 1
hareline.consumer.state{state=consuming destination.name=other} 1
hareline.consumer.state{state=paused destination.name=work} 1
hareline.watchdog.active{finding=forgotten destination.name=work} 1
hareline.watchdog.active{finding=stuck destination.name=work} 1
hareline.watchdog.findings{finding=forgotten destination.name=work} 4
hareline.watchdog.findings{finding=stuck destination.name=work} 2
hareline.watchdog.findings{finding=unsettled destination.name=work} 1
`)
}

// What is told late must not make a counter go back, which reads as a restart; and a
// server that tells twice that it blocks is over it once it tells of the end.
func TestBlockedTimeNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, measured := counting(t)
		tel := &Telemetry{counts: in}
		tell := func(status link.Status, at time.Time) {
			tel.OnState(link.State{Role: link.Publishing, Status: status, Server: "a", At: at})
		}
		blocked := func() []string { return containing(measured(), "blocked") }
		tell(link.Connected, time.Now())
		tell(link.Blocked, time.Now())
		tell(link.Blocked, time.Now())
		<-time.After(5 * time.Second)
		ended := time.Now()
		<-time.After(5 * time.Second) // the hook is late
		expect(t, blocked(), `hareline.link.blocked.time{role=publishing} 10`)
		tell(link.Unblocked, ended)
		expect(t, blocked(), `hareline.link.blocked.time{role=publishing} 10`)
		tell(link.Blocked, time.Now())
		<-time.After(7 * time.Second)
		expect(t, blocked(), `hareline.link.blocked.time{role=publishing} 12`)
		tell(link.Unblocked, time.Now())
		<-time.After(time.Minute)
		expect(t, blocked(), `hareline.link.blocked.time{role=publishing} 12`)
	})
}

// A program that drops histograms, which cost the most, keeps its counters.
func TestCountersWithoutHistograms(t *testing.T) {
	in, measured := counting(t, sdk.WithView(sdk.NewView(sdk.Instrument{Kind: sdk.InstrumentKindHistogram}, sdk.Stream{Aggregation: sdk.AggregationDrop{}})))
	if in == nil {
		t.Fatal("nothing is counted")
	}
	tel := &Telemetry{counts: in}
	tel.OnHealth("work", "consuming")
	expect(t, measured(), `
hareline.consumer.changes{state=consuming destination.name=work} 1
hareline.consumer.state{state=consuming destination.name=work} 1`)
}

// A delivery of package ordered that ends as a letter was consumed, once.
func TestConsumedOfKeptDeliveries(t *testing.T) {
	in, measured := counting(t)
	a := attempt{queue: "work", number: 1, kept: true, redelivered: true, verdict: verdictFailed, failure: "error"}
	for range 2 {
		in.processing(a)
		in.processed(t.Context(), a)
	}
	expect(t, containing(measured(), "consumed"), "")
	in.settled(t.Context(), a, settlement.Result{Method: "ack"})
	expect(t, append(containing(measured(), "consumed"), containing(measured(), "redelivered")...), `
messaging.client.consumed.messages{destination.name=work operation.name=process} 1
hareline.process.redelivered{destination.name=work} 1`)
}

package telemetry

import (
	"testing"
	"testing/synctest"
	"time"

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

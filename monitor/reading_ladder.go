package monitor

import (
	"fmt"
	"time"
)

// ladderReadings are those of one ladder and of its queues.
func (c Config) ladderReadings(r LadderReport, at time.Time) []reading {
	all := presenceOfLadder(at, r)
	name := fmt.Sprintf("ladder %q", r.Ladder)
	if c.LadderMessages >= 0 {
		all = append(all, above(r.Messages, float64(c.LadderMessages), c.ClearAt).of(subject{LadderMessages, "", r.Ladder},
			fmt.Sprintf("%s has %v messages that wait for their delay, its limit is %d", name, r.Messages, c.LadderMessages),
			"see which handlers fail and are tried again"))
	}
	if c.LadderHeld >= 0 {
		all = append(all, c.stuck(r).of(subject{LadderStuck, "", r.Ladder},
			fmt.Sprintf("%s holds %v messages whose delay is over, and %v enter in a second", name, r.Held, r.EnterRate),
			"find the queue that takes nothing, because it is full, or its node is down: all behind it wait, too"))
	}
	unclaimed := ""
	if n := len(r.Queues); n > 0 {
		unclaimed = r.Queues[n-1].Queue
	}
	return append(all, above(r.Unclaimed, 0, c.ClearAt).of(subject{Unclaimed, unclaimed, r.Ladder},
		fmt.Sprintf("queue %q holds %v messages that came out of the delay ladder and had no queue to go to", unclaimed, r.Unclaimed),
		"declare the queue that is missing and replay them, or discard them"))
}

// stuck compares what is held with what is on its way anyway: a message takes
// milliseconds from one level to the next.
func (c Config) stuck(r LadderReport) reading {
	onTheWay := r.EnterRate.Value // of one second
	reads := above(r.Held, float64(c.LadderHeld)+onTheWay, c.ClearAt)
	if !r.EnterRate.Known && reads.condition == bad && r.Held.Value > 0 {
		reads.condition = unknown
	}
	return reads
}
